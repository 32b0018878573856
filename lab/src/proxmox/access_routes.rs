//! The calls that change roles, users, tokens and the access control list. All share one lock on a real cluster; here they are one after the other anyway.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Proxmox;
use super::access::{Grant, ROOT, Role, Token, User};
use super::answer::Refusal;
use super::call::Call;

const USER_FIELDS: [&str; 6] = [
    "enable",
    "expire",
    "comment",
    "email",
    "firstname",
    "lastname",
];

/// First parts of the paths that rights are given on.
const ROOTS: [&str; 9] = [
    "access",
    "mapping",
    "nodes",
    "pool",
    "sdn",
    "storage",
    "vms",
    "sys",
    "datastore",
];

fn no_role(name: &str) -> Refusal {
    Refusal::died(format!("role '{name}' does not exist"))
}

fn no_user(name: &str) -> Refusal {
    Refusal::died(format!("no such user ('{name}')"))
}

fn no_token(id: &str) -> Refusal {
    Refusal::died(format!("no such token '{id}'"))
}

fn known_privileges(proxmox: &Proxmox, names: Vec<String>) -> Result<BTreeSet<String>, Refusal> {
    let known = proxmox.privileges();
    match names.iter().find(|name| !known.contains(name.as_str())) {
        Some(name) => Err(Refusal::died(format!("invalid privilege '{name}'"))),
        None => Ok(names.into_iter().collect()),
    }
}

fn role_view(name: &str, role: &Role) -> Value {
    let privileges: Vec<&str> = role.privileges.iter().map(String::as_str).collect();
    json!({ "roleid": name, "privs": privileges.join(","), "special": u8::from(role.special) })
}

/// `GET /access/roles`.
pub(super) fn roles(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let state = proxmox.state();
    let roles = state.access.roles.iter();
    Ok(roles.map(|(name, role)| role_view(name, role)).collect())
}

/// `GET /access/roles/{role}`.
pub(super) fn role(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let name = call.path("role");
    let state = proxmox.state();
    let role = state.access.roles.get(name).ok_or_else(|| no_role(name))?;
    let privileges = role.privileges.iter();
    let view: Map<String, Value> = privileges.map(|name| (name.clone(), json!(1))).collect();
    Ok(Value::Object(view))
}

/// `POST /access/roles`.
pub(super) fn create_role(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    proxmox.allow(call, "/access", &["Sys.Modify"])?;
    let name = call.need("roleid")?;
    let privileges = call.list("privs").unwrap_or_default();
    call.finish()?;
    if name.to_ascii_lowercase().starts_with("pve") {
        let error = "role IDs starting with 'PVE' are reserved for built-in roles";
        return Err(Refusal::parameter("roleid", error));
    }
    let privileges = known_privileges(proxmox, privileges)?;
    let mut state = proxmox.state();
    if state.access.roles.contains_key(&name) {
        return Err(Refusal::died(format!("role '{name}' already exists")));
    }
    let role = Role {
        privileges,
        special: false,
    };
    state.access.roles.insert(name, role);
    Ok(Value::Null)
}

/// `PUT /access/roles/{role}`.
pub(super) fn change_role(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    proxmox.allow(call, "/access", &["Sys.Modify"])?;
    let privileges = call.list("privs").unwrap_or_default();
    let append = call.flag("append")?.unwrap_or(false);
    call.finish()?;
    let privileges = known_privileges(proxmox, privileges)?;
    let name = call.path("role");
    let mut state = proxmox.state();
    let role = state
        .access
        .roles
        .get_mut(name)
        .ok_or_else(|| no_role(name))?;
    if role.special {
        return Err(Refusal::died(format!(
            "auto-generated role '{name}' cannot be modified"
        )));
    }
    if append {
        role.privileges.extend(privileges);
    } else {
        role.privileges = privileges;
    }
    Ok(Value::Null)
}

/// `DELETE /access/roles/{role}`.
pub(super) fn delete_role(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    proxmox.allow(call, "/access", &["Sys.Modify"])?;
    call.finish()?;
    let name = call.path("role");
    let mut state = proxmox.state();
    let role = state.access.roles.get(name).ok_or_else(|| no_role(name))?;
    if role.special {
        return Err(Refusal::died(format!(
            "auto-generated role '{name}' cannot be deleted"
        )));
    }
    state.access.roles.remove(name);
    state.access.acl.retain(|grant, _| grant.role != name);
    Ok(Value::Null)
}

