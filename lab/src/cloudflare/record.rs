//! DNS records: what may be in one, and which exclude each other (81053, 81054, 81058).

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Zone;
use super::envelope::Fault;

const TYPES: [&str; 8] = ["A", "AAAA", "CNAME", "TXT", "MX", "NS", "SRV", "CAA"];

/// A stored record.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) content: String,
    pub(super) ttl: u32,
    pub(super) proxied: bool,
    pub(super) comment: Option<String>,
    pub(super) priority: Option<u16>,
    created_on: Timestamp,
    modified_on: Timestamp,
}

/// A record as a caller sends it; every field optional, so that one type serves POST, PUT and PATCH.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Draft {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    ttl: Option<u32>,
    #[serde(default)]
    proxied: Option<bool>,
    #[serde(default)]
    comment: Comment,
    #[serde(default)]
    priority: Option<u16>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    settings: Option<Value>,
}

/// Absent keeps the comment, null and the empty text remove it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "Option<String>")]
enum Comment {
    #[default]
    Keep,
    Set(Option<String>),
}

impl From<Option<String>> for Comment {
    fn from(comment: Option<String>) -> Self {
        Self::Set(comment.filter(|comment| !comment.is_empty()))
    }
}

impl Draft {
    /// Parses a body.
    pub(super) fn parse(body: Value) -> Result<Self, Fault> {
        let draft: Self = serde_json::from_value(body).map_err(|error| {
            let text = error.to_string();
            if text.starts_with("unknown field") {
                Fault::unknown_to_lab(&text)
            } else {
                Fault::bad(9207, format!("Request body is invalid: {text}"))
            }
        })?;
        if draft.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
            return Err(Fault::unknown_to_lab("record tags (plan dependent)"));
        }
        if draft
            .settings
            .as_ref()
            .is_some_and(|settings| settings.as_object().is_some_and(|map| !map.is_empty()))
        {
            return Err(Fault::unknown_to_lab("record settings"));
        }
        Ok(draft)
    }

    /// The id in an item of a batch.
    pub(super) fn id(&self) -> Result<&str, Fault> {
        self.id
            .as_deref()
            .ok_or_else(|| Fault::bad(9207, "an item of this list needs an id"))
    }
}

impl Record {
    /// The wire form.
    pub(super) fn view(&self) -> Value {
        let mut view = json!({
            "comment": self.comment,
            "content": self.content,
            "created_on": format!("{:.6}", self.created_on),
            "id": self.id,
            "meta": {},
            "modified_on": format!("{:.6}", self.modified_on),
            "name": self.name,
            "proxiable": self.proxiable(),
            "proxied": self.proxied,
            "settings": {},
            "tags": [],
            "ttl": self.ttl,
            "type": self.kind,
        });
        if let Some(priority) = self.priority {
            view["priority"] = priority.into();
        }
        view
    }

    fn proxiable(&self) -> bool {
        matches!(self.kind.as_str(), "A" | "AAAA" | "CNAME")
    }

    fn check(&self) -> Result<(), Fault> {
        let kind = self.kind.as_str();
        if !TYPES.contains(&kind) {
            return Err(Fault::unknown_to_lab(&format!("records of type {kind}")));
        }
        match kind {
            "A" if self.content.parse::<Ipv4Addr>().is_err() => {
                return Err(Fault::bad(
                    9005,
                    "Content for A record must be a valid IPv4 address.",
                ));
            }
            "AAAA" if self.content.parse::<Ipv6Addr>().is_err() => {
                return Err(Fault::bad(
                    9006,
                    "Content for AAAA record must be a valid IPv6 address.",
                ));
            }
            _ if self.content.is_empty() => {
                return Err(Fault::bad(9020, "DNS content is required."));
            }
            "MX" | "SRV" if self.priority.is_none() => {
                return Err(Fault::bad(9101, "priority is a required data field."));
            }
            _ => {}
        }
        if self.proxied && !self.proxiable() {
            return Err(Fault::bad(9004, "This record type cannot be proxied."));
        }
        if self.ttl != 1 && !(60..=86_400).contains(&self.ttl) {
            return Err(Fault::bad(
                9021,
                "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.",
            ));
        }
        if self
            .comment
            .as_ref()
            .is_some_and(|comment| comment.chars().count() > 100)
        {
            return Err(Fault::bad(
                9209,
                "DNS record comment is longer than 100 characters, the limit of the free plan.",
            ));
        }
        Ok(())
    }
}

