//! The ephemeral resource `strata_scaleway_baremetal_bmc_access`: a session with the machine under a server.
//!
//! All of it is a secret, and it ends by itself: so it is neither an attribute of the server nor in any state.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strata_framework::{
    Attr, Cx, Diagnostics, Ephemeral, Opened, Policy, Probe, Schema, Secret, wait,
};

use super::client::Client;
use crate::http::client::Error;
use crate::provider::Strata;

/// A session with the remote access (BMC) of an Elastic Metal server.
///
/// Console, power and virtual media of the machine itself, whatever runs on it. The server needs the option `Remote Access`, and one address may
/// connect. The session is closed when Terraform is done, and ends by itself otherwise; a session that is open already is taken over and
/// closed by whoever opens the next one.
///
/// # Permissions
///
/// A Scaleway API key with the permission set `ElasticMetalFullAccess`
/// ([reference](https://www.scaleway.com/en/docs/iam/reference-content/permission-sets/)), in `SCW_SECRET_KEY` or the store entry
/// `scaleway/secret-key`.
///
/// # Errors
///
/// - "Cannot open the remote access to server": Scaleway's words follow, mostly that the option is missing or has ended, as it does after two
///   days; `options` of the server switches it on again.
/// - "No zone is configured.": set `zone` here or in `scaleway` of the provider block, or `SCW_DEFAULT_ZONE`.
#[derive(Schema, Clone, Debug, Default)]
#[schema(name = "scaleway_baremetal_bmc_access", version = 0)]
pub struct BmcAccess {
    /// Zone of the server. Default: that of the provider block, else `SCW_DEFAULT_ZONE`.
    #[schema(optional, computed, pattern("[a-z]{2}-[a-z]{3,7}-[0-9]{1,2}"))]
    zone: Attr<String>,
    /// Id (UUID) of the server.
    #[schema(required)]
    server_id: Attr<String>,
    /// The IPv4 address that may connect.
    #[schema(required, format = "ipv4")]
    ip: Attr<String>,
    /// Whether to open a session at all: write `terraform.applying`, since a plan changes nothing. While false, everything below is null.
    #[schema(required)]
    open: Attr<bool>,
    /// Address of the web console.
    #[schema(computed, sensitive)]
    url: Attr<Secret<String>>,
    /// User to log in as.
    #[schema(computed, sensitive)]
    login: Attr<Secret<String>>,
    /// Password of the user.
    #[schema(computed, sensitive)]
    password: Attr<Secret<String>>,
    /// When the session ends by itself, RFC 3339.
    #[schema(computed)]
    expires_at: Attr<String>,
}

/// Which session to close.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lease {
    zone: String,
    server: String,
}

/// A session as the API tells it; empty at first. A secret, so nothing prints it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Session {
    url: String,
    login: String,
    password: String,
    expires_at: Option<String>,
}

fn path(zone: &str, server: &str) -> String {
    format!("baremetal/v1/zones/{zone}/servers/{server}/bmc-access")
}

fn failed(server: &str, error: &Error) -> Diagnostics {
    Diagnostics::failed("open", "the remote access to server", server, error)
}

impl Client {
    /// Asks for a session. A second one replaces the first.
    async fn open_bmc(&self, zone: &str, server: &str, ip: &str) -> Result<(), Error> {
        let body = serde_json::json!({ "ip": ip });
        let request = self.http.post(path(zone, server)).json(&body).repeatable();
        request.send::<serde_json::Value>().await.map(drop)
    }

    /// The session, once it can be used.
    async fn bmc(&self, zone: &str, server: &str) -> Result<Option<Session>, Error> {
        let session: Session = self.http.get(path(zone, server)).send().await?;
        Ok(Some(session).filter(|session| !session.url.is_empty()))
    }