fn user_view(user: &User) -> Map<String, Value> {
    let mut view = Map::new();
    for (name, value) in &user.fields {
        let number = value
            .parse::<i64>()
            .ok()
            .filter(|_| name == "enable" || name == "expire");
        view.insert(
            name.clone(),
            number.map_or_else(|| json!(value), |number| json!(number)),
        );
    }
    view
}

/// `GET /access/users`.
pub(super) fn users(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let state = proxmox.state();
    let users = state.access.users.iter().map(|(name, user)| {
        let mut view = user_view(user);
        view.insert("userid".into(), json!(name));
        view.insert("realm-type".into(), json!(name.rsplit('@').next()));
        Value::Object(view)
    });
    Ok(users.collect())
}

/// `GET /access/users/{user}`.
pub(super) fn user(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let name = call.path("user");
    let state = proxmox.state();
    let user = state.access.users.get(name).ok_or_else(|| no_user(name))?;
    let mut view = user_view(user);
    let tokens = user.tokens.iter();
    let tokens: Map<String, Value> = tokens
        .map(|(id, token)| (id.clone(), token.view()))
        .collect();
    view.insert("groups".into(), json!([]));
    view.insert("tokens".into(), Value::Object(tokens));
    Ok(Value::Object(view))
}

fn fields(call: &mut Call, user: &mut User) {
    for name in USER_FIELDS {
        if let Some(value) = call.take(name) {
            user.fields.insert(name.to_owned(), value);
        }
    }
}

/// `POST /access/users`.
pub(super) fn create_user(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    proxmox.allow(call, "/access/realm/pve", &["Realm.AllocateUser"])?;
    let name = call.need("userid")?;
    let mut user = User::default();
    user.fields.insert("enable".into(), "1".into());
    fields(call, &mut user);
    call.finish()?;
    if !name.ends_with("@pve") {
        let error = format!("value '{name}' does not look like a valid user name");
        return Err(Refusal::parameter("userid", error));
    }
    let mut state = proxmox.state();
    if state.access.users.contains_key(&name) {
        return Err(Refusal::died(format!(
            "create user failed: user '{name}' already exists"
        )));
    }
    state.access.users.insert(name, user);
    Ok(Value::Null)
}

/// `PUT /access/users/{user}`.
pub(super) fn change_user(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    proxmox.allow(call, "/access/groups", &["User.Modify"])?;
    let name = call.path("user").to_owned();
    let mut state = proxmox.state();
    let user = state
        .access
        .users
        .get_mut(&name)
        .ok_or_else(|| no_user(&name))?;
    let mut changed = user.clone();
    fields(call, &mut changed);
    call.finish()?;
    *user = changed;
    Ok(Value::Null)
}

/// `DELETE /access/users/{user}`, with tokens and rights; one that is not there is no error.
pub(super) fn delete_user(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    proxmox.allow(call, "/access/groups", &["User.Modify"])?;
    call.finish()?;
    let name = call.path("user");
    if name == ROOT {
        return Err(Refusal::died("cannot delete the superuser"));
    }
    let mut state = proxmox.state();
    state.access.users.remove(name);
    let tokens = format!("{name}!");
    let gone = |grant: &Grant| grant.who == name || grant.who.starts_with(&tokens);
    state.access.acl.retain(|grant, _| !gone(grant));
    Ok(Value::Null)
}

/// `GET /access/users/{user}/token`.
pub(super) fn tokens(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let name = call.path("user");
    let state = proxmox.state();
    let user = state.access.users.get(name).ok_or_else(|| no_user(name))?;
    let tokens = user.tokens.iter().map(|(id, token)| {
        let mut view = token.view();
        view["tokenid"] = json!(id);
        view
    });
    Ok(tokens.collect())
}

/// `GET /access/users/{user}/token/{token}`: never the value.
pub(super) fn token(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let (name, id) = (call.path("user"), call.path("token"));
    let state = proxmox.state();
    let user = state.access.users.get(name).ok_or_else(|| no_user(name))?;
    let token = user
        .tokens
        .get(id)
        .ok_or_else(|| no_token(&format!("{name}!{id}")))?;
    Ok(token.view())
}

/// `POST /access/users/{user}/token/{token}`: the only answer that holds the value.
pub(super) fn create_token(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    proxmox.allow(call, "/access/groups", &["User.Modify"])?;
    let token = Token {
        value: Proxmox::fresh_value(),
        separate: call.flag("privsep")?.unwrap_or(true),
        comment: call.take("comment"),
        expire: call.number("expire")?.unwrap_or(0),
    };
    call.finish()?;
    let (name, id) = (call.path("user"), call.path("token"));
    let mut state = proxmox.state();
    let user = state
        .access
        .users
        .get_mut(name)
        .ok_or_else(|| no_user(name))?;
    if user.tokens.contains_key(id) {
        return Err(Refusal::parameter("tokenid", "Token already exists."));
    }
    user.tokens.insert(id.to_owned(), token.clone());
    let mut info = token.view();
    info["privsep"] = json!(u8::from(token.separate).to_string());
    Ok(json!({ "full-tokenid": format!("{name}!{id}"), "value": token.value, "info": info }))
}

