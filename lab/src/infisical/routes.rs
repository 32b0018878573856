//! The router of the simulated Infisical: login, authentication, and what both generations of the API share.

use axum::body::Bytes;
use axum::extract::{FromRequestParts, MatchedPath, OriginalUri, Path, Request, State as Shared};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::{Refusal, no_route};
use super::folder::Place;
use super::input::Fields;
use super::{
    ENVIRONMENTS, Infisical, batch_routes, change_routes, environment_id, folder_routes,
    import_routes, read_routes,
};
use crate::fault::Action;
use crate::serve::{Meter, fault_layer};

pub(super) type Answer = Result<Json<Value>, Refusal>;

/// The whole service with auth, counting and faults.
pub fn router(infisical: Infisical, meter: Meter) -> Router {
    let mut open = Router::new()
        .route(
            "/api/status",
            get(async || Json(json!({ "message": "Ok" }))),
        )
        .route("/api/v1/auth/universal-auth/login", post(login))
        .route("/api/v1/auth/token/renew", post(renew))
        .route("/api/v1/auth/token/revoke", post(revoke));
    let mut closed = Router::new()
        .route("/api/v1/workspace/{id}", get(project))
        .route("/api/v1/projects/{id}", get(project));
    for (all, one, id, batch) in [
        (
            "/api/v4/secrets",
            "/api/v4/secrets/{name}",
            "/api/v4/secrets/id/{id}",
            "/api/v4/secrets/batch",
        ),
        (
            "/api/v3/secrets/raw",
            "/api/v3/secrets/raw/{name}",
            "/api/v3/secrets/raw/id/{id}",
            "/api/v3/secrets/batch/raw",
        ),
    ] {
        closed = closed
            .route(all, get(read_routes::list))
            .route(
                one,
                get(read_routes::read)
                    .post(change_routes::create)
                    .patch(change_routes::update)
                    .delete(change_routes::delete),
            )
            .route(id, get(read_routes::read_by_id))
            .route(
                batch,
                post(batch_routes::create_many)
                    .patch(batch_routes::update_many)
                    .delete(batch_routes::delete_many),
            );
    }
    for moves in ["/api/v4/secrets/move", "/api/v3/secrets/move"] {
        closed = closed.route(moves, post(unknown));
    }
    for version in ["v1", "v2"] {
        let (folders, imports) = (
            format!("/api/{version}/folders"),
            format!("/api/{version}/secret-imports"),
        );
        closed = closed
            .route(
                &folders,
                get(folder_routes::list).post(folder_routes::create),
            )
            .route(
                &format!("{folders}/{{id}}"),
                get(folder_routes::read)
                    .patch(folder_routes::update)
                    .delete(folder_routes::delete),
            )
            .route(
                &imports,
                get(import_routes::list).post(import_routes::create),
            )
            .route(
                &format!("{imports}/{{id}}"),
                patch(import_routes::update).delete(import_routes::delete),
            );
    }
    let closed = closed.layer(middleware::from_fn_with_state(
        infisical.clone(),
        authenticate,
    ));
    open = open.merge(closed);
    let routes = open
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(middleware::from_fn_with_state(infisical.clone(), age))
        .with_state(infisical);
    fault_layer(routes, meter)
}

async fn unknown(request: Request) -> Refusal {
    let message = format!(
        "LAB-UNKNOWN: the lab's Infisical has no route {} {}",
        request.method(),
        request.uri().path()
    );
    Refusal::missing("NotFound", message)
}

/// An old server does not have the routes of today.
async fn age(Shared(infisical): Shared<Infisical>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let young = path.starts_with("/api/v4/") || path.starts_with("/api/v2/folders");
    if young {
        let template = request
            .extensions()
            .get::<MatchedPath>()
            .map_or(path, MatchedPath::as_str);
        let target = format!("{} {template}", request.method());
        let is_old = |action: &Action| matches!(action, Action::OldServer);
        if infisical.fault(&target, is_old).is_some() {
            let asked = request
                .uri()
                .path_and_query()
                .map_or(path, |asked| asked.as_str());
            return no_route(request.method().as_str(), asked);
        }
    }
    next.run(request).await
}

