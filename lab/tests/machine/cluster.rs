//! kubeadm on the machines: init, joins in order, firewalls in the way, dead members, faults.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use strata_lab::fault::{Action, Fault};
use strata_lab::machine::Machine;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::delivery::OPERATOR;
use crate::world::{Output, World, address};

const ENDPOINT: &str = "api.home.strata.test";
const TOKEN: &str = "abcdef.0123456789abcdef";

/// A certificate authority, PEM.
struct Authority {
    certificate: String,
    key: String,
}

fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.distinguished_name.push(DnType::CommonName, name);
    Authority {
        certificate: params.self_signed(&key).expect("signs").pem(),
        key: key.serialize_pem(),
    }
}

pub(crate) struct Estate {
    world: World,
    pki: BTreeMap<String, String>,
    names: Arc<Mutex<Vec<IpAddr>>>,
}

impl Estate {
    fn new() -> Self {
        let world = World::new();
        let mut pki = BTreeMap::new();
        for (file, name) in [
            ("ca", "kubernetes"),
            ("front-proxy-ca", "front-proxy-ca"),
            ("etcd/ca", "etcd-ca"),
        ] {
            let authority = authority(name);
            pki.insert(format!("{file}.crt"), authority.certificate);
            pki.insert(format!("{file}.key"), authority.key);
        }
        let account = KeyPair::generate().expect("key");
        pki.insert("sa.key".into(), account.serialize_pem());
        pki.insert("sa.pub".into(), account.public_key_pem());
        let names: Arc<Mutex<Vec<IpAddr>>> = Arc::default();
        let records = Arc::clone(&names);
        world.network.set_resolver(Arc::new(move |name| {
            if name == ENDPOINT {
                records.lock().expect("free").clone()
            } else {
                Vec::new()
            }
        }));
        Self { world, pki, names }
    }

    async fn machine(&self, number: u8, node: &str) -> Arc<Machine> {
        let machine = self.world.install(number, &self.world.delivery(node));
        self.world.flatcar(&machine).await;
        machine
    }

    async fn put(&self, number: u8, path: &str, content: &str) {
        let output = self.world.put(number, "600", path, content).await;
        assert_eq!(output.code, Some(0), "{path}: {output:?}");
    }

    async fn peers(&self, number: u8, all: &[u8]) {
        let list: Vec<String> = all
            .iter()
            .map(|number| address(*number).to_string())
            .collect();
        assert_eq!(
            self.world
                .verb(number, &format!("peers {}", list.join(" ")))
                .await
                .code,
            Some(0)
        );
    }

    async fn deliver_pki(&self, number: u8) {
        for (file, text) in &self.pki {
            self.put(number, &format!("/etc/kubernetes/pki/{file}"), text)
                .await;
        }
        let key = BASE64.encode(&[7; 32]);
        let encryption = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": [{"secretbox": {"keys": [{"name": "strata", "secret": key}]}}, {"identity": {}}]}]});
        self.put(
            number,
            "/etc/kubernetes/encryption.yaml",
            &encryption.to_string(),
        )
        .await;
    }

