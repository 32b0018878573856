//! One file per verb.

pub(crate) mod adopt;
pub(crate) mod backup;
pub(crate) mod capture;
pub(crate) mod cluster;
pub(crate) mod destroy;
pub(crate) mod kit;
pub(crate) mod kubeconfig;
pub(crate) mod node;
pub(crate) mod plan;
pub(crate) mod preflight;
pub(crate) mod restore;
pub(crate) mod rollback;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod unlock;
pub(crate) mod up;
