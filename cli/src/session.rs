//! What every verb starts with: the cluster file, the project, the clock, the first line.

use crate::{
    arguments::Common,
    cluster::{Cluster, Loaded},
    console::{Console, Line},
    finding::{Finding, Report},
    lab::{self, Lab},
    project::{Project, sibling},
    terraform::{
        self, Terraform,
        environment::{Settings, environment},
        signal::Interrupt,
    },
};
use std::{fmt::Write as _, time::Duration};
use strata_framework::Limits;
use strata_provider::environment::Environment;

/// One run for one cluster.
pub(crate) struct Session {
    pub(crate) console: Console,
    pub(crate) project: Project,
    pub(crate) cluster: Cluster,
    interrupt: Interrupt,
}

/// Where the services are: the lab's or the real world's.
pub(crate) struct World {
    pub(crate) environment: Environment,
    pub(crate) lab: Option<String>,
}

impl Session {
    /// Reads the cluster file. `None`: it was refused and the findings are printed.
    pub(crate) fn open(common: &Common) -> anyhow::Result<Option<Self>> {
        let console = Console::new(common.started);
        let root = Project::root(common.root.as_deref())?;
        let cluster = match Cluster::load(&root, common.file.as_deref(), &common.set)? {
            Loaded::Cluster(cluster) => *cluster,
            Loaded::Refused(findings) => {
                refused(console, findings);
                return Ok(None);
            }
        };
        let project = Project {
            root,
            name: cluster.name().to_owned(),
        };
        let interrupt = Interrupt::listen()?;
        Ok(Some(Self {
            console,
            project,
            cluster,
            interrupt,
        }))
    }

    /// `strata 0.1.0   cluster lab (examples/clusters/lab.yaml)   SIMULATION: no account, no network, no money`
    pub(crate) fn header(&self) {
        let kind = if self.cluster.is_lab() {
            "SIMULATION: no account, no network, no money".to_owned()
        } else {
            format!(
                "{}, {}",
                self.cluster.spec.platform.kind, self.cluster.spec.distribution.kind
            )
        };
        self.console.plain(&format!(
            "strata {}   cluster {} ({})   {kind}",
            env!("CARGO_PKG_VERSION"),
            self.cluster.name(),
            self.project.relative(&self.cluster.file)
        ));
    }

    /// Whether verbs can work inside the nodes.
    pub(crate) fn has_doors(&self) -> bool {
        self.cluster.spec.distribution.kubeadm.is_some()
    }

    /// Why a verb that works inside nodes does nothing here: those of Talos have no shell, and with that no door.
    pub(crate) fn no_doors(&self, instead: &str) -> Option<String> {
        (!self.has_doors())
            .then(|| format!("nodes of Talos have no shell to do that in; {instead}"))
    }

    pub(crate) fn say(&self, label: &str, text: impl Into<String>) {
        self.console.say(&Line::new(label, text));
    }

    /// Where each credential comes from; in the lab all are the lab's, which goes without saying.
    pub(crate) fn say_credentials(&self, credentials: &[String]) {
        if !self.cluster.is_lab() && !credentials.is_empty() {
            self.say("credentials", credentials.join(", "));
        }
    }

    /// The world of this cluster; starts a lab only when asked to.
    pub(crate) async fn world(&self, start: bool) -> anyhow::Result<Option<World>> {
        if !self.cluster.is_lab() {
            return Ok(Some(World {
                environment: Environment::real(),
                lab: None,
            }));
        }
        let lab = if start {
            Some(lab::ensure(&self.project, &self.cluster).await?)
        } else {
            lab::find(&self.project).await
        };
        Ok(lab.map(
            |Lab {
                 url,
                 environment,
                 lines,
             }| {
                for line in &lines {
                    self.console.say(line);
                }
                World {
                    environment,
                    lab: Some(url),
                }
            },
        ))
    }

    /// Terraform for this cluster.
    pub(crate) fn terraform(&self, world: &World, purpose: Purpose) -> anyhow::Result<Terraform> {
        let configuration =
            terraform::write_configuration(&self.project, &sibling("terraform-provider-strata")?)?;
        let settings = Settings {
            workspace: self.project.name.clone(),
            cluster_file: self.cluster.file.clone(),
            set: self.cluster.set.clone(),
            root: self.project.root.clone(),
            configuration,
            lab: world.lab.clone(),
            teardown: matches!(purpose, Purpose::Destroy | Purpose::DestroyAll),
            adopt: purpose == Purpose::Adopt,
            deletion_protection: purpose != Purpose::DestroyAll,
        };
        Ok(Terraform::new(
            self.project.clone(),
            environment(&settings, std::env::vars_os()),
            self.interrupt.clone(),
        ))
    }

    /// Whether the user asked to stop.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupt.asked()
    }

    /// Limits of work of our own, which the first Ctrl-C ends.
    pub(crate) fn limits(&self, within: Duration) -> Limits {
        let limits = Limits::within(within);
        let (interrupt, cancel) = (self.interrupt.clone(), limits.cancel.clone());
        tokio::spawn(async move {
            interrupt.after(0).await;
            cancel.cancel();
        });
        limits
    }

    /// The command that goes on from here, as the user would type it.
    pub(crate) fn again(&self, verb: &str) -> String {
        again(&self.project, &self.cluster, verb)
    }
}

/// A command for a cluster, as the user would type it.
pub(crate) fn again(project: &Project, cluster: &Cluster, verb: &str) -> String {
    let mut command = "./bootstrap.sh".to_owned();
    if verb != "up" {
        let _ = write!(command, " {verb}");
    }
    if cluster.file != project.root.join("examples/clusters/lab.yaml") {
        let _ = write!(command, " -c {}", project.relative(&cluster.file));
    }
    for (key, value) in &cluster.set {
        let _ = write!(command, " --set {key}={value}");
    }
    command
}

/// Why terraform is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Build, plan, look.
    Build,
    /// Take over what is there and make nothing.
    Adopt,
    /// Take down layers 03 to 01.
    Destroy,
    /// And layer 00, which is unprotected for it.
    DestroyAll,
}

/// Says why a cluster file is refused.
pub(crate) fn refused(console: Console, findings: Vec<Finding>) {
    let mut report = Report::default();
    for finding in findings {
        console.plain(&finding.to_string());
        report.find(finding);
    }
    console.plain(&format!("{}. Nothing was changed.", report.summary()));
}

/// Prints findings and the summary; the outcome is whether to go on.
pub(crate) fn show(console: Console, report: &Report) {
    for finding in report.findings() {
        console.plain(&finding.to_string());
    }
}
