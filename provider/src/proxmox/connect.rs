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
    // What stands before the value is no secret.
    let caller = token.expose().split('=').next().unwrap_or_default();
    Ok(Client::new(client, caller.to_owned()))
}

/// Where the API is and whom to believe in the lab, which has its own; `None` when its environment does not say.
pub fn in_lab(environment: &Environment) -> Option<(String, Trust)> {
    let url = environment.get("PROXMOX_VE_ENDPOINT")?.to_owned();
    let trust = environment
        .get("STRATA_PROXMOX_CA")
        .map_or(Trust::System, |pem| Trust::Authority(pem.to_owned()));
    Some((url, trust))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use strata_framework::Attr;

    use super::*;
    use crate::configuration::ProxmoxConfiguration;
    use crate::lab_test::World;
    use crate::provider::Strata;
    use crate::provider::tests::configuration;

    /// The fingerprint that the host shows of what it serves.
    async fn shown(client: &Client) -> String {
        let hosts: Vec<Value> = client.get("nodes").await.unwrap();
        hosts[0]["ssl_fingerprint"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn nobody_is_talked_to_who_is_not_believed() {
        let world = World::start().await;
        let environment = world.environment().await;
        let (url, authority) = in_lab(&environment).unwrap();
        let token = Secret::new(environment.get("PROXMOX_VE_API_TOKEN").unwrap().to_owned());
        let client = |trust: &Trust| connect(&environment, &url, trust, &token).unwrap();
        let before = shown(&client(&authority)).await;
        let plain = before.replace(':', "").to_lowercase();
        let stranger = ["AB"; 32].join(":");
        let elsewhere = World::start().await;
        let (_, other) = in_lab(&elsewhere.environment().await).unwrap();
        assert_ne!(other, authority);

        for (trust, is_believed) in [
            (Trust::Pins(vec![before.clone()]), true),
            (Trust::Pins(vec![stranger.clone(), plain]), true),
            (Trust::Pins(vec![stranger]), false),
            (other, false),
            (Trust::System, false),
        ] {
            let answer = client(&trust).version().await;
            assert_eq!(answer.is_ok(), is_believed, "{trust:?}: {answer:?}");
            if let Err(error) = answer {
                let chain = strata_framework::Diagnostics::failed("ask", "host", &url, &error);
                assert!(chain.to_string().contains("certificate"), "{chain}");
            }
        }

        // The host renews its certificate: its CA goes on, a pin does not unless it was named before.
        world.change(json!("renew_certificate")).await;
        let after = shown(&client(&authority)).await;
        assert_ne!(after, before);
        let old = Trust::Pins(vec![before.clone()]);
        assert!(client(&old).version().await.is_err());
        let both = Trust::Pins(vec![before, after]);
        assert!(client(&both).version().await.is_ok());
    }

    #[tokio::test]
    async fn the_block_of_the_provider_says_who_is_believed() {
        let world = World::start().await;
        let lab = world.environment().await;
        let (url, trust) = in_lab(&lab).unwrap();
        let Trust::Authority(pem) = &trust else {
            panic!("the lab has a CA of its own");
        };
        let token = Secret::new(lab.get("PROXMOX_VE_API_TOKEN").unwrap().to_owned());
        let pin = shown(&connect(&lab, &url, &trust, &token).unwrap()).await;
        let root = world.folder.path();
        std::fs::write(root.join("pve-root-ca.pem"), pem).unwrap();
        let ask = async |ca_file: Option<&str>, pins: &[String]| {
            let mut configuration = configuration(root, "estate-1");
            // The lab's hosts, as if they were anybody's.
            configuration.lab = Attr::Known(false);
            configuration.proxmox = Attr::Known(ProxmoxConfiguration {
                url: Attr::Known(url.clone()),
                ca_file: Attr::from(ca_file.map(str::to_owned)),
                fingerprints: Attr::Known(pins.to_vec()),
            });
            let provider = Strata::in_environment(configuration, world.environment().await);
            let proxmox = provider
                .proxmox()
                .await
                .map_err(|error| error.to_string())?;
            let version = proxmox.client.version().await;
            version.map_err(|error| error.to_string())
        };
        assert!(ask(Some("pve-root-ca.pem"), &[]).await.is_ok());
        assert!(ask(None, std::slice::from_ref(&pin)).await.is_ok());
        assert!(ask(None, &[]).await.is_err());
        // Then nothing else is trusted.
        let stranger = ["AB"; 32].join(":");
        assert!(ask(Some("pve-root-ca.pem"), &[stranger]).await.is_err());
        let missing = ask(Some("missing.pem"), &[]).await.unwrap_err();
        assert!(missing.contains("missing.pem"), "{missing}");
    }
}
