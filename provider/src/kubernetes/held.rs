//! What goes with a cluster, or stays behind it, and is not the provider's: volumes with data, load balancers somewhere else (FN23).

use k8s_openapi::api::core::v1::{PersistentVolume, Service};
use kube::Api;
use kube::api::ListParams;

use super::{Client, Error};

/// Volumes and load balancers by name, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Volumes on the disks of nodes, `namespace/claim` or the volume's name: their data goes with the machines.
    pub local: Vec<String>,
    /// Volumes elsewhere: they stay and may cost money.
    pub elsewhere: Vec<String>,
    /// Services of type LoadBalancer: what a controller made for them outside may stay.
    pub load_balancers: Vec<String>,
}

/// Looks for both.
pub async fn list(client: &Client) -> Result<Held, Error> {
    let every = ListParams::default();
    let volumes = Api::<PersistentVolume>::all(client.api())
        .list(&every)
        .await
        .map_err(Error::during("list", "PersistentVolumes"))?;
    let services = Api::<Service>::all(client.api())
        .list(&every)
        .await
        .map_err(Error::during("list", "Services"))?;
    Ok(Held::of(&volumes.items, &services.items))
}

impl Held {
    fn of(volumes: &[PersistentVolume], services: &[Service]) -> Self {
        let mut held = Self::default();
        for volume in volumes {
            let Some(spec) = &volume.spec else { continue };
            let claim = spec.claim_ref.as_ref().and_then(|claim| {
                Some(format!(
                    "{}/{}",
                    claim.namespace.as_ref()?,
                    claim.name.as_ref()?
                ))
            });
            let name = claim
                .or_else(|| volume.metadata.name.clone())
                .unwrap_or_default();
            if spec.local.is_some() || spec.host_path.is_some() {
                held.local.push(name);
            } else {
                held.elsewhere.push(name);
            }
        }
        for service in services {
            let kind = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
            if kind == Some("LoadBalancer") {
                held.load_balancers.push(format!(
                    "{}/{}",
                    service.metadata.namespace.as_deref().unwrap_or_default(),
                    service.metadata.name.as_deref().unwrap_or_default()
                ));
            }
        }
        held.local.sort();
        held.elsewhere.sort();
        held.load_balancers.sort();
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn local_data_is_told_from_what_lies_elsewhere() {
        let volume = |name: &str, spec: Value| -> PersistentVolume {
            serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap()
        };
        let service = |name: &str, kind: &str| -> Service {
            serde_json::from_value(
                json!({ "metadata": { "name": name, "namespace": "web" }, "spec": { "type": kind } }),
            )
            .unwrap()
        };
        let volumes = [
            volume(
                "pv-2",
                json!({ "local": { "path": "/data" }, "claimRef": { "namespace": "postgres", "name": "data-0" } }),
            ),
            volume("pv-1", json!({ "hostPath": { "path": "/data" } })),
            volume(
                "pv-3",
                json!({ "csi": { "driver": "a", "volumeHandle": "b" }, "claimRef": { "namespace": "loki", "name": "data-0" } }),
            ),
        ];
        let services = [
            service("front", "LoadBalancer"),
            service("back", "ClusterIP"),
        ];
        assert_eq!(
            Held::of(&volumes, &services),
            Held {
                local: vec!["postgres/data-0".into(), "pv-1".into()],
                elsewhere: vec!["loki/data-0".into()],
                load_balancers: vec!["web/front".into()],
            }
        );
    }
}
