//! Talos: what its nodes are made from.

pub mod machine;
pub mod node_inputs;
pub mod patch;
