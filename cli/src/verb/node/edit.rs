//! `node add` and `node remove`: the line goes into the cluster file or out of it, and `up` runs for what the file says then.
//!
//! The file is written when everything was checked and confirmed. A refusal of any kind leaves it as it was.

use std::{fs, io::Write as _, path::Path};

use anyhow::Context as _;
use strata_cluster::NewNode;

use super::quorum;
use crate::{
    arguments::{NodeAddOptions, NodeGoOptions},
    cluster::{Cluster, Loaded},
    outcome::Outcome,
    question::agreed,
    session::{self, Session, World},
    verb::up::{self, Errand},
};

/// Lines of the file around a change.
const CONTEXT: usize = 2;

pub(super) async fn add(options: &NodeAddOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.up.common)? else {
        return Ok(Outcome::Preflight);
    };
    session.header();
    let before = read(&session.cluster.file)?;
    let mut after = before.clone();
    for name in &options.names {
        let node = NewNode {
            name,
            role: options.role.word(),
            offer: options.offer.as_deref(),
            zone: options.zone.as_deref(),
        };
        after = match strata_cluster::add_node(&after, &node) {
            Ok(edited) => edited,
            Err(error) => return Ok(refuse(&session, &error.to_string())),
        };
    }
    let edit = Edit { before, after };
    let Some(session) = edit.laid_over(session)? else {
        return Ok(Outcome::Preflight);
    };
    let Some(world) = session.world(true).await? else {
        unreachable!("a lab is started when there is none")
    };
    edit.carry_out(&session, world, &options.up).await
}

pub(super) async fn remove(options: &NodeGoOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.up.common)? else {
        return Ok(Outcome::Preflight);
    };
    session.header();
    let before = read(&session.cluster.file)?;
    let mut after = before.clone();
    for name in &options.names {
        after = match strata_cluster::remove_node(&after, name) {
            Ok(edited) => edited,
            Err(error) => return Ok(refuse(&session, &error.to_string())),
        };
    }
    let leaving: Vec<&str> = options.names.iter().map(String::as_str).collect();
    if session
        .cluster
        .spec
        .control_planes
        .iter()
        .all(|name| leaving.contains(&name.as_str()))
    {
        let last = format!(
            "without {} there is no control plane left, and no cluster. To take the whole cluster down: {}",
            leaving.join(" "),
            session.again("destroy")
        );
        return Ok(refuse(&session, &last));
    }
    let Some(world) = session.world(false).await? else {
        return Ok(no_lab(&session));
    };
    if let Err(reason) = quorum::may_go(&session, &world, &leaving, false).await? {
        return Ok(refuse(&session, &reason));
    }
    let edit = Edit { before, after };
    let Some(session) = edit.laid_over(session)? else {
        return Ok(Outcome::Preflight);
    };
    session.console.plain(&format!(
        "given back: {}; data on their disks will be gone",
        leaving.join(" ")
    ));
    let command = session.again(&format!("node remove {}", leaving.join(" ")));
    if !agreed(
        &session,
        options.up.yes.as_deref(),
        "give them back",
        &command,
    )? {
        return Ok(Outcome::Refused);
    }
    edit.carry_out(&session, world, &options.up).await
}

/// Says why nothing was done.
pub(crate) fn refuse(session: &Session, reason: &str) -> Outcome {
    session
        .console
        .plain(&format!("refused: {reason}\nNothing was changed."));
    Outcome::Refused
}

/// A lab that does not run has no nodes.
pub(super) fn no_lab(session: &Session) -> Outcome {
    refuse(
        session,
        &format!(
            "the lab of cluster {} does not run, so no node is there. Start it: {}",
            session.project.name,
            session.again("up")
        ),
    )
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// The cluster file before and after.
struct Edit {
    before: String,
    after: String,
}

impl Edit {
    /// The session for the edited file, shown and checked. `None`: the edited file would be refused, and why was said.
    fn laid_over(&self, mut session: Session) -> anyhow::Result<Option<Session>> {
        session
            .console
            .plain(&session.project.relative(&session.cluster.file));
        for line in difference(&self.before, &self.after) {
            session.console.plain(&line);
        }
        let set = session.cluster.set.clone();
        match Cluster::read(&session.cluster.file, &self.after, set) {
            Loaded::Cluster(cluster) => {
                anyhow::ensure!(
                    cluster.name() == session.cluster.name(),
                    "an edit of `nodes` changed the cluster's name; this is a bug in strata"
                );
                session.cluster = *cluster;
                Ok(Some(session))
            }
            Loaded::Refused(findings) => {
                session::refused(session.console, findings);
                Ok(None)
            }
        }
    }

    async fn carry_out(
        &self,
        session: &Session,
        world: World,
        options: &crate::arguments::UpOptions,
    ) -> anyhow::Result<Outcome> {
        let errand = Errand {
            replace: None,
            begin: Box::new(|| self.write(&session.cluster.file)),
        };
        up::carry_out(session, world, options, errand).await
    }

    /// Replaces the file whole, so that no reader sees half of it.
    fn write(&self, file: &Path) -> anyhow::Result<()> {
        // Through a link the file that it leads to.
        let file = fs::canonicalize(file).with_context(|| format!("finding {}", file.display()))?;
        anyhow::ensure!(
            read(&file)? == self.before,
            "{} was changed by somebody meanwhile; nothing was written. Run the command again",
            file.display()
        );
        let folder = file.parent().context("a file lies in a folder")?;
        let writing = || format!("writing {}", file.display());
        let mut beside = tempfile::NamedTempFile::new_in(folder).with_context(writing)?;
        beside
            .write_all(self.after.as_bytes())
            .with_context(writing)?;
        let permissions = fs::metadata(&file).with_context(writing)?.permissions();
        beside
            .as_file()
            .set_permissions(permissions)
            .with_context(writing)?;
        beside.persist(&file).with_context(writing)?;
        Ok(())
    }
}

/// The changed lines with what stands around them.
fn difference(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let shorter = old.len().min(new.len()) - head;
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(shorter)
        .take_while(|(a, b)| a == b)
        .count();
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let marked = |mark: char, lines: &[&str]| -> Vec<String> {
        lines
            .iter()
            .map(|line| format!("  {mark} {line}"))
            .collect()
    };
    [
        marked(' ', &old[head.saturating_sub(CONTEXT)..head]),
        marked('-', &old[head..old_end]),
        marked('+', &new[head..new_end]),
        marked(' ', &old[old_end..old.len().min(old_end + CONTEXT)]),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn the_difference_shows_what_changed_and_where() {
        let before = "a\nb\nc\nw-1: worker\nd\ne\nf\n";
        let after = "a\nb\nc\nw-1: worker\nw-2: worker\nd\ne\nf\n";
        assert_eq!(
            difference(before, after),
            [
                "    c",
                "    w-1: worker",
                "  + w-2: worker",
                "    d",
                "    e"
            ]
        );
        assert_eq!(
            difference(after, before),
            [
                "    c",
                "    w-1: worker",
                "  - w-2: worker",
                "    d",
                "    e"
            ]
        );
        // Equal lines beside the change count once, on one side.
        assert_eq!(
            difference("x\nx\n", "x\nx\nx\n"),
            ["    x", "    x", "  + x"]
        );
        assert_eq!(
            difference("a: {b}\n", "a: {b, c}\n"),
            ["  - a: {b}", "  + a: {b, c}"]
        );
    }
}
