//! Routes of IAM ssh-keys (contract section 7).

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Pairs, State as Shared};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::Scaleway;
use super::error::Refusal;
use super::query::Query;
use super::routes::{Answer, Parameters, no_content, parse_body};
use super::ssh_key::{self, SshKey};

const ORDERS: [&str; 6] = [
    "created_at_asc",
    "created_at_desc",
    "updated_at_asc",
    "updated_at_desc",
    "name_asc",
    "name_desc",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(default)]
    name: String,
    public_key: String,
    #[serde(default)]
    project_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    disabled: Option<bool>,
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if name.chars().count() > 1000 {
        return Err(Refusal::invalid(
            "name",
            "constraint",
            "at most 1000 characters",
        ));
    }
    Ok(())
}

pub(super) async fn list(Shared(scaleway): Shared<Scaleway>, Pairs(pairs): Parameters) -> Answer {
    let query = Query::parse(
        pairs,
        &[
            "order_by",
            "organization_id",
            "project_id",
            "name",
            "disabled",
        ],
    )?;
    let order = query
        .one_of("order_by", &ORDERS)?
        .unwrap_or("created_at_asc");
    let organization = &scaleway.0.credentials.project_id;
    let state = scaleway.settled();
    let name = query.one("name").unwrap_or_default();
    let mut keys: Vec<&SshKey> = state.keys.iter().collect();
    keys.retain(|key| {
        key.name.contains(name)
            && query.admits("project_id", &key.project_id)
            && query.admits("organization_id", organization)
            && query.admits("disabled", if key.disabled { "true" } else { "false" })
    });
    match order.trim_end_matches("_asc").trim_end_matches("_desc") {
        "updated_at" => keys.sort_by_key(|key| key.updated_at),
        "name" => keys.sort_by_key(|key| key.name.clone()),
        _ => keys.sort_by_key(|key| key.created_at),
    }
    if order.ends_with("_desc") {
        keys.reverse();
    }
    let (page, total) = query.page(keys, Some(20))?;
    let page: Vec<_> = page.into_iter().map(|key| key.view(organization)).collect();
    Ok(Json(json!({ "ssh_keys": page, "total_count": total })))
}

pub(super) async fn create(Shared(scaleway): Shared<Scaleway>, body: Bytes) -> Answer {
    let create: Create = parse_body(&body)?;
    check_name(&create.name)?;
    let (public_key, fingerprint) = ssh_key::parse(&create.public_key)?;
    let organization = &scaleway.0.credentials.project_id;
    let now = scaleway.0.clock.now();
    let key = SshKey {
        id: Uuid::new_v4().to_string(),
        name: create.name,
        public_key,
        fingerprint,
        project_id: create.project_id.unwrap_or_else(|| organization.clone()),
        disabled: false,
        created_at: now,
        updated_at: now,
    };
    let view = key.view(organization);
    scaleway.settled().keys.push(key);
    Ok(Json(view))
}

pub(super) async fn read(Shared(scaleway): Shared<Scaleway>, Path(id): Path<String>) -> Answer {
    let state = scaleway.settled();
    let key = state
        .keys
        .iter()
        .find(|key| key.id == id)
        .ok_or_else(|| Refusal::not_found("ssh_key", &id))?;
    Ok(Json(key.view(&scaleway.0.credentials.project_id)))
}

pub(super) async fn update(
    Shared(scaleway): Shared<Scaleway>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let update: Update = parse_body(&body)?;
    let now = scaleway.0.clock.now();
    let mut state = scaleway.settled();
    let key = state
        .keys
        .iter_mut()
        .find(|key| key.id == id)
        .ok_or_else(|| Refusal::not_found("ssh_key", &id))?;
    if let Some(name) = update.name {
        check_name(&name)?;
        key.name = name;
    }
    key.disabled = update.disabled.unwrap_or(key.disabled);
    key.updated_at = now;
    Ok(Json(key.view(&scaleway.0.credentials.project_id)))
}

pub(super) async fn delete(
    Shared(scaleway): Shared<Scaleway>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let mut state = scaleway.settled();
    let index = state
        .keys
        .iter()
        .position(|key| key.id == id)
        .ok_or_else(|| Refusal::not_found("ssh_key", &id))?;
    state.keys.remove(index);
    Ok(no_content())
}