impl Zone {
    /// Names come back in full, lower case, without the final dot; one outside the zone is taken as relative.
    fn full_name(&self, name: &str) -> String {
        let name = name.trim_end_matches('.').to_lowercase();
        if name == "@" {
            self.name.clone()
        } else if self.covers(&name) {
            name
        } else {
            format!("{name}.{}", self.name)
        }
    }

    /// Lays a draft over a record, or over nothing when `fresh` (POST and PUT: omitted fields take their defaults).
    fn lay(
        &self,
        draft: Draft,
        base: Option<&Record>,
        fresh: bool,
        now: Timestamp,
    ) -> Result<Record, Fault> {
        let required = |what: &str| Fault::bad(9000, format!("DNS {what} is required."));
        let kept = base.filter(|_| !fresh);
        let kind = draft
            .kind
            .map(|kind| kind.to_uppercase())
            .or_else(|| kept.map(|record| record.kind.clone()));
        let kind = kind.ok_or_else(|| required("type"))?;
        if base.is_some_and(|record| record.kind != kind) {
            return Err(Fault::unknown_to_lab(
                "changing the type of a record; delete it and create another",
            ));
        }
        let name = draft
            .name
            .map(|name| self.full_name(&name))
            .or_else(|| kept.map(|record| record.name.clone()));
        let content = draft
            .content
            .or_else(|| kept.map(|record| record.content.clone()));
        let proxied = draft
            .proxied
            .or_else(|| kept.map(|record| record.proxied))
            .unwrap_or_default();
        let ttl = draft
            .ttl
            .or_else(|| kept.map(|record| record.ttl))
            .unwrap_or(1);
        let comment = match draft.comment {
            Comment::Keep => kept.and_then(|record| record.comment.clone()),
            Comment::Set(comment) => comment,
        };
        let record = Record {
            id: base.map_or_else(
                || Uuid::new_v4().simple().to_string(),
                |record| record.id.clone(),
            ),
            name: name.ok_or_else(|| required("name"))?,
            content: content.ok_or_else(|| required("content"))?,
            // Proxied records always read back as automatic.
            ttl: if proxied { 1 } else { ttl },
            proxied,
            comment,
            priority: draft
                .priority
                .or_else(|| kept.and_then(|record| record.priority)),
            created_on: base.map_or(now, |record| record.created_on),
            modified_on: now,
            kind,
        };
        record.check()?;
        self.check_conflicts(&record)?;
        Ok(record)
    }

    /// Uniqueness (contract A4). A CNAME tolerates no address or CNAME beside it.
    fn check_conflicts(&self, wanted: &Record) -> Result<(), Fault> {
        for other in self
            .records
            .iter()
            .filter(|other| other.id != wanted.id && other.name == wanted.name)
        {
            if other.kind == wanted.kind && other.content == wanted.content {
                return Err(Fault::bad(81_058, "An identical record already exists."));
            }
            match (wanted.kind.as_str(), other.kind.as_str()) {
                ("CNAME", "A" | "AAAA" | "CNAME") => {
                    return Err(Fault::bad(
                        81_053,
                        "An A, AAAA, or CNAME record with that host already exists.",
                    ));
                }
                ("A" | "AAAA", "CNAME") => {
                    return Err(Fault::bad(
                        81_054,
                        "A CNAME record with that host already exists.",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn find(&self, id: &str) -> Result<usize, Fault> {
        self.records
            .iter()
            .position(|record| record.id == id)
            .ok_or_else(Fault::no_record)
    }

    /// POST.
    pub(super) fn create(&mut self, draft: Draft, now: Timestamp) -> Result<Value, Fault> {
        let record = self.lay(draft, None, true, now)?;
        let view = record.view();
        self.records.push(record);
        Ok(view)
    }

    /// GET of one.
    pub(super) fn read(&self, id: &str) -> Result<Value, Fault> {
        Ok(self.records[self.find(id)?].view())
    }

    /// PATCH, or PUT when `fresh`.
    pub(super) fn change(
        &mut self,
        id: &str,
        draft: Draft,
        fresh: bool,
        now: Timestamp,
    ) -> Result<Value, Fault> {
        let index = self.find(id)?;
        let record = self.lay(draft, Some(&self.records[index]), fresh, now)?;
        let view = record.view();
        self.records[index] = record;
        Ok(view)
    }

    /// DELETE: the record as it was.
    pub(super) fn delete(&mut self, id: &str) -> Result<Value, Fault> {
        let index = self.find(id)?;
        Ok(self.records.remove(index).view())
    }
}
