//! `strata backup`: a snapshot of etcd now, beside those that are taken before an upgrade, a removal and a destroy.

use std::time::Duration;

use anyhow::Context as _;
use strata_framework::Limits;
use strata_provider::snapshot::keep;

use crate::{
    arguments::Common,
    observe,
    outcome::Outcome,
    project::Layer,
    session::{Purpose, Session},
    verb::{kubeconfig, node::refuse},
};

/// Parts of 4 MiB through one-shot pods: a large etcd takes minutes.
const LIMIT: Duration = Duration::from_mins(30);

pub(crate) async fn run(options: &Common) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(options)? else {
        return Ok(Outcome::Preflight);
    };
    if let Some(reason) = session.no_doors("a snapshot is kept before every upgrade and destroy, and `talosctl etcd snapshot` takes one now") {
        return Ok(refuse(&session, &reason));
    }
    let Some(world) = session.world(false).await? else {
        session.console.plain(&format!(
            "the lab of cluster {} does not run; nothing is there to keep. Start it: {}",
            session.project.name,
            session.again("up")
        ));
        return Ok(Outcome::Refused);
    };
    if !session.project.has_state(Layer::Infrastructure) {
        session.console.plain(&format!(
            "cluster {} has no machines yet. First: {}",
            session.project.name,
            session.again("up")
        ));
        return Ok(Outcome::Refused);
    }
    let outputs = session
        .terraform(&world, Purpose::Build)?
        .outputs(Layer::Infrastructure)
        .await?;
    let addresses = observe::addresses(&outputs["machines"]);
    let dialer = world.environment.dialer();
    let client = observe::client(&session, dialer, &addresses).await?;
    let pki = kubeconfig::pki(&session).await?;
    let project = &session.project;
    let folder = keep::folder(&project.root, &project.name, session.cluster.is_lab());
    let kept = keep::keep(
        &Limits::within(LIMIT),
        &client,
        world.environment.speed(),
        &pki,
        &folder,
        &project.name,
    )
    .await
    .map_err(|found| anyhow::anyhow!("{found}"))?;
    let size = std::fs::metadata(&kept)
        .with_context(|| format!("looking at {}", kept.display()))?
        .len();
    session.say(
        "backup",
        format!(
            "{}: {size} bytes, sealed with a key of the cluster's PKI",
            project.relative(&kept)
        ),
    );
    session
        .console
        .add("keep", "a copy off this machine; the kit opens it");
    session.console.add(
        "restore",
        &format!(
            "{} when the cluster is lost",
            session.again(&format!("restore {}", project.relative(&kept)))
        ),
    );
    Ok(Outcome::Done)
}
