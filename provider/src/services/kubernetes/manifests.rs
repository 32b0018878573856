//! `strata_kubernetes_manifests`: a set of objects, applied server-side under the field manager `strata`.
//!
//! Identity is the name of the set. Objects that leave the list are removed. Drift is what the texts say and the cluster does not ([`compare`]); refresh only reads. Secrets with content are
//! refused: their values would stand in state.

use std::collections::BTreeSet;
use std::time::Duration;

use data_encoding::HEXLOWER;
use futures::StreamExt as _;
use serde_json::Value;
use sha2::{Digest, Sha256};
use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Probe, Resource, Schema, Timeouts,
    chain, wait,
};

use crate::access::{Access, UNSEEN, waited};
use crate::claim;
use crate::kubernetes::apply::{self, Id, Object};
use crate::kubernetes::{Client, Error, compare};
use crate::provider::{Strata, store_failed};
use crate::services::attribute::Cluster;

/// How many objects are read at once at refresh.
const AT_ONCE: usize = 8;
/// A kind whose definition was applied a moment ago is served by then.
const SERVED: Duration = Duration::from_mins(2);

/// A set of Kubernetes objects.
///
/// Applied server-side under the field manager `strata`: namespaces and CustomResourceDefinitions first, the rest in the order of the list.
/// Objects that leave the list are deleted. Drift is what the texts say and the cluster does not; fields of others are left alone.
///
/// A Secret with content is refused, because it would stand in the state: put the value into the store and let the cluster fetch it.
///
/// # Permissions
///
/// - In the store: read of the PKI and of `claim/init`.
/// - At the Kubernetes API: none to grant. From the PKI the provider signs itself a client certificate of group `system:masters` that lives
///   one hour. It is used to get, patch and delete the kinds that `documents` name, and for discovery.
///
/// # Errors
///
/// - "Secret ... has content": see above.
/// - "... is listed twice": two documents name the same object.
/// - "Cannot apply manifests ...": the API refused an object, or its kind was not served within two minutes. What came before it is applied.
/// - "... have not rolled out yet" (warning): everything was applied; a workload is slower than `timeouts.create`.
///
/// # Import
///
/// Cannot be imported: creating it takes over objects that exist, since they are applied under one field manager.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "kubernetes_manifests", version = 0)]
pub struct KubernetesManifests {
    /// Name of the set, for messages, e.g. `cilium`.
    #[schema(required, replace)]
    pub name: Attr<String>,
    /// The cluster. Only `endpoint`, `port`, `pki` and `control_planes` are looked at.
    #[schema(required, recorded)]
    pub cluster: Attr<Cluster>,
    /// YAML texts, each of one or more documents; every object has a `metadata.name`.
    #[schema(required)]
    pub documents: Attr<Vec<String>>,
    /// Whether to wait until CustomResourceDefinitions are established and DaemonSets, Deployments and StatefulSets have rolled out.
    #[schema(default = true)]
    pub wait: Attr<bool>,
    /// What was applied, in order: `apiVersion/kind/namespace/name`.
    #[schema(computed)]
    pub objects: Attr<Vec<String>>,
    /// SHA-256 of what was applied, in hex; after drift it says what differs, and the next plan applies again.
    #[schema(computed)]
    pub hash: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    pub timeouts: Attr<Timeouts>,
}

fn parse(documents: &[String]) -> Result<Vec<Object>, Diagnostics> {
    let mut objects = apply::parse(documents)
        .map_err(|error| Diagnostics::invalid(Path::of("documents"), chain(&error)))?;
    let mut seen = BTreeSet::new();
    for object in &objects {
        let has = |field: &str| {
            object
                .value
                .get(field)
                .and_then(Value::as_object)
                .is_some_and(|map| !map.is_empty())
        };
        if object.id.kind == "Secret" && (has("data") || has("stringData")) {
            let sentence = format!(
                "Secret {} has content, which would stand in Terraform's state in the clear. Put the value into the store and let the cluster fetch it.",
                object.id.name
            );
            return Err(Diagnostics::invalid(Path::of("documents"), sentence));
        }
        if !seen.insert(&object.id) {
            return Err(Diagnostics::invalid(
                Path::of("documents"),
                format!("{} is listed twice.", object.id),
            ));
        }
    }
    apply::order(&mut objects);
    Ok(objects)
}

fn hash(objects: &[Object]) -> String {
    let mut digest = Sha256::new();
    for object in objects {
        digest.update(object.value.to_string());
        digest.update([0]);
    }
    HEXLOWER.encode(&digest.finalize())
}

fn names(objects: &[Object]) -> Vec<String> {
    objects.iter().map(|object| object.id.to_string()).collect()
}

