//! `strata_kubernetes_secret`: a Secret whose values come from the store. State holds the names of entries and one fingerprint.
//!
//! The fingerprint is over the values as the cluster has them, so a change there and a change in the store are both a difference to what the
//! store says now. Fields of others in the same object are left alone. Not handled: values that are not text.

use std::collections::BTreeMap;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};
use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Probe, Resource, Schema, Secret,
    Timeouts, WaitError, chain, wait,
};

use crate::access::{Access, waited};
use crate::claim;
use crate::kubernetes::apply::{Id, Object};
use crate::kubernetes::{Client, MANAGER};
use crate::provider::{Strata, store_failed};
use crate::services::attribute::Cluster;
use crate::store::part;

/// A namespace that was made a moment ago is there by then.
const ACCEPTED: Duration = Duration::from_mins(2);
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// A Kubernetes Secret with values from the store.
///
/// The configuration names entries of the store, the provider reads them and writes the Secret: no value is in configuration, plan or state.
/// A new value in the store, and a value changed in the cluster, are a change in the next plan. Applied server-side under the field manager
/// `strata`: keys and labels of others in the same Secret stay.
///
/// # Permissions
///
/// - In the store: read of the entries in `data`, of the PKI, of `claim/init` and of the fingerprints' key.
/// - At the Kubernetes API: none to grant. From the PKI the provider signs itself a client certificate of group `system:masters` that lives
///   one hour. It is used to get, patch and delete the Secret.
///
/// # Errors
///
/// - "the cluster has a Secret of this name that somebody else made": it holds other values and is left as it is. Delete it, or choose
///   another `name`.
/// - "The store entry is not the one that `fingerprint` names": somebody changed it meanwhile. Run `terraform apply -refresh-only` where the
///   secret is managed, then try again.
/// - "The store changed since the plan": plan again.
/// - "Cannot apply Secret ...": the API refused it, or its namespace was not there within two minutes.
///
/// # Import
///
/// Cannot be imported: creating it takes over a Secret that has the same values already.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "kubernetes_secret", version = 0)]
pub struct KubernetesSecret {
    /// Name of the Secret, e.g. `sealed-secrets-key`.
    #[schema(required, replace, length(1..=253), pattern("[a-z0-9]([a-z0-9.-]*[a-z0-9])?"))]
    pub name: Attr<String>,
    /// Namespace, e.g. `kube-system`. It is waited for up to two minutes.
    #[schema(required, replace, length(1..=63), pattern("[a-z0-9]([a-z0-9-]*[a-z0-9])?"))]
    pub namespace: Attr<String>,
    /// Type of the Secret, e.g. `kubernetes.io/tls`. Kubernetes does not let it change.
    #[schema(default = "Opaque", replace)]
    pub r#type: Attr<String>,
    /// Labels. Without it the Secret has only `app.kubernetes.io/managed-by`.
    #[schema(optional)]
    pub labels: Attr<BTreeMap<String, String>>,
    /// Where each value comes from, by the Secret's key.
    #[schema(required, validate = check_data)]
    pub data: Attr<BTreeMap<String, SecretSource>>,
    /// The cluster. Only `endpoint`, `port`, `pki` and `control_planes` are looked at.
    #[schema(required, recorded)]
    pub cluster: Attr<Cluster>,
    /// `namespace/name`.
    #[schema(computed, keep_prior)]
    pub id: Attr<String>,
    /// HMAC-SHA-256 of the values, under a key in the store. Unknown while new values are planned.
    #[schema(computed)]
    pub fingerprint: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    pub timeouts: Attr<Timeouts>,
}

/// A value in the store.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct SecretSource {
    /// Name of the store entry, e.g. `database/password`.
    #[schema(required)]
    pub entry: Attr<String>,
    /// Part of an entry that is a JSON object, e.g. `tls.key` of a `sealed_secrets_keypair` or `etcd/ca.crt` of a `kubeadm_pki`. Without it the
    /// whole entry.
    #[schema(optional)]
    pub part: Attr<String>,
    /// Fingerprint of the managed secret, `strata_secret.<name>.fingerprint`: makes this wait until the entry exists, and follow a rotation in
    /// the same apply. Without it the entry is read as it is.
    #[schema(optional)]
    pub fingerprint: Attr<String>,
}

/// Why a Secret was not written.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the cluster has a Secret of this name that somebody else made, with other values")]
    Foreign,
    #[error(transparent)]
    Api(#[from] crate::kubernetes::Error),
}

type Values = BTreeMap<String, Secret<String>>;

