//! Where the cluster's snapshots of etcd are kept (`backup.etcd.to`), and taking one into it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;
use strata_framework::Limits;
use strata_provider::{
    environment::Environment,
    s3::{Bucket, Location},
    services::talos,
    snapshot::{
        keep,
        place::{self, Kept, Place, Wish},
    },
    store::{self, Name, Store},
    talos::client::Credentials,
    talos_secrets::TalosSecrets,
};

use crate::{
    cluster::Cluster,
    console::duration,
    observe,
    preflight::open_store,
    project::Project,
    session::{Session, World},
    verb::kubeconfig,
};

/// Parts of 4 MiB through one-shot pods: a large etcd takes minutes.
const LIMIT: Duration = Duration::from_mins(30);

/// What the cluster file says of it.
pub(crate) fn wish(project: &Project, cluster: &Cluster) -> Wish {
    let settings = &cluster.spec.backup.etcd;
    Wish {
        to: settings.to.clone(),
        keep: settings.keep as usize,
        cluster: project.name.clone(),
        folder: place::folder(&project.root, &project.name, cluster.is_lab()),
    }
}

/// The place, with the store that may have its key.
pub(crate) async fn place(
    project: &Project,
    cluster: &Cluster,
    environment: &Environment,
    store: &dyn Store,
) -> Place {
    Place::open(wish(project, cluster), environment, store).await
}

/// The place of a session.
pub(crate) async fn open(session: &Session, world: &World) -> anyhow::Result<Place> {
    let store = open_store(&session.project, &session.cluster)?;
    Ok(place(
        &session.project,
        &session.cluster,
        &world.environment,
        &*store,
    )
    .await)
}

/// A path as the user types it; addresses as they are.
pub(crate) fn relative(project: &Project, place: &str) -> String {
    if place.starts_with("s3://") {
        place.to_owned()
    } else {
        project.relative(Path::new(place))
    }
}

/// Takes a snapshot now and keeps it. `machines` is the output of layer 01.
pub(crate) async fn take(
    session: &Session,
    world: &World,
    machines: &Value,
    place: &Place,
) -> anyhow::Result<Kept> {
    let addresses = observe::addresses(machines);
    let dialer = world.environment.dialer();
    let pki = kubeconfig::pki(session).await?;
    let name = &session.project.name;
    let kept = if session.has_doors() {
        let client = observe::client(session, dialer, &addresses).await?;
        let limits = Limits::within(LIMIT);
        let speed = world.environment.speed();
        keep::keep(&limits, &client, speed, &pki, place, name).await
    } else {
        let control_planes = &session.cluster.spec.control_planes;
        let addresses = addresses
            .into_iter()
            .filter(|(name, _)| control_planes.contains(name))
            .collect();
        let store = open_store(&session.project, &session.cluster)?;
        let entry = Name::parse("pki").expect("a constant that parses");
        let secrets = store::require(&*store, &entry)
            .await
            .context("reading the cluster's secrets; layer 00 makes them")?;
        let secrets =
            TalosSecrets::parse(secrets.value.expose()).context("reading the cluster's secrets")?;
        let credentials = Credentials::default();
        let taken = talos::snapshot::take(&credentials, dialer, &secrets, &addresses);
        match tokio::time::timeout(LIMIT, taken).await {
            Ok(Ok(bytes)) => keep::sealed(&bytes, &pki, place, name).await,
            Ok(Err(found)) => Err(found),
            Err(_) => anyhow::bail!("the snapshot of etcd did not come within 30 minutes"),
        }
    };
    kept.map_err(|found| anyhow::anyhow!("{found}"))
}

/// How old the newest snapshot may be before another one is due.
pub(crate) fn every(session: &Session) -> Duration {
    Duration::from_secs(session.cluster.spec.backup.etcd.every)
}

/// The age of the newest, on the clock of the cluster: simulated time passes faster.
pub(crate) fn age(newest: Timestamp, speed: f64) -> Duration {
    let seconds = Timestamp::now().duration_since(newest).as_secs_f64();
    Duration::from_secs_f64(seconds.max(0.0) * speed.max(1.0))
}

/// After `up`: takes a snapshot into the bucket if the newest there is older than `every`. Whether one is missing now.
///
/// Nodes get no credentials of the bucket, so that only runs like this bring snapshots there.
pub(crate) async fn refresh(session: &Session, world: &World, machines: &Value) -> bool {
    let tried = async {
        let place = open(session, world).await?;
        if place.bucket().is_none() {
            return Ok(None);
        }
        let kept = place
            .list()
            .await
            .map_err(|found| anyhow::anyhow!("{found}"))?;
        let is_due = place
            .newest(&kept)
            .is_none_or(|newest| age(newest, world.environment.speed()) >= every(session));
        if !is_due {
            return Ok(None);
        }
        take(session, world, machines, &place).await.map(Some)
    };
    match tried.await {
        Ok(Some(kept)) => {
            session.say("backup", format!("{}: {} bytes", kept.place, kept.size));
            false
        }
        Ok(None) => false,
        Err(error) => {
            let error: anyhow::Error = error;
            session.console.add("warning", &format!("{error:#}"));
            session.console.add(
                "",
                &format!("then take a snapshot: {}", session.again("backup")),
            );
            true
        }
    }
}

/// The file of the snapshot that somebody names: a path, a name of the place, or an address. One of a bucket is fetched first.
pub(crate) async fn find(
    session: &Session,
    world: &World,
    snapshot: &str,
) -> anyhow::Result<PathBuf> {
    let place = open(session, world).await?;
    let fetch = async |bucket: &Bucket, name: &str| {
        let fetched = place.fetch(bucket, name).await;
        let path = fetched.map_err(|found| anyhow::anyhow!("{found}"))?;
        session.say(
            "fetched",
            format!(
                "{} to {}",
                bucket.location().below(name),
                session.project.relative(&path)
            ),
        );
        anyhow::Ok(path)
    };
    if snapshot.starts_with("s3://") {
        let (location, name) = Location::parse_object(snapshot)
            .with_context(|| format!("`{snapshot}` is not s3://bucket/prefix/name"))?;
        let store = open_store(&session.project, &session.cluster)?;
        let bucket = Bucket::open(&world.environment, &*store, location)
            .await
            .map_err(|error| anyhow::anyhow!("{error}. {}", error.hint()))?;
        return fetch(&bucket, &name).await;
    }
    let path = std::path::absolute(snapshot).context("finding the snapshot")?;
    if path.exists() || snapshot.contains('/') {
        return Ok(path);
    }
    let beside = place.folder().join(snapshot);
    if beside.exists() {
        return Ok(beside);
    }
    match place.bucket() {
        Some(Ok(bucket)) => fetch(bucket, snapshot).await,
        Some(Err(error)) => anyhow::bail!("{error}. {}", error.hint()),
        None => Ok(path),
    }
}

/// `4 snapshots in s3://bucket/prefix, the newest 3h old`.
pub(crate) fn summary(place: &Place, kept: &[Kept], speed: f64) -> String {
    let count = crate::finding::counted(kept.len(), "snapshot");
    let newest = place.newest(kept).map(|newest| age(newest, speed));
    let newest = newest.map_or_else(String::new, |age| {
        format!(", the newest {} old", duration(age))
    });
    format!("{count} of etcd in {}{newest}", place.text())
}
