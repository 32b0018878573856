//! The API itself: a parsed request of a known user in, an answer out.

use std::sync::Arc;

use serde_json::{Value, json};

use super::admission::FieldValidation;
use super::answer::{Form, Reply};
use super::deletion::DeleteOptions;
use super::discovery;
use super::identity::Identity;
use super::kind::Kind;
use super::objects::{Change, Write, Written};
use super::plane::{ControlPlane, State};
use super::rbac::{self, Action};
use super::request::{Request, Route, Target};
use super::review;
use super::scale;
use super::selector::Selector;
use super::status::ApiError;
use super::store::Key;

const HEALTH: [&str; 3] = ["livez", "readyz", "healthz"];

impl ControlPlane {
    /// Answers a request.
    pub(super) fn respond(
        self: &Arc<Self>,
        request: &Request,
        identity: &Identity,
        route: &Route,
    ) -> Result<Reply, ApiError> {
        self.reconcile();
        let verb = request.verb(route);
        let Route::Resource {
            group,
            version,
            plural,
            namespace,
            name,
            subresource,
            rest,
        } = route
        else {
            return self.respond_other(request, identity, verb);
        };
        let mut state = self.locked();
        let kind = state
            .kinds
            .iter()
            .find(|kind| kind.group == *group && kind.version == *version && kind.plural == *plural)
            .cloned();
        let Some(kind) = kind else {
            return review::answer(&state, request, identity, group, plural)
                .unwrap_or_else(|| no_such_kind(&state, identity, verb, route));
        };
        let target = Target {
            namespace: if kind.namespaced {
                namespace.clone().unwrap_or_default()
            } else {
                String::new()
            },
            name: name.clone().unwrap_or_default(),
            subresource: subresource.clone().unwrap_or_default(),
            kind,
        };
        // A namespace in front of a kind without one leads nowhere.
        if (namespace.is_some() && !target.kind.namespaced)
            || (target.kind.namespaced && namespace.is_none() && name.is_some())
        {
            return Err(ApiError::no_such_path());
        }
        let selector = Selector::parse(
            request.query.get("labelSelector"),
            request.query.get("fieldSelector"),
        )?;
        // A list or watch of one name is authorised like that object.
        let asked = match (target.name.is_empty(), selector.name()) {
            (true, Some(name)) if matches!(verb, "list" | "watch") => Target {
                name: name.into(),
                ..target.clone()
            },
            _ => target.clone(),
        };
        let asked = if target.kind.is("", "namespaces") && !target.name.is_empty() {
            Target {
                namespace: target.name.clone(),
                ..asked
            }
        } else {
            asked
        };
        rbac::authorize(&state.store, identity, &Action::Resource(verb, &asked))?;
        if !state.has_quorum() {
            return Err(ApiError::no_quorum());
        }
        if *rest
            || matches!(
                target.subresource.as_str(),
                "exec" | "attach" | "portforward" | "proxy"
            )
        {
            return Err(ApiError::unknown_to_lab(&format!(
                "the lab runs no containers and cannot answer {}/{}",
                target.kind.plural, target.subresource
            )));
        }
        let manager = request.field_manager();
        let write = Write {
            manager: &manager,
            subresource: &target.subresource,
            now: self.clock.now(),
            dry_run: request.is_dry_run(),
            validation: FieldValidation::parse(request.query.get("fieldValidation"))?,
            service_subnet: &self.bootstrap.service_subnet,
        };
        let form = Form::of(request);
        let reply = match (verb, target.subresource.as_str()) {
            ("get", "log") => state.log(&target),
            (_, "scale") if scale::has_scale(&target.kind.group, &target.kind.plural) => state
                .scale(verb, &target, request, &write)
                .map(|view| Reply::json(200, view)),
            ("get", "" | "status") => state.get(&target, &form, &write),
            ("list", "") => state.list(&target, &selector, request, &form, &write),
            ("watch", "") => state.watch(&target, selector, request, form),
            ("create", "") if target.name.is_empty() => {
                let written =
                    state.create(&target.kind, &target.namespace, request.object()?, &write)?;
                Ok(written_reply(&target.kind, written, &form, &write))
            }
            ("create", "eviction") if target.kind.is("", "pods") => {
                let answer =
                    state.evict(&target.namespace, &target.name, &request.object()?, &write)?;
                Ok(Reply::json(201, answer))
            }
            ("update", "" | "status" | "approval") | ("patch", "" | "status") => {
                let change = if verb == "update" {
                    Change::Replace(request.object()?)
                } else {
                    change_of(request, &target.kind)?
                };
                if let Change::Apply { .. } = change
                    && state
                        .store
                        .get(&Key::of(&target.kind, &target.namespace, &target.name))
                        .is_none()
                {
                    rbac::authorize(&state.store, identity, &Action::Resource("create", &target))?;
                }
                let written = state.change(
                    &target.kind,
                    &target.namespace,
                    &target.name,
                    change,
                    &write,
                )?;
                Ok(written_reply(&target.kind, written, &form, &write))
            }
            ("update", "finalize") if target.kind.is("", "namespaces") => {
                state.get(&target, &form, &write)
            }
            ("delete", "") => {
                let options = delete_options(request)?;
                let answer = state.delete(
                    &target.kind,
                    &target.namespace,
                    &target.name,
                    &options,
                    &write,
                )?;
                Ok(Reply::json(200, answer))
            }
            ("deletecollection", "") => {
                state.delete_collection(&target, &selector, request, &write)
            }
            ("get", _) => Err(ApiError::no_such_path()),
            _ => Err(ApiError::method_not_allowed()),
        };
        drop(state);
        if !matches!(verb, "get" | "list" | "watch") {
            self.settle();
        }
        reply
    }

