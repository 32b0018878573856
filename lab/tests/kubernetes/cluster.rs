//! A cluster of the lab behind a loopback port, and kubectl with credentials for it.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use strata_lab::calls::Calls;
use strata_lab::clock::Clock;
use strata_lab::fault::Faults;
use strata_lab::kubernetes::ControlPlane;
use strata_lab::kubernetes::agent::{Agent, Bootstrap, NodeSpec, PodOutcome};
use tokio::net::TcpListener;

use crate::client::Client as HttpClient;

/// A machine that does what the test says.
pub(crate) struct Machine {
    pub(crate) alive: AtomicBool,
    pub(crate) ran: Mutex<Vec<Vec<String>>>,
}

impl Machine {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            alive: AtomicBool::new(true),
            ran: Mutex::default(),
        })
    }
}

impl Agent for Machine {
    fn run(&self, command: Vec<String>) -> Pin<Box<dyn Future<Output = PodOutcome> + Send + '_>> {
        Box::pin(async move {
            let failed = command.iter().any(|word| word == "fail");
            let log = format!("ran {}\n", command.join(" "));
            self.ran.lock().unwrap().push(command);
            PodOutcome {
                exit_code: i32::from(failed),
                log,
            }
        })
    }

    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }
}

/// A running cluster.
pub(crate) struct Cluster {
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) clock: Clock,
    pub(crate) calls: Calls,
    pub(crate) faults: Faults,
    pub(crate) address: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
    authority: Issuer<'static, KeyPair>,
}

impl Cluster {
    /// No nodes yet; lab time runs `speed` times faster than the wall.
    pub(crate) async fn start(speed: f64) -> Self {
        Self::start_with(speed, true).await
    }

