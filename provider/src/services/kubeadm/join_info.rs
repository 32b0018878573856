//! `strata_kubeadm_join_info`: what somebody needs who joins nodes by other means, as four entries in the store (R31). Our own nodes do not read them.
//!
//! Endpoint, CA hash and expiry stand in state; token and certificate key only in the store. Expiry is shown and never a difference (FN11). The ephemeral form reads, and mints only when told to.

use std::time::Duration;

use strata_framework::{
    Attr, Cx, Diagnostics, DurationText, Ephemeral, Found, Limit, Of, Opened, Resource, Schema,
    Secret, Timeouts,
};

use crate::absence;
use crate::access::Access;
use crate::claim;
use crate::kubernetes::{certificates, token};
use crate::provider::{Strata, store_failed};
use crate::services::attribute::Cluster;
use crate::store::{Condition, Name, Store};

const TOKEN: &str = "K8S_JOIN_TOKEN";
const CA_HASH: &str = "K8S_CA_CERT_HASH";
const CERTIFICATE_KEY: &str = "K8S_CERTIFICATE_KEY";
const ENDPOINT: &str = "K8S_CONTROL_PLANE_ENDPOINT";

const NOUN: &str = "join information";

/// The life of a token when nothing else is said.
const DAY: Duration = Duration::from_hours(24);

/// Join credentials for nodes that are joined by other means.
///
/// Puts four entries into the store, below `join/<name>/`: `K8S_JOIN_TOKEN`, `K8S_CA_CERT_HASH`, `K8S_CERTIFICATE_KEY` and
/// `K8S_CONTROL_PLANE_ENDPOINT`. Nodes of `strata_kubeadm_node` need none of them. That a token has ended is no difference: change `ttl`, or
/// run `terraform apply -replace`, to get a new one.
///
/// # Permissions
///
/// - In the store: read of the PKI and of the fingerprints' key, read and write below `join/`.
/// - At the Kubernetes API: none to grant. From the PKI the provider signs itself a client certificate of group `system:masters` that lives
///   one hour. It is used for Secrets in `kube-system`: bootstrap tokens (create, patch, delete) and `kubeadm-certs` (patch).
///
/// # Errors
///
/// - "Cannot write join information": the API did not answer or refused; what the store holds is as it was, or of the new token.
/// - "Cannot find the store of ..." (warning; an error at destroy): the store lacks more than these entries, so it is another one or not there
///   right now. The state is kept.
/// - "Cannot revoke join token" (warning, at destroy): the token ends by itself; the message says when.
///
/// # Import
///
/// Cannot be imported, and need not be: where the store has the entries and the cluster knows the token, creating it takes both over.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "kubeadm_join_info", version = 0)]
pub struct KubeadmJoinInfo {
    /// Folder below `join/` in the store, e.g. `home`.
    #[schema(required, replace, pattern("[A-Za-z0-9][A-Za-z0-9._-]*"))]
    pub name: Attr<String>,
    /// The cluster. Only `endpoint`, `port`, `pki` and `control_planes` are looked at.
    #[schema(required, recorded)]
    pub cluster: Attr<Cluster>,
    /// Whether to upload the control planes' certificates for two hours, encrypted with a key that is put into the store, so that control
    /// planes can join by hand.
    #[schema(default = false)]
    pub certificate_key: Attr<bool>,
    /// Life of the token as a duration, e.g. `"90m"`. A change makes a new token and revokes the old one.
    #[schema(default = "24h")]
    pub ttl: Attr<DurationText>,
    /// `host:port` of the API.
    #[schema(computed)]
    pub endpoint: Attr<String>,
    /// Hash of the cluster CA's public key, `sha256:...`, as `kubeadm join --discovery-token-ca-cert-hash` takes it.
    #[schema(computed)]
    pub ca_hash: Attr<String>,
    /// When the token ends, RFC 3339 in UTC. Shown, never a reason for a change.
    #[schema(computed)]
    pub expires_at: Attr<String>,
    /// When the uploaded certificates end, RFC 3339 in UTC; null when none were uploaded. Shown, never a reason for a change.
    #[schema(computed)]
    pub certificate_key_expires_at: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    pub timeouts: Attr<Timeouts>,
}

fn entry(folder: &str, name: &str) -> Result<Name, Diagnostics> {
    let full = format!("join/{folder}/{name}");
    Name::parse(&full).map_err(|error| Diagnostics::failed("name", "store entry", &full, &error))
}

async fn put(
    store: &dyn Store,
    folder: &str,
    name: &str,
    value: Secret<String>,
) -> Result<(), Diagnostics> {
    let entry = entry(folder, name)?;
    store
        .put(&entry, &value)
        .await
        .map(drop)
        .map_err(|error| store_failed("write", entry.as_str(), &error))
}

async fn get(
    store: &dyn Store,
    folder: &str,
    name: &str,
) -> Result<Option<Secret<String>>, Diagnostics> {
    let entry = entry(folder, name)?;
    let found = store
        .get(&entry)
        .await
        .map_err(|error| store_failed("read", entry.as_str(), &error))?;
    Ok(found.map(|entry| entry.value))
}

