//! Lengths of time as Vault takes and prints them: seconds as a number or text, or Go's `1h30m`.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Seconds of a number, a numeric text or a Go duration.
pub(super) fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok().or_else(|| go_seconds(text)),
        _ => None,
    }
}

fn go_seconds(text: &str) -> Option<u64> {
    let mut total = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let count: u64 = rest[..end].parse().ok()?;
        let (unit, after) = rest[end..].split_at_checked(1)?;
        total += count
            * match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                "d" => 86_400,
                _ => return None,
            };
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// Seconds as Go prints a duration.
pub(super) fn printed(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// The moment this many seconds after another; the end of time when that is too far.
pub(super) fn later(from: Timestamp, seconds: u64) -> Timestamp {
    let by = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_have_several_spellings() {
        for (given, expected) in [
            (json!(60), Some(60)),
            (json!("60"), Some(60)),
            (json!("1h30m"), Some(5400)),
            (json!("0s"), Some(0)),
            (json!("2d"), Some(172_800)),
            (json!("1x"), None),
            (json!(""), None),
            (json!(-1), None),
        ] {
            assert_eq!(seconds(&given), expected, "{given}");
        }
        assert_eq!(printed(0), "0s");
        assert_eq!(printed(90), "1m30s");
        assert_eq!(printed(7200), "2h0m0s");
    }
}
