//! What the identity may not do. It may do everything else.

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Refusal;
use super::folder::Place;

/// A right that is taken, as `POST /estate` gives it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// Only in this environment.
    #[serde(default)]
    environment: Option<String>,
    /// Only in this folder and those below.
    #[serde(default)]
    path: Option<String>,
    /// What it may not do.
    deny: Vec<Right>,
}

/// Something that can be done with secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// See that a secret exists.
    Describe,
    /// See its value.
    ReadValue,
    /// Make one.
    Create,
    /// Change one.
    Edit,
    /// Remove one.
    Delete,
}

/// All rights that are taken.
#[derive(Debug, Default)]
pub(super) struct Denials(pub(super) Vec<Denial>);

impl Denials {
    /// Whether the identity may.
    pub(super) fn allow(&self, right: Right, place: &Place) -> bool {
        let covers = |denial: &Denial| {
            let below = |path: &str| Place::new(&place.environment, path).covers(place);
            denial.deny.contains(&right)
                && denial
                    .environment
                    .as_ref()
                    .is_none_or(|slug| *slug == place.environment)
                && denial.path.as_deref().is_none_or(below)
        };
        !self.0.iter().any(covers)
    }

    /// Refuses what the identity may not.
    pub(super) fn require(&self, right: Right, place: &Place) -> Result<(), Refusal> {
        if self.allow(right, place) {
            return Ok(());
        }
        let action = match right {
            Right::Describe => "describeSecret",
            Right::ReadValue => "readValue",
            Right::Create => "create",
            Right::Edit => "edit",
            Right::Delete => "delete",
        };
        let details: Value = json!([{
            "action": action, "inverted": true, "subject": "secrets",
            "conditions": { "environment": place.environment, "secretPath": place.path },
        }]);
        Err(Refusal::denied(action, details))
    }
}
