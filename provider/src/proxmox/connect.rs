//! From address, trust and token to a client: for the provider and for commands alike.

use http::header::{AUTHORIZATION, HeaderValue, InvalidHeaderValue};

use super::client::Client;
use super::{error, trust};
use crate::environment::Environment;
use crate::http::client::{BadCredential, Client as Http, Settings};
use crate::secret::Secret;

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Whom the system believes.
    System,
    /// Whom this CA signed: PEM.
    Authority(String),
    /// Those with these SHA-256 fingerprints.
    Pins(Vec<String>),
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token cannot stand in a header.
    #[error("the token is not of the form user@realm!name=value")]
    Token(#[from] InvalidHeaderValue),
    /// CA or fingerprints.
    #[error(transparent)]
    Trust(#[from] trust::Error),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] BadCredential),
}

/// A client of the API at `url`, with or without `/api2/json` behind it.
pub fn connect(
    environment: &Environment,
    url: &str,
    trust: &Trust,
    token: &Secret<String>,
) -> Result<Client, Error> {
    let host = url.trim_end_matches('/').trim_end_matches("/api2/json");
    let settings = Settings {
        service: "proxmox",
        base: format!("{}/api2/json", host.trim_end_matches('/')),
        header: AUTHORIZATION,
        token: Secret::new(String::new()),
        speed: environment.speed(),
    };
    let mut header = HeaderValue::from_str(&format!("PVEAPIToken={}", token.expose()))?;
    header.set_sensitive(true);
    let dialer = environment.dialer().clone();
    let client = match trust {
        Trust::System => Http::new(dialer, settings)?,
        Trust::Authority(pem) => Http::with_tls(dialer, trust::authority(pem)?, settings)?,
        Trust::Pins(pins) => Http::with_tls(dialer, trust::pinned(pins)?, settings)?,
    };
    let client = client
        .with_header(AUTHORIZATION, header)
        .with_decisions(error::is_decision);
    Ok(Client::new(client))
}

/// Where the API is and whom to believe in the lab, which has its own; `None` when its environment does not say.
pub fn in_lab(environment: &Environment) -> Option<(String, Trust)> {
    let url = environment.get("PROXMOX_VE_ENDPOINT")?.to_owned();
    let trust = environment
        .get("STRATA_PROXMOX_CA")
        .map_or(Trust::System, |pem| Trust::Authority(pem.to_owned()));
    Some((url, trust))
}
