//! The versioned key/value engine: what is stored under one mount, and the rules of check-and-set, deletion and trimming.
//!
//! Rules from the engine's source (github.com/hashicorp/vault-plugin-secrets-kv, `path_data.go`, `path_metadata.go`). The current version's
//! number outlives a deletion of its data; only deleting the metadata starts again at 0.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answer::{Refusal, Reply};
use super::duration::{later, printed, seconds};

/// Versions kept where neither the key nor the mount says.
const VERSIONS_KEPT: u64 = 10;

/// One mount.
#[derive(Debug, Default)]
pub(super) struct KvV2 {
    pub(super) config: Config,
    pub(super) entries: BTreeMap<String, Entry>,
}

/// What a mount or a key demands.
#[derive(Debug, Clone, Default)]
pub(super) struct Config {
    max_versions: u64,
    cas_required: bool,
    delete_version_after: u64,
}

/// One key.
#[derive(Debug)]
pub(super) struct Entry {
    config: Config,
    custom_metadata: Option<Map<String, Value>>,
    current: u64,
    oldest: u64,
    created: Timestamp,
    updated: Timestamp,
    versions: BTreeMap<u64, Version>,
}

#[derive(Debug)]
struct Version {
    /// Null can be written, too.
    data: Option<Map<String, Value>>,
    created: Timestamp,
    deleted: Option<Timestamp>,
    destroyed: bool,
}

impl Version {
    fn is_deleted(&self, now: Timestamp) -> bool {
        self.deleted.is_some_and(|moment| moment <= now)
    }

    fn state(&self, now: Timestamp) -> &'static str {
        match (self.destroyed, self.is_deleted(now)) {
            (true, _) => "destroyed",
            (false, true) => "deleted",
            (false, false) => "live",
        }
    }

    fn times(&self) -> Value {
        json!({
            "created_time": self.created.to_string(),
            "deletion_time": self.deleted.map(|moment| moment.to_string()).unwrap_or_default(),
            "destroyed": self.destroyed,
        })
    }
}

impl Entry {
    fn new(now: Timestamp) -> Self {
        Self {
            config: Config::default(),
            custom_metadata: None,
            current: 0,
            oldest: 0,
            created: now,
            updated: now,
            versions: BTreeMap::new(),
        }
    }

    /// `metadata` of one version.
    fn described(&self, number: u64, version: &Version) -> Value {
        let mut view = version.times();
        view["version"] = number.into();
        view["custom_metadata"] = json!(self.custom_metadata);
        view
    }

    /// The current version and its state, for the estate.
    pub(super) fn estate(&self, now: Timestamp) -> (u64, &'static str) {
        let state = self
            .versions
            .get(&self.current)
            .map_or("none", |version| version.state(now));
        (self.current, state)
    }
}

impl Config {
    /// Changes what the body names; says whether it named anything.
    fn change(&mut self, body: &Map<String, Value>) -> Result<bool, Refusal> {
        let wrong = Refusal::wrong_field;
        let mut named = false;
        if let Some(value) = body.get("max_versions") {
            self.max_versions =
                seconds(value).ok_or_else(|| wrong("max_versions", "a whole number"))?;
            named = true;
        }
        if let Some(value) = body.get("cas_required") {
            self.cas_required = value
                .as_bool()
                .ok_or_else(|| wrong("cas_required", "true or false"))?;
            named = true;
        }
        if let Some(value) = body.get("delete_version_after") {
            self.delete_version_after =
                seconds(value).ok_or_else(|| wrong("delete_version_after", "a duration"))?;
            named = true;
        }
        Ok(named)
    }

    fn view(&self) -> Value {
        json!({
            "cas_required": self.cas_required, "delete_version_after": printed(self.delete_version_after), "max_versions": self.max_versions,
        })
    }
}

impl KvV2 {
    /// The mount's own settings.
    pub(super) fn read_config(&self) -> Reply {
        Reply::Data(self.config.view())
    }