fn check_data(data: &BTreeMap<String, SecretSource>) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if data.is_empty() {
        return Err("Has no values; a Secret without any is no use.".into());
    }
    match data
        .keys()
        .find(|key| key.is_empty() || key.len() > 253 || !key.chars().all(known))
    {
        Some(key) => Err(format!(
            "`{key}` is not a key of a Secret: letters, digits, `-`, `_` and `.`, at most 253 characters."
        )),
        None => Ok(()),
    }
}

/// What the fingerprint is over: keys and values, whatever order they come in.
fn canonical<'a>(values: impl Iterator<Item = (&'a str, String)>) -> Vec<u8> {
    let sorted: BTreeMap<&str, String> = values.collect();
    serde_json::to_vec(&sorted).expect("texts serialise")
}

fn encoded(values: &Values) -> Vec<u8> {
    canonical(
        values
            .iter()
            .map(|(key, value)| (key.as_str(), BASE64.encode(value.expose().as_bytes()))),
    )
}

/// The same of a live Secret, of these keys alone.
fn live(object: &Value, data: &BTreeMap<String, SecretSource>) -> Vec<u8> {
    canonical(data.keys().filter_map(|key| {
        let text = object["data"].get(key)?.as_str()?;
        Some((key.as_str(), text.to_owned()))
    }))
}

impl KubernetesSecret {
    fn id(&self) -> Id {
        Id {
            api_version: "v1".into(),
            kind: "Secret".into(),
            namespace: self.namespace.text().into(),
            name: self.name.text().into(),
        }
    }

    fn label(&self) -> String {
        format!("{}/{}", self.namespace.text(), self.name.text())
    }

    fn failed(&self, verb: &str, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed(verb, "Secret", &self.label(), error)
    }

    /// The values as the store has them now. `None`: something is not known before the apply.
    async fn values(&self, provider: &Strata) -> Result<Option<Values>, Diagnostics> {
        let Some(data) = self.data.known() else {
            return Ok(None);
        };
        let mut values = Values::new();
        for (key, source) in data {
            let (Some(name), false, false) = (
                source.entry.known(),
                source.part.is_unknown(),
                source.fingerprint.is_unknown(),
            ) else {
                return Ok(None);
            };
            let entry = provider.entry(name).await?;
            if let Some(wanted) = source.fingerprint.known() {
                let bytes = entry.expose().as_bytes();
                let found = provider.fingerprint_if_possible(bytes).await?;
                if found.as_deref() != Some(wanted.as_str()) {
                    return Err(Diagnostics::error(
                        format!("Cannot read secret \"{name}\""),
                        "The store entry is not the one that `fingerprint` names: it was changed meanwhile.",
                    )
                    .hint("Run `terraform apply -refresh-only` where the secret is managed, then try again.")
                    .at(Path::of("data").key(key).attribute("fingerprint")));
                }
            }
            let value = match source.part.known() {
                None => entry,
                Some(part) => part::of(&entry, part).map_err(|error| {
                    Diagnostics::failed("read", "secret", name, &error)
                        .at(Path::of("data").key(key).attribute("part"))
                })?,
            };
            values.insert(key.clone(), value);
        }
        Ok(Some(values))
    }

