//! Core's laws and ours: the real Terraform judges puppets, and our verdict must be the same.
//!
//! Needs `terraform` 1.11 or newer on the PATH; a missing one is a failure, never a skip. Nothing is downloaded.

#![allow(clippy::unwrap_used, reason = "tests")]

mod legality;
mod puppet;