    pub(super) fn write_config(&mut self, body: &Map<String, Value>) -> Result<Reply, Refusal> {
        self.config.change(body)?;
        Ok(Reply::done())
    }

    /// `GET data/`: a deleted or destroyed version is 404 with its metadata.
    pub(super) fn read(
        &self,
        key: &str,
        version: Option<&str>,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        let (entry, number, version) = self.version(key, version)?;
        let metadata = entry.described(number, version);
        if version.destroyed || version.is_deleted(now) {
            return Ok(Reply::Gone(json!({ "data": null, "metadata": metadata })));
        }
        Ok(Reply::Data(
            json!({ "data": version.data, "metadata": metadata }),
        ))
    }

    /// `GET subkeys/`: the structure without values.
    pub(super) fn subkeys(
        &self,
        key: &str,
        version: Option<&str>,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        fn without_values(map: &Map<String, Value>) -> Value {
            let one = |(key, value): (&String, &Value)| match value {
                Value::Object(inner) if !inner.is_empty() => (key.clone(), without_values(inner)),
                _ => (key.clone(), Value::Null),
            };
            Value::Object(map.iter().map(one).collect())
        }
        let (entry, number, version) = self.version(key, version)?;
        let metadata = entry.described(number, version);
        if version.destroyed || version.is_deleted(now) {
            return Ok(Reply::Gone(
                json!({ "subkeys": null, "metadata": metadata }),
            ));
        }
        Ok(Reply::Data(
            json!({ "subkeys": version.data.as_ref().map(without_values), "metadata": metadata }),
        ))
    }

    fn version(&self, key: &str, number: Option<&str>) -> Result<(&Entry, u64, &Version), Refusal> {
        let entry = self.entries.get(key).ok_or_else(Refusal::nothing)?;
        let asked = match number.map(str::parse::<u64>) {
            None | Some(Ok(0)) => entry.current,
            Some(Ok(number)) => number,
            Some(Err(_)) => {
                return Err(Refusal::wrong_field("version", "a whole number"));
            }
        };
        let version = entry.versions.get(&asked).ok_or_else(Refusal::nothing)?;
        Ok((entry, asked, version))
    }

    /// `POST data/`: a whole new version, guarded by `options.cas`.
    pub(super) fn write(
        &mut self,
        key: &str,
        body: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        let data = written_data(body)?.cloned();
        let current = self.entries.get(key).map_or(0, |entry| entry.current);
        self.check_and_set(key, body, current)?;
        Ok(self.add_version(key, data, now))
    }

    /// `PATCH data/`: a JSON merge patch (RFC 7396) on the current version; only on what is there.
    pub(super) fn patch(
        &mut self,
        key: &str,
        body: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        let patch = written_data(body)?.cloned().unwrap_or_default();
        let Some(entry) = self.entries.get(key) else {
            return Ok(Reply::Void);
        };
        self.check_and_set(key, body, entry.current)?;
        let Some(version) = entry.versions.get(&entry.current) else {
            return Ok(Reply::Void);
        };
        if version.destroyed || version.is_deleted(now) {
            return Ok(Reply::Gone(entry.described(entry.current, version)));
        }
        let mut data = version.data.clone().unwrap_or_default();
        merge(&mut data, &patch);
        Ok(self.add_version(key, Some(data), now))
    }

    fn check_and_set(
        &self,
        key: &str,
        body: &Map<String, Value>,
        current: u64,
    ) -> Result<(), Refusal> {
        let required = self.config.cas_required
            || self
                .entries
                .get(key)
                .is_some_and(|entry| entry.config.cas_required);
        match body.get("options").and_then(|options| options.get("cas")) {
            Some(cas) => match weak_number(cas) {
                None => Err(Refusal::bad("error parsing check-and-set parameter")),
                Some(number) if u64::try_from(number) != Ok(current) => Err(Refusal::bad(
                    "check-and-set parameter did not match the current version",
                )),
                Some(_) => Ok(()),
            },
            None if required => Err(Refusal::bad(
                "check-and-set parameter required for this call",
            )),
            None => Ok(()),
        }
    }

