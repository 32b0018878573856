//! What the API sends, as far as it is read here. Numbers and booleans may come as texts.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A line of `GET /cluster/resources?type=vm`.
#[derive(Debug, Clone, Deserialize)]
pub struct Machine {
    /// Its number.
    pub vmid: u32,
    /// Host that it is on.
    pub node: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// `running` or `stopped`.
    #[serde(default)]
    pub status: String,
    /// Separated by `;`.
    #[serde(default)]
    pub tags: String,
    /// What holds it, such as `create`.
    #[serde(default)]
    pub lock: Option<String>,
    /// Its pool.
    #[serde(default)]
    pub pool: Option<String>,
    /// Whether it is there to be cloned, and never runs.
    #[serde(default, deserialize_with = "flag")]
    pub template: bool,
}

/// `1`, `"1"` or `true`.
fn flag<'de, D: serde::Deserializer<'de>>(input: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(input)?;
    Ok(value == 1 || value == "1" || value == true)
}

impl Machine {
    /// Whether it is on.
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }
}

/// Options of a machine.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Config(BTreeMap<String, Value>);

impl Config {
    /// An option as text.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    /// An option as number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// An option as yes or no.
    pub fn flag(&self, name: &str) -> bool {
        matches!(
            self.text(name).as_deref(),
            Some("1" | "true" | "yes" | "on")
        )
    }

    /// An option of the form `head,key=value,...`.
    pub fn property(&self, name: &str) -> Option<Property> {
        self.text(name).map(|text| Property::parse(&text))
    }
}

/// `head,key=value,...`; the head may have a key, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property(Vec<(String, String)>);

impl Property {
    /// Reads one.
    pub fn parse(text: &str) -> Self {
        let part = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or(("", part));
            (key.to_owned(), value.to_owned())
        };
        Self(text.split(',').map(part).collect())
    }

    /// The part without a key: a volume.
    pub fn head(&self) -> &str {
        self.get("").unwrap_or_default()
    }

    /// The first part with its key: a network card's model and address.
    pub fn first(&self) -> (&str, &str) {
        self.0.first().map_or(("", ""), |(key, value)| (key, value))
    }

    /// A part.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The same with this part changed, added, or taken away.
    #[must_use]
    pub fn with(mut self, key: &str, value: Option<&str>) -> Self {
        let at = self.0.iter().position(|(name, _)| name == key);
        match (at, value) {
            (Some(at), Some(value)) => value.clone_into(&mut self.0[at].1),
            (Some(at), None) => drop(self.0.remove(at)),
            (None, Some(value)) => self.0.push((key.to_owned(), value.to_owned())),
            (None, None) => {}
        }
        self
    }
}

impl std::fmt::Display for Property {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let equals = if key.is_empty() { "" } else { "=" };
            write!(out, "{comma}{key}{equals}{value}")?;
        }
        Ok(())
    }
}

/// Bytes of `40G` or `4608M`; a bare number is bytes.
pub fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_shl(shift)
}

/// `GET /nodes/{node}/tasks/{upid}/status`.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// `running` or `stopped`.
    pub status: String,
    /// How it ended.
    #[serde(default)]
    pub exitstatus: Option<String>,
}

/// A line of a task's log.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    /// Its text.
    #[serde(default)]
    pub t: String,
}

/// A file on a storage.
#[derive(Debug, Clone, Deserialize)]
pub struct Volume {
    /// Full name, `local:import/talos.qcow2`.
    pub volid: String,
    /// Bytes.
    #[serde(default)]
    pub size: u64,
}

/// A line of `GET /nodes/{node}/storage`.
#[derive(Debug, Clone, Deserialize)]
pub struct Storage {
    /// Its name.
    pub storage: String,
}

/// What waits for the next start of a machine.
#[derive(Debug, Clone, Deserialize)]
pub struct Pending {
    /// Option.
    pub key: String,
    /// Its value from then on.
    #[serde(default)]
    pub pending: Option<Value>,
    /// Whether it is taken away then.
    #[serde(default)]
    pub delete: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_keep_their_parts_in_order() {
        let text = "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=20";
        let card = Property::parse(text);
        assert_eq!(card.to_string(), text);
        assert_eq!(card.first(), ("virtio", "BC:24:11:00:00:01"));
        assert_eq!(
            card.clone().with("tag", None).to_string(),
            "virtio=BC:24:11:00:00:01,bridge=vmbr0"
        );
        let disk = Property::parse("local-lvm:vm-120-disk-0,size=40G");
        assert_eq!(disk.head(), "local-lvm:vm-120-disk-0");
        assert_eq!(disk.get("size").and_then(size), Some(40 << 30));
        assert_eq!(size("4608M"), Some(4608 << 20));
        assert_eq!(size("4X"), None);
    }
}
