//! The lines of `terraform -json` (format 1.2) that matter here. Anything else, and anything unreadable, is skipped: the log has it.

use serde::Deserialize;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The plan contains a change of this resource.
    Planned { resource: Resource, action: String },
    /// Totals of a plan or an apply.
    Summary(Totals),
    /// Work on a resource began.
    Started { resource: Resource, action: String },
    /// It goes on; Terraform says so every 10 s.
    Progress { resource: Resource, seconds: u64 },
    /// It is done.
    Completed {
        resource: Resource,
        action: String,
        seconds: u64,
        id: Option<String>,
    },
    /// It failed; the diagnostic follows.
    Errored { resource: Resource, seconds: u64 },
    /// An error or a warning.
    Diagnostic(Diagnostic),
}

/// Which resource a line is about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[allow(clippy::struct_field_names)] // terraform's names
pub(crate) struct Resource {
    pub(crate) addr: String,
    #[serde(default)]
    pub(crate) module: String,
    #[serde(default)]
    pub(crate) resource_type: String,
    #[serde(default)]
    resource_key: serde_json::Value,
}

impl Resource {
    /// What people call it: the key of its `for_each`, or of the innermost module that has one; else the last part of its address.
    pub(crate) fn name(&self) -> String {
        if let Some(key) = self.resource_key.as_str() {
            return key.to_owned();
        }
        let in_module = self
            .module
            .rsplit_once("[\"")
            .and_then(|(_, rest)| rest.split_once("\"]"))
            .map(|(key, _)| key);
        in_module
            .unwrap_or_else(|| self.addr.rsplit('.').next().unwrap_or(&self.addr))
            .to_owned()
    }
}

/// Counts of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Totals {
    #[serde(default)]
    pub(crate) add: u64,
    #[serde(default)]
    pub(crate) change: u64,
    #[serde(default)]
    pub(crate) remove: u64,
    #[serde(default)]
    pub(crate) import: u64,
}

impl Totals {
    pub(crate) fn any(self) -> bool {
        self.add + self.change + self.remove + self.import > 0
    }
}

/// An error or a warning, as Terraform prints it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Diagnostic {
    pub(crate) severity: String,
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) detail: String,
    #[serde(default)]
    pub(crate) address: String,
}

impl Diagnostic {
    pub(crate) fn is_error(&self) -> bool {
        self.severity == "error"
    }

    /// Ours by construction, not news to the user.
    fn is_noise(&self) -> bool {
        self.summary == "Provider development overrides are in effect"
    }
}

#[derive(Deserialize)]
struct Hook {
    resource: Resource,
    #[serde(default)]
    action: String,
    #[serde(default)]
    elapsed_seconds: f64,
    id_value: Option<String>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    hook: Option<Hook>,
    change: Option<Hook>,
    changes: Option<Totals>,
    diagnostic: Option<Diagnostic>,
}

/// Reads one line.
pub(crate) fn parse(line: &str) -> Option<Event> {
    let wire: Wire = serde_json::from_str(line).ok()?;
    Some(match wire.kind.as_str() {
        "planned_change" => {
            let change = wire.change?;
            Event::Planned {
                resource: change.resource,
                action: change.action,
            }
        }
        "change_summary" => Event::Summary(wire.changes?),
        "apply_start" => {
            let hook = wire.hook?;
            Event::Started {
                resource: hook.resource,
                action: hook.action,
            }
        }
        "apply_progress" => {
            let hook = wire.hook?;
            Event::Progress {
                seconds: seconds(hook.elapsed_seconds),
                resource: hook.resource,
            }
        }
        "apply_complete" => {
            let hook = wire.hook?;
            Event::Completed {
                seconds: seconds(hook.elapsed_seconds),
                resource: hook.resource,
                action: hook.action,
                id: hook.id_value,
            }
        }
        "apply_errored" => {
            let hook = wire.hook?;
            Event::Errored {
                seconds: seconds(hook.elapsed_seconds),
                resource: hook.resource,
            }
        }
        "diagnostic" => Event::Diagnostic(
            wire.diagnostic
                .filter(|diagnostic| !diagnostic.is_noise())?,
        ),
        _ => return None,
    })
}

/// Terraform counts whole seconds and writes them as a number that may have a point.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn seconds(elapsed: f64) -> u64 {
    elapsed.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &str = r#"{"@level":"info","@message":"x","@module":"terraform.ui","@timestamp":"2026-11-21T01:00:00Z","hook":{"resource":{"addr":"module.machine[\"cp-1\"].strata_scaleway_baremetal_server.this","module":"module.machine[\"cp-1\"]","resource":"strata_scaleway_baremetal_server.this","implied_provider":"strata","resource_type":"strata_scaleway_baremetal_server","resource_name":"this","resource_key":null},"action":"create","id_key":"id","id_value":"fr-par-2/1","elapsed_seconds":7},"type":"apply_complete"}"#;

    #[test]
    fn a_completed_create_is_read_with_the_name_from_its_module() {
        let Some(Event::Completed {
            resource,
            action,
            seconds,
            id,
        }) = parse(COMPLETE)
        else {
            panic!("not read")
        };
        assert_eq!(
            (
                resource.name().as_str(),
                action.as_str(),
                seconds,
                id.as_deref()
            ),
            ("cp-1", "create", 7, Some("fr-par-2/1"))
        );
    }

    #[test]
    fn noise_and_nonsense_are_skipped() {
        assert_eq!(parse("not json"), None);
        assert_eq!(parse(r#"{"type":"version","terraform":"1.11.4"}"#), None);
        assert_eq!(
            parse(
                r#"{"type":"diagnostic","diagnostic":{"severity":"warning","summary":"Provider development overrides are in effect"}}"#
            ),
            None
        );
    }
}
