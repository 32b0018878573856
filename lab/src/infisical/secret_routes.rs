//! Reading and changing secrets, one or many at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Pairs, State as Shared};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::Refusal;
use super::folder::{Folder, Folders, Place};
use super::input::Fields;
use super::reference;
use super::rights::Right;
use super::routes::{Answer, Generation, Route};
use super::secret::{Draft, Secret, name_problem};
use super::{Infisical, State};
use crate::fault::Action;

type Parameters = Pairs<Vec<(String, String)>>;

/// How much of secrets a reader wants to see.
struct View<'a> {
    project: &'a str,
    values: bool,
    expand: bool,
    imports: bool,
    /// How many versions a replica is behind that has not caught up.
    behind: usize,
}

impl<'a> View<'a> {
    /// Both spellings of the flag for imports are known: `include_imports` everywhere, `includeImports` in later servers of v4.
    fn read(fields: &mut Fields, infisical: &'a Infisical, route: &Route) -> Self {
        let older = fields.word("include_imports", false);
        let is_stale = |action: &Action| matches!(action, Action::StaleRead);
        Self {
            project: &infisical.0.project_id,
            behind: usize::from(infisical.fault(&route.target, is_stale).is_some()),
            values: fields.word("viewSecretValue", true),
            expand: fields.word("expandSecretReferences", false),
            imports: fields.word("includeImports", older),
        }
    }

    /// The version that a reader gets who asks for none.
    fn newest(&self, secret: &Secret) -> usize {
        secret.versions.len() - self.behind
    }
}

impl State {
    /// A secret as a reader sees it; hidden where the value may not be seen or is not wanted, `None` where it is not known yet.
    fn show(
        &self,
        secret: &Secret,
        place: &Place,
        view: &View<'_>,
    ) -> Result<Option<Value>, Refusal> {
        let number = view.newest(secret);
        let Some(version) = secret.version(number) else {
            return Ok(None);
        };
        let value = if view.values && self.denials.allow(Right::ReadValue, place) {
            Some(self.value(&version.value, place, view)?)
        } else {
            None
        };
        Ok(secret.view(view.project, place, number, value.as_deref()))
    }

    fn value(&self, value: &str, place: &Place, view: &View<'_>) -> Result<String, Refusal> {
        if view.expand {
            reference::expand(&self.folders, &self.denials, value, place)
        } else {
            Ok(value.to_owned())
        }
    }

    /// The folders that a folder shows, each followed by those it shows itself.
    fn imported(&self, place: &Place, seen: &mut BTreeSet<Place>) -> Vec<Place> {
        let mut found = Vec::new();
        let imports = self.folders.get(place).map(|folder| &folder.imports);
        for import in imports.into_iter().flatten() {
            if seen.insert(import.from.clone()) {
                found.push(import.from.clone());
                found.extend(self.imported(&import.from, seen));
            }
        }
        found
    }

    fn list(&self, place: &Place, recursive: bool, view: &View<'_>) -> Result<Value, Refusal> {
        let mut secrets = Vec::new();
        let mut seen = BTreeSet::from([place.clone()]);
        let mut imports = Vec::new();
        for (at, folder) in &self.folders {
            if at != place && !(recursive && place.covers(at)) {
                continue;
            }
            self.denials.require(Right::Describe, at)?;
            for secret in folder.sorted() {
                secrets.extend(self.show(secret, at, view)?);
            }
            if view.imports {
                imports.extend(self.imported(at, &mut seen));
            }
        }
        let mut shown = Vec::new();
        for from in imports {
            let Some(folder) = self.folders.get(&from) else {
                continue;
            };
            let inside: Result<Vec<Value>, Refusal> = folder
                .sorted()
                .into_iter()
                .filter_map(|secret| self.show(secret, &from, view).transpose())
                .collect();
            shown.push(json!({
                "secretPath": from.path, "environment": from.environment, "folderId": folder.id, "secrets": inside?,
            }));
        }
        Ok(json!({ "secrets": secrets, "imports": shown }))
    }

