//! The lab's control plane from outside: the real kubectl, plain HTTP, and machines that live and die.

#![allow(clippy::unwrap_used)] // a failed step of a test is its report

mod access;
#[path = "../client/mod.rs"]
mod client;
mod cluster;
mod kubectl;
mod machines;
