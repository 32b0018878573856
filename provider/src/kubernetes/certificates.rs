//! Secret `kubeadm-certs`: the control planes' keys, encrypted, for a join with `--certificate-key` (contracts/kubeadm-flatcar.md section 3).
//!
//! What `kubeadm init phase upload-certs` does, from the PKI in the store: each file is AES-256-GCM with the nonce in front. The Secret is owned by a bootstrap token of two hours that
//! exists only for that, so it goes with it.

use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::Api;
use kube::api::{Patch, PatchParams};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::{Client, Error, MANAGER, token};
use crate::pki::Pki;
use crate::secret::Secret;

const NAME: &str = "kubeadm-certs";
const LIFE: Duration = Duration::from_hours(2);

/// An upload.
#[derive(Debug)]
pub struct Upload {
    /// The certificate key: 64 hexadecimal digits.
    pub key: Secret<String>,
    /// When the cluster deletes what it opens, by the API server's clock.
    pub expires_at: Timestamp,
}

/// Uploads the keys. The key of an earlier upload is useless from now on.
pub async fn upload(client: &Client, pki: &Pki) -> Result<Upload, Error> {
    let key: [u8; 32] = rand::random();
    let life = token::mint(client, LIFE, "strata: life of kubeadm-certs").await?;
    let owner = format!("bootstrap-token-{}", life.id);
    let api: Api<SecretObject> = Api::namespaced(client.api(), "kube-system");
    let uid = api
        .get(&owner)
        .await
        .map_err(Error::during("read", &owner))?
        .metadata
        .uid;
    let data: serde_json::Map<String, serde_json::Value> = pki
        .files()
        .into_iter()
        .map(|(file, content)| {
            (
                file.replace('/', "-"),
                BASE64
                    .encode(&seal(&key, content.expose().as_bytes()))
                    .into(),
            )
        })
        .collect();
    let object = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": NAME,
            "namespace": "kube-system",
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Secret", "name": owner, "uid": uid, "controller": true, "blockOwnerDeletion": true }],
        },
        "data": data,
    });
    api.patch(
        NAME,
        &PatchParams::apply(MANAGER).force(),
        &Patch::Apply(&object),
    )
    .await
    .map_err(Error::during("write", NAME))?;
    Ok(Upload {
        key: Secret::new(HEXLOWER.encode(&key)),
        expires_at: life.expires_at,
    })
}

/// When the present upload ends, RFC 3339; nothing when there is none.
pub async fn expiry(client: &Client) -> Result<Option<String>, Error> {
    let api: Api<SecretObject> = Api::namespaced(client.api(), "kube-system");
    let read = async |name: &str| api.get_opt(name).await.map_err(Error::during("read", name));
    let Some(upload) = read(NAME).await? else {
        return Ok(None);
    };
    let owners = upload.metadata.owner_references.unwrap_or_default();
    let Some(owner) = owners.first() else {
        return Ok(None);
    };
    let life = read(&owner.name).await?;
    let data = life.and_then(|life| life.data).unwrap_or_default();
    let expiration = data.get("expiration");
    Ok(expiration.and_then(|text| String::from_utf8(text.0.clone()).ok()))
}

fn seal(key: &[u8; 32], content: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_LEN] = rand::random();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes"));
    let mut text = content.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
        .expect("shorter than 64 GiB");
    [nonce.as_slice(), &text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_key_and_the_nonce_in_front() {
        let key = [7; 32];
        let mut sealed = seal(&key, b"PRIVATE");
        let (nonce, text) = sealed.split_at_mut(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
        assert_eq!(
            key.open_in_place(nonce, Aad::empty(), text).unwrap(),
            b"PRIVATE"
        );
    }
}