/// Why an object is not there yet in the sense of `wait`; `None` when it is.
fn pending(object: &Value) -> Option<String> {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let status = |pointer: &str| number(pointer).unwrap_or(0);
    let unseen = status("/status/observedGeneration") < status("/metadata/generation");
    let (done, wanted) = match object["kind"].as_str()? {
        "CustomResourceDefinition" => {
            let conditions = object
                .pointer("/status/conditions")
                .and_then(Value::as_array);
            let established = conditions
                .into_iter()
                .flatten()
                .any(|one| one["type"] == "Established" && one["status"] == "True");
            return (!established).then(|| "not established".into());
        }
        "DaemonSet" => (
            status("/status/numberReady").min(status("/status/updatedNumberScheduled")),
            status("/status/desiredNumberScheduled"),
        ),
        "Deployment" | "StatefulSet" => (
            status("/status/readyReplicas").min(status("/status/updatedReplicas")),
            number("/spec/replicas").unwrap_or(1),
        ),
        _ => return None,
    };
    if unseen {
        return Some("not seen by its controller".into());
    }
    (done < wanted).then(|| format!("{done} of {wanted} ready"))
}

impl KubernetesManifests {
    fn failed(&self, verb: &str, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed(verb, "manifests", self.name.text(), error)
    }

    async fn converge(
        cx: &Of<'_, Self>,
        before: Vec<String>,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let client = access.client(planned.cluster.require("cluster")?).await?;
        let objects = parse(planned.documents.require("documents")?)?;
        planned.hash.fill(hash(&objects));
        planned.objects.fill(names(&objects));
        for object in &objects {
            planned.apply_one(cx, &access, &client, object).await?;
        }
        // In reverse: what came last may need what came first to clean up.
        let now: BTreeSet<String> = names(&objects).into_iter().collect();
        for id in before
            .iter()
            .rev()
            .filter(|id| !now.contains(*id))
            .filter_map(|id| Id::parse(id))
        {
            client
                .delete(&id)
                .await
                .map_err(|error| planned.failed("prune", &error))?;
        }
        if planned.wait.known() != Some(&false) {
            // They exist from here on; a rollout that takes longer must not taint them.
            cx.save(&planned);
            planned.roll_out(cx, &access, &client, &objects).await?;
        }
        Ok(planned)
    }

    async fn apply_one(
        &self,
        cx: &Of<'_, Self>,
        access: &Access<'_>,
        client: &Client,
        object: &Object,
    ) -> Result<(), Diagnostics> {
        let policy = access
            .policy(
                format!("{} to be accepted", object.id),
                Duration::from_secs(2),
                Duration::from_secs(5),
            )
            .at_most(access.pace(SERVED).max(Duration::from_secs(10)));
        let applied = wait(cx, &policy, async || match client.apply(object).await {
            Ok(_) => Probe::Done(()),
            // Its definition, or its namespace, may be a moment away.
            Err(error) if error.is_not_found() || error.is_unreachable() => {
                client.try_again();
                Probe::NotYet(chain(&error))
            }
            Err(error) => Probe::Failed(error),
        });
        applied
            .await
            .map_err(|error| waited("apply", "manifests", self.name.text(), &error))
    }

    async fn roll_out(
        &self,
        cx: &Of<'_, Self>,
        access: &Access<'_>,
        client: &Client,
        objects: &[Object],
    ) -> Result<(), Diagnostics> {
        let policy = access.policy(
            format!("manifests {} to roll out", self.name.text()),
            Duration::from_secs(2),
            Duration::from_secs(10),
        );
        let rolled_out = wait(cx, &policy, async || {
            for object in objects
                .iter()
                .filter(|object| pending(&object.value).is_some())
            {
                match client.fetch(&object.id).await {
                    Ok(Some(live)) => {
                        if let Some(status) = pending(&live) {
                            return Probe::NotYet(format!(
                                "{} {}: {status}",
                                object.id.kind, object.id.name
                            ));
                        }
                    }
                    Ok(None) => {
                        return Probe::NotYet(format!(
                            "{} {} is not there",
                            object.id.kind, object.id.name
                        ));
                    }
                    Err(error) if error.is_unreachable() => {
                        client.try_again();
                        return Probe::NotYet(chain(&error));
                    }
                    Err(error) => return Probe::Failed(error),
                }
            }
            Probe::Done(())
        })
        .await;
        match rolled_out {
            Err(error) if error.is_unfinished() => {
                cx.warn(
                    Diagnostics::warning(
                        format!("Manifests \"{}\" have not rolled out yet", self.name.text()),
                        error.to_string(),
                    )
                    .left("All objects were applied.")
                    .hint("Look at the workload with kubectl; nothing needs to be applied again."),
                );
                Ok(())
            }
            Err(error) => Err(waited("apply", "manifests", self.name.text(), &error)),
            Ok(()) => Ok(()),
        }
    }
}

