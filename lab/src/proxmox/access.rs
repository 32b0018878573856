//! Who may do what: roles, users, tokens and the access control list, with the rule that a token of its own has only what its user has as well.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Proxmox;
use super::answer::Refusal;
use super::call::Call;

/// Who owns the host.
pub(super) const ROOT: &str = "root@pam";

/// Privileges that 8.x and 9.x both have.
const PRIVILEGES: &[&str] = &[
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Group.Allocate",
    "Mapping.Audit",
    "Mapping.Modify",
    "Mapping.Use",
    "Permissions.Modify",
    "Pool.Allocate",
    "Pool.Audit",
    "Realm.Allocate",
    "Realm.AllocateUser",
    "SDN.Allocate",
    "SDN.Audit",
    "SDN.Use",
    "Sys.AccessNetwork",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Incoming",
    "Sys.Modify",
    "Sys.PowerMgmt",
    "Sys.Syslog",
    "User.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Console",
    "VM.Migrate",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];
/// What only 9.x has.
const NEW: &[&str] = &[
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.Unrestricted",
    "VM.Replicate",
];
/// What only 8.x has.
const OLD: &[&str] = &["VM.Monitor"];

/// Everything about access.
#[derive(Debug, Default)]
pub(super) struct Access {
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) acl: BTreeMap<Grant, bool>,
}

/// A set of privileges.
#[derive(Debug, Clone)]
pub(super) struct Role {
    pub(super) privileges: BTreeSet<String>,
    /// Built in.
    pub(super) special: bool,
}

/// A user.
#[derive(Debug, Clone, Default)]
pub(super) struct User {
    /// What was set, in Proxmox's words.
    pub(super) fields: BTreeMap<String, String>,
    pub(super) tokens: BTreeMap<String, Token>,
}

impl User {
    pub(super) fn enabled(&self) -> bool {
        self.fields.get("enable").is_none_or(|text| text != "0")
    }
}

/// A token of a user.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) value: String,
    /// Whether it has rights of its own only.
    pub(super) separate: bool,
    pub(super) comment: Option<String>,
    /// Unix time; 0 is never.
    pub(super) expire: i64,
}

impl Token {
    pub(super) fn view(&self) -> Value {
        let mut view = json!({ "privsep": u8::from(self.separate), "expire": self.expire });
        if let Some(comment) = &self.comment {
            view["comment"] = json!(comment);
        }
        view
    }
}

/// One line of the access control list; the value beside it says whether it holds below the path, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grant {
    pub(super) path: String,
    /// `user` or `token`.
    pub(super) kind: &'static str,
    pub(super) who: String,
    pub(super) role: String,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    user: String,
    token: String,
    separate: bool,
}

impl Caller {
    /// As tasks name their owner.
    pub(super) fn id(&self) -> String {
        format!("{}!{}", self.user, self.token)
    }
}

impl Access {
    /// A fresh host with one token of root's, which has all its rights.
    pub(super) fn fresh(token: &str, value: &str) -> Self {
        let all = PRIVILEGES.iter().chain(NEW).chain(OLD);
        let role = |names: Vec<&str>| Role {
            privileges: names.into_iter().map(str::to_owned).collect(),
            special: true,
        };
        let auditing = ["VM.Audit", "Datastore.Audit", "Sys.Audit", "Pool.Audit"];
        let token_of_root = Token {
            value: value.to_owned(),
            separate: false,
            comment: None,
            expire: 0,
        };
        let root = User {
            fields: BTreeMap::from([("enable".to_owned(), "1".to_owned())]),
            tokens: BTreeMap::from([(token.to_owned(), token_of_root)]),
        };
        Self {
            roles: BTreeMap::from([
                ("Administrator".into(), role(all.copied().collect())),
                ("NoAccess".into(), role(Vec::new())),
                ("PVEAuditor".into(), role(auditing.to_vec())),
            ]),
            users: BTreeMap::from([(ROOT.to_owned(), root)]),
            acl: BTreeMap::new(),
        }
    }

