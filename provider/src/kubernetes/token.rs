//! Bootstrap tokens: minted for one join, deleted after it (FN11).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use rand::RngExt as _;

use super::{Client, Error, MANAGER};
use crate::secret::Secret;

const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const NAMESPACE: &str = "kube-system";
/// Two clocks that differ by more than this are corrected for.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// A minted token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The six characters that are no secret.
    pub id: String,
    /// `id.secret`.
    pub value: Secret<String>,
    /// By the API server's clock.
    pub expires_at: Timestamp,
}

/// Mints a token that lives for `life`. It signs nothing: joins use a discovery file, so `cluster-info` stays empty of it.
pub async fn mint(client: &Client, life: Duration, description: &str) -> Result<Token, Error> {
    mint_with(client, life, description, false).await
}

/// Mints a token that also signs `cluster-info`, for joins that discover the cluster by token and CA hash.
pub async fn mint_signing(
    client: &Client,
    life: Duration,
    description: &str,
) -> Result<Token, Error> {
    mint_with(client, life, description, true).await
}

async fn mint_with(
    client: &Client,
    life: Duration,
    description: &str,
    signs: bool,
) -> Result<Token, Error> {
    let (id, secret) = (random(6), random(16));
    let name = format!("bootstrap-token-{id}");
    let life = SignedDuration::try_from(life).unwrap_or(SignedDuration::from_hours(24));
    let expires_at = Timestamp::now() + life;
    let object = serde_json::json!({
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": { "app.kubernetes.io/managed-by": MANAGER } },
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": id,
            "token-secret": secret,
            "expiration": rfc3339(expires_at),
            "description": description,
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": signs.to_string(),
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    });
    let object: SecretObject = serde_json::from_value(object).expect("a Secret");
    let api: Api<SecretObject> = Api::namespaced(client.api(), NAMESPACE);
    let made = api
        .create(&PostParams::default(), &object)
        .await
        .map_err(Error::during("create", &name))?;
    let value = Secret::new(format!("{id}.{secret}"));
    // The server judges expiry by its own clock, and its creation stamp tells how far that is from ours.
    let Some(there) = made.metadata.creation_timestamp.map(|stamp| stamp.0) else {
        return Ok(Token {
            id,
            value,
            expires_at,
        });
    };
    if there.duration_since(expires_at - life).abs() < TOLERANCE {
        return Ok(Token {
            id,
            value,
            expires_at,
        });
    }
    let expires_at = there + life;
    let patch = serde_json::json!({ "stringData": { "expiration": rfc3339(expires_at) } });
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(Error::during("set the expiry of", &name))?;
    Ok(Token {
        id,
        value,
        expires_at,
    })
}

/// When a token that somebody kept ends, RFC 3339; nothing when the cluster does not know it, or another secret under its id.
pub async fn expiry(client: &Client, token: &Secret<String>) -> Result<Option<String>, Error> {
    let Some((id, secret)) = token.expose().split_once('.') else {
        return Ok(None);
    };
    let name = format!("bootstrap-token-{id}");
    let api: Api<SecretObject> = Api::namespaced(client.api(), NAMESPACE);
    let found = api
        .get_opt(&name)
        .await
        .map_err(Error::during("read", &name))?;
    let data = found.and_then(|object| object.data).unwrap_or_default();
    let text = |key: &str| Some(std::str::from_utf8(&data.get(key)?.0).ok()?.to_owned());
    Ok(text("token-secret")
        .filter(|stored| stored == secret)
        .and_then(|_| text("expiration")))
}

/// Deletes a token; gone is success.
pub async fn revoke(client: &Client, id: &str) -> Result<(), Error> {
    let name = format!("bootstrap-token-{id}");
    let api: Api<SecretObject> = Api::namespaced(client.api(), NAMESPACE);
    let deleted = api.delete(&name, &DeleteParams::default()).await.map(drop);
    match deleted.map_err(Error::during("delete", &name)) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Deletes all bootstrap tokens: they exist only while something joins (FN13).
pub async fn revoke_all(client: &Client) -> Result<(), Error> {
    let api: Api<SecretObject> = Api::namespaced(client.api(), NAMESPACE);
    let tokens = ListParams::default().fields("type=bootstrap.kubernetes.io/token");
    let tokens = api
        .list(&tokens)
        .await
        .map_err(Error::during("list", "the bootstrap tokens"))?;
    for token in tokens {
        let name = token.metadata.name.unwrap_or_default();
        // A server that ignores the selector lists other Secrets, too.
        if let Some(id) = name.strip_prefix("bootstrap-token-") {
            revoke(client, id).await?;
        }
    }
    Ok(())
}

/// Whole seconds: the form kubeadm itself writes.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn random(length: usize) -> String {
    let mut random = rand::rng();
    (0..length)
        .map(|_| char::from(ALPHABET[random.random_range(..ALPHABET.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_form_that_kubernetes_accepts() {
        let (id, secret) = (random(6), random(16));
        assert!(id.len() == 6 && secret.len() == 16);
        assert!(
            id.bytes()
                .chain(secret.bytes())
                .all(|byte| ALPHABET.contains(&byte))
        );
        assert_ne!(random(16), random(16));
    }

    #[test]
    fn expiry_has_whole_seconds() {
        assert_eq!(
            rfc3339("2026-11-21T00:53:51.987Z".parse().unwrap()),
            "2026-11-21T00:53:51Z"
        );
    }
}
