//! The recovery kit: everything that a lost machine takes along, in one file encrypted with a passphrase (FN4).
//!
//! In it: the store (for `file` its age files and the identity, for others the entries), the states of the four layers, the cluster file, the
//! overrides and the release. Not in it: what lies in version control anyway (manifests, modules) and what belongs to people (API keys).
//! The file is an age file with a passphrase, so `age -d` opens it as well; inside is JSON.

mod content;
pub(crate) mod recency;
pub(crate) mod restore;
mod seal;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    content::gather,
    seal::{open, seal},
};

/// Version of the format.
const VERSION: u32 = 1;

/// What is in the kit. No `Debug`: it holds secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_field_names)] // `kit` says what the file is to whoever opens it by hand
pub(crate) struct Kit {
    /// Version of the format; first, so that people who open a kit by hand see what it is.
    kit: u32,
    /// Release that wrote it.
    pub(crate) strata: String,
    /// Name of the cluster.
    pub(crate) cluster: String,
    pub(crate) written_at: Timestamp,
    pub(crate) cluster_file: ClusterFile,
    /// Overrides that were laid over the cluster file.
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) store: Store,
    /// State of each layer that has one, by the layer's name.
    pub(crate) states: BTreeMap<String, String>,
}

/// The cluster file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterFile {
    /// Where it lay, relative to the project; only its name when it lay elsewhere.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The store.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Store {
    /// A folder of age files: as they are, with the key that opens them.
    File {
        identity: Option<String>,
        /// Entry name to age file, base64.
        files: BTreeMap<String, String>,
    },
    /// Any other store: names and values.
    Entries {
        kind: String,
        entries: BTreeMap<String, String>,
    },
}

impl Store {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::File { files, .. } => files.len(),
            Self::Entries { entries, .. } => entries.len(),
        }
    }
}