    fn object(&self, values: &Values) -> Object {
        // Encoded, a value is as secret as before.
        let data: BTreeMap<&str, Secret<String>> = values
            .iter()
            .map(|(key, value)| {
                (
                    key.as_str(),
                    BASE64.encode(value.expose().as_bytes()).into(),
                )
            })
            .collect();
        let data: BTreeMap<&str, &String> = data
            .iter()
            .map(|(key, value)| (*key, value.expose()))
            .collect();
        Object {
            id: self.id(),
            value: json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": { "name": self.name.text(), "namespace": self.namespace.text(), "labels": self.labels.or_default() },
                "type": self.r#type.text(),
                "data": data,
            }),
        }
    }

    /// Writes the Secret. One that somebody else made and that says something else is not ours to overwrite: it may be the only copy.
    async fn write(
        &self,
        client: &Client,
        values: &Values,
        object: &Object,
        new: bool,
    ) -> Result<(), Refusal> {
        if new && let Some(there) = client.fetch(&object.id).await? {
            let ours = there["metadata"]["labels"][MANAGED_BY] == MANAGER;
            if !ours && live(&there, &self.data.or_default()) != encoded(values) {
                return Err(Refusal::Foreign);
            }
        }
        client.apply(object).await?;
        Ok(())
    }

    async fn converge(
        cx: &Of<'_, Self>,
        new: bool,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let values = planned.values(cx.provider).await?.ok_or_else(|| {
            Diagnostics::error(
                format!("Cannot write Secret \"{}\"", planned.label()),
                "A value of `data` is still unknown. This is a bug in the strata provider.",
            )
        })?;
        let fingerprint = cx.provider.fingerprint(&encoded(&values)).await?;
        if planned
            .fingerprint
            .known()
            .is_some_and(|planned| *planned != fingerprint)
        {
            return Err(Diagnostics::error(
                format!("Cannot write Secret \"{}\"", planned.label()),
                "The store changed since the plan.",
            )
            .left("The Secret was not changed.")
            .hint("Plan again."));
        }
        let client = access.client(planned.cluster.require("cluster")?).await?;
        let object = planned.object(&values);
        let policy = access
            .policy(
                format!("Secret {} to be accepted", planned.label()),
                Duration::from_secs(2),
                Duration::from_secs(5),
            )
            .at_most(access.pace(ACCEPTED).max(Duration::from_secs(10)));
        let written = wait(cx, &policy, async || {
            match planned.write(&client, &values, &object, new).await {
                Ok(()) => Probe::Done(()),
                // Its namespace may be a moment away.
                Err(Refusal::Api(error)) if error.is_not_found() || error.is_unreachable() => {
                    client.try_again();
                    Probe::NotYet(chain(&error))
                }
                Err(error) => Probe::Failed(error),
            }
        });
        written.await.map_err(|error| {
            let found = waited("apply", "Secret", &planned.label(), &error);
            match error {
                WaitError::Failed(Refusal::Foreign) => found
                    .left("It was not changed.")
                    .hint("Delete it if its values are of no use, or choose another `name`."),
                _ => found,
            }
        })?;
        planned.fingerprint.fill(fingerprint);
        planned.id.fill(planned.label());
        Ok(planned)
    }

    /// The state as this live Secret says it.
    async fn observed(mut self, provider: &Strata, object: &Value) -> Result<Self, Diagnostics> {
        if let Some(kind) = object["type"].as_str() {
            self.r#type = kind.into();
        }
        if let Some(labels) = self.labels.known_mut() {
            let found = &object["metadata"]["labels"];
            labels.retain(|name, _| found.get(name).is_some());
            for (name, value) in labels {
                *value = found[name.as_str()].as_str().unwrap_or_default().into();
            }
        }
        let bytes = live(object, &self.data.or_default());
        if let Some(fingerprint) = provider.fingerprint_if_possible(&bytes).await? {
            self.fingerprint = fingerprint.into();
        }
        Ok(self)
    }
}

impl Resource for KubernetesSecret {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Kubernetes";
    const TIMEOUTS: Limit = Limit::minutes(5, 1, 5, 5);

    async fn plan(
        cx: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        let Some(prior) = change.prior() else {
            return Ok(planned);
        };
        let now = async {
            match planned.state.values(cx.provider).await? {
                None => Ok(None),
                Some(values) => cx.provider.fingerprint_if_possible(&encoded(&values)).await,
            }
        };
        planned.state.fingerprint = match now.await {
            Ok(Some(now)) if prior.fingerprint.known() == Some(&now) => prior.fingerprint.clone(),
            Ok(_) => Attr::Unknown,
            Err(error) => {
                // An unreadable store decides nothing: keep what there is and say so.
                cx.warn(error.into_warnings());
                prior.fingerprint.clone()
            }
        };
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        Self::converge(cx, true, planned).await
    }

    async fn read(cx: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        let found = async {
            let access = Access::of(cx.provider).await?;
            let client = access.client(prior.cluster.require("cluster")?).await?;
            let found = client.fetch(&prior.id()).await;
            // In the words of everything else that needs this API: one silence is one warning.
            let found = found.map_err(|error| {
                Diagnostics::failed("observe", "cluster", client.endpoint(), &error)
            })?;
            match found {
                Some(object) => prior.clone().observed(cx.provider, &object).await.map(Some),
                None => Ok(None),
            }
        };
        Ok(match found.await {
            Ok(Some(state)) => Found::Present(state),
            Ok(None) => Found::Gone,
            Err(error) => Found::Unknown(error.left("The last known state is kept.")),
        })
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        _: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        Self::converge(cx, false, planned).await
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let access = Access::of(cx.provider).await?;
        if claim::is_teardown(access.store())
            .await
            .map_err(|error| store_failed("read", claim::ENTRY, &error))?
        {
            // It goes with the cluster, whose API may be the first to go.
            return Ok(());
        }
        let client = access.client(prior.cluster.require("cluster")?).await?;
        let deleted = client.delete(&prior.id()).await;
        deleted.map_err(|error| prior.failed("delete", &error))
    }
}

#[cfg(test)]
#[path = "secret/tests.rs"]
mod tests;
