//! Secrets: what a request may say about one, its versions, and how it is shown.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::folder::{Place, stamp};
use super::input::Fields;

/// What stands where a value may not be seen.
pub(super) const MASK: &str = "<hidden-by-infisical>";
/// Letters in a reminder note.
const LONGEST_NOTE: usize = 1024;

/// One secret; versions count from 1 and the last is the current one.
#[derive(Debug, Clone)]
pub(super) struct Secret {
    pub(super) id: String,
    pub(super) versions: Vec<Version>,
}

/// What a secret was at one time.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) key: String,
    pub(super) value: String,
    comment: String,
    metadata: Vec<Value>,
    skip_multiline_encoding: Option<bool>,
    reminder_note: Option<String>,
    reminder_days: Option<i64>,
    made: Timestamp,
}

/// What a request says about a secret; `None` is left alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    pub(super) value: Option<String>,
    pub(super) new_name: Option<String>,
    comment: Option<String>,
    metadata: Option<Vec<Value>>,
    skip_multiline_encoding: Option<bool>,
    reminder_note: Option<String>,
    reminder_days: Option<i64>,
    pub(super) tagged: bool,
}

impl Draft {
    /// Reads the fields of a create (whose value must be there) or of an update.
    pub(super) fn read(fields: &mut Fields, creating: bool) -> Self {
        let value = if creating && !fields.has("secretValue") {
            fields.required("secretValue");
            None
        } else {
            fields.text("secretValue")
        };
        let note = fields.nullable_text("secretReminderNote");
        if note
            .as_ref()
            .is_some_and(|note| note.chars().count() > LONGEST_NOTE)
        {
            fields.issue(
                "secretReminderNote",
                "Secret reminder note cannot exceed 1024 characters",
            );
        }
        let new_name = fields.text("newSecretName");
        if let Some(problem) = new_name.as_deref().and_then(name_problem) {
            fields.issue("newSecretName", problem);
        }
        Self {
            value: value.map(|value| trimmed(&value)),
            new_name: new_name.map(|name| name.trim().to_owned()),
            comment: fields
                .text("secretComment")
                .map(|text| text.trim().to_owned()),
            metadata: metadata(fields),
            skip_multiline_encoding: fields.flag("skipMultilineEncoding"),
            reminder_note: note,
            reminder_days: fields.number("secretReminderRepeatDays"),
            tagged: matches!(fields.raw("tagIds"), Some(Value::Array(tags)) if !tags.is_empty()),
        }
    }
}

fn metadata(fields: &mut Fields) -> Option<Vec<Value>> {
    fields.raw("secretMetadata")?;
    if fields.raw("secretMetadata") == Some(&Value::Array(Vec::new())) {
        return Some(Vec::new());
    }
    let mut entries = Vec::new();
    for mut entry in fields.objects("secretMetadata") {
        let key = entry.required("key");
        let value = entry.text("value").unwrap_or_default();
        let encrypted = entry.flag("isEncrypted").unwrap_or(false);
        if key.is_empty() {
            entry.issue("key", "String must contain at least 1 character(s)");
        }
        fields.take_issues(entry);
        entries.push(json!({ "key": key, "value": value, "isEncrypted": encrypted }));
    }
    Some(entries)
}

/// A value as it is stored: without white space around it, but for one final newline if it had any.
pub(super) fn trimmed(value: &str) -> String {
    let inner = value.trim();
    if value.ends_with('\n') {
        format!("{inner}\n")
    } else {
        inner.to_owned()
    }
}

/// Why a name for a new secret is refused.
pub(super) fn name_problem(name: &str) -> Option<&'static str> {
    if name.trim().is_empty() {
        Some("String must contain at least 1 character(s)")
    } else if name.contains([':', '/']) {
        Some("Secret name cannot contain colon or forward slash.")
    } else {
        None
    }
}

impl Secret {
    pub(super) fn new(key: &str, draft: Draft, now: Timestamp) -> Self {
        let first = Version {
            key: key.to_owned(),
            value: draft.value.unwrap_or_default(),
            comment: draft.comment.unwrap_or_default(),
            metadata: draft.metadata.unwrap_or_default(),
            skip_multiline_encoding: draft.skip_multiline_encoding,
            reminder_note: draft.reminder_note,
            reminder_days: draft.reminder_days,
            made: now,
        };
        Self {
            id: Uuid::new_v4().to_string(),
            versions: vec![first],
        }
    }

    /// Adds a version, also when nothing in it is new.
    pub(super) fn change(&mut self, draft: Draft, now: Timestamp) {
        let mut next = self.latest().clone();
        next.made = now;
        if let Some(key) = draft.new_name {
            next.key = key;
        }
        if let Some(value) = draft.value {
            next.value = value;
        }
        if let Some(comment) = draft.comment {
            next.comment = comment;
        }
        if let Some(metadata) = draft.metadata {
            next.metadata = metadata;
        }
        next.skip_multiline_encoding = draft
            .skip_multiline_encoding
            .or(next.skip_multiline_encoding);
        next.reminder_note = draft.reminder_note.or(next.reminder_note);
        next.reminder_days = draft.reminder_days.or(next.reminder_days);
        self.versions.push(next);
    }

    pub(super) fn latest(&self) -> &Version {
        self.versions.last().expect("a secret has a first version")
    }

    /// One of its versions; they count from 1.
    pub(super) fn version(&self, number: usize) -> Option<&Version> {
        self.versions.get(number.checked_sub(1)?)
    }

    /// The secret as the API shows one of its versions; without a value it is hidden.
    pub(super) fn view(
        &self,
        project: &str,
        place: &Place,
        number: usize,
        value: Option<&str>,
    ) -> Option<Value> {
        let version = self.version(number)?;
        Some(json!({
            "id": self.id, "_id": self.id, "workspace": project, "environment": place.environment, "version": number, "type": "shared",
            "secretKey": version.key, "secretValue": value.unwrap_or(MASK), "secretComment": version.comment,
            "secretValueHidden": value.is_none(), "secretPath": place.path, "secretMetadata": version.metadata, "tags": [],
            "secretReminderNote": version.reminder_note, "secretReminderRepeatDays": version.reminder_days,
            "skipMultilineEncoding": version.skip_multiline_encoding, "isRotatedSecret": false, "actor": null,
            "createdAt": stamp(self.versions[0].made), "updatedAt": stamp(version.made),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_trimmed_but_for_one_final_newline() {
        for (given, stored) in [
            ("v", "v"),
            ("  v ", "v"),
            ("v\n", "v\n"),
            ("v\n\n", "v\n"),
            ("\n v \n ", "v"),
            ("", ""),
            ("a\n b\n", "a\n b\n"),
        ] {
            assert_eq!(trimmed(given), stored, "{given:?}");
        }
    }

    #[test]
    fn names_have_no_colon_and_no_slash() {
        for (name, good) in [
            ("K8S_JOIN_TOKEN", true),
            ("host-key", true),
            ("a b", true),
            ("", false),
            (" ", false),
            ("a:b", false),
            ("a/b", false),
        ] {
            assert_eq!(name_problem(name).is_none(), good, "{name:?}");
        }
    }
}
