//! ConfigMap `kube-public/cluster-info` and its signatures (contracts/kubeadm-flatcar.md, 1.4), and bootstrap tokens.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;

/// A bootstrap token as its Secret holds it.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) expiration: Option<Timestamp>,
    pub(super) authenticates: bool,
    pub(super) signs: bool,
    pub(super) extra_groups: String,
}

impl Token {
    /// Reads a Secret of type `bootstrap.kubernetes.io/token`; `None` when it is not a usable one.
    pub(super) fn of_secret(secret: &Value) -> Option<Self> {
        if secret["type"] != "bootstrap.kubernetes.io/token"
            || secret["metadata"].get("deletionTimestamp").is_some()
        {
            return None;
        }
        let field = |name: &str| {
            let bytes = BASE64
                .decode(secret["data"][name].as_str()?.as_bytes())
                .ok()?;
            String::from_utf8(bytes).ok()
        };
        let id = field("token-id")?;
        if secret["metadata"]["name"].as_str()? != format!("bootstrap-token-{id}") {
            return None;
        }
        let expiration = match field("expiration") {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        Some(Self {
            id,
            secret: field("token-secret")?,
            expiration,
            authenticates: field("usage-bootstrap-authentication").as_deref() == Some("true"),
            signs: field("usage-bootstrap-signing").as_deref() == Some("true"),
            extra_groups: field("auth-extra-groups").unwrap_or_default(),
        })
    }
}

/// Splits `id.secret`; the form is strict.
pub(super) fn split_token(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)).then_some((id, secret))
}

/// The detached compact JWS of `payload`.
pub(super) fn sign(id: &str, secret: &str, payload: &str) -> String {
    let header = BASE64URL_NOPAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#).as_bytes());
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(header.as_bytes());
    mac.update(b".");
    mac.update(BASE64URL_NOPAD.encode(payload.as_bytes()).as_bytes());
    format!(
        "{header}..{}",
        BASE64URL_NOPAD.encode(&mac.finalize().into_bytes())
    )
}

/// The kubeconfig that strangers may read: server and CA, nothing else.
pub(super) fn kubeconfig(ca_crt: &str, endpoint: &str) -> String {
    let authority = BASE64.encode(ca_crt.as_bytes());
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {authority}\n    server: https://{endpoint}\n  name: \"\"\n\
         contexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {{}}\nusers: null\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_vectors_of_the_contract() {
        let joshua = sign(
            "joshua",
            "my voice is my passcode",
            "Hello from the other side. I must have called a thousand times.",
        );
        assert_eq!(
            joshua,
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
        );
        let config = sign(
            "abcdef",
            "0123456789abcdef",
            "apiVersion: v1\nkind: Config\n",
        );
        assert_eq!(
            config,
            "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..vH_kT4yiol-nrAWgjfCYqvum5wsKETXe0S7OOp1VgnE"
        );
    }

    #[test]
    fn tokens_have_one_form() {
        assert_eq!(
            split_token("abcdef.0123456789abcdef"),
            Some(("abcdef", "0123456789abcdef"))
        );
        for wrong in [
            "ABCDEF.0123456789abcdef",
            "abcdef.0123456789abcde",
            "abcdef",
            " abcdef.0123456789abcdef",
        ] {
            assert_eq!(split_token(wrong), None);
        }
    }
}
