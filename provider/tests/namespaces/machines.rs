//! The machines of a test, and the cluster that the stand-ins for `kubeadm` and `crictl` ask for (`ask-test`): the lab's control plane, made from the files that lie on the
//! node that initialises it, with an API server behind port 6443 of each control plane.

use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use serde_json::json;
use strata_lab::calls::Calls;
use strata_lab::clock::Clock;
use strata_lab::fault::Faults;
use strata_lab::kubernetes::ControlPlane;
use strata_lab::kubernetes::agent::{Agent, Bootstrap, NodeSpec, PodOutcome};
use strata_provider::secret::Secret;
use tokio::net::UnixListener;

use super::rooms::Node;
use super::site::ENDPOINT;

/// A machine on the cable.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    /// Its folder.
    pub(crate) place: PathBuf,
    pub(crate) node: Node,
}

/// All of them. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Machines(Arc<Inner>);

#[derive(Default)]
struct Inner {
    machines: Mutex<Vec<Machine>>,
    cluster: OnceLock<Cluster>,
    /// What the stand-ins asked, as `node: words`.
    asked: Mutex<Vec<String>>,
    /// The question at which every session with its node is cut, once.
    cut: Mutex<Option<String>>,
}

struct Cluster {
    plane: Arc<ControlPlane>,
    ca_crt: String,
    ca_key: String,
}

/// A kubelet as far as the door needs one: it runs the pod's command in the node's namespaces.
struct Kubelet(Node);

impl Agent for Kubelet {
    fn run(&self, command: Vec<String>) -> Pin<Box<dyn Future<Output = PodOutcome> + Send + '_>> {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let mut command = tokio::process::Command::from(self.0.command(&words));
        Box::pin(async move {
            let output = command.output().await.expect("nsenter starts");
            let log = [output.stdout, output.stderr].concat();
            PodOutcome {
                exit_code: output.status.code().unwrap_or(137),
                log: String::from_utf8_lossy(&log).into_owned(),
            }
        })
    }

    fn is_alive(&self) -> bool {
        true
    }
}

