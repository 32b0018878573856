//! Private networks of a server: what is wanted, what is there, and the one call that says the whole (contract section 6).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strata_framework::{Attr, Diagnostics, Policy, Probe, Schema, wait};

use super::model::{BaremetalServer, failed};
use crate::provider::Scaleway;
use crate::services::scaleway::converge::Cx;
use crate::services::scaleway::fabric::{Attachment as Seen, Fabric, bare};

/// A private network that the server is in.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct PrivateNetwork {
    /// Ids of the addresses that the server has there, reserved in IPAM beforehand. Without it Scaleway gives one IPv4 and one IPv6 address.
    #[schema(optional)]
    pub(in crate::services::scaleway) ipam_ip_ids: Attr<BTreeSet<String>>,
}

/// What a private network means for the system of the server.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct Attachment {
    /// State, e.g. `attached`.
    #[schema(computed)]
    pub(in crate::services::scaleway) status: Attr<String>,
    /// Number of the VLAN, on the one network interface of the machine: the system needs an interface with this index.
    #[schema(computed)]
    pub(in crate::services::scaleway) vlan: Attr<u32>,
    /// Addresses with the length of their prefix, e.g. `172.16.4.2/22`. Empty without the permission to read them.
    #[schema(computed)]
    pub(in crate::services::scaleway) addresses: Attr<BTreeSet<String>>,
}

type Wanted = BTreeMap<String, PrivateNetwork>;

/// The networks that a refresh shows, in the words of whoever wrote them; others by id.
fn drift<'a>(prior: &Attr<Wanted>, there: impl Iterator<Item = &'a Seen>) -> Attr<Wanted> {
    let mut rest: BTreeMap<&str, &Seen> = there
        .map(|one| (one.private_network_id.as_str(), one))
        .collect();
    let mut networks = Wanted::new();
    for (id, wanted) in prior.known().into_iter().flatten() {
        let Some(seen) = rest.remove(bare(id)) else {
            continue;
        };
        let ipam_ip_ids = wanted.ipam_ip_ids.clone().map(|wanted| {
            let ids: BTreeSet<&str> = wanted.iter().map(|id| bare(id)).collect();
            if ids.iter().eq(seen.ipam_ip_ids.iter()) {
                wanted
            } else {
                seen.ipam_ip_ids.clone()
            }
        });
        networks.insert(id.clone(), PrivateNetwork { ipam_ip_ids });
    }
    networks.extend(
        rest.into_keys()
            .map(|id| (id.to_owned(), PrivateNetwork::default())),
    );
    if networks.is_empty() && prior.is_null() {
        return Attr::Null;
    }
    Attr::Known(networks)
}

/// Whether a server is where it is wanted, with the addresses that are wanted.
fn is_there(wanted: &BTreeMap<String, BTreeSet<String>>, there: &[Seen]) -> bool {
    let there: Vec<&Seen> = there.iter().filter(|one| !one.is_leaving()).collect();
    there.len() == wanted.len()
        && there.iter().all(|one| {
            wanted
                .get(&one.private_network_id)
                .is_some_and(|ids| ids.is_empty() || *ids == one.ipam_ip_ids)
        })
}

impl BaremetalServer {
    /// Whether anything is to be told of private networks.
    pub(in crate::services::scaleway) fn has_networks(&self) -> bool {
        let attached = self.private_network_attachments.known();
        self.needs_private_network() || attached.is_some_and(|attached| !attached.is_empty())
    }

    /// What the fabric tells: attachments, addresses, MAC.
    pub(in crate::services::scaleway) fn see_fabric(&mut self, fabric: &Fabric) {
        let id = self.id.text().to_owned();
        let mut attachments = BTreeMap::new();
        self.mac = Attr::Null;
        for one in fabric.of(&id) {
            let addresses: Vec<_> = fabric.addresses(&one.id).collect();
            let mut owners = addresses
                .iter()
                .filter_map(|address| address.resource.as_ref());
            if let Some(mac) = owners.find_map(|owner| owner.mac_address.clone()) {
                self.mac = Attr::Known(mac);
            }
            let texts: BTreeSet<String> = addresses.iter().map(|one| one.address.clone()).collect();
            attachments.insert(
                one.private_network_id.clone(),
                Attachment {
                    status: one.status.clone().into(),
                    vlan: one.vlan.into(),
                    addresses: texts.into(),
                },
            );
        }
        self.private_network_attachments = Attr::Known(attachments);
    }

