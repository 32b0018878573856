//! What Headscale says, release by release, as one shape. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Number, as a text.
    pub id: String,
    /// Name.
    pub name: String,
}

/// A key that lets machines in.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Number, as a text.
    pub id: String,
    /// The key, or its beginning and stars.
    pub(super) text: String,
    /// Whether a machine came with it.
    pub used: bool,
    /// When it ends.
    pub end: Option<Timestamp>,
    /// When it was made.
    pub(super) created: Option<Timestamp>,
}

impl Key {
    /// Lists show keys whole before 0.28 and since then masked.
    pub fn is_masked(&self) -> bool {
        self.text.ends_with("***")
    }
}

/// A machine in the VPN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Number, as a text.
    pub id: String,
    /// The name that it asked for.
    pub name: String,
    /// The name that it has.
    pub given_name: String,
    /// Its addresses in the VPN.
    pub addresses: BTreeSet<String>,
    /// Number of the key that it came with.
    pub key: Option<String>,
    /// When its registration ends.
    pub end: Option<Timestamp>,
}

impl Node {
    /// Whether its registration is over.
    pub fn has_ended(&self) -> bool {
        self.end.is_some_and(|end| end <= Timestamp::now())
    }
}

/// A text, or a number as a text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A time; the zero value is none.
fn time(value: &Value) -> Option<Timestamp> {
    let time: Timestamp = value.as_str()?.parse().ok()?;
    (time > Timestamp::UNIX_EPOCH).then_some(time)
}

/// The entries of a list; those that cannot be read are none. Absent and null are empty.
pub(super) fn list<T>(answer: &Value, name: &str, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    let entries = answer[name].as_array();
    entries.into_iter().flatten().filter_map(read).collect()
}

pub(super) fn user(value: &Value) -> Option<User> {
    Some(User {
        id: text(&value["id"])?,
        name: text(&value["name"])?,
    })
}

pub(super) fn key(value: &Value) -> Option<Key> {
    Some(Key {
        id: text(&value["id"])?,
        text: text(&value["key"]).unwrap_or_default(),
        used: value["used"] == true,
        end: time(&value["expiration"]),
        created: time(&value["createdAt"]),
    })
}

pub(super) fn node(value: &Value) -> Option<Node> {
    let name = text(&value["name"]).unwrap_or_default();
    let addresses = value["ipAddresses"].as_array();
    Some(Node {
        id: text(&value["id"])?,
        given_name: text(&value["givenName"]).unwrap_or_else(|| name.clone()),
        name,
        addresses: addresses.into_iter().flatten().filter_map(text).collect(),
        key: text(&value["preAuthKey"]["id"]),
        end: time(&value["expiry"]),
    })
}

/// The end of the API key that this one is. Keys are `hskey-api-<prefix>-<secret>` since 0.28, before that `<prefix>.<secret>`.
pub(super) fn end_of_api_key(answer: &Value, token: &str) -> Option<Timestamp> {
    let prefix = match token.strip_prefix("hskey-api-") {
        Some(rest) => rest.split('-').next()?,
        None => token.split('.').next()?,
    };
    let keys = answer["apiKeys"].as_array()?;
    // Later releases show the prefix in full, with what comes before it.
    let is_ours = |key: &&Value| {
        let shown = key["prefix"].as_str().unwrap_or_default();
        !prefix.is_empty()
            && (shown == prefix || shown.trim_start_matches("hskey-api-").starts_with(prefix))
    };
    let key = keys.iter().find(is_ours)?;
    time(&key["expiration"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_users_and_times_are_read_in_every_shape() {
        let old = json!({"id": 7, "key": "4f3a", "used": true, "user": "k8s", "expiration": "0001-01-01T00:00:00Z"});
        let read = key(&old).unwrap();
        assert_eq!((read.id.as_str(), read.used, read.end), ("7", true, None));
        assert!(!read.is_masked());
        let new = json!({"id": "8", "key": "hskey-auth-abc-***", "user": {"id": "1", "name": "k8s"}, "expiration": "2026-12-01T00:00:00.123456Z"});
        let read = key(&new).unwrap();
        assert!(read.is_masked() && !read.used);
        assert_eq!(
            read.end.unwrap().as_microsecond() % 1_000_000,
            123_456,
            "what tells keys apart"
        );
        assert!(key(&json!({"key": "x"})).is_none());
        for odd in [json!({}), json!({"nodes": null})] {
            assert!(list(&odd, "nodes", node).is_empty());
        }
    }

    #[test]
    fn a_node_has_the_name_that_it_got_and_perhaps_the_key_it_came_with() {
        let answer = json!({"nodes": [
            {"id": "3", "name": "home-cp-1", "givenName": "home-cp-1-a1b2", "ipAddresses": ["100.64.0.3"], "user": null,
             "preAuthKey": {"id": "2"}, "expiry": null},
            {"id": 4, "name": "home-cp-1", "ipAddresses": [], "user": "k8s", "preAuthKey": null, "expiry": "2020-01-01T00:00:00Z"},
        ]});
        let nodes = list(&answer, "nodes", node);
        assert_eq!(nodes[0].given_name, "home-cp-1-a1b2");
        assert_eq!(
            (nodes[0].key.as_deref(), nodes[0].has_ended()),
            (Some("2"), false)
        );
        assert_eq!(
            (nodes[1].id.as_str(), nodes[1].given_name.as_str()),
            ("4", "home-cp-1")
        );
        assert!(nodes[1].key.is_none() && nodes[1].has_ended());
    }

    #[test]
    fn the_own_api_key_is_found_by_its_prefix() {
        let answer = json!({"apiKeys": [
            {"id": "1", "prefix": "other", "expiration": "2026-01-01T00:00:00Z"},
            {"id": "2", "prefix": "Abc123", "expiration": "2027-01-01T00:00:00Z"},
        ]});
        let end = Some("2027-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(end_of_api_key(&answer, "hskey-api-Abc123-secret"), end);
        assert_eq!(end_of_api_key(&answer, "Abc123.secret"), end);
        assert_eq!(end_of_api_key(&answer, "nobody.secret"), None);
    }
}
