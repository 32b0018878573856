//! The simulated Kubernetes control plane.
pub mod agent;
