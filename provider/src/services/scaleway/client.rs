//! Client of Elastic Metal v1 and IAM v1alpha1: <https://www.scaleway.com/en/developers/api/elastic-metal/>.
//!
//! Covered: offers, OSes, servers (list, get, create, patch, install, options, reverse names, billing, delete), SSH keys; private networks
//! are in `fabric`. What is sent and received is in `wire` and `catalogue`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::catalogue::{Offer, Once, Os};
use super::wire::{NewInstall, NewServer, Server, ServerPatch, SshKey};
use crate::http::client::{Client as Http, Error, escape};

/// More than the default of 20, and what every list of the API takes.
const PAGE: usize = 100;

/// IAM changes reach every gateway within this time.
const PROPAGATION: Duration = Duration::from_mins(2);

/// One project's view of the API.
pub struct Client {
    pub(super) http: Http,
    hourly: Once<Vec<Offer>>,
    monthly: Once<Vec<Offer>>,
    systems: Once<Vec<Os>>,
    partitionings: Once<()>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    total_count: usize,
    #[serde(flatten)]
    rest: HashMap<String, serde_json::Value>,
}

/// A 403 that names no missing permission: IAM catching up, gateway by gateway, or a burst.
pub(super) fn is_unexplained_denial(error: &Error) -> bool {
    let Error::Status { status, body, .. } = error else {
        return false;
    };
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    *status == http::StatusCode::FORBIDDEN && body.get("type").is_none()
}

/// For a call that is denied without a reason: two minutes of it. What is denied was not done, so it may be sent again, whatever it is.
#[derive(Default)]
struct Patience {
    waited: Duration,
}

impl Patience {
    fn has_for(&self, error: &Error) -> bool {
        self.waited < PROPAGATION && is_unexplained_denial(error)
    }

    async fn wait(&mut self, http: &Http) {
        let pause = Duration::from_secs(5) + self.waited / 2;
        tokio::time::sleep(http.scaled(pause)).await;
        self.waited += pause;
    }
}

fn absent<T>(error: Error) -> Result<Option<T>, Error> {
    if error.is_not_found() {
        Ok(None)
    } else {
        Err(error)
    }
}

impl Client {
    /// A client over the shared HTTP layer.
    pub fn new(http: Http) -> Self {
        Self {
            http,
            hourly: Once::default(),
            monthly: Once::default(),
            systems: Once::default(),
            partitionings: Once::default(),
        }
    }

    /// The wall-clock length of a duration of the API's clock (shorter in the lab).
    pub fn scaled(&self, duration: Duration) -> Duration {
        self.http.scaled(duration)
    }