/// `PUT /access/users/{user}/token/{token}`.
pub(super) fn change_token(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    proxmox.allow(call, "/access/groups", &["User.Modify"])?;
    let separate = call.flag("privsep")?;
    let comment = call.take("comment");
    let expire = call.number("expire")?;
    let again = call.flag("regenerate")?.unwrap_or(false);
    call.finish()?;
    if again && proxmox.is_old() {
        return Err(Refusal::parameter("regenerate", super::call::undefined()));
    }
    let (name, id) = (call.path("user"), call.path("token"));
    let mut state = proxmox.state();
    let user = state
        .access
        .users
        .get_mut(name)
        .ok_or_else(|| no_user(name))?;
    let token = user
        .tokens
        .get_mut(id)
        .ok_or_else(|| no_token(&format!("{name}!{id}")))?;
    token.separate = separate.unwrap_or(token.separate);
    token.comment = comment.or(token.comment.take());
    token.expire = expire.unwrap_or(token.expire);
    let mut view = token.view();
    if again {
        token.value = Proxmox::fresh_value();
        view["value"] = json!(token.value);
    }
    Ok(view)
}

/// `DELETE /access/users/{user}/token/{token}`.
pub(super) fn delete_token(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    proxmox.allow(call, "/access/groups", &["User.Modify"])?;
    call.finish()?;
    let (name, id) = (call.path("user"), call.path("token"));
    let full = format!("{name}!{id}");
    let mut state = proxmox.state();
    let user = state
        .access
        .users
        .get_mut(name)
        .ok_or_else(|| no_user(name))?;
    user.tokens.remove(id).ok_or_else(|| no_token(&full))?;
    state.access.acl.retain(|grant, _| grant.who != full);
    Ok(Value::Null)
}

/// `GET /access/acl`.
pub(super) fn acl(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let state = proxmox.state();
    let lines = state.access.acl.iter().map(|(grant, propagates)| {
        json!({
            "path": grant.path, "type": grant.kind, "ugid": grant.who, "roleid": grant.role,
            "propagate": u8::from(*propagates),
        })
    });
    Ok(lines.collect())
}

/// `PUT /access/acl`: the same again changes nothing, in both directions.
pub(super) fn change_acl(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let path = call.need("path")?;
    proxmox.allow(call, &path, &["Permissions.Modify"])?;
    let roles = call
        .list("roles")
        .ok_or_else(|| super::call::missing("roles"))?;
    let users = call.list("users").unwrap_or_default();
    let tokens = call.list("tokens").unwrap_or_default();
    let propagates = call.flag("propagate")?.unwrap_or(true);
    let delete = call.flag("delete")?.unwrap_or(false);
    call.finish()?;
    if users.is_empty() && tokens.is_empty() {
        return Err(Refusal::parameter(
            "users",
            "either 'users', 'groups' or 'tokens' is required.",
        ));
    }
    let root = path.trim_start_matches('/').split('/').next().unwrap_or("");
    if !path.starts_with('/') || !(root.is_empty() || ROOTS.contains(&root)) {
        return Err(Refusal::parameter(
            "path",
            format!("invalid ACL path '{path}'"),
        ));
    }
    let mut state = proxmox.state();
    let access = &mut state.access;
    for role in &roles {
        if !access.roles.contains_key(role) {
            return Err(no_role(role));
        }
    }
    let users = users.into_iter().map(|who| ("user", who));
    let tokens = tokens.into_iter().map(|who| ("token", who));
    for (kind, who) in users.chain(tokens) {
        let (user, token) = who.split_once('!').unwrap_or((&who, ""));
        let Some(known) = access.users.get(user) else {
            return Err(Refusal::died(format!("user '{user}' does not exist")));
        };
        if kind == "token" && !known.tokens.contains_key(token) {
            return Err(no_token(&who));
        }
        for role in &roles {
            let grant = Grant {
                path: path.clone(),
                kind,
                who: who.clone(),
                role: role.clone(),
            };
            if delete {
                access.acl.remove(&grant);
            } else {
                access.acl.insert(grant, propagates);
            }
        }
    }
    Ok(Value::Null)
}
