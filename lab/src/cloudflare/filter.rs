//! List filters: `name`, `content` and `comment` with their suffixes, `type`, `proxied`, `match`, order and paging. Unknown ones are refused.

use serde_json::Value;

use super::envelope::Fault;

/// One condition on a record.
#[derive(Debug)]
struct Condition {
    field: String,
    operator: String,
    value: String,
}

impl Condition {
    fn holds(&self, record: &Value) -> bool {
        let own = match &record[self.field.as_str()] {
            Value::String(text) => text.to_lowercase(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let value = self.value.to_lowercase();
        match self.operator.as_str() {
            "contains" => own.contains(&value),
            "startswith" => own.starts_with(&value),
            "endswith" => own.ends_with(&value),
            "present" => !own.is_empty(),
            "absent" => own.is_empty(),
            _ => own == value,
        }
    }
}

/// A parsed list query.
#[derive(Debug)]
pub(super) struct Filter {
    conditions: Vec<Condition>,
    any: bool,
    order: Option<String>,
    descending: bool,
    pub(super) page: usize,
    pub(super) per_page: usize,
}

impl Filter {
    /// Parses the query of a record list.
    pub(super) fn parse(pairs: Vec<(String, String)>) -> Result<Self, Fault> {
        let mut filter = Self {
            conditions: Vec::new(),
            any: false,
            order: None,
            descending: false,
            page: 1,
            per_page: 100,
        };
        for (key, value) in pairs {
            let (field, operator) = key.split_once('.').unwrap_or((&key, "exact"));
            match (field, operator) {
                ("page", "exact") => filter.page = number(&key, &value, 1, usize::MAX)?,
                ("per_page", "exact") => filter.per_page = number(&key, &value, 1, 5_000_000)?,
                ("match", "exact") => filter.any = one_of(&key, &value, &["all", "any"])? == "any",
                ("direction", "exact") => {
                    filter.descending = one_of(&key, &value, &["asc", "desc"])? == "desc";
                }
                ("order", "exact") => {
                    filter.order = Some(
                        one_of(&key, &value, &["type", "name", "content", "ttl", "proxied"])?
                            .to_owned(),
                    );
                }
                ("type" | "proxied" | "name" | "content" | "comment", "exact")
                | ("name" | "content" | "comment", "contains" | "startswith" | "endswith")
                | ("comment", "present" | "absent") => filter.push(field, operator, &value),
                _ => {
                    return Err(Fault::unknown_to_lab(&format!(
                        "the query parameter {key:?}"
                    )));
                }
            }
        }
        Ok(filter)
    }

    fn push(&mut self, field: &str, operator: &str, value: &str) {
        // A final dot is the same name.
        let value = if field == "name" {
            value.trim_end_matches('.')
        } else {
            value
        };
        self.conditions.push(Condition {
            field: field.into(),
            operator: operator.into(),
            value: value.into(),
        });
    }

    /// The records that match, in order; pages are cut by the envelope.
    pub(super) fn apply(&self, mut records: Vec<Value>) -> Vec<Value> {
        if !self.conditions.is_empty() {
            records.retain(|record| {
                let mut held = self
                    .conditions
                    .iter()
                    .map(|condition| condition.holds(record));
                if self.any {
                    held.any(|held| held)
                } else {
                    held.all(|held| held)
                }
            });
        }
        if let Some(order) = &self.order {
            records.sort_by_key(|record| record[order.as_str()].to_string());
        }
        if self.descending {
            records.reverse();
        }
        records
    }
}

/// A number within bounds.
pub(super) fn number(key: &str, value: &str, from: usize, to: usize) -> Result<usize, Fault> {
    let parsed = value
        .parse()
        .ok()
        .filter(|number| (from..=to).contains(number));
    parsed.ok_or_else(|| Fault::bad(1004, format!("{key} must be a number from {from}")))
}

fn one_of<'a>(key: &str, value: &'a str, accepted: &[&str]) -> Result<&'a str, Fault> {
    if accepted.contains(&value) {
        return Ok(value);
    }
    Err(Fault::bad(
        1004,
        format!("{key} must be one of {}", accepted.join(", ")),
    ))
}