    /// Closes the session; gone already is success.
    async fn close_bmc(&self, zone: &str, server: &str) -> Result<(), Error> {
        let request = self.http.delete(path(zone, server));
        match request.send::<serde_json::Value>().await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

impl Ephemeral for BmcAccess {
    type Provider = Strata;
    type Model = Self;
    type Lease = Lease;
    const SUBCATEGORY: &'static str = "Scaleway";

    async fn open(
        cx: &Cx<'_, Strata>,
        mut config: Self,
    ) -> Result<Opened<Self, Lease>, Diagnostics> {
        let scaleway = cx.provider.scaleway().await?;
        let zone = scaleway.zone(config.zone.known())?;
        config.zone = zone.clone().into();
        if config.open != Attr::Known(true) {
            return Ok(Opened::new(config));
        }
        let (client, server) = (
            &scaleway.client,
            config.server_id.require("server_id")?.clone(),
        );
        let opened = client
            .open_bmc(&zone, &server, config.ip.require("ip")?)
            .await;
        opened.map_err(|error| failed(&server, &error))?;
        let pace = |seconds| client.scaled(Duration::from_secs(seconds));
        let what = format!("remote access to server {server}");
        let policy = Policy::new(what).every(pace(3), pace(15));
        let session = wait(cx, &policy, async || {
            match client.bmc(&zone, &server).await {
                Ok(Some(session)) => Probe::Done(session),
                Ok(None) => Probe::NotYet("not usable yet".into()),
                Err(error) if error.is_transient() => Probe::NotYet(error.to_string()),
                Err(error) => Probe::Failed(failed(&server, &error)),
            }
        });
        let session = session.await.map_err(Diagnostics::from)?;
        config.url = Secret::new(session.url).into();
        config.login = Secret::new(session.login).into();
        config.password = Secret::new(session.password).into();
        config.expires_at = session.expires_at.into();
        Ok(Opened::new(config).lease(Lease { zone, server }))
    }

    async fn close(cx: &Cx<'_, Strata>, lease: Lease) -> Result<(), Diagnostics> {
        let scaleway = cx.provider.scaleway().await?;
        let closed = scaleway.client.close_bmc(&lease.zone, &lease.server).await;
        closed.map_err(|error| {
            Diagnostics::failed(
                "close",
                "the remote access to server",
                &lease.server,
                &error,
            )
            .left("It ends by itself.")
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use strata_framework::Harness;

    use super::*;
    use crate::lab_test::World;

    #[tokio::test]
    async fn a_session_is_opened_in_an_apply_only_and_closed_again() {
        let world = World::start().await;
        let harness = Harness::<_, ()>::new(world.provider("estate-1").await);
        let cx = harness.cx::<()>();
        let scaleway = cx.provider.scaleway().await.unwrap();
        let client = &scaleway.client;
        let offers = client.hourly("fr-par-2").await.unwrap();
        let offer = offers.iter().find(|offer| offer.name == "EM-A610R-NVME");
        let order = json!({
            "offer_id": offer.unwrap().id, "name": "n", "project_id": scaleway.project(None).unwrap()
        });
        let servers = "baremetal/v1/zones/fr-par-2/servers";
        let server: Value = client.http.post(servers).json(&order).send().await.unwrap();
        let server = server["id"].as_str().unwrap().to_owned();
        let config = BmcAccess {
            server_id: server.clone().into(),
            ip: "198.51.100.7".into(),
            open: true.into(),
            ..BmcAccess::default()
        };
        let planning = BmcAccess {
            open: false.into(),
            ..config.clone()
        };
        world.calls("").await;
        let planned = BmcAccess::open(&cx, planning).await.unwrap();
        assert!(planned.result().url.is_null());
        assert_eq!(world.calls("scaleway ").await, 0, "a plan changes nothing");
        let refused = BmcAccess::open(&cx, config.clone()).await;
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("Cannot open the remote access to server"),
            "{refused}"
        );

        let option = offer.unwrap().options.iter();
        let option = option.clone().find(|option| option.name == "Remote Access");
        let wait = async || loop {
            let there = client.server("fr-par-2", &server).await.unwrap().unwrap();
            if there.status == "ready"
                && there
                    .options
                    .iter()
                    .all(|one| one.status == "option_status_enable")
            {
                break;
            }
        };
        wait().await;
        let id = &option.unwrap().id;
        client
            .add_option("fr-par-2", &server, id, None)
            .await
            .unwrap();
        wait().await;
        let opened = BmcAccess::open(&cx, config).await.unwrap();
        let session = opened.result();
        assert!(
            session.url.or_empty().starts_with("https://")
                && !session.password.or_empty().is_empty()
        );
        assert!(!format!("{session:?}").contains(session.password.or_empty()));
        let lease = Lease {
            zone: "fr-par-2".into(),
            server: server.clone(),
        };
        BmcAccess::close(&cx, lease.clone()).await.unwrap();
        assert!(
            client
                .bmc("fr-par-2", &server)
                .await
                .is_err_and(|error| error.is_not_found())
        );
        BmcAccess::close(&cx, lease).await.unwrap();
    }
}
