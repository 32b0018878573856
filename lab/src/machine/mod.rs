//! Simulated machines.
pub(crate) mod file;
pub(crate) mod nft;
pub(crate) mod shell;
