//! The routes: users, keys, nodes, the keys of the API.

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State as Extract};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::shape::Refusal;
use super::{Headscale, Key, random, shape, zero};
use crate::serve::{Meter, fault_layer};

type Answer = Result<Json<Value>, Refusal>;

/// The whole service with counting and faults.
pub fn router(headscale: Headscale, meter: Meter) -> Router {
    let routes = Router::new()
        .route("/api/v1/user", get(users).post(create_user))
        .route(
            "/api/v1/preauthkey",
            get(keys).post(create_key).delete(delete_key),
        )
        .route("/api/v1/preauthkey/expire", post(expire_key))
        .route("/api/v1/node", get(nodes))
        .route("/api/v1/node/{id}", delete(delete_node).get(node))
        .route("/api/v1/apikey", get(api_keys))
        .layer(middleware::from_fn_with_state(headscale.clone(), authorise))
        .route("/health", get(async || Json(json!({"status": "pass"}))))
        .route("/version", get(version))
        .fallback(async || (StatusCode::NOT_FOUND, "404 page not found"))
        .with_state(headscale);
    fault_layer(routes, meter)
}

impl Headscale {
    fn refuse(&self, status: StatusCode, text: impl Into<String>) -> Refusal {
        Refusal {
            version: self.state().version,
            status,
            text: text.into(),
        }
    }

    /// A body. The gateway drops what it does not know; later releases refuse it.
    fn read<T: DeserializeOwned>(&self, body: &Bytes, fields: &[&str]) -> Result<T, Refusal> {
        let wrong = |text: String| self.refuse(StatusCode::UNPROCESSABLE_ENTITY, text);
        let mut value: Value =
            serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
        let unknown = |name: &String| !fields.contains(&name.as_str());
        let object = value
            .as_object_mut()
            .ok_or_else(|| wrong("expected an object".into()))?;
        let odd = object.keys().find(|name| unknown(name)).cloned();
        if let Some(name) = odd {
            if !self.state().version.is_gateway() {
                return Err(wrong(format!("unexpected property: {name}")));
            }
            object.retain(|name, _| !unknown(name));
        }
        serde_json::from_value(value).map_err(|error| wrong(error.to_string()))
    }
}

async fn authorise(
    Extract(headscale): Extract<Headscale>,
    request: Request,
    next: Next,
) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let lives = headscale.state().api_key_end > headscale.0.clock.now();
    if given != Some(headscale.0.api_key.as_str()) || !lives {
        return headscale
            .refuse(StatusCode::UNAUTHORIZED, "invalid API key")
            .into_response();
    }
    next.run(request).await
}

async fn version(Extract(headscale): Extract<Headscale>) -> Json<Value> {
    let version = headscale.state().version;
    Json(json!({"version": version.text(), "commit": "simulated", "dirty": false}))
}

#[derive(Deserialize)]
struct Filter {
    name: Option<String>,
    id: Option<String>,
    user: Option<String>,
}

async fn users(
    Extract(headscale): Extract<Headscale>,
    Query(filter): Query<Filter>,
) -> Json<Value> {
    let state = headscale.state();
    let wanted = |user: &&super::User| {
        filter.name.as_ref().is_none_or(|name| *name == user.name)
            && filter
                .id
                .as_ref()
                .is_none_or(|id| *id == user.id.to_string())
    };
    let users: Vec<Value> = state.users.iter().filter(wanted).map(shape::user).collect();
    Json(json!({"users": users}))
}

#[derive(Deserialize)]
struct NewUser {
    name: String,
}

async fn create_user(Extract(headscale): Extract<Headscale>, body: Bytes) -> Answer {
    let known = ["name", "displayName", "email", "pictureUrl"];
    let new: NewUser = headscale.read(&body, &known)?;
    let now = headscale.0.clock.now();
    let taken = headscale
        .state()
        .users
        .iter()
        .any(|user| user.name == new.name);
    if taken {
        return Err(headscale.refuse(StatusCode::CONFLICT, "user already exists"));
    }
    let mut state = headscale.state();
    let user = super::User {
        id: state.next_id() + 1,
        name: new.name,
        created: now,
    };
    let shown = shape::user(&user);
    state.users.push(user);
    Ok(Json(json!({"user": shown})))
}

