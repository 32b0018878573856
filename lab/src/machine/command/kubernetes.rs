//! kubeadm, crictl, and what the scripts ask openssl about kubeadm's certificates.

use super::Call;
use crate::machine::kubeadm;

pub(super) async fn run(call: Call<'_>) -> i32 {
    let words = call.words();
    match call.program {
        "kubeadm" => kubeadm::run(&call.root.0, &words, call.streams).await,
        _ => kubeadm::crictl(&call.root.0, &words, call.streams).await,
    }
}

/// `ctr`, in the two forms that a restore uses.
pub(super) async fn container(mut call: Call<'_>) -> i32 {
    let words = call.words();
    match words.as_slice() {
        ["--namespace", "k8s.io", "images", "pull", _] => {
            call.root.0.pass(10).await;
            0
        }
        [
            "--namespace",
            "k8s.io",
            "run",
            "--rm",
            "--mount",
            "type=bind,src=/etc/strata,dst=/etc/strata,options=rbind:ro",
            "--mount",
            "type=bind,src=/var/lib,dst=/var/lib,options=rbind:rw",
            image,
            _,
            program @ ..,
        ] if image.contains("/etcd:") => kubeadm::etcdutl(&call.root.0, program, call.streams),
        _ => call.unknown(),
    }
}

/// `openssl x509 -checkend SECONDS -noout -in FILE`: whether a certificate is still good in that many seconds.
pub(super) fn openssl(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["x509", "-checkend", seconds, "-noout", "-in", path] = words.as_slice() else {
        return call.unknown();
    };
    let Ok(seconds) = seconds.parse::<i64>() else {
        return call.unknown();
    };
    let path = call.path(path);
    let text = call.root.0.state().files.text(&path);
    let Some(end) = text.and_then(|text| kubeadm::end_of(&text)) else {
        call.streams.complain(&format!(
            "Could not open file or uri for loading certificate from {path}"
        ));
        return 1;
    };
    let moment = call.root.0.world.clock.now() + jiff::SignedDuration::from_secs(seconds);
    let expires = moment >= end;
    call.streams.say(if expires {
        "Certificate will expire"
    } else {
        "Certificate will not expire"
    });
    i32::from(expires)
}