    pub(crate) async fn start_with(speed: f64, anonymous_cluster_info: bool) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "kubernetes");
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca_crt = params.self_signed(&ca_key).unwrap().pem();
        let key_text = ca_key.serialize_pem();
        let authority = Issuer::from_ca_cert_pem(&ca_crt, ca_key).unwrap();

        let (clock, calls, faults) = (Clock::new(speed), Calls::default(), Faults::default());
        let bootstrap = Bootstrap {
            cluster_name: "kubernetes".into(),
            version: "v1.34.2".into(),
            endpoint: "api.home.example.org:6443".into(),
            pod_subnet: "10.244.0.0/16".into(),
            service_subnet: "10.96.0.0/12".into(),
            dns_domain: "cluster.local".into(),
            ca_crt,
            ca_key: key_text,
            sa_key: "sa".into(),
            cluster_configuration: "kind: ClusterConfiguration\n".into(),
            kubelet_configuration: "kind: KubeletConfiguration\n".into(),
            anonymous_cluster_info,
        };
        let plane =
            ControlPlane::bootstrap(clock.clone(), calls.clone(), faults.clone(), bootstrap)
                .unwrap();

        let serving_key = KeyPair::generate().unwrap();
        let mut serving =
            CertificateParams::new(vec!["127.0.0.1".into(), "api.home.example.org".into()])
                .unwrap();
        serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let chain = serving.signed_by(&serving_key, &authority).unwrap().pem();
        let server = plane
            .server("cp-1", &chain, &serving_key.serialize_pem())
            .unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (mut near, far) = tokio::io::duplex(64 * 1024);
                tokio::spawn(server.answer()(far));
                tokio::spawn(
                    async move { tokio::io::copy_bidirectional(&mut socket, &mut near).await },
                );
            }
        });
        let cluster = Self {
            plane,
            clock,
            calls,
            faults,
            address,
            folder: tempfile::tempdir().unwrap(),
            authority,
        };
        cluster.write_kubeconfig("admin", &["system:masters"]);
        cluster
    }

    /// Adds a node with its machine.
    pub(crate) fn node(&self, name: &str, last: u8, control_plane: bool) -> Arc<Machine> {
        let machine = Machine::new();
        let spec = NodeSpec {
            name: name.into(),
            address: IpAddr::from([192, 0, 2, last]),
            control_plane,
            version: "v1.34.2".into(),
            os_image: "Strata lab (simulated Flatcar 4230)".into(),
            labels: std::collections::BTreeMap::new(),
            taints: None,
        };
        self.plane.register_node(spec, machine.clone());
        machine
    }

    /// Certificate and key of a user, PEM.
    pub(crate) fn client(&self, user: &str, groups: &[&str], life: Duration) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        for group in groups {
            params
                .distinguished_name
                .push(DnType::OrganizationName, *group);
        }
        let now = std::time::SystemTime::now();
        params.not_before = (now - Duration::from_mins(1)).into();
        params.not_after = (now + life).into();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Writes a kubeconfig for a user, named like the user.
    pub(crate) fn write_kubeconfig(&self, user: &str, groups: &[&str]) {
        self.write_kubeconfig_for(user, groups, Duration::from_hours(24 * 365));
    }

    pub(crate) fn write_kubeconfig_for(&self, user: &str, groups: &[&str], life: Duration) {
        let (certificate, key) = self.client(user, groups, life);
        let encoded = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": format!("https://{}", self.address),
                "certificate-authority-data": encoded(self.plane.ca_crt())}}],
            "users": [{"name": "lab", "user": {"client-certificate-data": encoded(&certificate), "client-key-data": encoded(&key)}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        });
        std::fs::write(self.folder.path().join(user), config.to_string()).unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// A plain HTTP client, with the credentials of a user of `system:masters` or none.
    pub(crate) fn http(&self, user: Option<&str>) -> HttpClient {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.plane.ca_crt().as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        HttpClient::over_tls(match user {
            None => builder.with_no_client_auth(),
            Some(user) => {
                let (certificate, key) =
                    self.client(user, &["system:masters"], Duration::from_hours(1));
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(vec![certificate], key)
                    .unwrap()
            }
        })
    }

    pub(crate) fn command(&self, user: &str, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("kubectl");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path());
        command
            .env("KUBECONFIG", self.folder.path().join(user))
            .args(arguments);
        command
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn kubectl_as(&self, user: &str, arguments: &[&str]) -> Output {
        let run = self.command(user, arguments).output();
        tokio::time::timeout(Duration::from_mins(1), run)
            .await
            .expect("kubectl ends")
            .expect("kubectl is installed")
    }

    /// stdout of a kubectl that must succeed.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.kubectl_as("admin", arguments).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// stderr of a kubectl that must fail.
    pub(crate) async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.kubectl_as("admin", arguments).await;
        assert!(
            !output.status.success(),
            "kubectl {arguments:?} should have failed"
        );
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Server-side apply of a file.
    pub(crate) async fn apply(&self, file: &str) {
        self.kubectl(&["apply", "--server-side", "-f", file]).await;
    }

    /// Waits until the object (words as kubectl takes them, namespace first if any) is in the state that `--for` names.
    pub(crate) async fn wait_for(&self, state: &str, object: &[&str]) {
        let state = format!("--for={state}");
        let arguments: Vec<&str> = ["wait", &state, "--timeout=30s"]
            .into_iter()
            .chain(object.iter().copied())
            .collect();
        self.kubectl(&arguments).await;
    }

    /// Applies the CNI as the provider does.
    pub(crate) async fn install_cilium(&self) {
        let file = self.file("cilium.yaml", include_str!("cilium.yaml"));
        self.kubectl(&[
            "apply",
            "--server-side",
            "--field-manager=strata",
            "-f",
            &file,
        ])
        .await;
    }

    /// Waits until the cluster's DNS runs: there are nodes and a CNI.
    pub(crate) async fn wait_for_dns(&self) {
        self.wait_for(
            "condition=Available",
            &["-n", "kube-system", "deployment/coredns"],
        )
        .await;
    }

    /// A file with this content, for `-f`.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}
