//! kubeadm.

use std::sync::Arc;

use crate::network::Serve;

use super::state::Machine;

/// Makes the answer to a connection on 6443.
pub(crate) type Api = Arc<dyn Fn() -> Serve + Send + Sync>;

/// The machine's part in a cluster.
#[derive(Default)]
pub(crate) struct Member {
    kubelet: bool,
}

impl Member {
    pub(crate) fn listens(&self, _port: u16, _local: bool) -> bool {
        false
    }
    pub(crate) fn api(&self) -> Option<Api> {
        None
    }
    pub(crate) fn stop(&mut self) {
        self.kubelet = false;
    }
    pub(crate) fn kubelet_runs(&self) -> bool {
        self.kubelet
    }
}

pub(crate) fn resume(_machine: &Arc<Machine>) {}
