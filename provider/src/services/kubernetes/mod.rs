//! What lives in a cluster or is the cluster as a whole. The client is [`crate::kubernetes`].

pub mod cluster;
pub mod manifests;
pub mod secret;
pub mod upgrade;
