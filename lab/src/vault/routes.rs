//! From a request to an answer. Vault's paths have no fixed depth and its verbs include `LIST`, so the router only splits off `/v1/`.

use axum::Router;
use axum::extract::{Path, Request, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use jiff::Timestamp;

use super::answer::{Refusal, Reply};
use super::call::{Call, Verb};
use super::kv2::{KvV2, list};
use super::{Engine, State, Vault, kv1, system};
use crate::fault::Action;
use crate::serve::{HangUp, Meter};

/// Vault's own limit on bodies.
const LARGEST_BODY: usize = 32 << 20;
/// The parts of a versioned mount that are followed by a key.
const PARTS: [&str; 6] = [
    "data", "metadata", "delete", "undelete", "destroy", "subkeys",
];

/// The whole service with counting and faults.
pub fn router(vault: Vault, meter: Meter) -> Router {
    Router::new()
        .route("/v1/{*path}", any(serve))
        .fallback(async |request: Request| Refusal::no_handler(request.uri().path()))
        .with_state((vault, meter))
}

async fn serve(
    Shared((vault, meter)): Shared<(Vault, Meter)>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    let hang_up = request.extensions().get::<HangUp>().cloned();
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY).await else {
        return Refusal::bad("http: request body too large").into_response();
    };
    let call = Call::new(path, &parts, body);
    let template = vault.template(&call);
    let work = async { vault.answer(&call, &template) };
    meter
        .measure(&call.method, &template, &parts.uri, hang_up.as_ref(), work)
        .await
}

impl Vault {
    /// The route for counting and for faults; keys, mounts and other names are parts in braces.
    fn template(&self, call: &Call) -> String {
        let state = self.0.state.lock().expect("no panic while held");
        let Ok((namespace, path)) = state.locate(call) else {
            return "/v1/{path}".into();
        };
        let words: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        match words.as_slice() {
            ["sys", "internal", "ui", "mounts", ..] => "/v1/sys/internal/ui/mounts/{path}".into(),
            ["sys", "policies", "acl", _, ..] => "/v1/sys/policies/acl/{name}".into(),
            ["sys", part @ ("mounts" | "policy" | "namespaces"), _, ..] => {
                format!("/v1/sys/{part}/{{name}}")
            }
            ["sys" | "auth", ..] => format!("/v1/{}", words.join("/")),
            _ => match state.mount(&namespace, &path) {
                None => "/v1/{path}".into(),
                Some((_, mount, rest)) => match (&mount.engine, split(rest)) {
                    (Engine::V2(_), ("config", _)) => "/v1/{mount}/config".into(),
                    (Engine::V2(_), (part, _)) if PARTS.contains(&part) => {
                        format!("/v1/{{mount}}/{part}/{{path}}")
                    }
                    _ => "/v1/{mount}/{path}".into(),
                },
            },
        }
    }

    fn answer(&self, call: &Call, template: &str) -> Response {
        let now = self.0.clock.now();
        let target = format!("{} {template}", call.method);
        let is_sealed = |action: &Action| matches!(action, Action::Sealed);
        let sealed = self.0.faults.take("vault", &target, is_sealed).is_some();
        if let Some(reply) = system::without_token(call, sealed, now) {
            return reply.into_response("system");
        }
        if sealed {
            return Refusal::sealed().into_response();
        }
        let mut state = self.0.state.lock().expect("no panic while held");
        match state.answer(call, now) {
            Ok((reply, kind)) => reply.into_response(kind),
            Err(refusal) => refusal.into_response(),
        }
    }
}

