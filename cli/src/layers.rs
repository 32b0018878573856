//! Planning, applying and destroying layers: terraform's commands with the lines they become.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::{
    console::Console,
    finding::counted,
    progress::{PlannedChanges, Progress},
    project::Layer,
    session::Session,
    terraform::{
        Ended, Listener, Terraform,
        event::{Diagnostic, Event},
    },
};

/// A plan that was made.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) layer: Layer,
    pub(crate) changes: PlannedChanges,
    /// Whether anything at all would change, outputs included.
    pub(crate) differs: bool,
    file: PathBuf,
}

/// Why a layer stopped.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) layer: Layer,
    pub(crate) errors: Vec<Diagnostic>,
    /// What was said besides: why a machine is not ready, for one.
    pub(crate) warnings: Vec<Diagnostic>,
    /// What this run created in the layer, in order.
    pub(crate) created: Vec<String>,
}

/// What one applied layer leaves to be told.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) created: Vec<String>,
}

struct Planning(PlannedChanges);

impl Listener for Planning {
    fn event(&mut self, event: &Event) {
        self.0.event(event);
    }

    fn tick(&mut self) {}
}

struct Speaking<'a> {
    session: &'a Session,
    console: Console,
    progress: Progress,
}

impl Listener for Speaking<'_> {
    fn event(&mut self, event: &Event) {
        self.progress.interrupted = self.session.interrupted();
        for line in self.progress.event(self.console.elapsed(), event) {
            self.console.say(&line);
        }
    }

    fn tick(&mut self) {
        for line in self.progress.tick(self.console.elapsed()) {
            self.console.say(&line);
        }
    }
}

impl<'a> Speaking<'a> {
    fn new(session: &'a Session, layer: Layer, adopts: bool) -> Self {
        Self {
            session,
            console: session.console,
            progress: Progress::new(layer, session.console.elapsed()).adopting(adopts),
        }
    }

    fn finish(&mut self) {
        for line in self.progress.finish(self.console.elapsed()) {
            self.console.say(&line);
        }
    }
}

/// Plans one layer. The saved plan holds no secret: what is secret is ephemeral or write-only.
pub(crate) async fn plan(
    session: &Session,
    terraform: &Terraform,
    layer: Layer,
) -> anyhow::Result<Result<Plan, Stop>> {
    plan_with(session, terraform, layer, &[]).await
}

/// Plans one layer so that these addresses go and come back.
pub(crate) async fn plan_replace(
    session: &Session,
    terraform: &Terraform,
    layer: Layer,
    addresses: &[String],
) -> anyhow::Result<Result<Plan, Stop>> {
    let replace: Vec<String> = addresses
        .iter()
        .map(|address| format!("-replace={address}"))
        .collect();
    plan_with(session, terraform, layer, &replace).await
}

/// Plans to destroy these addresses of a layer. Terraform adds whatever depends on one of them, whoever made it: look before applying.
pub(crate) async fn plan_destroy(
    session: &Session,
    terraform: &Terraform,
    layer: Layer,
    targets: &[String],
) -> anyhow::Result<Result<Plan, Stop>> {
    let targets = targets.iter().map(|address| format!("-target={address}"));
    let more: Vec<String> = std::iter::once("-destroy".to_owned())
        .chain(targets)
        .collect();
    plan_with(session, terraform, layer, &more).await
}

async fn plan_with(
    session: &Session,
    terraform: &Terraform,
    layer: Layer,
    more: &[String],
) -> anyhow::Result<Result<Plan, Stop>> {
    terraform.get(layer).await?;
    let folder = session.project.data_dir(layer);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let file = folder.join("plan.tfplan");
    let out = format!("-out={}", file.display());
    let parallelism = parallelism(session);
    let mut listener = Planning(PlannedChanges::default());
    let mut arguments = vec![
        "plan",
        "-json",
        "-detailed-exitcode",
        "-input=false",
        "-lock-timeout=30s",
        &parallelism,
        &out,
    ];
    arguments.extend(more.iter().map(String::as_str));
    let ended = terraform
        .stream(layer, "plan", &arguments, &mut listener)
        .await?;
    let changes = listener.0;
    if ended == Ended::Failed {
        return Ok(Err(Stop {
            layer,
            errors: errors(&changes.diagnostics),
            warnings: Vec::new(),
            created: Vec::new(),
        }));
    }
    Ok(Ok(Plan {
        layer,
        changes,
        differs: ended == Ended::Changes,
        file,
    }))
}

/// Applies a plan that was made.
pub(crate) async fn apply(
    session: &Session,
    terraform: &Terraform,
    plan: &Plan,
) -> anyhow::Result<Result<Applied, Stop>> {
    let parallelism = parallelism(session);
    let file = plan.file.display().to_string();
    let result = run(
        session,
        terraform,
        plan.layer,
        "apply",
        &[
            "apply",
            "-json",
            "-input=false",
            "-lock-timeout=30s",
            &parallelism,
            &file,
        ],
    )
    .await;
    let _ = std::fs::remove_file(&plan.file);
    result
}

/// Destroys a layer.
pub(crate) async fn destroy(
    session: &Session,
    terraform: &Terraform,
    layer: Layer,
) -> anyhow::Result<Result<Applied, Stop>> {
    terraform.get(layer).await?;
    let parallelism = parallelism(session);
    let arguments = [
        "destroy",
        "-json",
        "-auto-approve",
        "-input=false",
        "-lock-timeout=30s",
        &parallelism,
    ];
    run(session, terraform, layer, "destroy", &arguments).await
}

async fn run(
    session: &Session,
    terraform: &Terraform,
    layer: Layer,
    operation: &str,
    arguments: &[&str],
) -> anyhow::Result<Result<Applied, Stop>> {
    let mut listener = Speaking::new(session, layer, terraform.adopts());
    let ended = terraform
        .stream(layer, operation, arguments, &mut listener)
        .await?;
    listener.finish();
    let progress = listener.progress;
    if ended == Ended::Clean {
        let warnings = progress.warnings().cloned().collect();
        return Ok(Ok(Applied {
            warnings,
            created: progress.created,
        }));
    }
    let errors = progress.errors().cloned().collect();
    let warnings = progress.warnings().cloned().collect();
    Ok(Err(Stop {
        layer,
        errors,
        warnings,
        created: progress.created,
    }))
}

fn parallelism(session: &Session) -> String {
    format!("-parallelism={}", session.cluster.parallelism())
}

fn errors(diagnostics: &[Diagnostic]) -> Vec<Diagnostic> {
    diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .cloned()
        .collect()
}

/// Says why a layer stopped, and where the whole story is.
pub(crate) fn tell(session: &Session, stop: &Stop) {
    session.say(
        "stopped",
        format!(
            "{}: {}",
            stop.layer.name(),
            counted(stop.errors.len(), "error")
        ),
    );
    for error in &stop.errors {
        explain(session.console, "", error);
    }
    session
        .console
        .add("log", &session.project.relative(&session.project.logs()));
}

/// Prints a diagnostic under the line that it belongs to.
pub(crate) fn explain(console: Console, label: &str, diagnostic: &Diagnostic) {
    let place = if diagnostic.address.is_empty() {
        String::new()
    } else {
        format!(" ({})", diagnostic.address)
    };
    console.add(label, &format!("{}{place}", diagnostic.summary));
    for line in diagnostic
        .detail
        .lines()
        .filter(|line| !line.trim().is_empty())
    {
        console.add("", line);
    }
}
