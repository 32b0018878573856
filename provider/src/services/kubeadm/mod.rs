//! Nodes by kubeadm: machines that initialise a cluster, join it and leave it, and what others need to join.

pub mod bring_up;
pub mod config;
pub mod join_info;
pub mod leave;
pub mod membership;
pub mod neighbours;
pub mod node;
#[cfg(test)]
mod tests;
