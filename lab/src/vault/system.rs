//! `sys/`: health, mounts, policies, namespaces, and what a token may do.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answer::{Refusal, Reply};
use super::call::{Call, Verb};
use super::duration::seconds;
use super::kv2::{KvV2, list};
use super::policy::{Policy, reach};
use super::token::Token;
use super::{Engine, Mount, Namespace, State};

/// The version that the lab claims to be.
const VERSION: &str = "1.20.4+lab";

/// Routes that answer without a token, also while sealed; `None` for the others.
pub(super) fn without_token(call: &Call, sealed: bool, now: Timestamp) -> Option<Reply> {
    match (call.verb, call.path.as_str()) {
        (Verb::Read, "sys/health") => Some(health(call, sealed, now)),
        (Verb::Read, "sys/seal-status") => Some(Reply::Bare(
            StatusCode::OK,
            json!({
                "type": "shamir", "initialized": true, "sealed": sealed, "t": 1, "n": 1, "progress": 0, "nonce": "",
                "version": VERSION, "build_date": "", "migration": false, "recovery_seal": false, "storage_type": "inmem",
            }),
        )),
        (Verb::Read, "sys/init") => {
            Some(Reply::Bare(StatusCode::OK, json!({ "initialized": true })))
        }
        _ => None,
    }
}

fn health(call: &Call, sealed: bool, now: Timestamp) -> Reply {
    let (name, usual) = if sealed {
        ("sealedcode", StatusCode::SERVICE_UNAVAILABLE)
    } else {
        ("activecode", StatusCode::OK)
    };
    let asked = call.query(name).and_then(|code| code.parse().ok());
    let status = asked
        .and_then(|code: u16| StatusCode::from_u16(code).ok())
        .unwrap_or(usual);
    Reply::Bare(
        status,
        json!({
            "initialized": true, "sealed": sealed, "standby": sealed, "performance_standby": false, "server_time_utc": now.as_second(),
            "version": VERSION, "cluster_name": "vault-cluster-lab", "cluster_id": "6c616200-0000-4000-8000-000000000000",
        }),
    )
}

impl Mount {
    fn view(&self, name: &str) -> Value {
        json!({
            "accessor": self.accessor, "config": { "default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 0 },
            "description": self.description, "external_entropy_access": false, "local": false, "options": self.options,
            "path": format!("{name}/"), "seal_wrap": false, "type": "kv", "uuid": self.uuid,
        })
    }
}

impl State {
    /// `sys/<rest>` for a caller with a good token.
    pub(super) fn system(
        &mut self,
        call: &Call,
        token: &Token,
        namespace: &str,
        rest: &str,
    ) -> Result<Reply, Refusal> {
        if let Some(path) = rest.strip_prefix("internal/ui/mounts/") {
            return self.preflight(token, namespace, path);
        }
        let capability = match call.verb {
            Verb::Read => "read",
            Verb::List => "list",
            Verb::Delete => "delete",
            _ => "update",
        };
        self.require(token, namespace, &format!("sys/{rest}"), capability)?;
        let inside = self
            .namespaces
            .get_mut(namespace)
            .expect("found for this call");
        match (rest.split_once('/').unwrap_or((rest, "")), call.verb) {
            (("mounts", ""), Verb::Read) => {
                let views = inside.mounts.iter();
                let views = views.map(|(name, mount)| (format!("{name}/"), mount.view(name)));
                Ok(Reply::Data(Value::Object(views.collect())))
            }
            (("mounts", path), verb) => {
                mounts(inside, path.trim_end_matches('/'), verb, &call.body()?)
            }
            (("policies", path), verb) => {
                let path = path
                    .strip_prefix("acl/")
                    .ok_or_else(|| Refusal::no_handler(&call.path))?;
                policies(inside, path, verb, &call.body()?)
            }
            (("policy", path), verb) => policies(inside, path, verb, &call.body()?),
            (("namespaces", path), verb) => {
                self.namespaces(namespace, path.trim_end_matches('/'), verb)
            }
            (("capabilities-self", ""), Verb::Write) => {
                self.own_rights(token, namespace, &call.body()?)
            }
            _ => Err(Refusal::unknown_to_lab(&call.path)),
        }
    }

    /// What clients ask before they use a mount: its version. 403 for a token that reaches nothing in it, also when it does not exist.
    fn preflight(&self, token: &Token, namespace: &str, path: &str) -> Result<Reply, Refusal> {
        let refused = || {
            let error = format!(
                "preflight capability check returned 403, please ensure client's policies grant access to path \"{path}/\""
            );
            Refusal::new(StatusCode::FORBIDDEN, error)
        };
        let (name, mount, _) = self
            .mount(namespace, path.trim_end_matches('/'))
            .ok_or_else(refused)?;
        let below = namespace
            .strip_prefix(token.namespace.as_str())
            .ok_or_else(refused)?;
        if !token.is_root() && !reach(self.rules(token), &format!("{below}{name}/")) {
            return Err(refused());
        }
        Ok(Reply::Data(mount.view(name)))
    }

