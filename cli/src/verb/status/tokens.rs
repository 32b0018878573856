//! When the credentials end that open platform, DNS and store (FN15), as far as each API tells. What does not end has no row.

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;
use strata_provider::{
    credential::{CLOUDFLARE, HEADSCALE},
    environment::Environment,
    headscale::{self, Place},
    http::client::{Client as Http, Settings},
    store::Store,
};

use crate::{
    expiry::Expiry,
    platform::Platform,
    preflight::open_store,
    session::{Session, World},
};

const RENEWAL: &str = "you: make another one, then replace it where it is read from";

/// The rows of the table.
pub(super) async fn rows(session: &Session, world: &World) -> Vec<Expiry> {
    let environment = &world.environment;
    let Ok(store) = open_store(&session.project, &session.cluster) else {
        return Vec::new();
    };
    let cloudflare = async {
        match session.cluster.spec.dns.kind.as_str() {
            "cloudflare" => row(
                "Cloudflare API token",
                cloudflare(environment, &*store).await,
            ),
            _ => None,
        }
    };
    let platform = async {
        let platform = Platform::new(&session.project, environment, &session.cluster).await;
        let (what, end) = platform.ok()?.end_of_credential(environment).await;
        row(what, end)
    };
    let vpn = async {
        let login = &session.cluster.spec.access.vpn.as_ref()?.headscale;
        let place = Place::of(environment, login.url.as_deref(), login.user.as_deref())?;
        row(
            "Headscale API key",
            headscale(environment, &*store, &place).await,
        )
    };
    let (platform, cloudflare, vpn, kept) =
        tokio::join!(platform, cloudflare, vpn, store.credential_end());
    let kept = match kept {
        Ok(None) => None,
        Ok(Some(ending)) => row(ending.what, Ok(Some(ending.at))),
        Err(error) => row("credential of the store", Err(error.into())),
    };
    [platform, cloudflare, vpn, kept]
        .into_iter()
        .flatten()
        .collect()
}

/// `None`: it does not end.
fn row(what: &str, end: anyhow::Result<Option<Timestamp>>) -> Option<Expiry> {
    let at = end.transpose()?;
    Some(Expiry {
        what: what.to_owned(),
        at: at.ok(),
        renewal: RENEWAL,
    })
}

#[derive(Deserialize)]
struct Verified {
    result: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_on: Option<Timestamp>,
}

/// <https://developers.cloudflare.com/api/resources/user/subresources/tokens/methods/verify/>: any token may ask about itself.
async fn cloudflare(
    environment: &Environment,
    store: &dyn Store,
) -> anyhow::Result<Option<Timestamp>> {
    let (token, _) = CLOUDFLARE.find(environment, None, store).await?;
    let settings = Settings {
        service: "cloudflare",
        base: environment
            .get("CLOUDFLARE_BASE_URL")
            .unwrap_or("https://api.cloudflare.com/client/v4")
            .to_owned(),
        header: http::header::AUTHORIZATION,
        token,
        speed: environment.speed(),
    };
    let client = Http::new(environment.dialer().clone(), settings)?;
    let verified: Verified = client.get("user/tokens/verify").tries(1).send().await?;
    Ok(verified.result.expires_on)
}

/// Every key of Headscale ends, after 90 days where nobody said otherwise: one that the server does not show was not seen.
async fn headscale(
    environment: &Environment,
    store: &dyn Store,
    place: &Place,
) -> anyhow::Result<Option<Timestamp>> {
    let (token, _) = HEADSCALE.find(environment, None, store).await?;
    let client = headscale::connect(environment, &place.url, token.clone())?;
    let end = client.end_of_api_key(&token).await?;
    Ok(Some(end.context(
        "Headscale does not list the key that it was asked with",
    )?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_has_no_row_and_what_was_not_seen_has_one() {
        let end: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(row("key", Ok(None)), None);
        assert_eq!(row("key", Ok(Some(end))).unwrap().at, Some(end));
        assert_eq!(row("key", Err(anyhow::anyhow!("403"))).unwrap().at, None);
    }

    #[test]
    fn the_answer_of_verify_is_read() {
        let answer = r#"{"success": true, "errors": [], "messages": [], "result": {"id": "ed17574386854bf78a67040be0a770b0", "status": "active", "not_before": "2026-07-01T05:20:00Z", "expires_on": "2027-01-01T00:00:00Z"}}"#;
        let verified: Verified = serde_json::from_str(answer).unwrap();
        assert_eq!(
            verified.result.expires_on,
            Some("2027-01-01T00:00:00Z".parse().unwrap())
        );
        let endless = r#"{"result": {"id": "x", "status": "active"}}"#;
        let verified: Verified = serde_json::from_str(endless).unwrap();
        assert_eq!(verified.result.expires_on, None);
    }
}
