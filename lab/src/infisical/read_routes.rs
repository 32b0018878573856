//! Reading secrets: one, all of a folder, what is imported, and what the reader may not see.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, Query as Pairs, State as Shared};
use serde_json::{Value, json};

use super::error::Refusal;
use super::folder::Place;
use super::input::Fields;
use super::reference;
use super::rights::Right;
use super::routes::{Answer, Route};
use super::secret::Secret;
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