    /// A GET.
    async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let mut patience = Patience::default();
        loop {
            match self.http.get(path).send().await {
                Err(error) if patience.has_for(&error) => patience.wait(&self.http).await,
                answer => return answer,
            }
        }
    }

    pub(super) async fn all<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        query: &str,
    ) -> Result<Vec<T>, Error> {
        let mut items: Vec<T> = Vec::new();
        for page in 1.. {
            let path = format!("{path}?page={page}&page_size={PAGE}{query}");
            let answer: Page = self.read(&path).await?;
            let list = answer.rest.get(key).cloned().unwrap_or_default();
            let unreadable = |error: serde_json::Error| Error::Answer {
                service: "scaleway",
                method: http::Method::GET,
                path: path.clone(),
                reason: format!("`{key}` of the answer: {error}"),
            };
            let list: Vec<T> = serde_json::from_value::<Option<Vec<T>>>(list)
                .map_err(unreadable)?
                .unwrap_or_default();
            let count = list.len();
            items.extend(list);
            if count == 0 || items.len() >= answer.total_count {
                break;
            }
        }
        Ok(items)
    }

    /// The hourly offers of a zone; listed once per process.
    pub async fn hourly(&self, zone: &str) -> Result<Arc<Vec<Offer>>, Error> {
        // Without a period only hourly offers are listed, so both are asked for by name.
        let list = self.offers(zone, "hourly");
        self.hourly.get(zone, list).await
    }

    /// The monthly offers of a zone; listed once per process, and only when somebody wants one.
    pub async fn monthly(&self, zone: &str) -> Result<Arc<Vec<Offer>>, Error> {
        let list = self.offers(zone, "monthly");
        self.monthly.get(zone, list).await
    }

    async fn offers(&self, zone: &str, period: &str) -> Result<Vec<Offer>, Error> {
        let path = format!("baremetal/v1/zones/{zone}/offers");
        let query = format!("&subscription_period={period}");
        self.all(&path, "offers", &query).await
    }

    /// All OSes of a zone; listed once per process.
    pub async fn systems(&self, zone: &str) -> Result<Arc<Vec<Os>>, Error> {
        let path = format!("baremetal/v1/zones/{zone}/os");
        let list = self.all(&path, "os", "");
        self.systems.get(zone, list).await
    }

    /// All servers of a zone that carry every one of `tags`.
    pub async fn servers(&self, zone: &str, tags: &[String]) -> Result<Vec<Server>, Error> {
        let mut query = "&order_by=created_at_asc".to_owned();
        for tag in tags {
            query.push_str("&tags=");
            query.push_str(&escape(tag));
        }
        let path = format!("baremetal/v1/zones/{zone}/servers");
        let mut servers: Vec<Server> = self.all(&path, "servers", &query).await?;
        // The filter's exact meaning is not documented: what it lets through is checked.
        servers.retain(|server| tags.iter().all(|tag| server.tags.contains(tag)));
        Ok(servers)
    }

    /// One server; `None` when it does not exist.
    pub async fn server(&self, zone: &str, id: &str) -> Result<Option<Server>, Error> {
        self.read(&format!("baremetal/v1/zones/{zone}/servers/{id}"))
            .await
            .map(Some)
            .or_else(absent)
    }

    /// Orders a server. Costs money and has no idempotency key: see `order`.
    pub async fn create_server(&self, zone: &str, server: &NewServer) -> Result<Server, Error> {
        self.http
            .post(format!("baremetal/v1/zones/{zone}/servers"))
            .json(server)
            .send()
            .await
    }

    /// Changes a server in place. Sets values, so sending it twice is harmless.
    pub async fn patch_server(
        &self,
        zone: &str,
        id: &str,
        patch: &ServerPatch,
    ) -> Result<Server, Error> {
        self.http
            .patch(format!("baremetal/v1/zones/{zone}/servers/{id}"))
            .json(patch)
            .repeatable()
            .send()
            .await
    }

    /// Installs again. Wipes the disks and is not idempotent.
    pub async fn install_server(
        &self,
        zone: &str,
        id: &str,
        install: &NewInstall,
    ) -> Result<Server, Error> {
        self.http
            .post(format!("baremetal/v1/zones/{zone}/servers/{id}/install"))
            .json(install)
            .send()
            .await
    }

    /// Restarts a server into its own system (`normal`) or the rescue system (`rescue`), which takes these keys. Asking twice restarts it twice.
    pub async fn reboot_server(
        &self,
        zone: &str,
        id: &str,
        boot_type: &str,
        ssh_key_ids: &[String],
    ) -> Result<Server, Error> {
        let keys = (!ssh_key_ids.is_empty()).then_some(ssh_key_ids);
        self.http
            .post(format!("baremetal/v1/zones/{zone}/servers/{id}/reboot"))
            .json(&serde_json::json!({ "boot_type": boot_type, "ssh_key_ids": keys }))
            .send()
            .await
    }

    /// Starts the deletion of a server; gone already is success.
    pub async fn delete_server(&self, zone: &str, id: &str) -> Result<(), Error> {
        let answer = self
            .http
            .delete(format!("baremetal/v1/zones/{zone}/servers/{id}"))
            .send::<serde_json::Value>()
            .await;
        answer.map(Some).or_else(absent).map(|_| ())
    }

    /// Switches an option on. One that is on already is success.
    pub async fn add_option(
        &self,
        zone: &str,
        id: &str,
        option: &str,
        expires_at: Option<&str>,
    ) -> Result<(), Error> {
        let body = match expires_at {
            Some(end) => serde_json::json!({ "expires_at": end }),
            None => serde_json::json!({}),
        };
        let path = format!("baremetal/v1/zones/{zone}/servers/{id}/options/{option}");
        let request = self.http.post(path).json(&body).repeatable();
        match request.send::<serde_json::Value>().await {
            Err(error) if error.status() == Some(http::StatusCode::CONFLICT) => {
                let there = self.server(zone, id).await?;
                let on = |server: Server| server.options.iter().any(|one| one.id == option);
                if there.is_some_and(on) {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            answer => answer.map(drop),
        }
    }

    /// Switches an option off. One that is not there is success.
    pub async fn remove_option(&self, zone: &str, id: &str, option: &str) -> Result<(), Error> {
        let path = format!("baremetal/v1/zones/{zone}/servers/{id}/options/{option}");
        let answer = self.http.delete(path).send::<serde_json::Value>().await;
        answer.map(Some).or_else(absent).map(|_| ())
    }

    /// Sets the reverse name of an address.
    pub async fn set_reverse(
        &self,
        zone: &str,
        id: &str,
        ip: &str,
        reverse: &str,
    ) -> Result<(), Error> {
        let path = format!("baremetal/v1/zones/{zone}/servers/{id}/ips/{ip}");
        let body = serde_json::json!({ "reverse": reverse });
        let request = self.http.patch(path).json(&body).repeatable();
        request.send::<serde_json::Value>().await.map(drop)
    }

    /// From hourly to monthly. The fee is due at once; there is no way back and no idempotency: look before and after.
    pub async fn migrate_to_monthly(&self, zone: &str, id: &str) -> Result<(), Error> {
        let path = format!("baremetal/v1/zones/{zone}/servers/{id}/migrate-offer-monthly");
        let answer = self.http.post(path).send::<serde_json::Value>().await;
        answer.map(drop)
    }

    /// Asks whether disks can be divided like this. Changes nothing.
    pub async fn check_partitioning(
        &self,
        zone: &str,
        offer_id: &str,
        os_id: &str,
        schema: &serde_json::Value,
    ) -> Result<(), Error> {
        let body = serde_json::json!({ "offer_id": offer_id, "os_id": os_id, "partitioning_schema": schema });
        let path = format!("baremetal/v1/zones/{zone}/partitioning-schemas/validate");
        let check = async {
            let request = self.http.post(path).json(&body).repeatable();
            request.send::<serde_json::Value>().await.map(drop)
        };
        // Many servers are divided alike.
        self.partitionings.get(&body.to_string(), check).await?;
        Ok(())
    }

    /// The SSH keys of a project.
    pub async fn ssh_keys(&self, project: &str) -> Result<Vec<SshKey>, Error> {
        let keys: Vec<SshKey> = self
            .all(
                "iam/v1alpha1/ssh-keys",
                "ssh_keys",
                &format!("&project_id={}", escape(project)),
            )
            .await?;
        Ok(keys
            .into_iter()
            .filter(|key| key.project_id == project)
            .collect())
    }

    /// One SSH key; `None` when it does not exist.
    pub async fn ssh_key(&self, id: &str) -> Result<Option<SshKey>, Error> {
        self.read(&format!("iam/v1alpha1/ssh-keys/{id}"))
            .await
            .map(Some)
            .or_else(absent)
    }

    /// Registers an SSH key.
    pub async fn create_ssh_key(
        &self,
        project: &str,
        name: &str,
        public_key: &str,
    ) -> Result<SshKey, Error> {
        let body = serde_json::json!({ "name": name, "public_key": public_key.trim(), "project_id": project });
        let mut patience = Patience::default();
        loop {
            let request = self.http.post("iam/v1alpha1/ssh-keys").json(&body);
            match request.send().await {
                Err(error) if patience.has_for(&error) => patience.wait(&self.http).await,
                answer => return answer,
            }
        }
    }

    /// Renames an SSH key.
    pub async fn rename_ssh_key(&self, id: &str, name: &str) -> Result<SshKey, Error> {
        self.http
            .patch(format!("iam/v1alpha1/ssh-keys/{id}"))
            .json(&serde_json::json!({ "name": name }))
            .repeatable()
            .send()
            .await
    }

    /// Deletes an SSH key; gone already is success.
    pub async fn delete_ssh_key(&self, id: &str) -> Result<(), Error> {
        let answer = self
            .http
            .delete(format!("iam/v1alpha1/ssh-keys/{id}"))
            .send::<serde_json::Value>()
            .await;
        answer.map(Some).or_else(absent).map(|_| ())
    }
}
