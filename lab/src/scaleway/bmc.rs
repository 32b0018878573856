//! Remote access to the machine under a server, its BMC (contract 5.9): one session at a time, for one address, and it ends by itself.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Scaleway;
use super::error::Refusal;
use super::option;
use super::routes::{Answer, no_content, parse_body};

/// From asked for to usable.
const READY_AFTER: Duration = Duration::from_secs(8);
/// How long a session lasts.
const LASTS: Duration = Duration::from_hours(1);

/// A session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    ip: String,
    login: String,
    password: String,
    /// When it is usable, by simulated time since the lab's start.
    ready: Duration,
    ends: Duration,
    expires_at: Timestamp,
}

impl Session {
    fn view(&self, now: Duration) -> Value {
        if now < self.ready {
            return json!({ "expires_at": null, "login": "", "password": "", "url": "" });
        }
        json!({
            "expires_at": format!("{:.6}", self.expires_at),
            "login": self.login,
            "password": self.password,
            "url": format!("https://bmc.invalid/{}", self.ip),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    ip: String,
}

pub(super) async fn start(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let start: Start = parse_body(&body)?;
    if start.ip.parse::<std::net::Ipv4Addr>().is_err() {
        return Err(Refusal::invalid("ip", "format", "an IPv4 address"));
    }
    let now = scaleway.0.clock.elapsed();
    let mut state = scaleway.settled();
    let index = state.find(&zone, &id)?;
    let server = &mut state.servers[index];
    if !option::labels(server).any(|label| label == "RemoteAccess") {
        return Err(Refusal::precondition(
            "attribute_must_be_set",
            "the Remote Access option is not enabled",
        ));
    }
    let session = Session {
        ip: start.ip,
        login: format!("user{}", &Uuid::new_v4().simple().to_string()[..6]),
        password: Uuid::new_v4().simple().to_string(),
        ready: now + READY_AFTER,
        ends: now + LASTS,
        expires_at: scaleway.time_of(now + LASTS),
    };
    let view = session.view(now);
    server.bmc = Some(session);
    Ok(Json(view))
}

pub(super) async fn read(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
) -> Answer {
    let now = scaleway.0.clock.elapsed();
    let state = scaleway.settled();
    let server = &state.servers[state.find(&zone, &id)?];
    let session = server.bmc.as_ref().filter(|session| session.ends > now);
    session
        .map(|session| Json(session.view(now)))
        .ok_or_else(|| Refusal::bare(StatusCode::NOT_FOUND, "Not Found"))
}

pub(super) async fn stop(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let mut state = scaleway.settled();
    let index = state.find(&zone, &id)?;
    match state.servers[index].bmc.take() {
        Some(_) => Ok(no_content()),
        None => Err(Refusal::bare(StatusCode::NOT_FOUND, "Not Found")),
    }
}
