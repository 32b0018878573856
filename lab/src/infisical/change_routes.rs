//! Changing one secret. The look for an existing key and the insert are two steps here as they are on the server, which has no unique index on the
//! key: the fault `slow_insert` lets others in between.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::Refusal;
use super::folder::{Folder, Place};
use super::input::Fields;
use super::reference;
use super::rights::Right;
use super::routes::{Answer, Generation, Route};
use super::secret::{Draft, Secret, name_problem};
use super::{Infisical, State};
use crate::fault::Action;

/// What a change of one secret says besides the secret: where it is.
fn subject(
    infisical: &Infisical,
    fields: &mut Fields,
    generation: Generation,
) -> Result<Place, Refusal> {
    let kind = fields.one_of("type", &["shared", "personal"]);
    let place = infisical.place(fields, generation, false)?;
    if kind.as_deref() == Some("personal") {
        return Err(Refusal::bad("Must be user to create personal secret"));
    }
    Ok(place)
}

/// One secret or several, as the API answers changes.
pub(super) fn changed(infisical: &Infisical, place: &Place, secret: &Secret, value: &str) -> Value {
    let number = secret.versions.len();
    let shown = secret.view(&infisical.0.project_id, place, number, Some(value));
    shown.expect("the latest version exists")
}

pub(super) fn insert(folder: &mut Folder, key: &str, draft: Draft, now: Timestamp) -> Secret {
    let secret = Secret::new(key, draft, now);
    folder.secrets.push(secret.clone());
    secret
}

pub(super) async fn create(
    Shared(infisical): Shared<Infisical>,
    route: Route,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    if let Some(problem) = name_problem(&name) {
        fields.issue("secretName", problem);
    }
    let draft = Draft::read(&mut fields, true);
    let place = subject(&infisical, &mut fields, route.generation)?;
    let key = name.trim();
    let now = infisical.now();
    let slowly = {
        let mut state = infisical.state();
        let folder = state.folders.get(&place);
        let folder = folder.ok_or_else(|| place.missing("CreateSecret"))?;
        if folder.secret(key).is_some() {
            return Err(Refusal::bad("Secret already exist"));
        }
        check_draft(&state, Right::Create, &place, &draft)?;
        if let Some(approval) = infisical.approval(&route) {
            return Ok(approval);
        }
        let is_slow = |action: &Action| matches!(action, Action::SlowInsert { .. });
        match infisical.fault(&route.target, is_slow) {
            Some(Action::SlowInsert { seconds }) => seconds,
            _ => return inserted(&infisical, &mut state, &place, key, draft, now),
        }
    };
    infisical.0.clock.sleep(Duration::from_secs(slowly)).await;
    let mut state = infisical.state();
    inserted(&infisical, &mut state, &place, key, draft, now)
}

fn inserted(
    infisical: &Infisical,
    state: &mut State,
    place: &Place,
    key: &str,
    draft: Draft,
    now: Timestamp,
) -> Answer {
    let folder = state.folders.get_mut(place);
    let folder = folder.ok_or_else(|| place.missing("CreateSecret"))?;
    let secret = insert(folder, key, draft, now);
    let shown = changed(infisical, place, &secret, &secret.latest().value);
    Ok(Json(json!({ "secret": shown })))
}

/// Rights, tags and references of one change.
pub(super) fn check_draft(
    state: &State,
    right: Right,
    place: &Place,
    draft: &Draft,
) -> Result<(), Refusal> {
    if draft.tagged {
        return Err(Refusal::missing("NotFound", "Tag not found. Found "));
    }
    state.denials.require(right, place)?;
    match &draft.value {
        Some(value) => reference::check(&state.folders, value, place),
        None => Ok(()),
    }
}

pub(super) async fn update(
    Shared(infisical): Shared<Infisical>,
    route: Route,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let draft = Draft::read(&mut fields, false);
    let place = subject(&infisical, &mut fields, route.generation)?;
    let now = infisical.now();
    let mut state = infisical.state();
    let folder = state.folders.get(&place);
    let folder = folder.ok_or_else(|| place.missing("UpdateSecret"))?;
    if folder.secret(&name).is_none() {
        let message = format!("Secret with name {name} not found");
        return Err(Refusal::missing("NotFound", message));
    }
    let taken = |new: &String| *new != name && folder.secret(new).is_some();
    if draft.new_name.as_ref().is_some_and(taken) {
        return Err(Refusal::bad("Secret with the new name already exist"));
    }
    check_draft(&state, Right::Edit, &place, &draft)?;
    if let Some(approval) = infisical.approval(&route) {
        return Ok(approval);
    }
    // The server answers with the value it was sent, and with none when it was sent none.
    let sent = draft.value.clone().unwrap_or_default();
    let folder = state.folders.get_mut(&place).expect("found above");
    let secret = folder.secret_mut(&name).expect("found above");
    secret.change(draft, now);
    Ok(Json(
        json!({ "secret": changed(&infisical, &place, secret, &sent) }),
    ))
}

pub(super) async fn delete(
    Shared(infisical): Shared<Infisical>,
    route: Route,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let place = subject(&infisical, &mut fields, route.generation)?;
    let mut state = infisical.state();
    let folder = state.folders.get(&place);
    let folder = folder.ok_or_else(|| place.missing("DeleteSecret"))?;
    if folder.secret(&name).is_none() {
        return Err(Refusal::missing("NotFound", "Secret not found"));
    }
    state.denials.require(Right::Delete, &place)?;
    if let Some(approval) = infisical.approval(&route) {
        return Ok(approval);
    }
    let folder = state.folders.get_mut(&place).expect("found above");
    let gone = take(folder, &name);
    Ok(Json(
        json!({ "secret": gone.map(|secret| changed(&infisical, &place, &secret, &secret.latest().value)) }),
    ))
}

/// Removes every secret of a key and gives the first.
pub(super) fn take(folder: &mut Folder, key: &str) -> Option<Secret> {
    let found = folder.secret(key).cloned();
    folder.secrets.retain(|secret| secret.latest().key != key);
    found
}
