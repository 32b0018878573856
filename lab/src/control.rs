//! The control API: what tests and people use to look into the lab and to meddle with it. Its own calls are not counted.
//!
//! `GET /env`, `GET|DELETE /calls`, `GET|POST|DELETE /faults`, `GET /clock`, `POST /clock/advance`, `GET|POST /estate`, `POST /probe`,
//! `GET /operator-address`, and what a public echo service answers to the operator: `GET /echo/ipv4`, `/echo/ipv6`. A wrong body is 400 with the accepted keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::calls::Calls;
use crate::clock::Clock;
use crate::estate::{Change, ChangeError, Estate, Probe, operator_address};
use crate::fault::{Fault, Faults};
use crate::proxy::{OPERATOR_V4, OPERATOR_V6};

/// What the control API reaches.
#[derive(Clone)]
pub struct Control {
    /// Variables that point clients at the lab.
    pub environment: Arc<BTreeMap<String, String>>,
    /// The lab's time.
    pub clock: Clock,
    /// Counted calls.
    pub calls: Calls,
    /// Active faults.
    pub faults: Faults,
    /// The truth.
    pub estate: Estate,
}

/// A refusal with a sentence.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let status = match error {
            ChangeError::Nothing { .. } => StatusCode::NOT_FOUND,
            ChangeError::Record(_) => StatusCode::BAD_REQUEST,
            ChangeError::Certificate(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

fn parse_body<T: DeserializeOwned>(body: &Bytes, accepted: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal(
            StatusCode::BAD_REQUEST,
            format!("{error}; accepted: {accepted}"),
        )
    })
}

/// The router of the control API.
pub fn router(control: Control) -> Router {
    Router::new()
        .route("/env", get(environment))
        .route("/calls", get(calls).delete(reset_calls))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/clock", get(clock))
        .route("/clock/advance", post(advance))
        .route("/estate", get(estate).post(change_estate))
        .route("/probe", post(probe))
        .route("/operator-address", get(async || Json(operator_address())))
        .route("/echo/ipv4", get(async || format!("{OPERATOR_V4}\n")))
        .route("/echo/ipv6", get(async || format!("{OPERATOR_V6}\n")))
        .fallback(async || Refusal(StatusCode::NOT_FOUND, "routes: /env /calls /faults /clock /clock/advance /estate /probe /operator-address /echo/ipv4 /echo/ipv6".into()))
        .with_state(control)
}

async fn environment(State(control): State<Control>) -> Json<BTreeMap<String, String>> {
    Json((*control.environment).clone())
}

async fn calls(State(control): State<Control>) -> Json<BTreeMap<String, u64>> {
    Json(control.calls.snapshot())
}

async fn reset_calls(State(control): State<Control>) -> StatusCode {
    control.calls.reset();
    StatusCode::NO_CONTENT
}

async fn faults(State(control): State<Control>) -> Json<Vec<Fault>> {
    Json(control.faults.list())
}

/// Where faults can be.
const PLACES: [&str; 11] = [
    "scaleway",
    "cloudflare",
    "infisical",
    "vault",
    "s3",
    "kubernetes",
    "proxmox",
    "factory",
    "headscale",
    "machine",
    "talos",
];

/// One fault or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    More(Vec<Value>),
    One(Value),
}

async fn add_fault(
    State(control): State<Control>,
    body: Bytes,
) -> Result<Json<Vec<Fault>>, Refusal> {
    const ACCEPTED: &str = "place, target, action, times; actions: status, late_status, lose_reply, truncate, disconnect, delay, redirect, \
                            sealed, approval_pending, old_server, slow_insert, stale_read, install_error, install_stuck, delivery_end, out_of_stock, mutate, \
                            reboot_during, kubeadm_fail, task_error, task_warning, task_stuck, take_next_id";
    let values = match parse_body(&body, ACCEPTED)? {
        OneOrMore::More(values) => values,
        OneOrMore::One(value) => vec![value],
    };
    let parse = |value| {
        serde_json::from_value(value).map_err(|error| {
            Refusal(
                StatusCode::BAD_REQUEST,
                format!("{error}; accepted: {ACCEPTED}"),
            )
        })
    };
    let parsed = values
        .into_iter()
        .map(parse)
        .collect::<Result<Vec<Fault>, Refusal>>()?;
    if let Some(fault) = parsed
        .iter()
        .find(|fault| !PLACES.contains(&fault.place.as_str()))
    {
        return Err(Refusal(
            StatusCode::BAD_REQUEST,
            format!(
                "no place {:?}; accepted: {}",
                fault.place,
                PLACES.join(", ")
            ),
        ));
    }
    for fault in parsed {
        control.faults.add(fault);
    }
    Ok(Json(control.faults.list()))
}

async fn clear_faults(State(control): State<Control>) -> StatusCode {
    control.faults.clear();
    StatusCode::NO_CONTENT
}

fn clock_view(clock: &Clock) -> Value {
    json!({ "now": format!("{:.3}", clock.now()), "elapsed_seconds": clock.elapsed().as_secs_f64(), "speed": clock.speed() })
}

async fn clock(State(control): State<Control>) -> Json<Value> {
    Json(clock_view(&control.clock))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: f64,
}

async fn advance(State(control): State<Control>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let advance: Advance = parse_body(&body, "seconds")?;
    let by = Duration::try_from_secs_f64(advance.seconds).map_err(|error| {
        Refusal(
            StatusCode::BAD_REQUEST,
            format!("seconds: {error}; time only goes forward"),
        )
    })?;
    control.clock.advance(by);
    control.estate.settle();
    Ok(Json(clock_view(&control.clock)))
}

async fn estate(State(control): State<Control>) -> Json<Value> {
    Json(control.estate.view())
}

async fn change_estate(
    State(control): State<Control>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let accepted = "one of {\"delete_server\": name}, {\"delete_record\": {name, type, content?}}, {\"delete_node\": name}, {\"complain\": {vm, id, message?}}, \
                    {\"open_port\": {node, port}}, {\"add_tag\": {server, tag}}, {\"set_stock\": {zone, offer, machines}}, {\"add_record\": {name, type, content, ttl?, proxied?, comment?}}, \
                    {\"set_up_login\": {access_token_ttl?, access_token_max_ttl?, access_token_period?, access_token_uses?, client_secret_ttl?, \
                    client_secret_uses?, refuses_address?, lockout_threshold?, lockout_seconds?, lockout_reset_seconds?}}, \
                    {\"restrict_identity\": [{deny: [describe, read_value, create, edit, delete], environment?, path?}]}, \
                    {\"delete_vm\": vmid}, {\"make_template\": {vmid, host}}, {\"change_vm\": {vmid, option, value}}, {\"delete_file\": {host, volume}}, {\"connect_host\": {host, online}}, \
                    \"renew_certificate\", {\"set_headscale_version\": \"0.26\"}, {\"add_vpn_node\": name}, {\"delete_vpn_node\": name}, {\"delete_vpn_user\": name}, \"expire_vpn_api_key\"";
    let change: Change = parse_body(&body, accepted)?;
    control.estate.change(change)?;
    Ok(Json(json!({ "changed": true })))
}

async fn probe(State(control): State<Control>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let probe: Probe = parse_body(&body, "from (absent: the operator), to, port")?;
    Ok(Json(control.estate.probe(&probe)?))
}
