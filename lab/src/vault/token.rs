//! Tokens: who calls, for how long, and with which policies.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Refusal, Reply};
use super::duration::{later, seconds};

/// The longest life where nothing else is said: 32 days, as a server without configuration has it.
const LONGEST: u64 = 2_764_800;

/// One token. A `ttl` of 0 lives for ever.
#[derive(Debug, Clone)]
pub(super) struct Token {
    id: String,
    accessor: String,
    pub(super) namespace: String,
    pub(super) policies: Vec<String>,
    display_name: String,
    meta: Value,
    created: Timestamp,
    renewed: Timestamp,
    creation_ttl: u64,
    ttl: u64,
    explicit_max_ttl: u64,
    period: u64,
    renewable: bool,
    uses_left: Option<u64>,
    batch: bool,
    orphan: bool,
}

/// All tokens by id.
#[derive(Debug, Default)]
pub(super) struct Tokens(BTreeMap<String, Token>);

impl Token {
    pub(super) fn is_root(&self) -> bool {
        self.policies.iter().any(|name| name == "root")
    }

    fn expires(&self) -> Option<Timestamp> {
        (self.ttl > 0).then(|| later(self.renewed, self.ttl))
    }

    fn seconds_left(&self, now: Timestamp) -> u64 {
        self.expires().map_or(0, |moment| until(moment, now))
    }

    /// The most that a renewal may add now.
    fn most(&self, now: Timestamp) -> u64 {
        if self.period > 0 && self.explicit_max_ttl == 0 {
            return self.period;
        }
        let limit = if self.explicit_max_ttl > 0 {
            self.explicit_max_ttl
        } else {
            LONGEST
        };
        until(later(self.created, limit), now)
    }

    fn view(&self, now: Timestamp) -> Value {
        let issued = self.created.to_string();
        // The last use of a token sees -1, because 0 means that there is no limit.
        let uses = match self.uses_left {
            None => json!(0),
            Some(0) => json!(-1),
            Some(left) => json!(left),
        };
        let mut view = json!({
            "accessor": self.accessor, "creation_time": self.created.as_second(), "creation_ttl": self.creation_ttl,
            "display_name": self.display_name, "entity_id": "", "expire_time": self.expires().map(|moment| moment.to_string()),
            "explicit_max_ttl": self.explicit_max_ttl, "id": self.id, "issue_time": issued, "meta": self.meta,
            "num_uses": uses, "orphan": self.orphan, "path": "auth/token/create", "policies": self.policies,
            "renewable": self.renewable, "ttl": self.seconds_left(now), "type": self.kind(),
        });
        if self.period > 0 {
            view["period"] = self.period.into();
        }
        view
    }

    fn auth(&self) -> Value {
        json!({
            "client_token": self.id, "accessor": self.accessor, "policies": self.policies, "token_policies": self.policies,
            "metadata": self.meta, "lease_duration": self.ttl, "renewable": self.renewable, "entity_id": "",
            "token_type": self.kind(), "orphan": self.orphan, "mfa_requirement": null, "num_uses": self.uses_left.unwrap_or(0),
        })
    }

    fn kind(&self) -> &'static str {
        if self.batch { "batch" } else { "service" }
    }
}

impl Tokens {
    /// The token that everything starts with: all rights, no end.
    pub(super) fn root(&mut self, id: String, now: Timestamp) {
        let token = Token {
            id: id.clone(),
            accessor: accessor(),
            namespace: String::new(),
            policies: vec!["root".into()],
            display_name: "root".into(),
            meta: Value::Null,
            created: now,
            renewed: now,
            creation_ttl: 0,
            ttl: 0,
            explicit_max_ttl: 0,
            period: 0,
            renewable: false,
            uses_left: None,
            batch: false,
            orphan: true,
        };
        self.0.insert(id, token);
    }

    /// Who presents this token; one use of a limited token is gone with it.
    pub(super) fn authenticate(
        &mut self,
        id: Option<&str>,
        now: Timestamp,
    ) -> Result<Token, Refusal> {
        let id = id
            .filter(|id| !id.is_empty())
            .ok_or_else(Refusal::no_token)?;
        let token = self.live(id, now).ok_or_else(Refusal::bad_token)?;
        if let Some(uses) = &mut token.uses_left {
            *uses = uses.saturating_sub(1);
        }
        let seen = token.clone();
        if seen.uses_left == Some(0) {
            self.0.remove(id);
        }
        Ok(seen)
    }

    fn live(&mut self, id: &str, now: Timestamp) -> Option<&mut Token> {
        let over = |token: &Token| token.expires().is_some_and(|moment| moment <= now);
        if self.0.get(id).is_some_and(over) {
            self.0.remove(id);
        }
        self.0.get_mut(id)
    }

