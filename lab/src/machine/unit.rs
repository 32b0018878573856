//! systemd unit files, as far as the lab runs them.

use super::shell::lab_unknown;

/// A unit file, as far as the lab runs it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Service {
    pub(crate) start: Vec<Vec<String>>,
    /// It has an `[Install]` section, without which `enabled` does nothing.
    pub(crate) installable: bool,
    /// Before the network is up.
    pub(crate) early: bool,
}

/// Reads a unit file.
pub(crate) fn service(name: &str, text: &str) -> Result<Service, String> {
    let mut service = Service::default();
    let mut section = String::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
    {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            name.clone_into(&mut section);
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err(format!("{name}: Missing '=', ignoring line: {line}"));
        };
        let (key, value) = (key.trim(), value.trim());
        match (section.as_str(), key) {
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
            ("Install", "WantedBy" | "RequiredBy") => service.installable = true,
            _ => {
                return Err(lab_unknown(&format!(
                    "the line {line:?} in section [{section}] of {name}"
                )));
            }
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
