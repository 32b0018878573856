//! Changing many secrets at once: all or nothing.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use serde_json::{Value, json};

use super::Infisical;
use super::change_routes::{changed, check_draft, insert, take};
use super::error::Refusal;
use super::folder::{Folders, Place};
use super::input::Fields;
use super::rights::Right;
use super::routes::{Answer, Route};
use super::secret::{Draft, name_problem};
use crate::fault::Action;

/// The items of a batch: key, folder and what is said about each.
fn items(
    fields: &mut Fields,
    creating: bool,
    named: impl Fn(&str) -> Option<&'static str>,
) -> Vec<(String, Option<String>, Draft)> {
    let mut items = Vec::new();
    for mut item in fields.objects("secrets") {
        let key = item.required("secretKey");
        if let Some(problem) = named(&key) {
            item.issue("secretKey", problem);
        }
        let draft = Draft::read(&mut item, creating);
        let path = item.text("secretPath");
        fields.take_issues(item);
        items.push((key, path, draft));
    }
    items
}

pub(super) async fn create_many(
    Shared(infisical): Shared<Infisical>,
    route: Route,
    body: Bytes,
) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let items = items(&mut fields, true, name_problem);
    let place = infisical.place(&mut fields, route.generation, false)?;
    let now = infisical.now();
    let mut state = infisical.state();
    let folder = state.folders.get(&place);
    let folder = folder.ok_or_else(|| place.missing("CreateManySecret"))?;
    let known = |key: &&str| folder.secret(key).is_some();
    let existing: Vec<&str> = items
        .iter()
        .map(|(key, ..)| key.as_str())
        .filter(known)
        .collect();
    if !existing.is_empty() {
        let message = format!("Secret already exist: {}", existing.join(","));
        return Err(Refusal::bad(message));
    }
    for (_, _, draft) in &items {
        check_draft(&state, Right::Create, &place, draft)?;
    }
    if let Some(approval) = infisical.approval(&route) {
        return Ok(approval);
    }
    let folder = state.folders.get_mut(&place).expect("found above");
    let views: Vec<Value> = items
        .into_iter()
        .map(|(key, _, draft)| {
            let secret = insert(folder, &key, draft, now);
            changed(&infisical, &place, &secret, &secret.latest().value)
        })
        .collect();
    Ok(Json(json!({ "secrets": views })))
}

pub(super) async fn update_many(
    Shared(infisical): Shared<Infisical>,
    route: Route,
    body: Bytes,
) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let is_old = |action: &Action| matches!(action, Action::OldServer);
    let mode = if infisical.fault(&route.target, is_old).is_some() {
        None
    } else {
        fields.one_of("mode", &["upsert", "ignore", "failOnNotFound"])
    };
    let mode = mode.unwrap_or_else(|| "failOnNotFound".into());
    let items = items(&mut fields, false, name_problem);
    let place = infisical.place(&mut fields, route.generation, false)?;
    let now = infisical.now();
    let mut state = infisical.state();
    // All or nothing: the work is done on a copy.
    let mut folders = state.folders.clone();
    let mut views = Vec::new();
    for (key, path, draft) in items {
        let place = path.map_or_else(
            || place.clone(),
            |path| Place::new(&place.environment, &path),
        );
        let folder = folders.get_mut(&place);
        let folder = folder.ok_or_else(|| place.missing("UpdateManySecret"))?;
        let exists = folder.secret(&key).is_some();
        if !exists && mode == "ignore" {
            continue;
        }
        if !exists && mode == "failOnNotFound" {
            let message = format!("Secret does not exist: {key} in path {}", place.path);
            return Err(Refusal::missing("NotFound", message));
        }
        let taken = |new: &String| *new != key && folder.secret(new).is_some();
        if let Some(new) = draft.new_name.as_ref().filter(|new| taken(new)) {
            let message = format!("Secret with new name already exists: {new}");
            return Err(Refusal::bad(message));
        }
        let right = if exists { Right::Edit } else { Right::Create };
        check_draft(&state, right, &place, &draft)?;
        let secret = match folder.secret_mut(&key) {
            Some(secret) => {
                secret.change(draft, now);
                secret.clone()
            }
            None => insert(folder, &key, draft, now),
        };
        views.push(changed(&infisical, &place, &secret, &secret.latest().value));
    }
    if let Some(approval) = infisical.approval(&route) {
        return Ok(approval);
    }
    state.folders = folders;
    Ok(Json(json!({ "secrets": views })))
}

pub(super) async fn delete_many(
    Shared(infisical): Shared<Infisical>,
    route: Route,
    body: Bytes,
) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let items = items(&mut fields, false, |_| None);
    let place = infisical.place(&mut fields, route.generation, false)?;
    let mut state = infisical.state();
    let mut folders: Folders = state.folders.clone();
    let folder = folders.get_mut(&place);
    let folder = folder.ok_or_else(|| place.missing("DeleteManySecret"))?;
    state.denials.require(Right::Delete, &place)?;
    let mut views = Vec::new();
    for (key, ..) in &items {
        let Some(secret) = take(folder, key) else {
            let message = format!("One or more secrets does not exist: {key}");
            return Err(Refusal::missing("NotFound", message));
        };
        views.push(changed(&infisical, &place, &secret, &secret.latest().value));
    }
    if let Some(approval) = infisical.approval(&route) {
        return Ok(approval);
    }
    state.folders = folders;
    Ok(Json(json!({ "secrets": views })))
}
