//! Talos machines asked over their real API: raw gRPC, TLS with Ed25519, nothing of the provider.

// The helpers of tests are tests too; clippy only knows functions marked as such.
#![allow(clippy::unwrap_used)]

mod access;
mod cluster;
mod configuration;
mod upgrade;
mod world;
