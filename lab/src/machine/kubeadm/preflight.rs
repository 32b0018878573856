//! kubeadm's checks before it changes anything, with the names of contracts/kubeadm-flatcar.md 4.6.

use crate::machine::state::Machine;

use super::Failure;

/// What is about to happen.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Init,
    JoinControlPlane,
    JoinWorker,
}

const MANIFESTS: [&str; 4] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
];

/// Runs the checks.
pub(super) fn check(
    machine: &Machine,
    kind: Kind,
    cri_socket: Option<&str>,
    keeps_etcd: bool,
) -> Result<(), Failure> {
    let state = machine.state();
    let mut errors: Vec<(String, String)> = Vec::new();
    let mut fail = |name: &str, text: String| errors.push((name.to_owned(), text));
    let file_name = |path: &str| path.replace('/', "-");
    if cri_socket.is_some_and(|socket| {
        socket != "unix:///run/containerd/containerd.sock"
            && socket != "unix:///var/run/containerd/containerd.sock"
    }) {
        fail(
            "CRI",
            format!(
                "could not connect to the container runtime: no such socket {:?}",
                cri_socket.unwrap_or_default()
            ),
        );
    }
    let mut ports = vec![10250];
    if kind != Kind::JoinWorker {
        ports.extend([6443, 10257, 10259, 2379, 2380]);
        for name in MANIFESTS {
            let path = format!("/etc/kubernetes/manifests/{name}.yaml");
            if state.files.exists(&path) {
                fail(
                    &format!("FileAvailable-{}", file_name(&path)),
                    format!("{path} already exists"),
                );
            }
        }
        if !keeps_etcd && !state.files.below("/var/lib/etcd").is_empty() {
            fail(
                "DirAvailable--var-lib-etcd",
                "/var/lib/etcd is not empty".into(),
            );
        }
    }
    for port in ports {
        if state.member.listens(port, true) {
            fail(&format!("Port-{port}"), format!("Port {port} is in use"));
        }
    }
    let mut absent = Vec::new();
    if kind != Kind::Init {
        absent.extend([
            "/etc/kubernetes/kubelet.conf",
            "/etc/kubernetes/bootstrap-kubelet.conf",
        ]);
    }
    if kind == Kind::JoinWorker {
        absent.push("/etc/kubernetes/pki/ca.crt");
    }
    for path in absent {
        if state.files.exists(path) {
            fail(
                &format!("FileAvailable-{}", file_name(path)),
                format!("{path} already exists"),
            );
        }
    }
    let forwarding = state
        .files
        .below("/etc/sysctl.d")
        .into_iter()
        .filter_map(|(path, _)| state.files.text(&path))
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .rfind(|line| {
            line.split_once('=')
                .is_some_and(|(name, _)| name.trim() == "net.ipv4.ip_forward")
        });
    if forwarding.is_none_or(|line| {
        line.split_once('=')
            .is_none_or(|(_, value)| value.trim() != "1")
    }) {
        fail(
            "FileContent--proc-sys-net-ipv4-ip_forward",
            "/proc/sys/net/ipv4/ip_forward contents are not set to 1".into(),
        );
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Failure::Preflight(errors))
    }
}

/// The minor of `v1.34.2`.
pub(super) fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