fn host_port(cluster: &Cluster) -> Result<String, Diagnostics> {
    let (endpoint, port) = (
        cluster.endpoint.require("cluster.endpoint")?,
        cluster.port.require("cluster.port")?,
    );
    Ok(if endpoint.contains(':') {
        format!("[{endpoint}]:{port}")
    } else {
        format!("{endpoint}:{port}")
    })
}

/// The id is the part of a token that is no secret.
fn token_id(token: &Secret<String>) -> Option<String> {
    token.expose().split_once('.').map(|(id, _)| id.to_owned())
}

impl KubeadmJoinInfo {
    /// What a lost state leaves behind: all entries are there, and the cluster knows the token. Whoever was given it goes on using it.
    async fn kept(cx: &Of<'_, Self>, planned: &Self) -> Result<Option<Self>, Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let (folder, store) = (planned.name.require("name")?, access.store());
        let cluster = planned.cluster.require("cluster")?;
        let (Some(token), Some(key), Some(hash), Some(endpoint)) = (
            get(store, folder, TOKEN).await?,
            get(store, folder, CERTIFICATE_KEY).await?,
            get(store, folder, CA_HASH).await?,
            get(store, folder, ENDPOINT).await?,
        ) else {
            return Ok(None);
        };
        let failed = |error: &dyn std::error::Error| {
            Diagnostics::failed("adopt", "join information", folder, error)
        };
        let pki = access.pki(cluster.pki.require("cluster.pki")?).await?;
        let wants_key = planned.certificate_key.known() == Some(&true);
        let same = *endpoint.expose() == host_port(cluster)?
            && *hash.expose() == pki.ca_hash().map_err(|error| failed(&error))?
            && wants_key != key.expose().is_empty();
        if !same {
            return Ok(None);
        }
        let client = access.client_with(cluster, &pki)?;
        let expires_at = token::expiry(&client, &token)
            .await
            .map_err(|error| failed(&error))?;
        let Some(expires_at) = expires_at else {
            return Ok(None);
        };
        cx.warn(Diagnostics::warning(
            format!("Adopted join information \"{folder}\""),
            "The store had all its entries and the cluster knows its token; both were kept as they are.",
        ));
        // Null once they are over, as the token's end would be.
        let uploaded = if wants_key {
            certificates::expiry(&client)
                .await
                .map_err(|error| failed(&error))?
        } else {
            None
        };
        let mut kept = planned.clone();
        kept.certificate_key_expires_at = uploaded.into();
        kept.ca_hash.fill(hash.expose().clone());
        kept.endpoint.fill(endpoint.expose().clone());
        kept.expires_at.fill(expires_at);
        Ok(Some(kept))
    }

    async fn write(cx: &Of<'_, Self>, mut planned: Self) -> Result<Self, Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let folder = planned.name.require("name")?.clone();
        let cluster = planned.cluster.require("cluster")?;
        let pki = access.pki(cluster.pki.require("cluster.pki")?).await?;
        let client = access.client_with(cluster, &pki)?;
        let failed = |error: &dyn std::error::Error| {
            Diagnostics::failed("write", "join information", &folder, error)
        };
        let store = access.store();
        let old = get(store, &folder, TOKEN).await?;
        let life = planned
            .ttl
            .known()
            .and_then(DurationText::get)
            .unwrap_or(DAY);
        let token =
            token::mint_signing(&client, life, &format!("strata: join information {folder}"))
                .await
                .map_err(|error| failed(&error))?;
        put(store, &folder, TOKEN, token.value.clone()).await?;
        if let Some(id) = old.as_ref().and_then(token_id) {
            token::revoke(&client, &id)
                .await
                .map_err(|error| failed(&error))?;
        }
        let (key, key_expires_at) = if planned.certificate_key.known() == Some(&true) {
            let upload = certificates::upload(&client, &pki)
                .await
                .map_err(|error| failed(&error))?;
            (upload.key, Some(token::rfc3339(upload.expires_at)))
        } else {
            (Secret::new(String::new()), None)
        };
        let (ca_hash, endpoint) = (
            pki.ca_hash().map_err(|error| failed(&error))?,
            host_port(cluster)?,
        );
        put(store, &folder, CERTIFICATE_KEY, key).await?;
        put(store, &folder, CA_HASH, Secret::new(ca_hash.clone())).await?;
        put(store, &folder, ENDPOINT, Secret::new(endpoint.clone())).await?;
        planned.ca_hash.fill(ca_hash);
        planned.endpoint.fill(endpoint);
        planned.expires_at.fill(token::rfc3339(token.expires_at));
        planned.certificate_key_expires_at = key_expires_at.into();
        Ok(planned)
    }
}

impl Resource for KubeadmJoinInfo {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Kubernetes";
    const TIMEOUTS: Limit = Limit::minutes(5, 1, 5, 5);

    async fn create(cx: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        match Self::kept(cx, &planned).await? {
            Some(kept) => Ok(kept),
            None => Self::write(cx, planned).await,
        }
    }