    /// The secret of a key in a folder, or in what it imports, the last import first.
    fn find(&self, place: &Place, key: &str, imports: bool) -> Result<(Place, &Secret), Refusal> {
        let folder = self.folders.get(place);
        let folder = folder.ok_or_else(|| place.missing("GetSecretByName"))?;
        if let Some(secret) = folder.secret(key) {
            return Ok((place.clone(), secret));
        }
        if imports {
            let mut seen = BTreeSet::from([place.clone()]);
            for from in self.imported(place, &mut seen).into_iter().rev() {
                let found = self
                    .folders
                    .get(&from)
                    .and_then(|folder| folder.secret(key));
                if let Some(secret) = found {
                    return Ok((from, secret));
                }
            }
        }
        Err(no_secret(key))
    }
}

fn no_secret(key: &str) -> Refusal {
    Refusal::missing("NotFound", format!("Secret with name '{key}' not found"))
}

pub(super) async fn list(
    Shared(infisical): Shared<Infisical>,
    route: Route,
    Pairs(pairs): Parameters,
) -> Answer {
    let mut fields = Fields::of_query(pairs);
    for unknown in ["metadataFilter", "tagSlugs"] {
        if fields.has(unknown) {
            return Err(Refusal::unknown_to_lab(&format!("the filter {unknown}")));
        }
    }
    let view = View::read(&mut fields, &infisical, &route);
    let recursive = fields.word("recursive", false);
    let place = infisical.place(&mut fields, route.generation, true)?;
    infisical.state().list(&place, recursive, &view).map(Json)
}

pub(super) async fn read(
    Shared(infisical): Shared<Infisical>,
    route: Route,
    Path(name): Path<String>,
    Pairs(pairs): Parameters,
) -> Answer {
    let mut fields = Fields::of_query(pairs);
    let view = View::read(&mut fields, &infisical, &route);
    fields.one_of("type", &["shared", "personal"]);
    let number = fields.number("version");
    let place = infisical.place(&mut fields, route.generation, false)?;
    let state = infisical.state();
    let (place, secret) = state.find(&place, name.trim(), view.imports)?;
    state.denials.require(Right::Describe, &place)?;
    let number = match number {
        None => view.newest(secret),
        Some(number) => usize::try_from(number).unwrap_or(0),
    };
    let version = secret.version(number).ok_or_else(|| no_secret(&name))?;
    let value = if view.values {
        if !state.denials.allow(Right::ReadValue, &place) {
            return Err(Refusal::unreadable(&name));
        }
        Some(state.value(&version.value, &place, &view)?)
    } else {
        None
    };
    let shown = secret.view(view.project, &place, number, value.as_deref());
    Ok(Json(json!({ "secret": shown })))
}

pub(super) async fn read_by_id(
    Shared(infisical): Shared<Infisical>,
    Path(id): Path<String>,
) -> Answer {
    let state = infisical.state();
    let found = state.folders.iter().find_map(|(place, folder)| {
        let secret = folder.secrets.iter().find(|secret| secret.id == id)?;
        Some((place, secret))
    });
    let (place, secret) = found
        .ok_or_else(|| Refusal::missing("NotFound", format!("Secret with ID '{id}' not found")))?;
    let view = View {
        project: &infisical.0.project_id,
        values: true,
        expand: false,
        imports: false,
        behind: 0,
    };
    Ok(Json(json!({ "secret": state.show(secret, place, &view)? })))
}

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
fn changed(infisical: &Infisical, place: &Place, secret: &Secret, value: &str) -> Value {
    let number = secret.versions.len();
    let shown = secret.view(&infisical.0.project_id, place, number, Some(value));
    shown.expect("the latest version exists")
}

fn insert(folder: &mut Folder, key: &str, draft: Draft, now: Timestamp) -> Secret {
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
fn check_draft(state: &State, right: Right, place: &Place, draft: &Draft) -> Result<(), Refusal> {
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
fn take(folder: &mut Folder, key: &str) -> Option<Secret> {
    let found = folder.secret(key).cloned();
    folder.secrets.retain(|secret| secret.latest().key != key);
    found
}

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
