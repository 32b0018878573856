//! kubeadm and crictl.

use super::Call;
use crate::machine::kubeadm;

pub(super) async fn run(call: Call<'_>) -> i32 {
    let words = call.words();
    match call.program {
        "kubeadm" => kubeadm::run(&call.root.0, &words, call.streams).await,
        _ => kubeadm::crictl(&call.root.0, &words, call.streams).await,
    }
}