/// Releases before 0.28 list the keys of one user; later ones list all, whatever is asked.
async fn keys(Extract(headscale): Extract<Headscale>, Query(filter): Query<Filter>) -> Json<Value> {
    let state = headscale.state();
    let all = state.version.masks_keys();
    let wanted = |key: &&Key| all || key.user.map(|id| id.to_string()) == filter.user.clone();
    let keys: Vec<Value> = state
        .keys
        .iter()
        .filter(wanted)
        .map(|key| state.key(key, false))
        .collect();
    Json(json!({"preAuthKeys": keys}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewKey {
    user: Option<String>,
    #[serde(default)]
    reusable: bool,
    #[serde(default)]
    ephemeral: bool,
    expiration: Option<Timestamp>,
    #[serde(default)]
    acl_tags: Vec<String>,
}

async fn create_key(Extract(headscale): Extract<Headscale>, body: Bytes) -> Answer {
    let known = ["user", "reusable", "ephemeral", "expiration", "aclTags"];
    let new: NewKey = headscale.read(&body, &known)?;
    let odd = new.acl_tags.iter().find(|tag| !is_tag(tag));
    if let Some(tag) = odd {
        let text = format!("aclTag is invalid: {tag}");
        return Err(headscale.refuse(StatusCode::BAD_REQUEST, text));
    }
    let user = match new.user.as_deref().unwrap_or_default() {
        "" | "0" => None,
        text => {
            let known = headscale
                .state()
                .users
                .iter()
                .map(|user| user.id)
                .find(|id| id.to_string() == text);
            let missing = || headscale.refuse(StatusCode::NOT_FOUND, "user not found");
            Some(known.ok_or_else(missing)?)
        }
    };
    if user.is_none() && new.acl_tags.is_empty() {
        let text = "a key needs a user or tags";
        return Err(headscale.refuse(StatusCode::BAD_REQUEST, text));
    }
    let now = headscale.0.clock.now();
    let mut state = headscale.state();
    let text = if state.version.masks_keys() {
        format!("hskey-auth-{}-{}", random(6), random(32))
    } else {
        random(24)
    };
    let key = Key {
        id: state.next_id(),
        user,
        text,
        reusable: new.reusable,
        ephemeral: new.ephemeral,
        used: false,
        expiration: new.expiration.unwrap_or_else(zero),
        created: now,
        tags: new.acl_tags,
    };
    let shown = state.key(&key, true);
    state.keys.push(key);
    Ok(Json(json!({"preAuthKey": shown})))
}

fn is_tag(tag: &str) -> bool {
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    tag.strip_prefix("tag:")
        .is_some_and(|name| !name.is_empty() && name.bytes().all(lower))
}

#[derive(Deserialize)]
struct Which {
    id: Option<String>,
    user: Option<String>,
    key: Option<String>,
}

async fn expire_key(Extract(headscale): Extract<Headscale>, body: Bytes) -> Answer {
    let by_id = headscale.state().version.masks_keys();
    let known: &[&str] = if by_id { &["id"] } else { &["user", "key"] };
    let which: Which = headscale.read(&body, known)?;
    let now = headscale.0.clock.now();
    let found = {
        let mut state = headscale.state();
        let key = state.keys.iter_mut().find(|key| {
            if by_id {
                which.id.as_ref() == Some(&key.id.to_string())
            } else {
                which.key.as_ref() == Some(&key.text)
                    && which.user == key.user.map(|id| id.to_string())
            }
        });
        key.map(|key| key.expiration = key.expiration.min(now))
            .is_some()
    };
    gone(&headscale, found, "preauthkey not found")
}

async fn delete_key(
    Extract(headscale): Extract<Headscale>,
    Query(filter): Query<Filter>,
) -> Answer {
    if !headscale.state().version.masks_keys() {
        return Err(headscale.refuse(StatusCode::NOT_IMPLEMENTED, "Method Not Allowed"));
    }
    let found = {
        let mut state = headscale.state();
        let before = state.keys.len();
        state
            .keys
            .retain(|key| filter.id.as_ref() != Some(&key.id.to_string()));
        state.keys.len() < before
    };
    gone(&headscale, found, "preauthkey not found")
}

/// What is not there is no error before 0.30.
fn gone(headscale: &Headscale, found: bool, text: &str) -> Answer {
    if !found && !headscale.state().version.is_gateway() {
        return Err(headscale.refuse(StatusCode::NOT_FOUND, text));
    }
    Ok(Json(json!({})))
}

async fn nodes(Extract(headscale): Extract<Headscale>) -> Json<Value> {
    let state = headscale.state();
    let nodes: Vec<Value> = state.nodes.iter().map(|node| state.node(node)).collect();
    Json(json!({"nodes": nodes}))
}

async fn node(Extract(headscale): Extract<Headscale>, Path(id): Path<String>) -> Answer {
    let found = {
        let state = headscale.state();
        let node = state.nodes.iter().find(|node| node.id.to_string() == id);
        node.map(|node| state.node(node))
    };
    let missing = || headscale.refuse(StatusCode::NOT_FOUND, "node not found");
    Ok(Json(json!({"node": found.ok_or_else(missing)?})))
}

async fn delete_node(Extract(headscale): Extract<Headscale>, Path(id): Path<String>) -> Answer {
    let found = {
        let mut state = headscale.state();
        let before = state.nodes.len();
        state.nodes.retain(|node| node.id.to_string() != id);
        state.nodes.len() < before
    };
    if !found {
        return Err(headscale.refuse(StatusCode::NOT_FOUND, "node not found"));
    }
    Ok(Json(json!({})))
}

async fn api_keys(Extract(headscale): Extract<Headscale>) -> Json<Value> {
    let state = headscale.state();
    let own = &headscale.0.api_key;
    let prefix = own.split('-').nth(2).unwrap_or_default();
    Json(json!({"apiKeys": [{
        "id": "1", "prefix": prefix, "expiration": state.api_key_end.to_string(),
        "createdAt": state.users.first().map(|user| user.created.to_string()), "lastSeen": null,
    }]}))
}

#[cfg(test)]
mod tests {
    use super::is_tag;

    #[test]
    fn tags_have_a_beginning_and_small_letters() {
        assert!(is_tag("tag:k8s"));
        for tag in ["k8s", "tag:", "tag:K8s"] {
            assert!(!is_tag(tag), "{tag}");
        }
    }
}