    fn add_version(
        &mut self,
        key: &str,
        data: Option<Map<String, Value>>,
        now: Timestamp,
    ) -> Reply {
        let mount = self.config.clone();
        let entry = self
            .entries
            .entry(key.to_owned())
            .or_insert_with(|| Entry::new(now));
        let lives = [
            mount.delete_version_after,
            entry.config.delete_version_after,
        ]
        .into_iter()
        .filter(|seconds| *seconds > 0)
        .min();
        let version = Version {
            data,
            created: now,
            deleted: lives.map(|seconds| later(now, seconds)),
            destroyed: false,
        };
        entry.current += 1;
        entry.updated = now;
        let view = entry.described(entry.current, &version);
        entry.versions.insert(entry.current, version);
        let kept = [entry.config.max_versions, mount.max_versions]
            .into_iter()
            .find(|kept| *kept > 0)
            .unwrap_or(VERSIONS_KEPT);
        if let Some(last_gone) = entry.current.checked_sub(kept).filter(|gone| *gone > 0) {
            entry.versions.retain(|number, _| *number > last_gone);
            entry.oldest = last_gone + 1;
        }
        Reply::Data(view)
    }

    /// `DELETE data/`: the current version, softly; where nothing is, that is done already.
    pub(super) fn delete(&mut self, key: &str, now: Timestamp) -> Reply {
        if let Some(entry) = self.entries.get_mut(key) {
            let current = entry.current;
            entry.mark(&[current], now);
        }
        Reply::done()
    }

    /// `POST delete/`, `undelete/` and `destroy/`.
    pub(super) fn change_versions(
        &mut self,
        key: &str,
        what: &str,
        body: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        let given = match body.get("versions") {
            Some(Value::Array(given)) => given.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        if given.is_empty() {
            return Err(Refusal::bad("No version number provided"));
        }
        let numbers: Option<Vec<u64>> = given.iter().map(seconds).collect();
        let numbers = numbers.ok_or_else(|| Refusal::wrong_field("versions", "whole numbers"))?;
        let Some(entry) = self.entries.get_mut(key) else {
            return Ok(Reply::done());
        };
        if what == "delete" {
            entry.mark(&numbers, now);
            return Ok(Reply::done());
        }
        for number in numbers {
            let Some(version) = entry.versions.get_mut(&number) else {
                continue;
            };
            if what == "destroy" {
                version.destroyed = true;
                version.data = None;
            } else if !version.destroyed {
                version.deleted = None;
            }
        }
        Ok(Reply::done())
    }

    /// `GET metadata/`.
    pub(super) fn read_metadata(&self, key: &str) -> Result<Reply, Refusal> {
        let entry = self.entries.get(key).ok_or_else(Refusal::nothing)?;
        let versions: Map<String, Value> = entry
            .versions
            .iter()
            .map(|(number, version)| (number.to_string(), version.times()))
            .collect();
        let mut view = entry.config.view();
        view["created_time"] = entry.created.to_string().into();
        view["updated_time"] = entry.updated.to_string().into();
        view["current_version"] = entry.current.into();
        view["oldest_version"] = entry.oldest.into();
        view["custom_metadata"] = json!(entry.custom_metadata);
        view["versions"] = Value::Object(versions);
        Ok(Reply::Data(view))
    }

    /// `POST metadata/`, and `PATCH`, which needs the key to exist.
    pub(super) fn write_metadata(
        &mut self,
        key: &str,
        body: &Map<String, Value>,
        patch: bool,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        if patch && !self.entries.contains_key(key) {
            return Err(Refusal::nothing());
        }
        let custom = match body.get("custom_metadata") {
            None => None,
            Some(Value::Object(custom)) => Some(custom_metadata(custom, patch)?),
            Some(_) => return Err(Refusal::wrong_field("custom_metadata", "a map")),
        };
        let mut config = self
            .entries
            .get(key)
            .map(|entry| entry.config.clone())
            .unwrap_or_default();
        if !config.change(body)? && custom.is_none() {
            return Ok(Reply::done());
        }
        let ignored =
            self.config.cas_required && body.get("cas_required") == Some(&Value::Bool(false));
        let entry = self
            .entries
            .entry(key.to_owned())
            .or_insert_with(|| Entry::new(now));
        entry.config = config;
        entry.updated = now;
        if let Some(custom) = custom {
            let own = entry.custom_metadata.get_or_insert_default();
            if !patch {
                own.clear();
            }
            merge(own, &custom);
        }
        let warning = "\"cas_required\" set to false, but is mandated by backend config. This value will be ignored.";
        Ok(Reply::Done(
            ignored.then(|| warning.to_owned()).into_iter().collect(),
        ))
    }

    /// `DELETE metadata/`: the key as if it had never been.
    pub(super) fn forget(&mut self, key: &str) -> Reply {
        self.entries.remove(key);
        Reply::done()
    }
}

impl Entry {
    fn mark(&mut self, numbers: &[u64], now: Timestamp) {
        for number in numbers {
            if let Some(version) = self.versions.get_mut(number)
                && !version.destroyed
                && !version.is_deleted(now)
            {
                version.deleted = Some(now);
            }
        }
    }
}

/// The names directly below a prefix, folders with a final slash; softly deleted ones too. An empty list is 404.
pub(super) fn list<'a>(
    keys: impl Iterator<Item = &'a String>,
    prefix: &str,
) -> Result<Reply, Refusal> {
    let below = keys.filter_map(|key| key.strip_prefix(prefix));
    let mut names: Vec<&str> = below
        .map(|rest| rest.find('/').map_or(rest, |slash| &rest[..=slash]))
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(Refusal::nothing());
    }
    Ok(Reply::Data(json!({ "keys": names })))
}