/// The differences between the texts and the cluster.
async fn drift(client: &Client, objects: Vec<Object>) -> Result<Vec<String>, Error> {
    let checks = futures::stream::iter(objects).map(|object| difference(client, object));
    let found: Vec<Result<Option<String>, Error>> = checks.buffered(AT_ONCE).collect().await;
    let found: Result<Vec<Option<String>>, Error> = found.into_iter().collect();
    Ok(found?.into_iter().flatten().collect())
}

async fn difference(client: &Client, object: Object) -> Result<Option<String>, Error> {
    Ok(match client.fetch(&object.id).await? {
        None => Some(format!("{} is missing", object.id)),
        Some(live) => compare::difference(&object.value, &live)
            .map(|path| format!("{}: {path} differs", object.id)),
    })
}

impl Resource for KubernetesManifests {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Kubernetes";
    const TIMEOUTS: Limit = Limit::minutes(15, 3, 15, 10);

    fn validate(config: &Self, found: &mut Diagnostics) {
        if let Attr::Known(documents) = &config.documents {
            found.take(parse(documents).map(drop));
        }
    }

    async fn plan(
        _: &Of<'_, Self>,
        _: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        if let Attr::Known(documents) = &planned.state.documents {
            let objects = parse(documents)?;
            planned.state.hash = hash(&objects).into();
            planned.state.objects = names(&objects).into();
        }
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        Self::converge(cx, Vec::new(), planned).await
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let client = match access.client(prior.cluster.require("cluster")?).await {
            Ok(client) => client,
            Err(found) => return Ok(Found::Unknown(found.left(UNSEEN))),
        };
        let objects = parse(&prior.documents.or_default())?;
        match drift(&client, objects).await {
            Ok(drift) if drift.is_empty() => {}
            Ok(drift) => {
                tracing::info!("manifests {}: {}", prior.name.text(), drift.join("; "));
                // Another hash than the texts have: the next plan applies them again.
                prior.hash = format!("drifted: {}", drift.join("; ")).into();
            }
            Err(error) => {
                return Ok(Found::Unknown(
                    Diagnostics::failed("observe", "cluster", client.endpoint(), &error)
                        .left(UNSEEN),
                ));
            }
        }
        Ok(Found::Present(prior))
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        prior: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        Self::converge(cx, prior.objects.or_default(), planned).await
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let access = Access::of(cx.provider).await?;
        if claim::is_teardown(access.store())
            .await
            .map_err(|error| store_failed("read", claim::ENTRY, &error))?
        {
            // The objects go with the cluster, whose API may be the first to go.
            return Ok(());
        }
        let client = access.client(prior.cluster.require("cluster")?).await?;
        for id in prior
            .objects
            .or_default()
            .iter()
            .rev()
            .filter_map(|id| Id::parse(id))
        {
            client
                .delete(&id)
                .await
                .map_err(|error| prior.failed("delete", &error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_with_content_and_a_repeated_object_are_refused() {
        let secret =
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: hunter2}"
                .to_owned();
        let error = parse(&[secret]).unwrap_err().to_string();
        assert!(
            error.contains("Secret a has content") && !error.contains("hunter2"),
            "{error}"
        );
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}".to_owned();
        assert!(
            parse(&[map.clone(), map.clone()])
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
        assert!(
            parse(&[
                "apiVersion: v1\nkind: Secret\nmetadata: {name: a}".into(),
                map
            ])
            .is_ok()
        );
    }

    #[test]
    fn the_hash_follows_the_content_not_the_layout() {
        let one =
            parse(&["{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}".into()]).unwrap();
        let same =
            parse(&["apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n".into()]).unwrap();
        let other =
            parse(&["{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}".into()]).unwrap();
        assert_eq!(hash(&one), hash(&same));
        assert_ne!(hash(&one), hash(&other));
    }

    #[test]
    fn a_rollout_is_over_when_the_controller_has_seen_it_and_all_are_ready() {
        let set = |observed, ready| json!({ "kind": "DaemonSet", "metadata": { "generation": 2 }, "status": { "observedGeneration": observed, "numberReady": ready, "updatedNumberScheduled": 3, "desiredNumberScheduled": 3 } });
        assert_eq!(pending(&set(1, 3)).unwrap(), "not seen by its controller");
        assert_eq!(pending(&set(2, 1)).unwrap(), "1 of 3 ready");
        assert_eq!(pending(&set(2, 3)), None);
        assert_eq!(pending(&json!({ "kind": "ConfigMap" })), None);
        assert!(pending(&json!({ "kind": "CustomResourceDefinition", "status": {} })).is_some());
    }
}
