//! The command line: argument structs only.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Builds, looks after and takes down a cluster. Usually called by bootstrap.sh.
#[derive(Parser, Debug)]
#[command(name = "strata", version, about, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Bring the cluster up, or go on where the last run stopped
    Up(UpOptions),
    /// Show what `up` would change
    Plan(Common),
    /// Check everything and change nothing
    Preflight(Common),
    /// Show what is there now
    Status(Common),
    /// List, add, remove or replace nodes: the cluster file is edited, then `up` runs for it
    Node(NodeOptions),
    /// Take the cluster down; layer 00 (PKI, keys) stays unless --all
    Destroy(DestroyOptions),
    /// Write a kubeconfig, valid for 7 days
    Kubeconfig(KubeconfigOptions),
    /// Take the keys of a sealed-secrets controller that made its own into the store
    Capture(Common),
    /// Take a snapshot of etcd now
    Backup(Common),
    /// Begin the lost cluster again from a snapshot of etcd, with the next `up`
    Restore(SnapshotOptions),
    /// Write a recovery kit, or put one back: store, states and cluster file in one encrypted file
    Kit(KitOptions),
    /// Rebuild lost state from the store and the platform's marks; makes nothing
    Adopt(Common),
    /// Look after the store of secrets
    Store(StoreOptions),
    /// Release the init claim of a run that is over
    Unlock(UnlockOptions),
    /// Print the cluster file as Strata reads it, as JSON
    Cluster(Common),
    /// Print one field of the cluster file as Strata reads it
    Explain(ExplainOptions),
}

/// What every verb takes.
#[derive(Args, Debug, Clone)]
pub(crate) struct Common {
    /// Cluster file [default: ./cluster.yaml, or examples/clusters/lab.yaml if there is none]
    #[arg(short = 'c', long = "cluster", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Lay a value over the cluster file, for example endpoint.port=6444
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Folder of the project
    #[arg(long, env = "STRATA_ROOT", hide = true)]
    pub(crate) root: Option<PathBuf>,
    /// When the run began, in seconds since 1970, so that the clock in front of each line includes the build
    #[arg(long, env = "STRATA_STARTED", hide = true)]
    pub(crate) started: Option<u64>,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct UpOptions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Do not ask
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "", value_name = "NAME")]
    pub(crate) yes: Option<String>,
    /// What to do after a failure
    #[arg(long, value_enum)]
    pub(crate) on_failure: Option<OnFailure>,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct NodeOptions {
    #[command(subcommand)]
    pub(crate) action: NodeAction,
}

#[derive(Subcommand, Debug, Clone)]
pub(crate) enum NodeAction {
    /// Every node with role, address, readiness and port 22
    List(Common),
    /// Write nodes into the cluster file and bring them up
    Add(NodeAddOptions),
    /// Take nodes out of the cluster file and give their machines back
    Remove(NodeGoOptions),
    /// Give one node's machine back and order it anew under the same name
    Replace(NodeReplaceOptions),
    /// Empty one node, reboot it, and give it back when it is Ready again
    Reboot(NodeRebootOptions),
    /// Let one address in on port 22 of a locked node for a while, and print the command for ssh
    SshOpen(NodeWindowOptions),
    /// Open port 22 of a node that nothing else reaches, through the platform's rescue system
    Rescue(NodeRescueOptions),
}

#[derive(Args, Debug, Clone)]
pub(crate) struct NodeRescueOptions {
    /// Name of the node
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print the commands and do nothing
    #[arg(long)]
    pub(crate) print: bool,
    /// Do not ask; outside the lab it takes the cluster's name
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "", value_name = "NAME")]
    pub(crate) yes: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct NodeWindowOptions {
    /// Name of the node
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// For how long, at most 4h
    #[arg(long = "for", value_name = "TIME", default_value = "30m", value_parser = crate::verb::node::window::parse)]
    pub(crate) window: std::time::Duration,
    /// Who comes, where it is not this machine
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: Option<std::net::IpAddr>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct NodeRebootOptions {
    /// Name of the node
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct NodeAddOptions {
    /// Names of the new nodes, for life
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// What they are for
    #[arg(long, value_enum)]
    pub(crate) role: Role,
    /// Offer to order, where it differs from the role's default
    #[arg(long)]
    pub(crate) offer: Option<String>,
    /// Zone, where it differs from the platform's
    #[arg(long)]
    pub(crate) zone: Option<String>,
    #[command(flatten)]
    pub(crate) up: UpOptions,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct NodeGoOptions {
    /// Names of the nodes that go
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) up: UpOptions,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct NodeReplaceOptions {
    /// Name of the node
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) up: UpOptions,
}

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Runs the API and etcd
    ControlPlane,
    /// Runs the work
    Worker,
}

impl Role {
    /// As the cluster file says it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
        }
    }
}

#[derive(Args, Debug, Clone)]
pub(crate) struct DestroyOptions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Do not ask; outside the lab it takes the cluster's name
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "", value_name = "NAME")]
    pub(crate) yes: Option<String>,
    /// Also take layer 00: the PKI, the keys and the estate's id
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct KubeconfigOptions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where to write it [default: .strata/<name>/kubeconfig]
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct SnapshotOptions {
    /// The snapshot, as `backup` wrote it: a file, its name alone, or s3://bucket/prefix/name
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// Do not ask before machines of surviving control planes are given up; outside the lab it takes the cluster's name
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "", value_name = "NAME")]
    pub(crate) yes: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The passphrase is typed, or read from the file that STRATA_KIT_PASSPHRASE_FILE names.
#[derive(Args, Debug, Clone)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct KitOptions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where to write the kit, best not on this machine
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) action: Option<KitAction>,
}

#[derive(Subcommand, Debug, Clone)]
pub(crate) enum KitAction {
    /// Put a kit back; refuses to replace what differs
    Restore(RestoreOptions),
}

#[derive(Args, Debug, Clone)]
pub(crate) struct RestoreOptions {
    /// The kit
    #[arg(value_name = "FILE")]
    pub(crate) kit: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
    /// Replace what differs; the old files are kept in .strata/<name>/earlier
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct StoreOptions {
    #[command(subcommand)]
    pub(crate) action: StoreAction,
}

#[derive(Subcommand, Debug, Clone)]
pub(crate) enum StoreAction {
    /// Print the names of all entries
    List(Common),
    /// Write an entry that a person supplies: its value comes on standard input, or is typed unseen
    Put(StorePutOptions),
    /// Encrypt every entry anew so that one more person can read it (store `file`)
    AddRecipient(RecipientOptions),
}

#[derive(Args, Debug, Clone)]
pub(crate) struct StorePutOptions {
    /// Name of the entry, for example teleport/kubeconfig
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Replace an entry that is there
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct RecipientOptions {
    /// The person's age recipient, as `age-keygen -y` prints it
    #[arg(value_name = "AGE1...")]
    pub(crate) recipient: String,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct UnlockOptions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The run that you know to be over, when that cannot be known from here
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct ExplainOptions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Path of a field, for example nodes.cp-1.offer
    pub(crate) field: String,
}

/// What happens to the things that a failed run made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnFailure {
    /// Everything stays; the next run goes on from there
    Resume,
    /// What this run made is destroyed again, never a node that serves
    Rollback,
}
