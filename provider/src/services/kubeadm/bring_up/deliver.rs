//! What is put on the machine before kubeadm runs: PKI, configuration, firewall, the endpoint in its hosts file.

use std::net::IpAddr;

use super::super::config;
use super::{Newcomer, Trouble};
use crate::pki::Pki;
use crate::ssh::Session;
use crate::verb::Verb;

impl Newcomer<'_> {
    pub(super) async fn put(
        &self,
        session: &Session,
        mode: &'static str,
        path: &str,
        content: &[u8],
    ) -> Result<(), Trouble> {
        session
            .put(mode, path, content)
            .await
            .map_err(|error| self.ssh_trouble(&error))
    }

    pub(super) async fn deliver(&self, session: &Session, pki: &Pki) -> Result<(), Trouble> {
        if self.control_plane {
            return self.deliver_control_plane(session, pki).await;
        }
        self.admit_peers(session).await
    }

    pub(super) async fn deliver_control_plane(
        &self,
        session: &Session,
        pki: &Pki,
    ) -> Result<(), Trouble> {
        self.admit_peers(session).await?;
        for (file, content) in pki.files() {
            self.put(
                session,
                "0600",
                &format!("/etc/kubernetes/pki/{file}"),
                content.expose().as_bytes(),
            )
            .await?;
        }
        self.put(
            session,
            "0600",
            config::ENCRYPTION,
            config::encryption(&pki.encryption_key())
                .expose()
                .as_bytes(),
        )
        .await?;
        if self.cluster.audit.or_default() {
            self.put(
                session,
                "0600",
                config::AUDIT,
                config::audit_policy().as_bytes(),
            )
            .await?;
        }
        Ok(())
    }

    pub(super) async fn admit_peers(&self, session: &Session) -> Result<(), Trouble> {
        let verb = Verb::Peers(self.peers().into_iter().collect());
        session
            .run(&verb, b"")
            .await
            .map(drop)
            .map_err(|error| self.ssh_trouble(&error))
    }

    pub(super) async fn map_endpoint(
        &self,
        session: &Session,
        address: IpAddr,
    ) -> Result<(), Trouble> {
        if self.endpoint().parse::<IpAddr>().is_ok() {
            return Ok(());
        }
        let verb = Verb::Hosts {
            name: self.endpoint().into(),
            address,
        };
        session
            .run(&verb, b"")
            .await
            .map(drop)
            .map_err(|error| self.ssh_trouble(&error))
    }
}