    fn respond_other(
        &self,
        request: &Request,
        identity: &Identity,
        verb: &str,
    ) -> Result<Reply, ApiError> {
        let path = request.path.trim_end_matches('/');
        let mut state = self.locked();
        rbac::authorize(&state.store, identity, &Action::Path(verb, path))?;
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if let Some(health) = parts.first().filter(|first| HEALTH.contains(first)) {
            return Ok(health_reply(
                health,
                state.has_quorum(),
                request.query.has("verbose"),
            ));
        }
        if verb != "get" {
            return Err(ApiError::method_not_allowed());
        }
        match parts.as_slice() {
            [] => Ok(Reply::json(
                200,
                json!({"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}),
            )),
            ["version"] => {
                let version = state.git_version(&request.server);
                let mut numbers = version.trim_start_matches('v').split('.');
                Ok(Reply::json(
                    200,
                    json!({"major": numbers.next(), "minor": numbers.next(), "gitVersion": version, "gitCommit": "lab", "gitTreeState": "clean",
                        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "none", "platform": "linux/amd64"}),
                ))
            }
            ["api" | "apis", ..] => discovery::answer(path, &request.accept, &state.kinds)
                .map(|answer| Reply::json(200, answer))
                .ok_or_else(ApiError::no_such_path),
            ["openapi", "v3", ..] => discovery::open_api_v3(path, &state.kinds)
                .map(|answer| Reply::json(200, answer))
                .ok_or_else(ApiError::no_such_path),
            ["openapi", "v2"] => Ok(Reply::json(
                200,
                json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": state.git_version(&request.server)}, "paths": {}, "definitions": {}}),
            )),
            _ => Ok(Reply::text(404, "404 page not found\n")),
        }
    }
}

fn no_such_kind(
    state: &State,
    identity: &Identity,
    verb: &str,
    route: &Route,
) -> Result<Reply, ApiError> {
    // The authorizer comes before the router: strangers do not learn what exists.
    if let Route::Resource {
        group,
        version,
        plural,
        namespace,
        name,
        subresource,
        ..
    } = route
    {
        let kind = Kind {
            group: group.clone(),
            version: version.clone(),
            plural: plural.clone(),
            singular: String::new(),
            kind: String::new(),
            namespaced: namespace.is_some(),
            short_names: Vec::new(),
            has_status: false,
            categories: Vec::new(),
            schema: None,
            columns: Arc::default(),
        };
        let target = Target {
            kind,
            namespace: namespace.clone().unwrap_or_default(),
            name: name.clone().unwrap_or_default(),
            subresource: subresource.clone().unwrap_or_default(),
        };
        rbac::authorize(&state.store, identity, &Action::Resource(verb, &target))?;
    }
    Err(ApiError::no_such_path())
}

fn health_reply(endpoint: &str, healthy: bool, verbose: bool) -> Reply {
    if healthy && !verbose {
        return Reply::text(200, "ok");
    }
    let mut text = String::from("[+]ping ok\n[+]log ok\n");
    text.push_str(if healthy {
        "[+]etcd ok\n"
    } else {
        "[-]etcd failed: reason withheld\n"
    });
    let (code, verdict) = if healthy {
        (200, "passed")
    } else {
        (500, "failed")
    };
    Reply::text(code, format!("{text}{endpoint} check {verdict}\n"))
}

fn change_of(request: &Request, kind: &Kind) -> Result<Change, ApiError> {
    let media = request
        .content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    match media {
        "application/json-patch+json" => Ok(Change::Json(request.object()?)),
        "application/merge-patch+json" => Ok(Change::Merge(request.object()?)),
        "application/strategic-merge-patch+json" if !kind.is_custom() => {
            Ok(Change::Strategic(request.object()?))
        }
        "application/apply-patch+yaml" => {
            if request.query.get("fieldManager").is_empty() {
                return Err(ApiError::new(
                    422,
                    "Invalid",
                    "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
                ));
            }
            let configuration = request.object()?;
            if configuration["metadata"]
                .get("managedFields")
                .is_some_and(|fields| !fields.is_null())
            {
                return Err(ApiError::bad_request("metadata.managedFields must be nil"));
            }
            Ok(Change::Apply {
                configuration,
                force: request.query.is_true("force"),
            })
        }
        other => {
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml (got {other})"
            );
            Err(ApiError::new(415, "UnsupportedMediaType", message))
        }
    }
}

fn delete_options(request: &Request) -> Result<DeleteOptions, ApiError> {
    let body = if request.body.is_empty() {
        Value::Null
    } else {
        request.object()?
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let query = |name: &str| request.query.get(name).to_owned();
    Ok(DeleteOptions {
        propagation: if body["propagationPolicy"].is_string() {
            text(&body["propagationPolicy"])
        } else {
            query("propagationPolicy")
        },
        grace: body["gracePeriodSeconds"]
            .as_i64()
            .or_else(|| query("gracePeriodSeconds").parse().ok()),
        uid: text(&body["preconditions"]["uid"]),
        resource_version: text(&body["preconditions"]["resourceVersion"]),
    })
}

fn written_reply(kind: &Kind, written: Written, form: &Form, write: &Write) -> Reply {
    let code = if written.created { 201 } else { 200 };
    Reply {
        warnings: written.warnings,
        ..Reply::json(code, form.object(kind, &written.object, write.now))
    }
}

impl State {
    fn delete_collection(
        &mut self,
        target: &Target,
        selector: &Selector,
        request: &Request,
        write: &Write,
    ) -> Result<Reply, ApiError> {
        if target.kind.namespaced && target.namespace.is_empty() {
            return Err(ApiError::method_not_allowed());
        }
        let namespace = (!target.namespace.is_empty()).then_some(target.namespace.as_str());
        let names: Vec<(String, String)> = self
            .store
            .list(&target.kind.id(), namespace)
            .filter(|(_, object)| selector.matches(object))
            .map(|(key, _)| (key.namespace.clone(), key.name.clone()))
            .collect();
        let options = delete_options(request)?;
        for (namespace, name) in &names {
            self.delete(&target.kind, namespace, name, &options, write)?;
        }
        Ok(Reply::json(
            200,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {"kind": target.kind.plural}}),
        ))
    }
}
