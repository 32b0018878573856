//! Talos: what its nodes are made from.

pub mod merge;
pub mod node_inputs;