    fn own_rights(
        &self,
        token: &Token,
        namespace: &str,
        body: &Map<String, Value>,
    ) -> Result<Reply, Refusal> {
        let paths = match (body.get("paths"), body.get("path")) {
            (Some(Value::Array(paths)), _) => paths.as_slice(),
            (_, Some(path)) => std::slice::from_ref(path),
            _ => return Err(Refusal::bad("paths must be supplied")),
        };
        let mut rights = Map::new();
        for path in paths.iter().filter_map(Value::as_str) {
            let names = match self.capabilities(token, namespace, path) {
                None => json!(["root"]),
                Some(names) if names.is_empty() => json!(["deny"]),
                Some(names) => json!(names),
            };
            rights.insert(path.to_owned(), names);
        }
        if let (1, Some(names)) = (rights.len(), rights.values().next().cloned()) {
            rights.insert("capabilities".to_owned(), names);
        }
        Ok(Reply::Data(Value::Object(rights)))
    }

    fn namespaces(&mut self, parent: &str, name: &str, verb: Verb) -> Result<Reply, Refusal> {
        let path = format!("{parent}{name}/");
        match verb {
            Verb::List => {
                let below = self
                    .namespaces
                    .keys()
                    .filter_map(|path| path.strip_prefix(parent));
                let direct = below.filter(|rest| rest.matches('/').count() == 1);
                let keys: Vec<&str> = direct.collect();
                if keys.is_empty() {
                    return Err(Refusal::nothing());
                }
                Ok(Reply::Data(json!({ "keys": keys })))
            }
            _ if name.is_empty() || name.contains('/') => Err(Refusal::bad(
                "a namespace is made in its parent, one at a time",
            )),
            Verb::Write => {
                let made = self
                    .namespaces
                    .entry(path.clone())
                    .or_insert_with(Namespace::new);
                Ok(Reply::Data(json!({ "id": made.id, "path": path })))
            }
            Verb::Read => {
                let found = self.namespaces.get(&path).ok_or_else(Refusal::nothing)?;
                Ok(Reply::Data(json!({ "id": found.id, "path": path })))
            }
            Verb::Delete => {
                self.namespaces.retain(|other, _| !other.starts_with(&path));
                Ok(Reply::done())
            }
            Verb::Patch | Verb::Other => Err(Refusal::unsupported()),
        }
    }
}

fn mounts(
    inside: &mut Namespace,
    path: &str,
    verb: Verb,
    body: &Map<String, Value>,
) -> Result<Reply, Refusal> {
    match verb {
        Verb::Write if inside.mounts.contains_key(path) => {
            Err(Refusal::bad(format!("path is already in use at {path}/")))
        }
        Verb::Write => {
            let text = |name: &str| body.get(name).and_then(Value::as_str);
            let option = body
                .get("options")
                .and_then(|options| options.get("version"));
            let version = option.and_then(seconds);
            let engine = match (text("type"), version) {
                (Some("kv-v2"), _) | (Some("kv"), Some(2)) => Engine::V2(KvV2::default()),
                (Some("kv-v1"), _) | (Some("kv"), None | Some(1)) => Engine::V1(BTreeMap::new()),
                (other, _) => {
                    let what = format!("an engine of type {other:?}: kv alone, version 1 or 2");
                    return Err(Refusal::unknown_to_lab(&what));
                }
            };
            let options = match text("type") {
                Some("kv-v2") => json!({ "version": "2" }),
                _ => body.get("options").cloned().unwrap_or_else(|| json!({})),
            };
            let mount = Mount::new(engine, options, text("description").unwrap_or_default());
            inside.mounts.insert(path.to_owned(), mount);
            Ok(Reply::done())
        }
        Verb::Read => {
            let mount = inside.mounts.get(path);
            let mount =
                mount.ok_or_else(|| Refusal::bad(format!("No secret engine mount at {path}/")))?;
            Ok(Reply::Data(mount.view(path)))
        }
        Verb::Delete => {
            inside.mounts.remove(path);
            Ok(Reply::done())
        }
        _ => Err(Refusal::unsupported()),
    }
}

fn policies(
    inside: &mut Namespace,
    name: &str,
    verb: Verb,
    body: &Map<String, Value>,
) -> Result<Reply, Refusal> {
    match verb {
        Verb::List => {
            let root = "root".to_owned();
            list(inside.policies.keys().chain([&root]), "")
        }
        Verb::Read => {
            let policy = inside.policies.get(name).ok_or_else(Refusal::nothing)?;
            Ok(Reply::Data(
                json!({ "name": name, "policy": policy.text, "rules": policy.text }),
            ))
        }
        Verb::Write => {
            let text = body.get("policy").or_else(|| body.get("rules"));
            let text = text.and_then(Value::as_str);
            let text =
                text.ok_or_else(|| Refusal::bad("'policy' parameter not supplied or empty"))?;
            inside
                .policies
                .insert(name.to_lowercase(), Policy::parse(text)?);
            Ok(Reply::done())
        }
        Verb::Delete => {
            inside.policies.remove(name);
            Ok(Reply::done())
        }
        Verb::Patch | Verb::Other => Err(Refusal::unsupported()),
    }
}
