//! Options of servers (contract 5.8) and the labels that they add to a server's tags by themselves.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::catalogue::Offer;
use super::error::Refusal;
use super::routes::{Answer, parse_body};
use super::server::Server;
use super::server_routes::delivered;
use super::{Scaleway, State};

/// From asked for to on, and from asked off to gone.
const ON_AFTER: Duration = Duration::from_secs(4);
const OFF_AFTER: Duration = Duration::from_secs(6);

/// The name of the option that private networks need.
pub(super) const PRIVATE_NETWORK: &str = "Private Network";

/// What each variant adds to the tags while it is on.
const LABELS: [(&str, &str); 2] = [
    ("private_network", "PrivateNetwork"),
    ("remote_access", "RemoteAccess"),
];

/// An option of a server.
#[derive(Debug, Clone)]
pub(super) struct ServerOption {
    pub(super) id: String,
    pub(super) name: String,
    manageable: bool,
    /// `private_network`, `remote_access` ... with its content.
    variant: (String, Value),
    status: &'static str,
    expires_at: Option<String>,
    /// When the status moves on, by simulated time since the lab's start.
    due: Duration,
}

impl ServerOption {
    /// Asked for now, on at `due`.
    pub(super) fn new(option: &Value, expires_at: Option<String>, due: Duration) -> Self {
        let text = |key: &str| option[key].as_str().unwrap_or_default().to_owned();
        let plain = [
            "id",
            "name",
            "manageable",
            "enabled",
            "price",
            "subscription_period",
            "os_id",
        ];
        let variant = option
            .as_object()
            .into_iter()
            .flatten()
            .find(|(key, _)| !plain.contains(&key.as_str()));
        Self {
            id: text("id"),
            name: text("name"),
            manageable: option["manageable"] == true,
            variant: variant.map_or_else(
                || ("certification".to_owned(), json!({})),
                |(key, value)| (key.clone(), value.clone()),
            ),
            status: "option_status_enabling",
            expires_at,
            due,
        }
    }

    fn is_on(&self) -> bool {
        self.status == "option_status_enable"
    }

    /// Whether something may lean on it already: the API takes attachments while the option is still coming.
    fn is_usable(&self) -> bool {
        self.status != "option_status_disabling"
    }

    pub(super) fn view(&self, leaving: bool) -> Value {
        let mut view = json!({
            "expires_at": self.expires_at,
            "id": self.id,
            "manageable": self.manageable,
            "name": self.name,
            "status": if leaving { "option_status_disabling" } else { self.status },
        });
        view[&self.variant.0] = self.variant.1.clone();
        view
    }
}

/// Moves the options of a server on; those whose time is over leave.
pub(super) fn settle(server: &mut Server, now: Duration, date: &str) {
    for option in &mut server.options {
        if option.due <= now && option.status == "option_status_enabling" {
            option.status = "option_status_enable";
        }
        if option.is_on() && option.expires_at.as_deref().is_some_and(|end| end <= date) {
            (option.status, option.due) = ("option_status_disabling", now + OFF_AFTER);
        }
    }
    server
        .options
        .retain(|option| option.is_usable() || option.due > now);
}

/// The labels that the API shows among the tags.
pub(super) fn labels(server: &Server) -> impl Iterator<Item = &'static str> {
    LABELS.into_iter().filter_map(|(variant, label)| {
        let on = |option: &&ServerOption| option.is_on() && option.variant.0 == variant;
        server.options.iter().find(on).map(|_| label)
    })
}

/// Whether a server can be attached to private networks.
pub(super) fn has_private_network(server: &Server) -> bool {
    server
        .options
        .iter()
        .any(|option| option.name == PRIVATE_NETWORK && option.is_usable())
}

/// An option that the offer has and a user may switch, as the catalogue knows it.
pub(super) fn of_offer(offer: &Offer, id: &str) -> Result<Value, Refusal> {
    let option = offer
        .option(id)
        .ok_or_else(|| Refusal::not_found("option", id))?;
    if option["manageable"] != true {
        return Err(Refusal::invalid(
            "option_id",
            "constraint",
            "this option is not manageable",
        ));
    }
    Ok(option)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    #[serde(default)]
    expires_at: Option<String>,
}

pub(super) async fn add(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id, option_id)): Path<(String, String, String)>,
    body: Bytes,
) -> Answer {
    let add: Add = parse_body(&body)?;
    if let Some(end) = &add.expires_at
        && end.parse::<jiff::Timestamp>().is_err()
    {
        return Err(Refusal::invalid("expires_at", "format", "RFC 3339"));
    }
    let now = scaleway.0.clock.elapsed();
    let mut state = scaleway.settled();
    let index = state.find(&zone, &id)?;
    let offer = delivered(&scaleway, &state.servers[index])?;
    let option = of_offer(offer, &option_id)?;
    let server = &mut state.servers[index];
    if server.options.iter().any(|option| option.id == option_id) {
        return Err(Refusal::already("option", &option_id));
    }
    let option = ServerOption::new(&option, add.expires_at, now + ON_AFTER);
    server.options.push(option);
    Ok(Json(scaleway.view(&mut state, index)))
}

pub(super) async fn remove(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id, option_id)): Path<(String, String, String)>,
) -> Answer {
    let now = scaleway.0.clock.elapsed();
    let mut state = scaleway.settled();
    let index = state.find(&zone, &id)?;
    delivered(&scaleway, &state.servers[index])?;
    let State { servers, vpc, .. } = &mut *state;
    let server = &mut servers[index];
    let option = server
        .options
        .iter_mut()
        .find(|option| option.id == option_id)
        .ok_or_else(|| Refusal::not_found("option", &option_id))?;
    if !option.manageable {
        return Err(Refusal::bare(
            StatusCode::BAD_REQUEST,
            "option is not manageable",
        ));
    }
    if option.name == PRIVATE_NETWORK && vpc.is_attached(&server.id) {
        return Err(Refusal::precondition(
            "resource_still_in_use",
            "the server is still attached to private networks",
        ));
    }
    if option.is_usable() {
        (option.status, option.due) = ("option_status_disabling", now + OFF_AFTER);
    }
    Ok(Json(scaleway.view(&mut state, index)))
}