impl Machines {
    /// One more, whose questions are answered from now on.
    pub(crate) fn add(&self, machine: Machine) {
        self.0.machines.lock().unwrap().push(machine.clone());
        let machines = self.clone();
        tokio::spawn(async move {
            let folder = machine.place.join("asked");
            loop {
                let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                for question in entries.map(|entry| entry.path()) {
                    let is_new = question.extension().is_some_and(|end| end == "asked");
                    if is_new && !question.join("answer").exists() {
                        machines.answer(&machine, &question);
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }

    /// What was asked so far.
    pub(crate) fn asked(&self, what: &str) -> usize {
        let asked = self.0.asked.lock().unwrap();
        asked.iter().filter(|words| words.starts_with(what)).count()
    }

    /// When this is asked next, it is done, and then all sessions with the node are cut before anybody hears of it.
    pub(crate) fn cut_at(&self, question: &str) {
        *self.0.cut.lock().unwrap() = Some(question.to_owned());
    }

    /// The cluster.
    pub(crate) fn cluster(&self) -> &ControlPlane {
        &self.0.cluster.get().expect("somebody initialised it").plane
    }

    fn answer(&self, machine: &Machine, question: &Path) {
        let words = std::fs::read_to_string(question.join("words")).unwrap();
        let (name, words) = (machine.name.as_str(), words.trim());
        let asked = format!("{name}: {words}");
        let answer = match words.split(' ').collect::<Vec<_>>().as_slice() {
            ["init", endpoint] if *endpoint == format!("{ENDPOINT}:6443") => {
                self.init(name, &question.join("pki"))
            }
            ["join"] => self.join(machine),
            ["reset"] => self.reset(name),
            ["etcd", words @ ..] => self.etcd(words),
            _ => Err(format!("the test does not know: {words}")),
        };
        self.0.asked.lock().unwrap().push(asked.clone());
        if self
            .0
            .cut
            .lock()
            .unwrap()
            .take_if(|cut| *cut == asked)
            .is_some()
        {
            let cut = ["ss", "--kill", "state", "established", "sport", "=", ":22"];
            machine.node.run(&cut);
        }
        let (code, text) = match answer {
            Ok(text) => ("0", text),
            Err(error) => ("1", error.into_bytes()),
        };
        std::fs::write(question.join("code"), code).unwrap();
        std::fs::write(question.join("answering"), text).unwrap();
        std::fs::rename(question.join("answering"), question.join("answer")).unwrap();
    }

    fn init(&self, name: &str, pki: &Path) -> Result<Vec<u8>, String> {
        if self.0.cluster.get().is_some() {
            return Err("a second cluster".into());
        }
        let files = ["ca.crt", "ca.key", "sa.key"].map(|file| {
            let text = std::fs::read_to_string(pki.join(file)).unwrap();
            (file, Secret::new(text))
        });
        self.make_cluster(&files);
        self.serve(name);
        Ok(Vec::new())
    }

    fn join(&self, machine: &Machine) -> Result<Vec<u8>, String> {
        let plane = self.cluster();
        let id = plane.add_member(&machine.name, machine.address)?;
        self.serve(&machine.name);
        // It votes when it has caught up, and here it has at once.
        plane.promote(id)?;
        Ok(Vec::new())
    }

    fn reset(&self, name: &str) -> Result<Vec<u8>, String> {
        if let Some(cluster) = self.0.cluster.get() {
            let members = cluster.plane.members();
            for member in members.iter().filter(|member| member.name == name) {
                cluster.plane.remove_member(member.id)?;
            }
        }
        Ok(Vec::new())
    }

    /// As etcdctl prints it.
    fn etcd(&self, words: &[&str]) -> Result<Vec<u8>, String> {
        let plane = self.cluster();
        match words {
            ["member", "list", "-w", "json"] => {
                let members: Vec<_> = (plane.members().iter())
                    .map(|member| {
                        json!({
                            "ID": member.id, "name": member.name, "isLearner": member.learner,
                            "peerURLs": [format!("https://{}:2380", member.peer)],
                        })
                    })
                    .collect();
                Ok(json!({ "members": members }).to_string().into_bytes())
            }
            ["member", "remove", id] => {
                let id = u64::from_str_radix(id, 16).map_err(|error| error.to_string())?;
                plane.remove_member(id).map(|()| Vec::new())
            }
            ["snapshot"] => plane.snapshot(),
            _ => Err(format!(
                "the test's etcdctl does not know: {}",
                words.join(" ")
            )),
        }
    }

    /// A cluster with these authorities, and a CNI whose image the door needs.
    pub(crate) fn make_cluster(&self, files: &[(&str, Secret<String>)]) {
        let file = |wanted: &str| {
            let found = files.iter().find(|(name, _)| *name == wanted);
            found.unwrap().1.expose().clone()
        };
        let bootstrap = Bootstrap {
            cluster_name: "home".into(),
            version: "v1.34.2".into(),
            endpoint: format!("{ENDPOINT}:6443"),
            pod_subnet: "10.244.0.0/16".into(),
            service_subnet: "10.96.0.0/12".into(),
            dns_domain: "cluster.local".into(),
            ca_crt: file("ca.crt"),
            ca_key: file("ca.key"),
            sa_key: file("sa.key"),
            cluster_configuration: "kind: ClusterConfiguration\nkubernetesVersion: v1.34.2\n"
                .into(),
            kubelet_configuration: "kind: KubeletConfiguration\n".into(),
            anonymous_cluster_info: true,
        };
        let (calls, faults) = (Calls::default(), Faults::default());
        let plane = ControlPlane::bootstrap(Clock::new(20.0), calls, faults, bootstrap).unwrap();
        let labels = json!({ "k8s-app": "cilium" });
        let cni = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": { "name": "cilium", "namespace": "kube-system", "labels": labels },
            "spec": { "selector": { "matchLabels": labels }, "template": {
                "metadata": { "labels": labels },
                "spec": { "tolerations": [{ "operator": "Exists" }],
                    "containers": [{ "name": "cilium-agent", "image": "quay.io/cilium/cilium:v1.18.4" }] },
            } },
        });
        plane.create(cni).unwrap();
        let cluster = Cluster {
            plane,
            ca_crt: file("ca.crt"),
            ca_key: file("ca.key"),
        };
        assert!(self.0.cluster.set(cluster).is_ok(), "a second cluster");
    }

    /// A control plane's kubelet registers it, and its API server answers on the socket that the node passes 6443 on to.
    pub(crate) fn serve(&self, name: &str) {
        let cluster = self.0.cluster.get().unwrap();
        let machines = self.0.machines.lock().unwrap().clone();
        let machine = machines
            .into_iter()
            .find(|machine| machine.name == name)
            .unwrap();
        let authority = KeyPair::from_pem(&cluster.ca_key).unwrap();
        let authority = Issuer::from_ca_cert_pem(&cluster.ca_crt, authority).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut serving = CertificateParams::new(vec![ENDPOINT.to_owned()]).unwrap();
        serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let chain = serving.signed_by(&key, &authority).unwrap().pem();
        let server = cluster
            .plane
            .server(name, &chain, &key.serialize_pem())
            .unwrap();
        let spec = NodeSpec {
            name: name.to_owned(),
            address: machine.address,
            control_plane: true,
            version: "v1.34.2".into(),
            os_image: "a network namespace".into(),
            labels: std::collections::BTreeMap::new(),
            taints: None,
        };
        let kubelet = Arc::new(Kubelet(machine.node));
        cluster.plane.register_node(spec, kubelet);
        let listener = UnixListener::bind(machine.place.join("api.sock")).unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (mut near, far) = tokio::io::duplex(64 * 1024);
                tokio::spawn(server.answer()(far));
                tokio::spawn(async move {
                    let _ended = tokio::io::copy_bidirectional(&mut socket, &mut near).await;
                });
            }
        });
    }
}
