//! What ends when: shown by `status`, planned by nobody (FN15). Whatever can renew a thing is named beside it.

use std::time::Duration;

use jiff::Timestamp;

/// Less than this is said louder.
const SOON: Duration = Duration::from_hours(30 * 24);

/// One thing with an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) what: String,
    /// `None`: not observed.
    pub(crate) at: Option<Timestamp>,
    /// What renews it.
    pub(crate) renewal: &'static str,
}

impl Expiry {
    /// From a text of an API; what cannot be read was not observed.
    pub(crate) fn parse(what: impl Into<String>, at: Option<&str>, renewal: &'static str) -> Self {
        Self {
            what: what.into(),
            at: at.and_then(|text| text.parse().ok()),
            renewal,
        }
    }
}

/// The table, the next one to end first. `now`: absent in the lab, whose clock is not this machine's.
pub(crate) fn table(now: Option<Timestamp>, mut rows: Vec<Expiry>) -> Vec<String> {
    rows.sort_by_key(|row| (row.at.is_none(), row.at));
    let mut lines = vec![format!(
        "{:<28} {:<22} {:<16} renewed by",
        "expires", "at", ""
    )];
    lines.extend(rows.iter().map(|row| {
        let at = row.at.map_or_else(
            || "not observed".to_owned(),
            |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        );
        format!(
            "{:<28} {at:<22} {:<16} {}",
            row.what,
            left(now, row.at),
            row.renewal
        )
    }));
    lines
}

/// `in 6 days`, `in 20 days, SOON`, `ENDED 3 days ago`.
fn left(now: Option<Timestamp>, at: Option<Timestamp>) -> String {
    let (Some(now), Some(at)) = (now, at) else {
        return String::new();
    };
    let seconds = at.as_second() - now.as_second();
    let ago = Duration::from_secs(seconds.unsigned_abs());
    let words = match ago.as_secs() {
        0..3600 => format!("{} min", ago.as_secs() / 60),
        3600..172_800 => format!("{} h", ago.as_secs() / 3600),
        _ => format!("{} days", ago.as_secs() / 86_400),
    };
    if seconds <= 0 {
        format!("ENDED {words} ago")
    } else if ago < SOON {
        format!("in {words}, SOON")
    } else {
        format!("in {words}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_to_end_stands_first_and_the_unseen_last() {
        let row = |what: &str, at: Option<&str>| Expiry::parse(what, at, "nobody");
        let rows = vec![
            row("unseen", None),
            row("late", Some("2027-11-26T12:00:00Z")),
            row("unreadable", Some("tomorrow")),
            row("soon", Some("2026-12-01T12:00:00Z")),
            row("ended", Some("2026-11-26T10:30:00Z")),
        ];
        let now = Some("2026-11-26T12:00:00Z".parse().unwrap());
        let lines = table(now, rows.clone());
        let parts = |line: &str| {
            line.split("  ")
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            lines[1..]
                .iter()
                .map(|line| parts(line))
                .collect::<Vec<_>>(),
            [
                ["ended", "2026-11-26 10:30 UTC", "ENDED 1 h ago", "nobody"].as_slice(),
                &["soon", "2026-12-01 12:00 UTC", "in 5 days, SOON", "nobody"],
                &["late", "2027-11-26 12:00 UTC", "in 365 days", "nobody"],
                &["unseen", "not observed", "nobody"],
                &["unreadable", "not observed", "nobody"],
            ]
        );
        // By a clock that is not known nothing is soon.
        assert_eq!(
            parts(&table(None, rows)[2]),
            ["soon", "2026-12-01 12:00 UTC", "nobody"]
        );
    }
}
