//! `strata status`: what is there now. Changes nothing; what cannot be seen is named and makes exit code 4.

mod archive;
mod ask;
mod certificates;
mod reboots;
mod tokens;

use crate::{
    arguments::Common,
    console,
    expiry::{self, Expiry},
    observe::{self, Observation},
    outcome::Outcome,
    project::Layer,
    session::{Purpose, Session, World},
};

pub(crate) async fn run(options: &Common) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(options)? else {
        return Ok(Outcome::Preflight);
    };
    session.header();
    let Some(world) = session.world(false).await? else {
        session.console.plain(&format!(
            "the lab of cluster {} does not run; nothing is there. Start it: {}",
            session.project.name,
            session.again("up")
        ));
        return Ok(Outcome::Done);
    };
    let terraform = session.terraform(&world, Purpose::Build)?;
    for layer in Layer::ALL {
        let contract = if session.project.has_state(layer) {
            terraform.outputs(layer).await?["contract"].clone()
        } else {
            serde_json::Value::Null
        };
        let word = match (
            session.project.has_state(layer),
            contract["ready"].as_bool(),
        ) {
            (false, _) => "nothing",
            (true, Some(true)) => "complete",
            (true, _) => "not complete",
        };
        session
            .console
            .plain(&format!("{:<19} {word}", layer.name()));
    }
    if !session.project.has_state(Layer::Infrastructure) {
        session
            .console
            .plain(&format!("next: {}", session.again("up")));
        return Ok(Outcome::Done);
    }
    let observation = nodes(&session, &world).await?;
    let outputs = terraform.outputs(Layer::Infrastructure).await?;
    let machines = &outputs["machines"];
    let (snapshots, reboots, certificates, tokens) = tokio::join!(
        archive::lines(&session, &world),
        reboots::lines(&session, &world, machines),
        certificates::rows(&session, &world, machines),
        tokens::rows(&session, &world)
    );
    for line in snapshots.lines.iter().chain(&reboots) {
        session.console.plain(line);
    }
    session.console.plain("");
    let now = (!session.cluster.is_lab()).then(jiff::Timestamp::now);
    let sealing = terraform.outputs(Layer::Auth).await?["sealing"].clone();
    let mut ends = expiries(&session, &outputs, &sealing);
    ends.extend(certificates);
    ends.extend(tokens);
    for line in expiry::table(now, ends) {
        session.console.plain(&line);
    }
    Ok(if snapshots.unseen {
        Outcome::Unobserved
    } else {
        observation.outcome()
    })
}

/// The table of nodes as they are seen from here, and what could not be seen.
pub(crate) async fn nodes(session: &Session, world: &World) -> anyhow::Result<Observation> {
    let outputs = if session.project.has_state(Layer::Infrastructure) {
        let terraform = session.terraform(world, Purpose::Build)?;
        terraform.outputs(Layer::Infrastructure).await?
    } else {
        serde_json::Value::Null
    };
    let observation = observe::observe(session, world, &outputs["machines"]).await;
    let door = observation
        .port
        .map_or(String::new(), |port| format!("port {port}"));
    session.console.plain(
        format!(
            "{:<12} {:<14} {:<16} {:<10} {door}",
            "node", "role", "address", "Ready"
        )
        .trim_end(),
    );
    for node in &observation.nodes {
        let word = |fact: Option<bool>, yes: &'static str, no: &'static str| match fact {
            Some(true) => yes,
            Some(false) => no,
            None => "not observed",
        };
        let closed = observation
            .port
            .map_or("", |_| word(node.closed, "closed", "OPEN"));
        session.console.plain(
            format!(
                "{:<12} {:<14} {:<16} {:<10} {closed}",
                node.name,
                node.role,
                node.address.as_deref().unwrap_or("-"),
                word(node.ready, "Ready", "NotReady"),
            )
            .trim_end(),
        );
    }
    session.console.plain(&observation.summary());
    if let Some(cause) = &observation.unreachable {
        session
            .console
            .plain(&format!("the API was not observed: {cause}"));
    }
    Ok(observation)
}

/// What ends, from the outputs of layers 01 and 00.
fn expiries(
    session: &Session,
    outputs: &serde_json::Value,
    sealing: &serde_json::Value,
) -> Vec<Expiry> {
    let mut rows = vec![Expiry::parse(
        "sealed-secrets certificate",
        sealing["not_after"].as_str(),
        "sealing_rotation of layer 00; old keys keep opening",
    )];
    // Nodes of Talos join by their configuration.
    if session.cluster.spec.distribution.kubeadm.is_some() {
        rows.push(Expiry::parse(
            "join token",
            outputs["join_info"]["expires_at"].as_str(),
            "nobody: our nodes do not need it",
        ));
    }
    if let Some(written) = kubeconfig_written(session) {
        rows.push(Expiry {
            what: "kubeconfig".to_owned(),
            at: jiff::Timestamp::try_from(written + super::kubeconfig::LIFE).ok(),
            renewal: "every up, and ./bootstrap.sh kubeconfig",
        });
    }
    rows
}

/// When the kubeconfig was minted.
fn kubeconfig_written(session: &Session) -> Option<std::time::SystemTime> {
    std::fs::metadata(session.project.kubeconfig())
        .ok()?
        .modified()
        .ok()
}

/// How long the kubeconfig is still good, by its age.
pub(crate) fn kubeconfig_left(session: &Session) -> Option<String> {
    let age = kubeconfig_written(session)?.elapsed().unwrap_or_default();
    let left = super::kubeconfig::LIFE.saturating_sub(age);
    Some(match left.as_secs() {
        0 => "expired".to_owned(),
        seconds if seconds > 86400 => format!("valid {} days", seconds.div_ceil(86400)),
        _ => format!("valid {}", console::duration(left)),
    })
}
