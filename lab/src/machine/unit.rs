//! systemd unit files, as far as the lab runs them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::shell::lab_unknown;

/// A unit file, as far as the lab runs it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Service {
    pub(crate) start: Vec<Vec<String>>,
    /// It has an `[Install]` section, without which `enabled` does nothing.
    pub(crate) installable: bool,
    /// Before the network is up.
    pub(crate) early: bool,
    /// `ConditionPathExists=`: without the file it is skipped, which is no failure.
    pub(crate) condition: Option<String>,
    /// `Restart=on-failure`: simulated seconds until the next try.
    pub(crate) retry: Option<u64>,
}

/// A timer, as far as the lab keeps it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Timer {
    /// `OnCalendar=*-*-DD HH:MM:00`: once a month.
    pub(crate) monthly: Option<Monthly>,
    /// `OnBootSec` and `OnUnitActiveSec`, in seconds.
    pub(crate) after_boot: Option<u64>,
    pub(crate) every: Option<u64>,
    /// `Persistent=true`: what was missed while the machine was off is made up for.
    pub(crate) persistent: bool,
    /// It has an `[Install]` section.
    pub(crate) installable: bool,
}

/// A moment of every month.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Monthly {
    day: i8,
    hour: i8,
    minute: i8,
}

impl Monthly {
    fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(' ')?;
        let day = date.strip_prefix("*-*-")?.parse().ok()?;
        let mut parts = time.split(':').map(|part| part.parse::<i8>().ok());
        let monthly = Self {
            day,
            hour: parts.next()??,
            minute: parts.next()??,
        };
        let fits = (1..=28).contains(&monthly.day)
            && (0..24).contains(&monthly.hour)
            && (0..60).contains(&monthly.minute)
            && parts.next()? == Some(0);
        fits.then_some(monthly)
    }

    /// The first such moment after another, UTC.
    pub(crate) fn after(self, moment: Timestamp) -> Timestamp {
        let date = moment.to_zoned(TimeZone::UTC).date();
        let mut month = date.first_of_month();
        loop {
            let at = month
                .with()
                .day(self.day)
                .build()
                .map(|date| date.at(self.hour, self.minute, 0, 0))
                .and_then(|time| time.to_zoned(TimeZone::UTC));
            let Ok(at) = at else { return Timestamp::MAX };
            if at.timestamp() > moment {
                return at.timestamp();
            }
            let Ok(next) = month.checked_add(1.month()) else {
                return Timestamp::MAX;
            };
            month = next;
        }
    }
}

/// Whether a unit of this name is a timer.
pub(crate) fn is_timer(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, kind)| kind == "timer")
}

/// `90s`, `15min`, `6h` or seconds.
fn seconds(text: &str) -> Option<u64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// One line of a unit file that says something.
struct Entry<'a> {
    section: &'a str,
    key: &'a str,
    value: &'a str,
}

impl Entry<'_> {
    fn unknown(&self, name: &str) -> String {
        let Self {
            section,
            key,
            value,
        } = self;
        lab_unknown(&format!(
            "the line \"{key}={value}\" in section [{section}] of {name}"
        ))
    }
}

fn entries<'a>(name: &str, text: &'a str) -> Result<Vec<Entry<'a>>, String> {
    let mut section = "";
    let mut entries = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
    {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name;
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| format!("{name}: Missing '=', ignoring line: {line}"))?;
        entries.push(Entry {
            section,
            key: key.trim(),
            value: value.trim(),
        });
    }
    Ok(entries)
}

/// Reads a timer.
pub(crate) fn timer(name: &str, text: &str) -> Result<Timer, String> {
    let mut timer = Timer::default();
    for entry in entries(name, text)? {
        let value = entry.value;
        let unknown = || entry.unknown(name);
        match (entry.section, entry.key) {
            ("Unit", "Description" | "Documentation") => {}
            ("Timer", "OnCalendar") => {
                timer.monthly = Some(Monthly::parse(value).ok_or_else(unknown)?);
            }
            ("Timer", "OnBootSec") => timer.after_boot = Some(seconds(value).ok_or_else(unknown)?),
            ("Timer", "OnUnitActiveSec") => timer.every = Some(seconds(value).ok_or_else(unknown)?),
            ("Timer", "Persistent") => timer.persistent = value == "true",
            ("Install", "WantedBy") => timer.installable = true,
            _ => return Err(unknown()),
        }
    }
    if timer.monthly.is_some() == timer.after_boot.is_some() {
        return Err(lab_unknown(&format!(
            "the timer {name}, which has not one of OnCalendar and OnBootSec"
        )));
    }
    Ok(timer)
}