    async fn init(&self, number: u8, node: &str) -> Output {
        self.deliver_pki(number).await;
        let address = address(number);
        let init = json!({"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "InitConfiguration", "localAPIEndpoint": {"advertiseAddress": address, "bindPort": 6443},
            "nodeRegistration": {"name": node, "criSocket": "unix:///run/containerd/containerd.sock", "kubeletExtraArgs": [{"name": "node-ip", "value": address}]},
            "skipPhases": ["addon/kube-proxy"]});
        let cluster = json!({"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration", "clusterName": "home", "kubernetesVersion": "v1.34.2",
            "controlPlaneEndpoint": format!("{ENDPOINT}:6443"), "networking": {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12", "dnsDomain": "cluster.local"},
            "apiServer": {"certSANs": [ENDPOINT, "127.0.0.1"], "extraArgs": [{"name": "encryption-provider-config", "value": "/etc/kubernetes/encryption.yaml"}],
                "extraVolumes": [{"name": "encryption", "hostPath": "/etc/kubernetes/encryption.yaml", "mountPath": "/etc/kubernetes/encryption.yaml", "readOnly": true, "pathType": "File"}]},
            "proxy": {"disabled": true}});
        let kubelet = json!({"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "cgroupDriver": "systemd"});
        self.put(
            number,
            "/etc/strata/kubeadm.yaml",
            &format!("{init}\n---\n{cluster}\n---\n{kubelet}\n"),
        )
        .await;
        assert_eq!(
            self.world
                .verb(number, &format!("hosts {ENDPOINT} {address}"))
                .await
                .code,
            Some(0)
        );
        self.world.verb(number, "kubeadm-init").await
    }

    async fn deliver_join(&self, number: u8, node: &str, control_plane: bool, ca: &str) {
        let address = address(number);
        let mut join = json!({"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration",
            "discovery": {"file": {"kubeConfigPath": "/etc/strata/discovery.conf"}, "tlsBootstrapToken": TOKEN},
            "nodeRegistration": {"name": node, "criSocket": "unix:///run/containerd/containerd.sock", "kubeletExtraArgs": [{"name": "node-ip", "value": address}]}});
        if control_plane {
            join["controlPlane"] =
                json!({"localAPIEndpoint": {"advertiseAddress": address, "bindPort": 6443}});
            self.deliver_pki(number).await;
        }
        let discovery = json!({"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": {"server": format!("https://{ENDPOINT}:6443"), "certificate-authority-data": BASE64.encode(ca.as_bytes())}}]});
        self.put(number, "/etc/strata/kubeadm.yaml", &join.to_string())
            .await;
        self.put(number, "/etc/strata/discovery.conf", &discovery.to_string())
            .await;
    }

    async fn join(&self, number: u8, node: &str, control_plane: bool) -> Output {
        self.deliver_join(number, node, control_plane, &self.pki["ca.crt"])
            .await;
        self.world.verb(number, "kubeadm-join").await
    }

    /// One request to an API server as a cluster administrator.
    async fn api(&self, number: u8, method: &str, path: &str, body: &Value) -> String {
        let issuer = Issuer::from_ca_cert_pem(
            &self.pki["ca.crt"],
            KeyPair::from_pem(&self.pki["ca.key"]).expect("key"),
        )
        .expect("issuer");
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "system:masters");
        params.distinguished_name.push(DnType::CommonName, "test");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer).expect("signs");
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pki["ca.crt"].as_bytes()).expect("PEM"))
            .expect("root");
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("key"),
        )
        .expect("client");
        let stream = self
            .world
            .network
            .dial(OPERATOR.parse().expect("address"), address(number), 6443)
            .expect("6443 is open");
        let name = ServerName::try_from(ENDPOINT).expect("name");
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .expect("TLS for the endpoint's name");
        let body = body.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {ENDPOINT}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn mint_token(&self, number: u8) {
        let (id, secret) = TOKEN.split_once('.').expect("token");
        let object = json!({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token", "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
            "stringData": {"token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true", "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token"}});
        let answer = self
            .api(
                number,
                "POST",
                "/api/v1/namespaces/kube-system/secrets",
                &object,
            )
            .await;
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    /// cp-1 with the endpoint's record and a token.
    async fn founded() -> (Self, Arc<Machine>) {
        let estate = Self::new();
        let machine = estate.machine(10, "cp-1").await;
        estate.peers(10, &[10, 11, 20]).await;
        let output = estate.init(10, "cp-1").await;
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(
            output
                .stdout
                .contains("Your Kubernetes control-plane has initialized successfully!"),
            "{output:?}"
        );
        estate.names.lock().expect("free").push(address(10));
        // kubeadm leaves a token behind and prints it.
        let (_, token) = output
            .stdout
            .split_once(" --token ")
            .expect("the join command");
        let token = token.split_whitespace().next().expect("a token");
        let clusters = estate.world.machines.clusters();
        assert_eq!(clusters[0].authenticate_token(token), Ok(()));
        estate.mint_token(10).await;
        (estate, machine)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_become_a_cluster() {
    let (estate, first) = Estate::founded().await;
    assert_eq!(estate.world.machines.clusters().len(), 1);
    let second = estate.machine(11, "cp-2").await;
    estate.peers(11, &[10, 11, 20]).await;
    let output = estate.join(11, "cp-2", true).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output.stdout.contains(
            "This node has joined the cluster and a new control plane instance was created"
        ),
        "{output:?}"
    );
    let worker = estate.machine(20, "w-1").await;
    estate.peers(20, &[10, 11, 20]).await;
    let output = estate.join(20, "w-1", false).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output.stdout.contains("This node has joined the cluster:"),
        "{output:?}"
    );
    // The second API server answers on its own address with a certificate of the same authority.
    assert!(
        estate
            .api(11, "GET", "/api/v1/nodes/w-1", &json!({}))
            .await
            .starts_with("HTTP/1.1 200")
    );
    let members: Value =
        serde_json::from_str(&estate.world.verb(11, "members").await.stdout).expect("JSON");
    assert_eq!(members["members"].as_array().expect("list").len(), 2);
    assert_eq!(
        members["members"][1]["peerURLs"],
        json!(["https://198.51.100.11:2380"])
    );
    assert_eq!(members["members"][1]["isLearner"], Value::Null);
    let view = estate.world.machines.estate();
    assert_eq!(
        view[0]["kubeadm"],
        json!({"role": "control-plane", "node": "cp-1"})
    );
    assert_eq!(view[0]["listening"], json!([22, 2379, 2380, 6443, 10250]));
    assert_eq!(view[2]["kubeadm"], json!({"role": "worker", "node": "w-1"}));
    assert_eq!(
        view[2]["reaches"]["cp-1"],
        json!(["2379", "2380", "4240", "6443", "8472/udp", "10250"])
    );
    assert_eq!(view, estate.world.machines.estate());
    // A member whose machine is gone is listed, counts as dead, and stands in the way of the next one until it is removed.
    let id = members["members"][1]["ID"].as_u64().expect("id");
    drop(second);
    estate.world.machines.remove("server-11");
    let third = estate.machine(12, "cp-3").await;
    for number in [10, 12, 20] {
        estate.peers(number, &[10, 12, 20]).await;
    }
    let cluster = estate.world.machines.clusters().remove(0);
    assert!(
        cluster
            .members()
            .iter()
            .any(|member| member.name == "cp-2" && !member.alive)
    );
    // One of two is no quorum any more.
    assert_eq!(
        estate
            .world
            .verb(10, &format!("member-remove {id:x}"))
            .await
            .code,
        Some(1)
    );
    let output = estate.join(12, "cp-3", true).await;
    assert!(
        output.stderr.contains("error execution phase check-etcd: "),
        "{output:?}"
    );
    assert!(first.is_up() && worker.is_up() && third.is_up());
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_stop_where_metal_stops() {
    let (estate, _first) = Estate::founded().await;
    let _second = estate.machine(11, "cp-2").await;
    estate.peers(11, &[10, 11]).await;
    // Another authority in the discovery file.
    estate
        .deliver_join(11, "cp-2", true, &authority("other").certificate)
        .await;
    let output = estate.world.verb(11, "kubeadm-join").await;
    assert!(
        output.stderr.contains(
            "error execution phase preflight: couldn't validate the identity of the API Server"
        ) && output.stderr.contains("x509"),
        "{output:?}"
    );
    // A revoked token.
    estate.world.mutate(
        "file:/etc/strata/kubeadm.yaml",
        TOKEN,
        "abcdef.0000000000000000",
    );
    let output = estate.join(11, "cp-2", true).await;
    assert!(output.stderr.contains("Unauthorized"), "{output:?}");
    // An old-style argument map.
    estate.world.mutate(
        "file:/etc/strata/kubeadm.yaml",
        "[{\"name\":\"node-ip\",\"value\":\"198.51.100.11\"}]",
        "{\"node-ip\":\"198.51.100.11\"}",
    );
    let output = estate.join(11, "cp-2", true).await;
    assert!(
        output.stderr.contains("strict decoding error"),
        "{output:?}"
    );
    // A key that does not fit.
    let wrong = authority("kubernetes").key;
    estate.world.mutate(
        "file:/etc/kubernetes/pki/ca.key",
        &estate.pki["ca.key"],
        &wrong,
    );
    let output = estate.join(11, "cp-2", true).await;
    assert!(output.stderr.contains("does not fit the key"), "{output:?}");
    // The first node's firewall does not know the newcomer: etcd cannot be reached.
    estate.peers(10, &[10]).await;
    let output = estate.join(11, "cp-2", true).await;
    assert!(
        output.stderr.contains("error execution phase check-etcd"),
        "{output:?}"
    );
    // The newcomer's own firewall keeps the leader out: the learner stays one.
    estate.peers(10, &[10, 11]).await;
    assert_eq!(estate.world.verb(11, "kubeadm-reset").await.code, Some(0));
    estate.peers(11, &[11]).await;
    let output = estate.join(11, "cp-2", true).await;
    assert!(
        output.stderr.contains("error execution phase etcd-join"),
        "{output:?}"
    );
    let members: Value =
        serde_json::from_str(&estate.world.verb(10, "members").await.stdout).expect("JSON");
    assert_eq!(members["members"][1]["isLearner"], true);
    // Again without a reset: files are in the way.
    let output = estate.world.verb(11, "kubeadm-join").await;
    assert!(
        output
            .stderr
            .contains("[ERROR FileAvailable--etc-kubernetes-kubelet.conf]: ")
            && output.stderr.contains("[ERROR Port-10250]: "),
        "{output:?}"
    );
    // A reset takes the learner out, and then it works.
    assert_eq!(estate.world.verb(11, "kubeadm-reset").await.code, Some(0));
    estate.peers(11, &[10, 11]).await;
    let output = estate.join(11, "cp-2", true).await;
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn init_stops_where_metal_stops_and_can_be_repeated() {
    let estate = Estate::new();
    let _machine = estate.machine(10, "cp-1").await;
    estate.peers(10, &[10]).await;
    // The endpoint's name leads nowhere.
    estate
        .world
        .mutate("verb:hosts", ENDPOINT, "api.other.test");
    let output = estate.init(10, "cp-1").await;
    assert!(
        output.stderr.contains("upload-config") && output.stderr.contains("no such host"),
        "{output:?}"
    );
    let output = estate.world.verb(10, "kubeadm-init").await;
    assert!(
        output
            .stderr
            .contains("[ERROR Port-6443]: Port 6443 is in use")
            && output
                .stderr
                .contains("[ERROR FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml]"),
        "{output:?}"
    );
    assert_eq!(estate.world.verb(10, "kubeadm-reset").await.code, Some(0));
    let cases = [
        (
            "/etc/strata/kubeadm.yaml",
            "podSubnet",
            "podSubnets",
            "strict decoding error",
        ),
        (
            "/etc/strata/kubeadm.yaml",
            "v1.34.2",
            "v1.35.0",
            "[ERROR KubernetesVersion]",
        ),
        (
            "/etc/strata/kubeadm.yaml",
            "\"value\":\"198.51.100.10\"",
            "\"value\":\"198.51.100.99\"",
            "kubelet-start",
        ),
        (
            "/etc/kubernetes/pki/etcd/ca.crt",
            "-----BEGIN",
            "----BEGIN",
            "etcd CA certificate",
        ),
        (
            "/etc/kubernetes/encryption.yaml",
            "\"secret\":\"",
            "\"secret\":\"AAAA",
            "encryption-provider-config",
        ),
    ];
    for (file, from, to, expected) in cases {
        estate.world.mutate(&format!("file:{file}"), from, to);
        let output = estate.init(10, "cp-1").await;
        assert_eq!(output.code, Some(1), "{from}: {output:?}");
        assert!(output.stderr.contains(expected), "{from}: {output:?}");
        assert_eq!(estate.world.verb(10, "kubeadm-reset").await.code, Some(0));
    }
    // A crash in the middle.
    estate.world.faults.add(Fault {
        place: "machine".into(),
        target: "cp-1".into(),
        action: Action::KubeadmFail {
            phase: "kubeconfig".into(),
        },
        times: Some(1),
    });
    let output = estate.init(10, "cp-1").await;
    assert!(
        output.stderr.contains("error execution phase kubeconfig"),
        "{output:?}"
    );
    assert_eq!(estate.world.verb(10, "kubeadm-reset").await.code, Some(0));
    assert_eq!(estate.init(10, "cp-1").await.code, Some(0));
    assert_eq!(estate.world.machines.clusters().len(), 1);
}