/// The first word of a path and the rest.
fn split(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

impl State {
    /// The namespace of a call, from the header or the front of the path, and the path inside it.
    fn locate(&self, call: &Call) -> Result<(String, String), Refusal> {
        let header = call.namespace.trim_matches('/');
        let mut namespace = match header {
            "" | "root" => String::new(),
            name => format!("{name}/"),
        };
        if !self.namespaces.contains_key(&namespace) {
            return Err(Refusal::no_namespace());
        }
        let mut path = call.path.as_str();
        while let Some((word, rest)) = path.split_once('/') {
            let deeper = format!("{namespace}{word}/");
            if !self.namespaces.contains_key(&deeper) {
                break;
            }
            (namespace, path) = (deeper, rest);
        }
        Ok((namespace, path.to_owned()))
    }

    fn answer(&mut self, call: &Call, now: Timestamp) -> Result<(Reply, &'static str), Refusal> {
        let token = self.tokens.authenticate(call.token.as_deref(), now)?;
        call.check()?;
        let (namespace, path) = self.locate(call)?;
        if let Some(rest) = path.strip_prefix("sys/") {
            return Ok((self.system(call, &token, &namespace, rest)?, "system"));
        }
        if let Some(operation) = path.strip_prefix("auth/token/") {
            let capability = if call.verb == Verb::Read {
                "read"
            } else {
                "update"
            };
            self.require(&token, &namespace, &path, capability)?;
            let body = call.body()?;
            let reply = self
                .tokens
                .answer(operation, &token, &namespace, &body, now)?;
            return Ok((reply, "token"));
        }
        let Some((name, mount, rest)) = self.mount(&namespace, &path) else {
            self.require(&token, &namespace, &path, "read")?;
            return Err(Refusal::no_handler(&path));
        };
        let capability = needed(&mount.engine, call.verb, rest)?;
        self.require(&token, &namespace, &path, capability)?;
        if call.verb == Verb::Write && path.ends_with('/') {
            return Err(Refusal::bad("cannot write to a path ending in '/'"));
        }
        let name = name.to_owned();
        let mounts = &mut self
            .namespaces
            .get_mut(&namespace)
            .expect("located above")
            .mounts;
        let mount = mounts.get_mut(&name).expect("found above");
        let reply = match &mut mount.engine {
            Engine::V1(entries) => kv1::answer(entries, call.verb, rest, call.body()?),
            Engine::V2(kv) => versioned(kv, call, rest, now),
        };
        Ok((reply?, "kv"))
    }
}

/// The capability that a call needs; a first write needs another one than those after it.
fn needed(engine: &Engine, verb: Verb, rest: &str) -> Result<&'static str, Refusal> {
    Ok(match verb {
        Verb::Read => "read",
        Verb::Delete => "delete",
        Verb::List => "list",
        Verb::Patch => "patch",
        Verb::Other => return Err(Refusal::no_method()),
        Verb::Write => {
            let exists = match engine {
                Engine::V1(entries) => entries.contains_key(rest),
                Engine::V2(kv) => match split(rest) {
                    ("data" | "metadata", key) => kv.entries.contains_key(key),
                    _ => true,
                },
            };
            if exists { "update" } else { "create" }
        }
    })
}

fn versioned(kv: &mut KvV2, call: &Call, rest: &str, now: Timestamp) -> Result<Reply, Refusal> {
    let (part, key) = split(rest);
    if !PARTS.contains(&part) && part != "config" {
        return Ok(Reply::NotVersioned);
    }
    let version = call.query("version");
    let writes = matches!(call.verb, Verb::Write | Verb::Patch);
    if key.is_empty() && part != "config" && writes {
        return Err(Refusal::bad("missing path"));
    }
    match (part, call.verb) {
        ("config", Verb::Read) => Ok(kv.read_config()),
        ("config", Verb::Write) => kv.write_config(&call.body()?),
        ("data", Verb::Read) => kv.read(key, version, now),
        ("data", Verb::Write) => kv.write(key, &call.body()?, now),
        ("data", Verb::Patch) => kv.patch(key, &call.body()?, now),
        ("data", Verb::Delete) => Ok(kv.delete(key, now)),
        ("subkeys", Verb::Read) => kv.subkeys(key, version, now),
        ("metadata", Verb::Read) => kv.read_metadata(key),
        ("metadata", Verb::List) => list(kv.entries.keys(), key),
        ("metadata", Verb::Write) => kv.write_metadata(key, &call.body()?, false, now),
        ("metadata", Verb::Patch) => kv.write_metadata(key, &call.body()?, true, now),
        ("metadata", Verb::Delete) => Ok(kv.forget(key)),
        ("delete" | "undelete" | "destroy", Verb::Write) => {
            kv.change_versions(key, part, &call.body()?, now)
        }
        _ => Err(Refusal::unsupported()),
    }
}
