//! Ages as kubectl prints them, and timestamps as the API writes them.

use jiff::{Timestamp, Unit};

/// RFC 3339 with whole seconds.
pub(super) fn stamp(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}

/// The time since an RFC 3339 timestamp, in the server's short form; `<unknown>` without one.
pub(super) fn since(text: Option<&str>, now: Timestamp) -> String {
    let Some(then) = text.and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "<unknown>".into();
    };
    short(now.duration_since(then).as_secs().max(0))
}

fn short(seconds: i64) -> String {
    let two = |large: i64, unit: &str, small: i64, other: &str| {
        if small == 0 {
            format!("{large}{unit}")
        } else {
            format!("{large}{unit}{small}{other}")
        }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ => two(days / 365, "y", days % 365, "d"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn ages_look_like_kubectl() {
        for (seconds, text) in [
            (5, "5s"),
            (125, "2m5s"),
            (600, "10m"),
            (3 * 3600 + 60, "3h1m"),
            (90_000, "25h"),
            (9 * 86_400, "9d"),
        ] {
            assert_eq!(super::short(seconds), text);
        }
    }
}
