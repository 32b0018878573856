//! Conformance: everything Terraform offers to its users, tried on the example provider with the real binary.
//!
//! Needs `terraform` 1.11 or newer on the PATH; a missing one is a failure, never a skip. Nothing is downloaded. Each test
//! has a folder of its own and as many commands as its topic allows: a command costs a third of a second.

#![allow(clippy::unwrap_used, reason = "tests")]

mod commands;
mod ephemeral;
mod interrupt;
mod language;
mod lifecycle;
mod newer;
mod processes;
mod provider_blocks;
mod scale;
mod state;
mod unknown;
#[path = "../workspace/mod.rs"]
mod workspace;