fn written_data(body: &Map<String, Value>) -> Result<Option<&Map<String, Value>>, Refusal> {
    match body.get("data") {
        None => Err(Refusal::bad("no data provided")),
        Some(Value::Null) => Ok(None),
        Some(Value::Object(data)) => Ok(Some(data)),
        Some(_) => Err(Refusal::wrong_field("data", "a map")),
    }
}

/// A whole number the way the engine decodes `cas`: texts and truth values count, null is 0.
fn weak_number(value: &Value) -> Option<i64> {
    match value {
        Value::Null => Some(0),
        Value::Bool(flag) => Some(i64::from(*flag)),
        Value::Number(number) => number.as_i64(),
        Value::String(text) if text.is_empty() => Some(0),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (target.get_mut(key), value) {
            (_, Value::Null) => {
                target.remove(key);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) => merge(inner, patch),
            (_, Value::Object(patch)) => {
                let mut fresh = Map::new();
                merge(&mut fresh, patch);
                target.insert(key.clone(), Value::Object(fresh));
            }
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Texts by key, within the engine's limits; numbers and truth values become texts, null only stands in a patch.
fn custom_metadata(given: &Map<String, Value>, patch: bool) -> Result<Map<String, Value>, Refusal> {
    let refused = |why: String| {
        Err(Refusal::bad(format!(
            "1 error occurred:\n\t* custom_metadata validation failed: {why}\n\n"
        )))
    };
    if given.len() > 64 {
        return refused(format!(
            "payload must contain at most 64 keys, provided {}",
            given.len()
        ));
    }
    let mut texts = Map::new();
    for (key, value) in given {
        if key.is_empty() || key.len() > 128 {
            return refused(format!(
                "length of key {key:?} is {} but must be 0 < len(key) <= 128",
                key.len()
            ));
        }
        let text = match value {
            Value::Null if patch => {
                texts.insert(key.clone(), Value::Null);
                continue;
            }
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return refused(format!("value for key {key:?} is not text"));
            }
        };
        if !(1..=512).contains(&text.len()) {
            return refused(format!(
                "length of value for key {key:?} is {} but must be 0 < len(value) <= 512",
                text.len()
            ));
        }
        texts.insert(key.clone(), text.into());
    }
    Ok(texts)
}
