//! kubeadm and crictl.

use super::Call;

pub(super) async fn run(mut call: Call<'_>) -> i32 {
    call.unknown()
}