    async fn read(cx: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        let store = cx.provider.store()?;
        match get(&*store, prior.name.text(), TOKEN).await {
            Ok(Some(_)) => Ok(Found::Present(prior)),
            Ok(None) => Ok(
                match absence::doubt(&*store, NOUN, prior.name.text()).await {
                    Some(found) => Found::Unknown(found),
                    None => Found::Gone,
                },
            ),
            Err(diagnostics) => Ok(Found::Unknown(diagnostics)),
        }
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        _: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        Self::write(cx, planned).await
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let store = access.store();
        let folder = prior.name.text();
        let teardown = claim::is_teardown(store)
            .await
            .map_err(|error| store_failed("read", claim::ENTRY, &error))?;
        let token = get(store, folder, TOKEN).await?;
        if token.is_none()
            && let Some(found) = absence::doubt(store, NOUN, folder).await
        {
            return Err(found);
        }
        let token = token.as_ref().and_then(token_id);
        if let (Some(id), false) = (token, teardown) {
            let client = access.client(prior.cluster.require("cluster")?).await?;
            if let Err(error) = token::revoke(&client, &id).await {
                cx.warn(
                    Diagnostics::failed("revoke", "join token of", folder, &error).left(&format!(
                        "The token ends by itself at {}.",
                        prior.expires_at.text()
                    )),
                );
            }
        }
        for name in [TOKEN, CA_HASH, CERTIFICATE_KEY, ENDPOINT] {
            let entry = entry(folder, name)?;
            store
                .delete(&entry, Condition::Any)
                .await
                .map_err(|error| store_failed("delete", entry.as_str(), &error))?;
        }
        Ok(())
    }
}

/// Join credentials, for the length of one operation.
///
/// Reads the entries that the resource `strata_kubeadm_join_info` of the same name put into the store. With `mint = terraform.applying` it
/// makes a token of its own that lives for one hour and is not stored. Nothing of it is in plan or state.
///
/// # Permissions
///
/// Read in the store below `join/`; with `mint` also of the PKI, with which the provider creates a bootstrap token at the Kubernetes API (as
/// group `system:masters`, so no RBAC has to be granted).
///
/// # Errors
///
/// - "The store has no entry join/...": apply the resource first.
/// - "`mint = true` needs `cluster`": say which cluster the token is for.
#[derive(Schema, Clone, Debug)]
#[schema(name = "kubeadm_join_info", version = 0)]
pub struct EphemeralJoinInfo {
    /// Folder below `join/` in the store, e.g. `home`: the `name` of the resource.
    #[schema(required)]
    pub name: Attr<String>,
    /// The cluster. Only needed to mint.
    #[schema(optional)]
    pub cluster: Attr<Cluster>,
    /// Whether to mint a token instead of reading the stored one. Use `terraform.applying`: a plan would mint one as well. Without it the stored
    /// token is read.
    #[schema(optional)]
    pub mint: Attr<bool>,
    /// Bootstrap token, `abcdef.0123456789abcdef`.
    #[schema(computed, sensitive)]
    pub token: Attr<Secret<String>>,
    /// Key of the uploaded certificates, 64 hex digits; empty when none were uploaded.
    #[schema(computed, sensitive)]
    pub certificate_key: Attr<Secret<String>>,
    /// Hash of the cluster CA's public key, `sha256:...`.
    #[schema(computed)]
    pub ca_hash: Attr<String>,
    /// `host:port` of the API.
    #[schema(computed)]
    pub endpoint: Attr<String>,
}

impl Ephemeral for EphemeralJoinInfo {
    type Provider = Strata;
    type Model = Self;
    type Lease = ();
    const SUBCATEGORY: &'static str = "Kubernetes";

    async fn open(cx: &Cx<'_, Strata>, mut config: Self) -> Result<Opened<Self, ()>, Diagnostics> {
        let folder = config.name.require("name")?.clone();
        let store = cx.provider.store()?;
        let required = async |name| {
            get(&*store, &folder, name).await?.ok_or_else(|| {
                Diagnostics::error(
                    format!("Cannot read join information \"{folder}\""),
                    format!("The store has no entry join/{folder}/{name}."),
                )
                .hint("Apply the resource strata_kubeadm_join_info first.")
            })
        };
        config.ca_hash = required(CA_HASH).await?.expose().clone().into();
        config.endpoint = required(ENDPOINT).await?.expose().clone().into();
        config.certificate_key = required(CERTIFICATE_KEY).await?.into();
        config.token = if config.mint.known() == Some(&true) {
            let access = Access::of(cx.provider).await?;
            let cluster = config.cluster.known().ok_or_else(|| {
                Diagnostics::error(
                    "Missing attribute cluster",
                    "`mint = true` needs `cluster`.",
                )
            })?;
            let client = access.client(cluster).await?;
            let token = token::mint_signing(
                &client,
                Duration::from_hours(1),
                &format!("strata: join information {folder}, minted"),
            )
            .await;
            token
                .map_err(|error| Diagnostics::failed("mint", "join token for", &folder, &error))?
                .value
                .into()
        } else {
            required(TOKEN).await?.into()
        };
        Ok(Opened::new(config))
    }
}
