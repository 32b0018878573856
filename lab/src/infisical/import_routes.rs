//! Imports over HTTP: which folders' secrets a folder shows, the later ones first.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Pairs, State as Shared};
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::Refusal;
use super::folder::{Import, Place, stamp};
use super::input::Fields;
use super::routes::Answer;
use super::{Infisical, State, environment_id};

type Parameters = Pairs<Vec<(String, String)>>;

fn place(infisical: &Infisical, fields: &mut Fields) -> Result<Place, Refusal> {
    let project = if fields.has("workspaceId") {
        fields.required("workspaceId")
    } else {
        fields.required("projectId")
    };
    let environment = fields.required("environment");
    let path = fields.text("path").unwrap_or_else(|| "/".into());
    fields.check()?;
    infisical.check_project(&project)?;
    Ok(Place::new(&environment, path.trim()))
}

impl State {
    fn imports(&mut self, place: &Place) -> Result<&mut Vec<Import>, Refusal> {
        let folder = self.folders.get_mut(place);
        let folder = folder.ok_or_else(|| place.missing("SecretImport"))?;
        Ok(&mut folder.imports)
    }
}

fn view(import: &Import, index: usize) -> Value {
    let slug = &import.from.environment;
    json!({
        "id": import.id, "version": 1, "importPath": import.from.path, "position": index + 1, "isReplication": false, "isReserved": false,
        "importEnv": { "id": environment_id(slug), "slug": slug, "name": slug },
        "createdAt": stamp(import.made), "updatedAt": stamp(import.made),
    })
}

fn position(imports: &[Import], id: &str) -> Result<usize, Refusal> {
    let found = imports.iter().position(|import| import.id == id);
    let message = format!("Secret import with ID '{id}' not found");
    found.ok_or_else(|| Refusal::missing("NotFound", message))
}

pub(super) async fn create(Shared(infisical): Shared<Infisical>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let mut import = fields.object("import");
    let (environment, path) = (import.required("environment"), import.required("path"));
    fields.take_issues(import);
    let place = place(&infisical, &mut fields)?;
    let from = Place::new(&environment, &path);
    let now = infisical.now();
    let mut state = infisical.state();
    if !state.folders.contains_key(&from) {
        return Err(from.missing("CreateImport"));
    }
    let imports = state.imports(&place)?;
    if imports.iter().any(|import| import.from == from) || from == place {
        return Err(Refusal::bad("Secret import already exist"));
    }
    imports.push(Import {
        id: Uuid::new_v4().to_string(),
        from,
        made: now,
    });
    let index = imports.len() - 1;
    let shown = view(&imports[index], index);
    Ok(Json(
        json!({ "message": "Successfully created secret import", "secretImport": shown }),
    ))
}

pub(super) async fn list(Shared(infisical): Shared<Infisical>, Pairs(pairs): Parameters) -> Answer {
    let mut fields = Fields::of_query(pairs);
    let place = place(&infisical, &mut fields)?;
    let mut state = infisical.state();
    let imports = state.imports(&place)?;
    let shown: Vec<Value> = imports
        .iter()
        .enumerate()
        .map(|(index, import)| view(import, index))
        .collect();
    Ok(Json(
        json!({ "message": "Successfully fetched secret imports", "secretImports": shown }),
    ))
}

/// Another source or another position.
pub(super) async fn update(
    Shared(infisical): Shared<Infisical>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let mut change = fields.object("import");
    let environment = change.text("environment");
    let path = change.text("path");
    let to = change.number("position");
    fields.take_issues(change);
    let place = place(&infisical, &mut fields)?;
    let mut state = infisical.state();
    let imports = state.imports(&place)?;
    let index = position(imports, &id)?;
    let mut import = imports.remove(index);
    let environment = environment.unwrap_or_else(|| import.from.environment.clone());
    let path = path.unwrap_or_else(|| import.from.path.clone());
    import.from = Place::new(&environment, &path);
    let to = to.and_then(|to| usize::try_from(to - 1).ok());
    let to = to.unwrap_or(index).min(imports.len());
    imports.insert(to, import);
    let shown = view(&imports[to], to);
    Ok(Json(
        json!({ "message": "Successfully updated secret import", "secretImport": shown }),
    ))
}

pub(super) async fn delete(
    Shared(infisical): Shared<Infisical>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let place = place(&infisical, &mut fields)?;
    let mut state = infisical.state();
    let imports = state.imports(&place)?;
    let index = position(imports, &id)?;
    let shown = view(&imports.remove(index), index);
    Ok(Json(
        json!({ "message": "Successfully deleted secret import", "secretImport": shown }),
    ))
}
