//! `strata kit` and `strata kit restore`: a lost machine is an inconvenience and not the end of the cluster (FN4).

use std::{io::Write as _, path::Path};

use anyhow::Context as _;

use crate::{
    arguments::{KitAction, KitOptions, RestoreOptions},
    cluster::{Cluster, Loaded},
    console::Console,
    finding::counted,
    kit::{
        self, recency,
        restore::{self, Restoration},
    },
    outcome::Outcome,
    passphrase::{self, Purpose},
    preflight::open_store,
    project::{Layer, Project},
    session::Session,
};

pub(crate) async fn run(options: &KitOptions) -> anyhow::Result<Outcome> {
    match &options.action {
        Some(KitAction::Restore(options)) => restore(options).await,
        None => write(options).await,
    }
}

async fn write(options: &KitOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    let console = session.console;
    let Some(to) = &options.to else {
        console.plain(&format!(
            "say where: {} --to FILE. A kit on the disk that it is to replace is none: a stick, another machine",
            session.again("kit")
        ));
        return Ok(Outcome::Refused);
    };
    let to = std::path::absolute(to).context("finding where to write")?;
    let Some(world) = session.world(false).await? else {
        console.plain(&format!(
            "the lab of cluster {} does not run, and a kit of an ended world is of no use",
            session.project.name
        ));
        return Ok(Outcome::Refused);
    };
    let store = open_store(&session.project, &session.cluster)?;
    let gathered = kit::gather(&session, &world).await?;
    if gathered.store.len() == 0 {
        console.plain(&format!(
            "cluster {} has no secret yet, so there is nothing to keep. First: {}",
            session.project.name,
            session.again("up")
        ));
        return Ok(Outcome::Refused);
    }
    let Some(passphrase) = ask(console, Purpose::Seal)? else {
        return Ok(Outcome::Refused);
    };
    place(&to, &kit::seal(&gathered, &passphrase)?)?;
    // A kit that cannot be opened is worse than none.
    let read = std::fs::read(&to).with_context(|| format!("reading back {}", to.display()))?;
    anyhow::ensure!(
        kit::open(&read, &passphrase)? == gathered,
        "what was read back from {} is not what was written",
        to.display()
    );
    recency::note(
        &session.project,
        &session.cluster,
        &*store,
        gathered.written_at,
    )
    .await?;
    session.say(
        "kit",
        format!(
            "{}: {}, {} and the cluster file, encrypted with your passphrase and read back",
            to.display(),
            counted_entries(gathered.store.len()),
            counted(gathered.states.len(), "state")
        ),
    );
    console.add(
        "keep",
        "the file off this machine, and the passphrase off the file",
    );
    console.add(
        "restore",
        "./bootstrap.sh kit restore FILE, in a fresh clone of the same release",
    );
    Ok(Outcome::Done)
}

async fn restore(options: &RestoreOptions) -> anyhow::Result<Outcome> {
    let console = Console::new(options.common.started);
    let root = Project::root(options.common.root.as_deref())?;
    let sealed = std::fs::read(&options.kit)
        .with_context(|| format!("reading the kit {}", options.kit.display()))?;
    let Some(passphrase) = ask(console, Purpose::Open)? else {
        return Ok(Outcome::Refused);
    };
    let kit = kit::open(&sealed, &passphrase)
        .with_context(|| format!("opening the kit {}", options.kit.display()))?;
    let file = match &options.common.file {
        Some(file) => std::path::absolute(file).context("finding the cluster file")?,
        None => restore::cluster_file(&root, &kit)?,
    };
    let cluster = match Cluster::read(&file, &kit.cluster_file.text, kit.set.clone()) {
        Loaded::Cluster(cluster) => *cluster,
        Loaded::Refused(findings) => {
            for finding in findings {
                console.plain(&finding.to_string());
            }
            console.plain(&format!(
                "the kit's cluster file is refused by this release; the kit was written by strata {}. Nothing was changed.",
                kit.strata
            ));
            return Ok(Outcome::Preflight);
        }
    };
    let project = Project {
        root,
        name: cluster.name().to_owned(),
    };
    let restoration = Restoration::new(&kit, &project, &cluster)?;
    let found = restoration.differences().await?;
    if !found.differing.is_empty() && !options.overwrite {
        console.plain(&format!(
            "{} here {} from the kit of {:.0}:",
            counted(found.differing.len(), "thing"),
            if found.differing.len() == 1 {
                "differs"
            } else {
                "differ"
            },
            kit.written_at
        ));
        for name in &found.differing {
            console.add("differs", name);
        }
        console.plain("refused, nothing was changed. If the kit is right: the same with --overwrite, which keeps the old ones aside");
        return Ok(Outcome::Refused);
    }
    let replaced = restoration.write(options.overwrite).await?;
    let store = open_store(&project, &cluster)?;
    recency::note(&project, &cluster, &*store, kit.written_at).await?;
    console.plain(&format!(
        "cluster {} is back as of {:.0}: {}, {}, {}",
        project.name,
        kit.written_at,
        counted_entries(kit.store.len()),
        counted(kit.states.len(), "state"),
        project.relative(&cluster.file)
    ));
    if let Some(aside) = replaced {
        console.add(
            "replaced",
            &format!("the old ones are in {}", project.relative(&aside)),
        );
    }
    for layer in Layer::ALL {
        if let Some(backend) = project.backend(layer) {
            console.add(
                "left",
                &format!(
                    "state of {} lives in backend {backend} and was not touched",
                    layer.name()
                ),
            );
        }
    }
    if kit.strata != env!("CARGO_PKG_VERSION") {
        console.add(
            "release",
            &format!(
                "the kit was written by strata {}, this is {}",
                kit.strata,
                env!("CARGO_PKG_VERSION")
            ),
        );
    }
    console.add("next", &crate::session::again(&project, &cluster, "plan"));
    Ok(Outcome::Done)
}

fn ask(console: Console, purpose: Purpose) -> anyhow::Result<Option<age::secrecy::SecretString>> {
    let passphrase = passphrase::read(purpose)?;
    if passphrase.is_none() {
        console.plain(&format!(
            "not a terminal to ask for the passphrase, and {} names no file: refused",
            passphrase::FILE
        ));
    }
    Ok(passphrase)
}

fn counted_entries(count: usize) -> String {
    if count == 1 {
        "1 store entry".to_owned()
    } else {
        format!("{count} store entries")
    }
}

/// The file appears whole or not at all, for its owner alone.
fn place(to: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = to.parent().context("the kit lies in a folder")?;
    // tempfile makes files of mode 0600.
    let mut file = tempfile::Builder::new()
        .prefix(".kit-")
        .tempfile_in(folder)
        .with_context(|| format!("writing into {}", folder.display()))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .with_context(|| format!("writing into {}", folder.display()))?;
    file.persist(to)
        .map_err(|error| error.error)
        .with_context(|| format!("placing {}", to.display()))?;
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("syncing {}", folder.display()))
}
