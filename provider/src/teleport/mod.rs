//! A join token for the agent of a cluster, made while the agent is waited for and taken back afterwards (R91, FN11).
//!
//! It lives half an hour, is known to Teleport and to one Secret in the cluster (where the agent's chart looks for it), and is in no state, plan, log or
//! store: nobody needs it later, for an agent that joined has an identity of its own. All who wait for the same agent in one process share one token.
//!
//! ```text
//! Join::of(access, proxy, &wishes, cluster)     -> Option<Join>   None: the store has no identity, the agent brings a token of its own
//! join.offer(&client)                           a token is valid and the Secret holds it
//! join.withdraw()                               Teleport forgets it
//! ```

mod auth;
mod identity;

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use data_encoding::{BASE64, HEXLOWER};
use serde_json::json;
use strata_framework::{Attr, Diagnostics, Schema};

use self::auth::Auth;
use self::identity::Identity;
use crate::access::Access;
use crate::kubernetes::apply::{Id, Object};
use crate::kubernetes::{self, Client, MANAGER};
use crate::provider::store_failed;
use crate::secret::Secret;
use crate::store::Name;

/// Life of a token (R91). What it is for is done in less or not at all.
const LIFE: Duration = Duration::from_mins(30);
/// Before its end another one is made, so that an agent never reads one that is about to end.
const SPARE: Duration = Duration::from_mins(5);
/// Key of the Secret, as chart `teleport-kube-agent` reads it.
const KEY: &str = "auth-token";

/// How an agent gets in that brings no token of its own.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct Wishes {
    /// Store entry with an identity file, e.g. `teleport/identity`, as `tctl auth sign --user=<user> --out=<file>` or a Machine ID bot writes it. Its role must
    /// allow to create and delete `token`. When the store has no such entry no token is made, and the agent must bring its own.
    #[schema(required)]
    pub identity: Attr<String>,
    /// Namespace of the agent, e.g. `teleport-agent`. It is made if it is missing.
    #[schema(required)]
    pub namespace: Attr<String>,
    /// Name of the Secret for the token, under its key `auth-token`, e.g. `teleport-kube-agent-join-token`, where the chart looks for it.
    #[schema(required)]
    pub secret: Attr<String>,
}

/// What can go wrong with Teleport. No variant holds a token or a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The identity file lacks something. What it says is left out: it holds a key.
    #[error("the identity file cannot be used: {0}")]
    Identity(&'static str),
    /// The auth service was not reached.
    #[error("Teleport's auth service does not answer through {proxy}: {reason}")]
    Unreachable {
        /// As configured.
        proxy: String,
        /// Why.
        reason: String,
    },
    /// It said no.
    #[error("Teleport did not {step} a join token: {code}: {message}")]
    Refused {
        /// Verb of the sentence.
        step: &'static str,
        /// Meaning of the gRPC status.
        code: &'static str,
        /// Teleport's sentence, the token left out.
        message: String,
        /// Whether it would say no again.
        forever: bool,
    },
    /// The Secret was not written.
    #[error(transparent)]
    Cluster(#[from] kubernetes::Error),
}

impl Error {
    fn refused(step: &'static str, token: &Secret<String>, status: &tonic::Status) -> Self {
        use tonic::Code;
        Self::Refused {
            step,
            code: status.code().description(),
            message: status.message().replace(token.expose().as_str(), "(token)"),
            forever: matches!(
                status.code(),
                Code::PermissionDenied
                    | Code::Unauthenticated
                    | Code::InvalidArgument
                    | Code::Unimplemented
            ),
        }
    }

    /// Whether trying again is of no use.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Identity(_) => true,
            Self::Refused { forever, .. } => *forever,
            Self::Unreachable { .. } => false,
            Self::Cluster(error) => !error.is_unreachable(),
        }
    }
}

/// Tokens that this process made and did not take back, by agent.
#[derive(Default)]
pub struct Offers(tokio::sync::Mutex<HashMap<String, Offer>>);

struct Offer {
    token: Secret<String>,
    until: Instant,
}

