//! `strata backup`: a snapshot of etcd now, beside those that are taken before an upgrade, a removal and a destroy.

use crate::{
    archive,
    arguments::Common,
    outcome::Outcome,
    project::Layer,
    session::{Purpose, Session},
};

pub(crate) async fn run(options: &Common) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(options)? else {
        return Ok(Outcome::Preflight);
    };
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
    let place = archive::open(&session, &world).await?;
    let kept = archive::take(&session, &world, &outputs["machines"], &place).await?;
    let shown = archive::relative(&session.project, &kept.place);
    session.say(
        "backup",
        format!(
            "{shown}: {} bytes, sealed with a key of the cluster's PKI",
            kept.size
        ),
    );
    let advice = if place.bucket().is_some() {
        "the kit, which opens it, somewhere else than the bucket"
    } else {
        "a copy off this machine; the kit opens it"
    };
    session.console.add("keep", advice);
    session.console.add(
        "restore",
        &format!(
            "{} when the cluster is lost",
            session.again(&format!("restore {shown}"))
        ),
    );
    Ok(Outcome::Done)
}
