//! What machines say: one of the configuration it has stored, all control planes at once of etcd.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::stream::FuturesOrdered;

use super::content::Content;
use super::quorum::Seen;
use super::ways::Ways;
use crate::talos::{Client, Error};

/// What a machine has stored. None when it does not say, or says what cannot be read.
pub async fn stored(client: &Client) -> Result<Option<Content>, Error> {
    let text = client.configuration(true).await?;
    Ok(text.and_then(|text| Content::parse(text.expose()).ok()))
}

/// Asks every control plane; one that does not answer says nothing.
pub async fn control_planes(ways: &Ways<'_>, nodes: &BTreeMap<String, String>) -> Vec<Seen> {
    let asked: FuturesOrdered<_> = nodes
        .iter()
        .map(|(name, address)| async move {
            let answer = async {
                let client = ways.node(address).await?;
                etcd(&client).await
            };
            let (members, status) = match answer.await {
                Ok(seen) => seen,
                Err(error) => {
                    tracing::debug!("control plane {name}: {error}");
                    (None, None)
                }
            };
            Seen {
                name: name.clone(),
                address: address.clone(),
                members,
                status,
            }
        })
        .collect();
    asked.collect().await
}

type Answer = (
    Option<Vec<crate::talos::etcd::Member>>,
    Option<crate::talos::etcd::Status>,
);

async fn etcd(client: &Client) -> Result<Answer, Error> {
    let members = client.members(false).await?;
    Ok((Some(members), client.status().await.ok()))
}
