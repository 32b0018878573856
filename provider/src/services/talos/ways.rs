//! The ways of one operation to the nodes of a Talos cluster: the bundle, one connection per step, waits that keep the lab's pace.

use std::collections::BTreeMap;
use std::time::Duration;

use strata_framework::{Bounded, Diagnostics, Limits, Probe, WaitError, chain, wait};
use tokio::sync::OwnedMutexGuard;

use crate::access::Access;
use crate::kubernetes;
use crate::provider::Strata;
use crate::services::attribute::Cluster;
use crate::talos::{Client, Error};
use crate::talos_secrets::TalosSecrets;

/// Between two looks at a node.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5));

/// The ways.
pub struct Ways<'a> {
    /// Store, dialer, speed.
    pub access: Access<'a>,
    /// The bundle.
    pub secrets: TalosSecrets,
    entry: String,
}

impl<'a> Ways<'a> {
    /// The ways of the configured provider to the cluster whose secrets lie in this entry.
    pub async fn of(provider: &'a Strata, entry: &str) -> Result<Self, Diagnostics> {
        let access = Access::of(provider).await?;
        let text = access.entry(entry).await?;
        let secrets = TalosSecrets::parse(text.expose())
            .map_err(|error| Diagnostics::failed("read", "store entry", entry, &error))?;
        Ok(Self {
            access,
            secrets,
            entry: entry.into(),
        })
    }

    /// One try to reach a node.
    pub async fn node(&self, address: &str) -> Result<Client, Error> {
        let shared = self.access.shared();
        shared
            .talos
            .connect(self.access.dialer(), address, &self.secrets)
            .await
    }

    /// Asks again and again until there is an answer, over connections that break.
    pub async fn until<T, Looking>(
        &self,
        cx: &impl Bounded,
        what: String,
        limit: Duration,
        address: &str,
        look: impl Fn(Client) -> Looking,
    ) -> Result<T, WaitError<Error>>
    where
        Looking: Future<Output = Result<Probe<T, Error>, Error>>,
    {
        let policy = self
            .access
            .policy(what, PAUSE.0, PAUSE.1)
            .at_most(self.access.pace(limit).max(Duration::from_secs(20)));
        wait(cx, &policy, async || {
            let seen = match self.node(address).await {
                Ok(client) => look(client).await,
                Err(error) => Err(error),
            };
            match seen {
                Ok(probe) => probe,
                // A machine that changes from maintenance to its configuration shows a stranger's certificate until it has done so.
                Err(error) if error.is_unreachable() || error.is_stranger() => {
                    Probe::NotYet(chain(&error))
                }
                Err(error) => Probe::Failed(error),
            }
        })
        .await
    }

    /// Waits until no other operation of this process changes a node of the cluster.
    pub async fn lock(
        &self,
        limits: &Limits,
        cluster: &str,
    ) -> Result<OwnedMutexGuard<()>, Diagnostics> {
        let pause = self.access.pace(PAUSE.0);
        self.access
            .shared()
            .membership(limits, &format!("Talos cluster {cluster}"), pause)
            .await
    }

    /// The Kubernetes API, dialled at these control planes. `endpoint`: `https://HOST:PORT`.
    pub async fn kubernetes(
        &self,
        endpoint: &str,
        control_planes: &BTreeMap<String, String>,
    ) -> Result<kubernetes::Client, Diagnostics> {
        let cluster = kubernetes_cluster(endpoint, &self.entry, control_planes)?;
        self.access.client(&cluster).await
    }
}

/// A Talos cluster as everything else reaches a cluster.
fn kubernetes_cluster(
    endpoint: &str,
    secrets: &str,
    control_planes: &BTreeMap<String, String>,
) -> Result<Cluster, Diagnostics> {
    let (host, port) = host_and_port(endpoint).ok_or_else(|| {
        Diagnostics::error(
            "Cannot reach the Kubernetes API",
            "The endpoint is not an address like https://192.0.2.10:6443.",
        )
    })?;
    Ok(Cluster {
        name: strata_framework::Attr::Null,
        endpoint: host.into(),
        port: port.into(),
        kubernetes_version: strata_framework::Attr::Null,
        pod_subnet: strata_framework::Attr::Null,
        service_subnet: strata_framework::Attr::Null,
        dns_domain: strata_framework::Attr::Null,
        audit: strata_framework::Attr::Null,
        extra_sans: strata_framework::Attr::Null,
        pki: secrets.into(),
        control_planes: control_planes.clone().into(),
        peers: strata_framework::Attr::Null,
    })
}

/// Of `https://HOST:PORT`, IPv6 without brackets.
pub fn host_and_port(endpoint: &str) -> Option<(String, u16)> {
    let address: http::Uri = endpoint.parse().ok()?;
    if address.scheme_str() != Some("https") || !matches!(address.path(), "" | "/") {
        return None;
    }
    let host = address.host()?.trim_matches(['[', ']']).to_owned();
    Some((host, address.port_u16()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_with_a_port() {
        let of = |text| host_and_port(text);
        assert_eq!(
            of("https://192.0.2.10:6443"),
            Some(("192.0.2.10".into(), 6443))
        );
        assert_eq!(
            of("https://[2001:db8::1]:6443/"),
            Some(("2001:db8::1".into(), 6443))
        );
        for other in [
            "192.0.2.10",
            "http://a:6443",
            "https://a",
            "https://a:6443/x",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