    /// `auth/token/<operation>`; the right to it was checked.
    pub(super) fn answer(
        &mut self,
        operation: &str,
        caller: &Token,
        namespace: &str,
        body: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        // Without a name it is about the caller.
        let named = || {
            let id = body.get("token").and_then(Value::as_str);
            id.unwrap_or(&caller.id).to_owned()
        };
        match operation {
            "lookup-self" => Ok(Reply::Data(caller.view(now))),
            "lookup" => {
                let token = self.live(&named(), now);
                let token =
                    token.ok_or_else(|| Refusal::new(StatusCode::FORBIDDEN, "bad token"))?;
                Ok(Reply::Data(token.view(now)))
            }
            "renew-self" => self.renew(&caller.id, body, now),
            "renew" => self.renew(&named(), body, now),
            "revoke-self" => {
                self.0.remove(&caller.id);
                Ok(Reply::done())
            }
            "revoke" => {
                self.0.remove(&named());
                Ok(Reply::done())
            }
            "create" | "create-orphan" => {
                self.create(caller, namespace, body, operation == "create-orphan", now)
            }
            other => Err(Refusal::unknown_to_lab(&format!("auth/token/{other}"))),
        }
    }

    fn renew(
        &mut self,
        id: &str,
        body: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        let token = self.live(id, now).ok_or_else(Refusal::bad_token)?;
        if token.batch {
            return Err(Refusal::bad("batch tokens cannot be renewed"));
        }
        if !token.renewable || token.ttl == 0 {
            return Err(Refusal::bad("lease is not renewable"));
        }
        let asked = length(body, "increment")?;
        let wanted = match (token.period, asked) {
            // As much as was granted last.
            (0, 0) => token.ttl,
            (0, asked) => asked,
            (period, _) => period,
        };
        let granted = wanted.min(token.most(now));
        let mut warnings = Vec::new();
        if granted < wanted {
            warnings.push(format!(
                "TTL of \"{wanted}s\" exceeded the effective max_ttl of \"{granted}s\"; TTL value is capped accordingly"
            ));
        }
        token.renewed = now;
        // A life of 0 would be one without end.
        token.ttl = granted.max(1);
        Ok(Reply::Auth(token.auth(), warnings))
    }

    fn create(
        &mut self,
        caller: &Token,
        namespace: &str,
        body: &Map<String, Value>,
        orphan: bool,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        let flag =
            |name: &str, default: bool| body.get(name).and_then(Value::as_bool).unwrap_or(default);
        let mut policies: Vec<String> = match body.get("policies") {
            None | Some(Value::Null) => caller.policies.clone(),
            Some(Value::Array(names)) => names
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            Some(_) => {
                return Err(Refusal::wrong_field("policies", "a list"));
            }
        };
        let foreign = |name: &String| name != "default" && !caller.policies.contains(name);
        if !caller.is_root() && policies.iter().any(foreign) {
            return Err(Refusal::bad("child policies must be subset of parent"));
        }
        let root = policies.iter().any(|name| name == "root");
        if !root && !flag("no_default_policy", false) {
            policies.push("default".into());
        }
        policies.sort();
        policies.dedup();
        let batch = body.get("type").and_then(Value::as_str) == Some("batch");
        let period = length(body, "period")?;
        let explicit_max_ttl = length(body, "explicit_max_ttl")?;
        let asked = match (period, length(body, "ttl")?) {
            (0, 0) if root => 0,
            (0, 0) => LONGEST,
            (0, asked) => asked,
            (period, _) => period,
        };
        let limit = if explicit_max_ttl > 0 {
            explicit_max_ttl
        } else {
            LONGEST
        };
        let ttl = if period > 0 && explicit_max_ttl == 0 {
            asked
        } else {
            asked.min(limit)
        };
        let token = Token {
            id: format!(
                "{}{}",
                if batch { "hvb." } else { "hvs." },
                Uuid::new_v4().simple()
            ),
            accessor: if batch { String::new() } else { accessor() },
            namespace: namespace.to_owned(),
            policies,
            display_name: match body.get("display_name").and_then(Value::as_str) {
                Some(name) => format!("token-{name}"),
                None => "token".into(),
            },
            meta: body.get("meta").cloned().unwrap_or(Value::Null),
            created: now,
            renewed: now,
            creation_ttl: ttl,
            ttl,
            explicit_max_ttl,
            period,
            renewable: !batch && ttl > 0 && flag("renewable", true),
            uses_left: Some(length(body, "num_uses")?).filter(|uses| *uses > 0),
            batch,
            orphan: orphan || flag("no_parent", false),
        };
        let auth = token.auth();
        self.0.insert(token.id.clone(), token);
        let warnings = if ttl < asked {
            vec![format!(
                "TTL of \"{asked}s\" exceeded the effective max_ttl of \"{ttl}s\"; TTL value is capped accordingly"
            )]
        } else {
            Vec::new()
        };
        Ok(Reply::Auth(auth, warnings))
    }
}

/// A length of time in the body; 0 when absent.
fn length(body: &Map<String, Value>, name: &str) -> Result<u64, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(Value::String(text)) if text.is_empty() => Ok(0),
        Some(value) => seconds(value).ok_or_else(|| Refusal::wrong_field(name, "a duration")),
    }
}

/// Seconds from now to a moment, rounded as the server rounds them.
fn until(moment: Timestamp, now: Timestamp) -> u64 {
    let millis = moment.duration_since(now).as_millis();
    u64::try_from((millis + 500) / 1000).unwrap_or(0)
}

fn accessor() -> String {
    Uuid::new_v4().simple().to_string()[..24].to_owned()
}
