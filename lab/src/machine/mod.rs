//! Simulated machines.
pub(crate) mod shell;
