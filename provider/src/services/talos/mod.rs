//! Talos: what its nodes are made from, the nodes, and the cluster that they are.

pub mod cluster;
pub mod config;
pub mod content;
pub mod look;
pub mod machine;
pub mod node_inputs;
pub mod patch;
pub mod quorum;
pub mod snapshot;
#[cfg(test)]
mod tests;
pub mod ways;
