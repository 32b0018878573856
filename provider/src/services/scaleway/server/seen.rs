//! What a look at a server tells: of every attribute that is not configured, and in a refresh of those that are.

use std::collections::BTreeSet;

use jiff::Timestamp;
use strata_framework::{Attr, Diagnostics};

use super::model::{BaremetalServer, failed};
use super::options;
use crate::provider::Scaleway;
use crate::services::scaleway::catalogue::Os;
use crate::services::scaleway::order::{self, Marks};
use crate::services::scaleway::wire::Server;

impl BaremetalServer {
    /// What every look at the server tells. Configured attributes are not touched.
    pub(in crate::services::scaleway) fn see(&mut self, server: &Server) {
        self.id = Attr::Known(server.id.clone());
        self.ipv4 = server.ipv4().map(|address| address.to_string()).into();
        self.ipv6 = server.ipv6().map(|address| address.to_string()).into();
        self.status = Attr::Known(server.status.clone());
        let install = server.install.as_ref();
        self.install_status = install.map(|install| install.status.clone()).into();
        self.offer_id = Attr::Known(server.offer_id.clone());
        if !server.project_id.is_empty() {
            self.project_id = Attr::Known(server.project_id.clone());
        }
        self.os_id = install.map(|install| install.os_id.clone()).into();
        self.owner = Marks::of(server).map(|marks| marks.owner).into();
        if !server.domain.is_empty() {
            self.domain = Attr::Known(server.domain.clone());
        }
        if self.ready != Attr::Known(true) {
            self.ready = Attr::Known(false);
            self.last_seen = Attr::Known(match install {
                Some(install) => {
                    format!("status {}, installation {}", server.status, install.status)
                }
                None => format!("status {}, nothing installed by Scaleway", server.status),
            });
        }
    }

    /// What a refresh tells about configured attributes.
    pub(in crate::services::scaleway) fn drift(&mut self, server: &Server, marks: Option<&Marks>) {
        self.name = Attr::Known(server.name.clone());
        if !(server.description.is_empty() && self.description.is_null()) {
            self.description = Attr::Known(server.description.clone());
        }
        self.protected = Attr::Known(server.protected);
        let foreign = |tag: &&String| !order::is_mark(tag) && !is_label(tag);
        let tags: BTreeSet<String> = server.tags.iter().filter(foreign).cloned().collect();
        if !(tags.is_empty() && self.tags.is_null()) {
            self.tags = Attr::Known(tags);
        }
        let implied = self.needs_private_network();
        self.options = options::drift(&self.options, server, implied, Timestamp::now());
        for (reverse, is_ipv6) in [
            (&mut self.reverse_ipv4, false),
            (&mut self.reverse_ipv6, true),
        ] {
            if let Some(name) = server
                .ip(is_ipv6)
                .map(|ip| &ip.reverse)
                .filter(|name| !name.is_empty())
            {
                *reverse = Attr::Known(name.clone());
            }
        }
        // A server whose marks were touched has no owner: that is what the plan repairs.
        if marks.is_none_or(|marks| !marks.tags().iter().all(|tag| server.tags.contains(tag))) {
            self.owner = Attr::Null;
        }
    }

    /// How the server is paid, by the id of its offer. What the catalogue does not know is left as it is.
    pub(in crate::services::scaleway) async fn see_billing(
        &mut self,
        scaleway: &Scaleway,
        server: &Server,
    ) -> Result<(), Diagnostics> {
        let hourly = scaleway.client.hourly(self.zone.text()).await;
        let hourly = hourly.map_err(|error| failed("read", &server.id, &error))?;
        if hourly.iter().any(|offer| offer.id == server.offer_id) {
            self.monthly = Attr::Known(false);
        } else if hourly
            .iter()
            .any(|offer| offer.monthly_offer_id.as_ref() == Some(&server.offer_id))
        {
            self.monthly = Attr::Known(true);
        }
        Ok(())
    }

    /// Attributes that an import cannot know from its id.
    pub(in crate::services::scaleway) async fn describe(
        &mut self,
        scaleway: &Scaleway,
        server: &Server,
    ) -> Result<(), Diagnostics> {
        let zone = self.zone.text().to_owned();
        let systems = scaleway
            .client
            .systems(&zone)
            .await
            .map_err(|error| failed("read", &server.id, &error))?;
        self.node = Marks::of(server)
            .map(|marks| marks.node)
            .filter(|node| !node.is_empty())
            .into();
        self.offer = Attr::Known(server.offer_name.clone());
        self.see_billing(scaleway, server).await?;
        if let Some(install) = &server.install {
            let system = systems.iter().find(|system| system.id == install.os_id);
            let short = |system: &Os| {
                format!(
                    "{} {}",
                    system.name,
                    system.version.split(' ').next().unwrap_or_default()
                )
                .trim()
                .to_owned()
            };
            self.os = Attr::Known(system.map_or_else(|| install.os_id.clone(), short));
            self.ssh_key_ids = Attr::Known(install.ssh_key_ids.clone());
        }
        self.ready =
            Attr::Known(server.status == "ready" && server.install_status() == "completed");
        self.last_seen = Attr::Known("imported".into());
        Ok(())
    }
}

/// Whether the API adds this tag by itself while an option is on.
pub(in crate::services::scaleway) fn is_label(tag: &str) -> bool {
    ["PrivateNetwork", "RemoteAccess"].contains(&tag)
}