/// Reads a unit file.
pub(crate) fn service(name: &str, text: &str) -> Result<Service, String> {
    let mut service = Service::default();
    for entry in entries(name, text)? {
        let (key, value) = (entry.key, entry.value);
        match (entry.section, key) {
            (
                "Unit",
                "Description"
                | "Documentation"
                | "After"
                | "Before"
                | "Wants"
                | "Requires"
                | "DefaultDependencies"
                | "Conflicts",
            ) => {
                service.early |= key == "Before"
                    && value
                        .split_whitespace()
                        .any(|unit| unit == "network-pre.target");
            }
            ("Unit", "ConditionPathExists") if value.starts_with('/') => {
                service.condition = Some(value.to_owned());
            }
            ("Service", "ExecStart") => service
                .start
                .push(value.split_whitespace().map(str::to_owned).collect()),
            ("Service", "Type") => {
                if !matches!(value, "oneshot" | "simple" | "exec") {
                    return Err(lab_unknown(&format!("a unit of Type={value} ({name})")));
                }
            }
            (
                "Service",
                "RemainAfterExit" | "StandardOutput" | "StandardError" | "TimeoutStartSec",
            ) => {}
            ("Service", "Restart") if value == "on-failure" => {}
            ("Service", "RestartSec") => {
                let pause = seconds(value);
                service.retry = Some(
                    pause.ok_or_else(|| lab_unknown(&format!("RestartSec={value} of {name}")))?,
                );
            }
            ("Install", "WantedBy" | "RequiredBy") => service.installable = true,
            _ => return Err(entry.unknown(name)),
        }
    }
    if service.start.iter().any(|words| {
        !words
            .first()
            .is_some_and(|program| program.starts_with('/'))
    }) || service
        .start
        .iter()
        .flatten()
        .any(|word| word.contains(['%', '$', '"', '\'']))
    {
        return Err(lab_unknown(&format!("this ExecStart of {name}")));
    }
    Ok(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_are_read_and_know_their_next_moment() {
        let text = "[Timer]\nOnCalendar=*-*-07 13:05:00\nPersistent=true\n[Install]\nWantedBy=timers.target\n";
        let read = timer("x.timer", text).expect("known");
        assert!(read.installable && read.persistent);
        let monthly = read.monthly.expect("monthly");
        for (now, next) in [
            ("2026-11-07T13:04:59Z", "2026-11-07T13:05:00Z"),
            ("2026-11-07T13:05:00Z", "2026-12-07T13:05:00Z"),
            ("2026-12-31T00:00:00Z", "2027-01-07T13:05:00Z"),
        ] {
            let now: Timestamp = now.parse().expect("a time");
            assert_eq!(monthly.after(now).to_string(), next);
        }
        let every =
            timer("x.timer", "[Timer]\nOnBootSec=15min\nOnUnitActiveSec=6h\n").expect("known");
        assert_eq!((every.after_boot, every.every), (Some(900), Some(21_600)));
        for bad in [
            "OnCalendar=daily",
            "OnCalendar=*-*-31 00:00:00",
            "AccuracySec=1s",
        ] {
            let refused = timer("x.timer", &format!("[Timer]\n{bad}\n")).expect_err(bad);
            assert!(refused.contains("LAB-UNKNOWN"), "{refused}");
        }
    }

    #[test]
    fn units_are_read() {
        let unit = "[Unit]\nBefore=network-pre.target\n[Service]\nType=oneshot\nExecStart=/opt/strata/bin/strata-node firewall-load\n[Install]\nWantedBy=multi-user.target\n";
        let service = service("x.service", unit).expect("known");
        assert!(service.installable && service.early);
        assert_eq!(
            service.start,
            [["/opt/strata/bin/strata-node", "firewall-load"]]
        );
        assert!(
            super::service("x.service", "[Service]\nExecStart=/bin/x\nMemoryMax=1G\n")
                .expect_err("refused")
                .contains("LAB-UNKNOWN")
        );
    }
}
