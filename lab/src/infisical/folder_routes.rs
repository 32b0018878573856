//! Folders over HTTP. v1 says workspace and directory where v2 says project and path; both take both words.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Pairs, State as Shared};
use serde_json::json;

use super::error::Refusal;
use super::folder::{self, Place, view};
use super::input::Fields;
use super::routes::{Answer, Route};
use super::{ENVIRONMENTS, Infisical, environment_id};
use crate::fault::Action;

type Parameters = Pairs<Vec<(String, String)>>;

/// The folder that a request is about; the environment must exist.
fn place(infisical: &Infisical, fields: &mut Fields) -> Result<Place, Refusal> {
    let project = if fields.has("workspaceId") {
        fields.required("workspaceId")
    } else {
        fields.required("projectId")
    };
    let environment = fields.required("environment");
    let path = match fields.text("path") {
        Some(path) => Some(path),
        None => fields.text("directory"),
    };
    fields.check()?;
    infisical.check_project(&project)?;
    if !ENVIRONMENTS.iter().any(|(slug, _)| *slug == environment) {
        let message = format!(
            "Environment with slug '{environment}' in project with ID '{project}' not found"
        );
        return Err(Refusal::missing("NotFound", message));
    }
    Ok(Place::new(
        &environment,
        path.as_deref().unwrap_or("/").trim(),
    ))
}

/// The name of a folder in a body: letters, digits, dashes and underscores.
fn name(fields: &mut Fields) -> String {
    let name = fields.required("name");
    let good = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if fields.has("name") && (name.is_empty() || !name.chars().all(good)) {
        fields.issue(
            "name",
            "Invalid folder name. Only alphanumeric characters, dashes, and underscores are allowed.",
        );
    }
    name
}

pub(super) async fn create(
    Shared(infisical): Shared<Infisical>,
    route: Route,
    body: Bytes,
) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let name = name(&mut fields);
    let description = fields.nullable_text("description");
    let place = place(&infisical, &mut fields)?.child(&name);
    let is_old = |action: &Action| matches!(action, Action::OldServer);
    let lenient = infisical.fault(&route.target, is_old).is_none();
    let now = infisical.now();
    let mut state = infisical.state();
    folder::create(&mut state.folders, &place, description, lenient, now)?;
    let shown = view(&state.folders, &place, &state.folders[&place]);
    Ok(Json(json!({ "folder": shown })))
}

pub(super) async fn list(Shared(infisical): Shared<Infisical>, Pairs(pairs): Parameters) -> Answer {
    let mut fields = Fields::of_query(pairs);
    if fields.has("lastSecretModified") {
        return Err(Refusal::unknown_to_lab("the filter lastSecretModified"));
    }
    let recursive = fields.loose_flag("recursive");
    let place = place(&infisical, &mut fields)?;
    let state = infisical.state();
    let below = state.folders.iter().filter(|(at, _)| {
        at.parent()
            .is_some_and(|parent| parent == place || (recursive && place.covers(&parent)))
    });
    let shown: Vec<_> = below
        .map(|(at, folder)| {
            let mut shown = view(&state.folders, at, folder);
            if recursive {
                shown["relativePath"] = at.path.clone().into();
            }
            shown
        })
        .collect();
    Ok(Json(json!({ "folders": shown })))
}

fn by_id<'a>(folders: &'a folder::Folders, id: &str) -> Option<&'a Place> {
    let found = folders.iter().find(|(_, folder)| folder.id == id);
    found.map(|(place, _)| place)
}

fn no_folder(id: &str) -> Refusal {
    Refusal::missing("NotFound", format!("Folder with ID '{id}' not found"))
}

pub(super) async fn read(Shared(infisical): Shared<Infisical>, Path(id): Path<String>) -> Answer {
    let state = infisical.state();
    let place = by_id(&state.folders, &id).ok_or_else(|| no_folder(&id))?;
    let mut shown = view(&state.folders, place, &state.folders[place]);
    let slug = place.environment.as_str();
    let name = ENVIRONMENTS.iter().find(|(known, _)| *known == slug);
    shown["projectId"] = infisical.0.project_id.clone().into();
    shown["environment"] = json!({
        "envId": environment_id(slug), "envName": name.map(|(_, name)| name), "envSlug": slug,
    });
    Ok(Json(json!({ "folder": shown })))
}

/// The folder meant by an id, or by a name as older clients do, directly inside another.
fn inside(folders: &folder::Folders, parent: &Place, id: &str) -> Result<Place, Refusal> {
    let by_id = by_id(folders, id).filter(|place| place.parent().as_ref() == Some(parent));
    let by_name = || {
        let place = parent.child(id);
        folders.contains_key(&place).then_some(place)
    };
    by_id.cloned().or_else(by_name).ok_or_else(|| no_folder(id))
}

pub(super) async fn update(
    Shared(infisical): Shared<Infisical>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let name = name(&mut fields);
    let description = fields.nullable_text("description");
    let parent = place(&infisical, &mut fields)?;
    let now = infisical.now();
    let mut state = infisical.state();
    let from = inside(&state.folders, &parent, &id)?;
    let to = parent.child(&name);
    if from != to && state.folders.contains_key(&to) {
        return Err(Refusal::bad("Folder with specified name already exists"));
    }
    folder::rename(&mut state.folders, &from, &to);
    let folder = state.folders.get_mut(&to).expect("renamed above");
    folder.touch(description, now);
    let shown = view(&state.folders, &to, &state.folders[&to]);
    Ok(Json(json!({ "folder": shown })))
}

/// With everything in it.
pub(super) async fn delete(
    Shared(infisical): Shared<Infisical>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let parent = place(&infisical, &mut fields)?;
    let mut state = infisical.state();
    let gone = inside(&state.folders, &parent, &id)?;
    let shown = view(&state.folders, &gone, &state.folders[&gone]);
    state.folders.retain(|place, _| !gone.covers(place));
    Ok(Json(json!({ "folder": shown })))
}
