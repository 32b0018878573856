//! The service APIs, the control API and the proxy of an in-process lab, asked over real sockets.
//!
//! Simulated time is moved by hand: a speed near zero keeps it where the test puts it.

// The helpers of tests are tests too; clippy only knows functions marked as such.
#![allow(clippy::unwrap_used)]

#[path = "../client/mod.rs"]
mod client;
mod cloudflare;
mod control;
mod infisical;
mod lab;
mod proxy;
mod scaleway;
mod vault;
