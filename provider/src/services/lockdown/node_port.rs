//! NodePorts bypass the firewall: Cilium answers them before nftables sees a packet (FN13). Where they answer is the CNI's configuration; here one is looked at.
//!
//! Silence proves nothing, for nothing answered before: only an answer says something.

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::ListParams;

use super::close::Gate;
use super::probe::{self, Seen};
use crate::kubernetes::{Client, Error};

/// What the attribute `observed` says of NodePorts, and under which name.
pub const OBSERVED: &str = "node_ports";
/// A NodePort answers from here.
pub const ANSWERS: &str = "answers";

/// The lowest TCP NodePort of the cluster.
async fn lowest(client: &Client) -> Result<Option<u16>, Error> {
    let api: Api<Service> = Api::all(client.api());
    let services = api
        .list(&ListParams::default())
        .await
        .map_err(Error::during("list", "services"))?;
    Ok(services.items.iter().filter_map(of).min())
}

fn of(service: &Service) -> Option<u16> {
    let ports = service.spec.as_ref()?.ports.iter().flatten();
    let tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|name| name == "TCP"));
    tcp.filter_map(|port| u16::try_from(port.node_port?).ok())
        .min()
}

impl Gate<'_> {
    /// `none`, `answers`, `silent`, or `not observed`.
    pub(super) async fn look_at_node_ports(&self, client: &Client) -> &'static str {
        match lowest(client).await {
            Ok(None) => "none",
            Ok(Some(port)) => match probe::port(self.access.dialer(), self.address, port).await {
                Seen::Connects => ANSWERS,
                Seen::Silent => "silent",
                Seen::Unclear => "not observed",
            },
            Err(_) => "not observed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_tcp_port_of_a_service_is_looked_at() {
        let service = |ports: serde_json::Value| -> Service {
            serde_json::from_value(serde_json::json!({ "spec": { "ports": ports } })).unwrap()
        };
        let ports = serde_json::json!([
            { "port": 53, "protocol": "UDP", "nodePort": 30000 },
            { "port": 443, "protocol": "TCP", "nodePort": 30443 },
            { "port": 80, "nodePort": 30080 },
            { "port": 81 },
        ]);
        assert_eq!(of(&service(ports)), Some(30080));
        assert_eq!(of(&service(serde_json::json!([{ "port": 80 }]))), None);
        assert_eq!(of(&Service::default()), None);
    }
}