    /// What a refresh tells about the configured networks.
    pub(in crate::services::scaleway) fn drift_networks(&mut self, fabric: &Fabric) {
        let id = self.id.text().to_owned();
        self.private_networks = drift(&self.private_networks, fabric.of(&id));
        self.see_fabric(fabric);
    }

    /// Attaches and detaches until the server is in the networks that are wanted, and waits until it is.
    pub(in crate::services::scaleway) async fn attach_networks(
        &mut self,
        cx: &Cx<'_>,
        scaleway: &Scaleway,
    ) -> Result<(), Diagnostics> {
        let (zone, id) = (
            self.zone.require("zone")?.clone(),
            self.id.require("id")?.clone(),
        );
        let failed = |error: &crate::http::client::Error| {
            failed("change the private networks of", &id, error)
        };
        let wanted = self.private_networks.or_default();
        let wanted: BTreeMap<String, BTreeSet<String>> = wanted
            .into_iter()
            .map(|(network, one)| {
                let ids = one.ipam_ip_ids.or_default();
                let ids = ids.iter().map(|id| bare(id).to_owned()).collect();
                (bare(&network).to_owned(), ids)
            })
            .collect();
        let client = &scaleway.client;
        let there = client.attachments_of(&zone, &id).await;
        if !is_there(&wanted, &there.map_err(|error| failed(&error))?) {
            let answer = client.attach(&zone, &id, &wanted).await;
            answer.map_err(|error| failed(&error))?;
        }
        let pace = |seconds| client.scaled(Duration::from_secs(seconds));
        let what = format!("private networks of server {id}");
        let policy = Policy::new(what).every(pace(5), pace(15));
        let outcome = wait(cx, &policy, async || {
            match client.attachments_of(&zone, &id).await {
                Ok(there) => match there.iter().find(|one| one.is_moving()) {
                    Some(one) => {
                        Probe::NotYet(format!("{} is {}", one.private_network_id, one.status))
                    }
                    None if is_there(&wanted, &there) => Probe::Done(()),
                    None => Probe::NotYet("not listed yet".into()),
                },
                Err(error) if error.is_transient() => Probe::NotYet(error.to_string()),
                Err(error) => Probe::Failed(failed(&error)),
            }
        });
        outcome.await.map_err(Diagnostics::from)?;
        let fabric = client.fabric(&zone).await;
        self.see_fabric(&fabric.map_err(|error| failed(&error))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(network: &str, ids: &[&str]) -> Seen {
        Seen {
            private_network_id: network.into(),
            status: "attached".into(),
            ipam_ip_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..Seen::default()
        }
    }

    fn wanted(networks: &[(&str, Option<&[&str]>)]) -> Attr<Wanted> {
        let network = |ids: Option<&[&str]>| PrivateNetwork {
            ipam_ip_ids: ids
                .map(|ids| ids.iter().map(|id| (*id).to_owned()).collect())
                .into(),
        };
        let networks = networks
            .iter()
            .map(|(id, ids)| ((*id).to_owned(), network(*ids)));
        Attr::Known(networks.collect())
    }

    #[test]
    fn networks_are_told_in_the_words_of_the_configuration() {
        let there = [seen("a", &["1", "2"]), seen("b", &["3"])];
        let shown = |prior: &Attr<Wanted>| drift(prior, there.iter());
        let regional = wanted(&[("fr-par/a", Some(&["fr-par/1", "fr-par/2"])), ("b", None)]);
        assert_eq!(shown(&regional), regional);
        assert_eq!(
            shown(&wanted(&[("a", Some(&["1"])), ("c", None)])),
            wanted(&[("a", Some(&["1", "2"])), ("b", None)])
        );
        assert_eq!(shown(&Attr::Null), wanted(&[("a", None), ("b", None)]));
        assert_eq!(drift(&Attr::Null, [].iter()), Attr::Null);
    }

    #[test]
    fn addresses_count_only_where_they_are_asked_for() {
        let there = [seen("a", &["1", "2"])];
        let ids = |ids: &[&str]| {
            ids.iter()
                .map(|id| (*id).to_owned())
                .collect::<BTreeSet<_>>()
        };
        assert!(is_there(&BTreeMap::from([("a".into(), ids(&[]))]), &there));
        assert!(is_there(
            &BTreeMap::from([("a".into(), ids(&["1", "2"]))]),
            &there
        ));
        assert!(!is_there(
            &BTreeMap::from([("a".into(), ids(&["1"]))]),
            &there
        ));
        assert!(!is_there(&BTreeMap::new(), &there));
    }
}
