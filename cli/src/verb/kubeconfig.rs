//! `strata kubeconfig`: a client certificate for a person, minted from the store's PKI and valid for seven days.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use strata_provider::{
    pki::{KubeconfigInput, OPERATORS, Pki},
    private_file,
    store::{self, Name},
};

use crate::{
    arguments::KubeconfigOptions,
    outcome::Outcome,
    preflight::open_store,
    session::{Session, World},
};

/// Short, because a client certificate cannot be revoked; every `up` renews it.
pub(crate) const LIFE: Duration = Duration::from_hours(7 * 24);

pub(crate) async fn run(options: &KubeconfigOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    let Some(world) = session.world(false).await? else {
        anyhow::bail!(
            "the lab of cluster {} does not run. Start it: {}",
            session.project.name,
            session.again("up")
        )
    };
    let path = match &options.to {
        Some(path) => std::path::absolute(path).context("finding where to write")?,
        None => session.project.kubeconfig(),
    };
    write(&session, &world, &path).await?;
    session
        .console
        .plain(&format!("export KUBECONFIG={}", path.display()));
    Ok(Outcome::Done)
}

/// Mints and writes; readable by the owner only.
pub(crate) async fn write(session: &Session, world: &World, path: &Path) -> anyhow::Result<()> {
    let pki = pki(session).await?;
    let endpoint = &session.cluster.spec.endpoint;
    let user = std::env::var("USER")
        .ok()
        .filter(|user| !user.is_empty())
        .unwrap_or_else(|| "operator".to_owned());
    let input = KubeconfigInput {
        cluster: &session.project.name,
        endpoint: &endpoint.name,
        port: endpoint.port,
        user: &user,
        organisation: OPERATORS,
        life: LIFE,
        proxy_url: world.environment.get("STRATA_LAB_PROXY"),
    };
    let text = pki.kubeconfig(&input).context("minting a kubeconfig")?;
    private_file::write(path, text.expose().as_bytes())
        .with_context(|| format!("writing {}", path.display()))
}

/// The cluster's PKI from the store.
pub(crate) async fn pki(session: &Session) -> anyhow::Result<Pki> {
    let store = open_store(&session.project, &session.cluster)?;
    let entry = store::require(
        &*store,
        &Name::parse("pki").expect("a constant that parses"),
    )
    .await
    .context("reading the cluster's PKI; layer 00 makes it")?;
    Pki::of_entry(entry.value.expose()).context("reading the cluster's PKI")
}
