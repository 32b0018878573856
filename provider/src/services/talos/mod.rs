//! Talos: what its nodes are made from.

pub mod config;
pub mod node_inputs;
pub mod patch;
