//! The lines a person sees: `0:48 01-infrastructure   text`. The clock starts when bootstrap.sh did.

use std::{
    fmt::Write as _,
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Width of the column that names the step; the longest layer's name and a space.
const LABEL_WIDTH: usize = 19;

/// One line: what is talking, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) text: String,
}

impl Line {
    pub(crate) fn new(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            text: text.into(),
        }
    }
}

/// Prints lines with the time since the run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    started: SystemTime,
}

impl Console {
    /// `started`: seconds since 1970, as bootstrap.sh passes it.
    pub(crate) fn new(started: Option<u64>) -> Self {
        let now = SystemTime::now();
        let started = started
            .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
            .filter(|then| *then <= now);
        Self {
            started: started.unwrap_or(now),
        }
    }

    /// Time since the run began.
    pub(crate) fn elapsed(self) -> Duration {
        self.started.elapsed().unwrap_or_default()
    }

    /// A line with the clock in front.
    pub(crate) fn say(self, line: &Line) {
        self.plain(&with_clock(self.elapsed(), line));
    }

    /// A line that adds to the one before: no clock.
    pub(crate) fn add(self, label: &str, text: &str) {
        self.plain(&without_clock(label, text));
    }

    /// Text as it is. A method, so that nothing else writes to stdout.
    #[allow(clippy::unused_self)]
    pub(crate) fn plain(self, text: &str) {
        // A closed pipe (`| head`) must not end a run that has ordered servers.
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

fn with_clock(elapsed: Duration, line: &Line) -> String {
    let mut text = format!("{:<4} ", clock(elapsed));
    pad(&mut text, &line.label, &line.text);
    text
}

fn without_clock(label: &str, more: &str) -> String {
    let mut text = "     ".to_owned();
    pad(&mut text, label, more);
    text
}

fn pad(out: &mut String, label: &str, text: &str) {
    // Short words keep the column of the short words; layers have their own.
    let width = if label.len() < 11 { 11 } else { LABEL_WIDTH };
    let _ = write!(out, "{label:<width$} {text}");
}

/// `9:12`, or `1:09:12` after an hour.
pub(crate) fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{rest:02}")
    } else {
        format!("{minutes}:{rest:02}")
    }
}

/// `7 s`, `6m26s`, `1h05m`.
pub(crate) fn duration(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_minutes_and_then_hours() {
        assert_eq!(clock(Duration::from_secs(48)), "0:48");
        assert_eq!(clock(Duration::from_secs(552)), "9:12");
        assert_eq!(clock(Duration::from_secs(3600 + 72)), "1:01:12");
    }

    #[test]
    fn lines_keep_their_columns() {
        let line = with_clock(Duration::from_secs(222), &Line::new("lab", "started"));
        assert_eq!(line, "3:42 lab         started");
        let line = with_clock(
            Duration::from_secs(228),
            &Line::new("01-infrastructure", "ordered cp-1"),
        );
        assert_eq!(line, "3:48 01-infrastructure   ordered cp-1");
        assert_eq!(without_clock("look", "export"), "     look        export");
    }

    #[test]
    fn durations_read_like_speech() {
        assert_eq!(duration(Duration::from_secs(7)), "7 s");
        assert_eq!(duration(Duration::from_secs(386)), "6m26s");
        assert_eq!(duration(Duration::from_mins(65)), "1h05m");
    }
}
