//! What Strata makes on Proxmox VE: files, machines, and who may use them. The client is [`crate::proxmox`].

pub mod acl;
pub mod image;
pub mod role;
pub mod token;
pub mod user;
pub mod vm;

use serde::{Deserialize, Serialize};
use strata_framework::{Diagnostics, Found};

use crate::proxmox::error::Error;

/// What is remembered of something that may have been there before.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct Known {
    /// It was: it is not ours to delete.
    #[serde(default)]
    found: bool,
}

/// A failed operation on something of Proxmox.
fn failed(verb: &str, noun: &str, identity: &str, error: &Error) -> Diagnostics {
    Diagnostics::failed(verb, noun, identity, error)
}

/// A refresh that saw nothing: an outage keeps the state, a decision is an error.
fn unseen<M>(noun: &str, identity: &str, error: &Error) -> Result<Found<M>, Diagnostics> {
    let found = failed("read", noun, identity, error);
    if error.is_transient() {
        return Ok(Found::Unknown(found.left("The last known state is kept.")));
    }
    Err(found)
}

/// It was there already.
fn adopted(noun: &str, identity: &str) -> Diagnostics {
    Diagnostics::warning(
        format!("Adopted {noun} \"{identity}\""),
        "It was there already; it stays when this resource is destroyed.",
    )
}

/// It was there before, so it stays.
fn kept(noun: &str, identity: &str) -> Diagnostics {
    Diagnostics::warning(
        format!("Kept {noun} \"{identity}\""),
        "It was there before this resource was created.",
    )
}
