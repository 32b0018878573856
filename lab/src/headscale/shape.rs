//! What the API says in which release: objects as JSON, and refusals in two dialects.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Key, Node, State, User};

/// A release, as far as it differs from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32);

impl Version {
    /// The one of the main branch.
    pub const NEWEST: Self = Self(30);

    /// Of `0.26`. The ones that are known are 0.26 to 0.30.
    pub fn parse(text: &str) -> Option<Self> {
        let minor: u32 = text.strip_prefix("0.")?.parse().ok()?;
        (26..=30).contains(&minor).then_some(Self(minor))
    }

    /// Answers come from gRPC through a gateway, which drops what it does not know.
    pub(super) fn is_gateway(self) -> bool {
        self.0 < 30
    }

    /// Keys have numbers to name them by, and lists hide the rest of them.
    pub(super) fn masks_keys(self) -> bool {
        self.0 >= 28
    }

    pub(super) fn text(self) -> String {
        format!("v0.{}.0", self.0)
    }
}

/// A refusal.
pub(super) struct Refusal {
    pub(super) version: Version,
    pub(super) status: StatusCode,
    pub(super) text: String,
}

/// Number of gRPC's code, and the status that the gateway makes of it. Most of what goes wrong inside is of no kind.
fn gateway(status: StatusCode) -> (u32, StatusCode) {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => (3, StatusCode::BAD_REQUEST),
        StatusCode::CONFLICT | StatusCode::INTERNAL_SERVER_ERROR => {
            (2, StatusCode::INTERNAL_SERVER_ERROR)
        }
        StatusCode::NOT_FOUND => (5, StatusCode::NOT_FOUND),
        other => (2, other),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let is_gateway = self.version.is_gateway();
        if is_gateway && self.status == StatusCode::UNAUTHORIZED {
            return (self.status, "Unauthorized").into_response();
        }
        let (status, kind, body) = if is_gateway {
            let (code, status) = gateway(self.status);
            let body = json!({"code": code, "message": self.text, "details": []});
            (status, "application/json", body)
        } else {
            let title = self.status.canonical_reason().unwrap_or_default();
            let body = json!({"title": title, "status": self.status.as_u16(), "detail": self.text});
            (self.status, "application/problem+json", body)
        };
        let mut response = (status, body.to_string()).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

fn id(number: u64) -> String {
    number.to_string()
}

fn time(at: Timestamp) -> Value {
    json!(at.to_string())
}

pub(super) fn user(user: &User) -> Value {
    json!({
        "id": id(user.id), "name": user.name, "createdAt": time(user.created),
        "displayName": "", "email": "", "providerId": "", "provider": "", "profilePicUrl": "",
    })
}

impl State {
    fn user_of(&self, number: Option<u64>) -> Value {
        let found = self.users.iter().find(|user| Some(user.id) == number);
        found.map_or(Value::Null, user)
    }

    /// `shown`: in the answer to its creation, which alone has the whole key.
    pub(super) fn key(&self, key: &Key, shown: bool) -> Value {
        let text = if self.version.masks_keys() && !shown {
            let prefix: Vec<&str> = key.text.splitn(4, '-').take(3).collect();
            format!("{}-***", prefix.join("-"))
        } else {
            key.text.clone()
        };
        json!({
            "user": self.user_of(key.user), "id": id(key.id), "key": text, "reusable": key.reusable, "ephemeral": key.ephemeral,
            "used": key.used, "expiration": time(key.expiration), "createdAt": time(key.created), "aclTags": key.tags,
        })
    }

    pub(super) fn node(&self, node: &Node) -> Value {
        let key = node
            .key
            .and_then(|number| self.keys.iter().find(|key| key.id == number));
        let tagged = !node.tags.is_empty() && self.version.masks_keys();
        let owner = if tagged {
            json!({"id": "2147455555", "name": "tagged-devices", "displayName": "Tagged Devices"})
        } else {
            self.user_of(node.user)
        };
        let mut value = json!({
            "id": id(node.id), "machineKey": node.machine_key, "nodeKey": "nodekey:simulated", "discoKey": "discokey:simulated",
            "ipAddresses": node.addresses, "name": node.name, "givenName": node.given_name, "user": owner,
            "lastSeen": time(node.created), "expiry": node.expiry.map_or(Value::Null, time),
            "preAuthKey": key.map_or(Value::Null, |key| self.key(key, false)), "createdAt": time(node.created),
            "registerMethod": "REGISTER_METHOD_AUTH_KEY", "online": node.online,
            "approvedRoutes": [], "availableRoutes": [], "subnetRoutes": [],
        });
        if self.version.masks_keys() {
            value["tags"] = json!(node.tags);
        } else {
            value["forcedTags"] = json!(node.tags);
            value["validTags"] = json!([]);
            value["invalidTags"] = json!([]);
        }
        value
    }
}