/// The way in for one agent.
pub struct Join<'a> {
    access: &'a Access<'a>,
    proxy: &'a str,
    identity: Identity,
    namespace: &'a str,
    secret: &'a str,
    cluster: &'a str,
}

impl<'a> Join<'a> {
    /// Reads the identity. Nobody is contacted yet.
    ///
    /// # Errors
    /// The store failed or refused, or the entry is no identity file. An entry that does not exist is no error.
    pub async fn of(
        access: &'a Access<'a>,
        proxy: &'a str,
        wishes: &'a Wishes,
        cluster: &'a str,
    ) -> Result<Option<Self>, Diagnostics> {
        let entry = wishes.identity.require("teleport.join.identity")?;
        let name = Name::parse(entry).map_err(|error| store_failed("use", entry, &error.into()))?;
        let found = access.store().get(&name).await;
        let found = found.map_err(|error| store_failed("read", entry, &error))?;
        let Some(found) = found else {
            return Ok(None);
        };
        let identity = Identity::parse(found.value.expose())
            .map_err(|error| Diagnostics::failed("use", "store entry", entry, &error))?;
        Ok(Some(Self {
            access,
            proxy,
            identity,
            namespace: wishes.namespace.require("teleport.join.namespace")?,
            secret: wishes.secret.require("teleport.join.secret")?,
            cluster,
        }))
    }

    fn key(&self) -> String {
        format!("{}/{}", self.proxy, self.cluster)
    }

    async fn auth(&self) -> Result<Auth, Error> {
        Auth::connect(self.access.dialer(), self.proxy, &self.identity).await
    }

    /// Sees to it that the agent finds a token that is valid for some minutes more.
    pub async fn offer(&self, client: &Client) -> Result<(), Error> {
        let mut offers = self.access.shared().teleport.0.lock().await;
        let valid = offers
            .get(&self.key())
            .is_some_and(|offer| offer.until.saturating_duration_since(Instant::now()) > SPARE);
        if valid {
            return Ok(());
        }
        let token = Secret::new(HEXLOWER.encode(&rand::random::<[u8; 16]>()));
        let until = Instant::now() + LIFE;
        let description = format!("strata: the agent of cluster {} joins", self.cluster);
        let mut auth = self.auth().await?;
        auth.create(&token, SystemTime::now() + LIFE, description)
            .await?;
        if let Err(error) = self.deliver(client, &token).await {
            // Should this fail too, it ends by itself.
            let _ended = auth.delete(&token).await;
            return Err(error);
        }
        if let Some(before) = offers.insert(self.key(), Offer { token, until }) {
            // Replaced because it ends within minutes; that it could not be taken back changes nothing.
            let _ended = auth.delete(&before.token).await;
        }
        Ok(())
    }

    async fn deliver(&self, client: &Client, token: &Secret<String>) -> Result<(), Error> {
        let namespace = Object {
            id: Id {
                api_version: "v1".into(),
                kind: "Namespace".into(),
                namespace: String::new(),
                name: self.namespace.into(),
            },
            value: json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}),
        };
        if client.fetch(&namespace.id).await?.is_none() {
            client.apply(&namespace).await?;
        }
        let id = Id {
            api_version: "v1".into(),
            kind: "Secret".into(),
            namespace: self.namespace.into(),
            name: self.secret.into(),
        };
        let encoded = Secret::new(BASE64.encode(token.expose().as_bytes()));
        let value = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {
                "name": self.secret, "namespace": self.namespace,
                "labels": {"app.kubernetes.io/managed-by": MANAGER},
            },
            "data": {KEY: encoded.expose()},
        });
        client.apply(&Object { id, value }).await?;
        Ok(())
    }

    /// Takes the token back, if this process made one. The Secret stays, worth nothing: the agent's pods mount it.
    pub async fn withdraw(&self) -> Result<(), Error> {
        let mut offers = self.access.shared().teleport.0.lock().await;
        match offers.remove(&self.key()) {
            Some(offer) => self.auth().await?.delete(&offer.token).await,
            None => Ok(()),
        }
    }
}