async fn authenticate(
    Shared(infisical): Shared<Infisical>,
    request: Request,
    next: Next,
) -> Response {
    let header = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let now = infisical.now();
    let known = infisical.state().access.authenticate(header, now);
    match known {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn login(Shared(infisical): Shared<Infisical>, body: Bytes) -> Answer {
    let now = infisical.now();
    infisical.state().access.login(&body, now).map(Json)
}

async fn renew(Shared(infisical): Shared<Infisical>, body: Bytes) -> Answer {
    let now = infisical.now();
    infisical.state().access.renew(&body, now).map(Json)
}

async fn revoke(Shared(infisical): Shared<Infisical>, body: Bytes) -> Answer {
    let now = infisical.now();
    infisical.state().access.revoke(&body, now).map(Json)
}

async fn project(
    Shared(infisical): Shared<Infisical>,
    OriginalUri(uri): OriginalUri,
    Path(id): Path<String>,
) -> Answer {
    infisical.check_project(&id)?;
    let environments: Vec<Value> = ENVIRONMENTS
        .iter()
        .map(|(slug, name)| json!({ "id": environment_id(slug), "slug": slug, "name": name }))
        .collect();
    let view = json!({
        "id": id, "_id": id, "name": "Strata lab", "slug": super::ORGANIZATION, "type": "secret-manager", "environments": environments,
    });
    let word = if uri.path().starts_with("/api/v1/workspace") {
        "workspace"
    } else {
        "project"
    };
    Ok(Json(json!({ word: view })))
}

/// The route of a request: what faults are aimed at, and which generation of the API it belongs to.
pub(super) struct Route {
    pub(super) target: String,
    pub(super) generation: Generation,
}

/// v4 names the project `projectId`; before, it was a workspace, or a slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    V3,
    V4,
}

impl<S: Send + Sync> FromRequestParts<S> for Route {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let matched = parts.extensions.get::<MatchedPath>();
        let template = matched.map_or("", MatchedPath::as_str);
        Ok(Self {
            target: format!("{} {template}", parts.method),
            generation: if template.starts_with("/api/v4/") {
                Generation::V4
            } else {
                Generation::V3
            },
        })
    }
}

impl Infisical {
    /// Refuses another project than the one there is.
    pub(super) fn check_project(&self, id: &str) -> Result<(), Refusal> {
        if id == self.0.project_id {
            return Ok(());
        }
        let message = format!("Project with ID '{id}' not found");
        Err(Refusal::missing("NotFound", message))
    }

    /// Project, environment and folder of a request about secrets.
    pub(super) fn place(
        &self,
        fields: &mut Fields,
        generation: Generation,
        listing: bool,
    ) -> Result<Place, Refusal> {
        let (named, slug) = match generation {
            Generation::V4 => (fields.text("projectId"), None),
            Generation::V3 => (
                fields.text("workspaceId"),
                fields
                    .text("workspaceSlug")
                    .or_else(|| fields.text("projectSlug")),
            ),
        };
        let environment = fields.text("environment");
        let path = fields.text("secretPath").unwrap_or_else(|| "/".into());
        if named.is_none() && slug.is_none() || environment.is_none() {
            if listing {
                return Err(Refusal::bad("Missing project id or environment"));
            }
            match generation {
                Generation::V4 if named.is_none() => drop(fields.required("projectId")),
                Generation::V3 if named.is_none() && slug.is_none() => {
                    return Err(Refusal::bad("You must provide projectSlug or workspaceId"));
                }
                _ => {}
            }
            drop(fields.required("environment"));
        }
        fields.check()?;
        match (named, slug) {
            (Some(id), _) => self.check_project(id.trim())?,
            (None, Some(slug)) if slug == super::ORGANIZATION => {}
            (None, slug) => {
                let message = format!("Project with slug '{}' not found", slug.unwrap_or_default());
                return Err(Refusal::missing("NotFound", message));
            }
        }
        Ok(Place::new(
            environment.unwrap_or_default().trim(),
            path.trim(),
        ))
    }

    /// The approval that a change policy asks for, when a fault says there is one.
    pub(super) fn approval(&self, route: &Route) -> Option<Json<Value>> {
        let waits = |action: &Action| matches!(action, Action::ApprovalPending);
        self.fault(&route.target, waits)?;
        let now = super::folder::stamp(self.now());
        let id = || Uuid::new_v4().to_string();
        let slug = format!("lab-{}", &Uuid::new_v4().simple().to_string()[..6]);
        Some(Json(json!({ "approval": {
            "id": id(), "slug": slug, "policyId": id(), "hasMerged": false, "status": "open",
            "conflicts": null, "folderId": id(), "committerUserId": null, "statusChangedByUserId": null, "createdAt": now, "updatedAt": now,
        } })))
    }
}