    /// The privileges that the list gives on a path: what stands deeper replaces what is inherited.
    fn granted(&self, kind: &str, who: &str, path: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for place in places(path) {
            let here = self.acl.iter().filter(|(grant, propagates)| {
                grant.path == place
                    && grant.kind == kind
                    && grant.who == who
                    && (**propagates || place == path)
            });
            let roles: Vec<&Grant> = here.map(|(grant, _)| grant).collect();
            if roles.is_empty() {
                continue;
            }
            found = roles
                .iter()
                .filter_map(|grant| self.roles.get(&grant.role))
                .flat_map(|role| role.privileges.iter().cloned())
                .collect();
        }
        found
    }

    /// What a caller may do on a path; `None` is everything.
    fn may(&self, caller: &Caller, path: &str) -> Option<BTreeSet<String>> {
        let user = (caller.user != ROOT).then(|| self.granted("user", &caller.user, path));
        if !caller.separate {
            return user;
        }
        let own = self.granted("token", &caller.id(), path);
        Some(match user {
            Some(user) => own.intersection(&user).cloned().collect(),
            None => own,
        })
    }
}

/// `/`, `/vms`, `/vms/120` for `/vms/120`.
fn places(path: &str) -> Vec<String> {
    let mut places = vec!["/".to_owned()];
    let mut so_far = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        so_far = format!("{so_far}/{part}");
        places.push(so_far.clone());
    }
    places
}

impl Proxmox {
    /// Who a request is from.
    pub(super) fn caller(&self, authorization: Option<&str>) -> Result<Caller, Refusal> {
        let none = || Refusal::unauthenticated("No ticket");
        let wrong = || Refusal::unauthenticated("Authentication failed!");
        let text = authorization
            .and_then(|text| text.strip_prefix("PVEAPIToken"))
            .and_then(|text| text.strip_prefix(['=', ' ']))
            .ok_or_else(none)?;
        let text = super::call::decode(text);
        let (id, value) = text.rsplit_once('=').ok_or_else(wrong)?;
        let (name, token) = id.split_once('!').ok_or_else(wrong)?;
        let state = self.state();
        let user = state.access.users.get(name).ok_or_else(wrong)?;
        let known = user.tokens.get(token).ok_or_else(wrong)?;
        let now = self.0.clock.now().as_second();
        let expired = known.expire != 0 && known.expire <= now;
        if known.value != value || expired || !user.enabled() {
            return Err(wrong());
        }
        Ok(Caller {
            user: name.to_owned(),
            token: token.to_owned(),
            separate: known.separate,
        })
    }

    /// Refuses who has none of `privileges` on the path.
    pub(super) fn allow(
        &self,
        call: &Call,
        path: &str,
        privileges: &[&str],
    ) -> Result<(), Refusal> {
        let may = self.state().access.may(&call.caller, path);
        let has = |privilege: &&str| may.as_ref().is_none_or(|names| names.contains(*privilege));
        if privileges.iter().any(has) {
            return Ok(());
        }
        Err(Refusal::denied(path, &privileges.join("|")))
    }

    /// The names of privileges that this version has.
    pub(super) fn privileges(&self) -> BTreeSet<&'static str> {
        let own = if self.is_old() { OLD } else { NEW };
        PRIVILEGES.iter().chain(own).copied().collect()
    }

    /// A new value of a token, which is told once.
    pub(super) fn fresh_value() -> String {
        Uuid::new_v4().to_string()
    }
}

/// `GET /access/permissions`: of whoever asks, or of the user or token that is named.
pub(super) fn permissions(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let of = call.take("userid");
    let path = call.take("path").unwrap_or_else(|| "/".into());
    call.finish()?;
    let caller = match &of {
        None => call.caller.clone(),
        Some(id) => {
            proxmox.allow(call, "/access", &["Sys.Audit"])?;
            let (user, token) = id.split_once('!').unwrap_or((id, ""));
            let state = proxmox.state();
            let known = state
                .access
                .users
                .get(user)
                .and_then(|user| user.tokens.get(token));
            Caller {
                user: user.to_owned(),
                token: token.to_owned(),
                separate: known.is_some_and(|token| token.separate),
            }
        }
    };
    let all = proxmox.privileges();
    let may = proxmox.state().access.may(&caller, &path);
    let names: Map<String, Value> = all
        .into_iter()
        .filter(|name| may.as_ref().is_none_or(|may| may.contains(*name)))
        .map(|name| (name.to_owned(), json!(1)))
        .collect();
    Ok(json!({ path: names }))
}
