//! A whole cluster: from power to nodes, and what a virtual address does.

use std::io::Read as _;

use flate2::read::GzDecoder;
use strata_proto::talos::machine as wire;
use tonic::Code;

use crate::world::{ADMIN, VIP, World, machine};

const CONTROL_PLANES: [(&str, &str); 3] = [
    ("cp-1", "192.0.2.11"),
    ("cp-2", "192.0.2.12"),
    ("cp-3", "192.0.2.13"),
];
const WORKERS: [(&str, &str); 2] = [("w-1", "192.0.2.21"), ("w-2", "192.0.2.22")];
const ALL: [&str; 5] = ["cp-1", "cp-2", "cp-3", "w-1", "w-2"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_machines_become_a_cluster_behind_one_address() {
    let world = World::new("v1.13.9");
    // A worker has no certificate before a control plane signs it.
    world.start(WORKERS[0].0, WORKERS[0].1, false);
    world
        .until("the worker holds its address", |estate| {
            machine(estate, "w-1")["stage"] == "booting"
        })
        .await;
    assert!(world.channel(WORKERS[0].1, Some(&ADMIN)).await.is_err());
    for (node, address) in CONTROL_PLANES {
        world.start(node, address, true);
    }
    world.start(WORKERS[1].0, WORKERS[1].1, false);

    let mut first = world.admin(CONTROL_PLANES[0].1).await;
    let version = first.version(()).await.unwrap().into_inner();
    let version = version.messages[0].version.as_ref().unwrap();
    assert_eq!(version.tag, "v1.13.9");
    world.admin(WORKERS[1].1).await;
    assert!(
        world
            .network
            .dial("203.0.113.5".parse().unwrap(), VIP.parse().unwrap(), 6443)
            .is_err()
    );

    // Not before its container runtime works; once only.
    let order = wire::BootstrapRequest::default;
    let mut refused = 0;
    loop {
        match first.bootstrap(order()).await {
            Ok(_) => break,
            Err(status) => {
                assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
                refused += 1;
                assert!(refused < 1000);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
    let again = first.bootstrap(order()).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);

    world.running(&ALL).await;
    let members = first
        .etcd_member_list(wire::EtcdMemberListRequest { query_local: true })
        .await
        .unwrap()
        .into_inner();
    let members = &members.messages[0].members;
    let mut names: Vec<&str> = members
        .iter()
        .map(|member| member.hostname.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["cp-1", "cp-2", "cp-3"]);
    assert!(members.iter().all(|member| !member.is_learner));
    let status = world
        .resource(
            WORKERS[0].1,
            Some(&ADMIN),
            ("runtime", "MachineStatuses.runtime.talos.dev", "machine"),
        )
        .await
        .unwrap();
    assert_eq!(status["stage"], "running");
    assert_eq!(status["status"]["ready"], true);

    let nodes = world.machines.clusters()[0].estate()["nodes"].clone();
    for node in ALL {
        assert_eq!(nodes[node]["ready"], true, "{node}: {nodes:#}");
    }
    virtual_address(&world).await;
    kubeconfig(&world, &mut first).await;
}

async fn virtual_address(world: &World) {
    let holders = |estate: &serde_json::Value| -> Vec<String> {
        let machines = estate["machines"].as_array().unwrap().iter();
        machines
            .filter(|machine| machine["virtual_addresses"][0] == VIP)
            .map(|machine| machine["node"].as_str().unwrap().to_owned())
            .collect()
    };
    let estate = world
        .until("someone holds it", |estate| holds_one(&holders(estate)))
        .await;
    let holder = holders(&estate).remove(0);
    let dial = || {
        let operator = "203.0.113.5".parse().unwrap();
        world.network.dial(operator, VIP.parse().unwrap(), 6443)
    };
    assert!(dial().is_ok());
    world.machines.power_off(&format!("pve1/{holder}"));
    let estate = world
        .until("another takes it", |estate| {
            holds_one(&holders(estate)) && !holders(estate).contains(&holder)
        })
        .await;
    assert!(dial().is_ok());
    let journal = estate["journal"].as_array().unwrap();
    let off = journal
        .iter()
        .find(|entry| entry["event"] == "off")
        .unwrap();
    assert_eq!(
        (&off["voters"], &off["voters_alive"]),
        (&3.into(), &2.into())
    );
    world.machines.restart(&format!("pve1/{holder}"));
    assert!(!world.machines.is_on(&format!("pve1/{holder}")));
}

fn holds_one(holders: &[String]) -> bool {
    holders.len() == 1
}

async fn kubeconfig(
    world: &World,
    first: &mut wire::machine_service_client::MachineServiceClient<tonic::transport::Channel>,
) {
    let mut client = first.clone();
    if client.hostname(()).await.is_err() {
        client = world.admin(CONTROL_PLANES[1].1).await;
    }
    let mut stream = client.kubeconfig(()).await.unwrap().into_inner();
    let mut packed = Vec::new();
    while let Some(part) = stream.message().await.unwrap() {
        packed.extend(part.bytes);
    }
    let mut archive = Vec::new();
    GzDecoder::new(packed.as_slice())
        .read_to_end(&mut archive)
        .unwrap();
    assert!(archive.starts_with(b"kubeconfig\0"));
    let text = String::from_utf8_lossy(&archive[512..]);
    assert!(
        text.contains(&format!("server: https://{VIP}:6443")),
        "{text}"
    );
    assert!(text.contains("current-context: admin@home"));
    let text = text.trim_end_matches('\0');
    let config: serde_json::Value = serde_yaml_ng::from_str(text).unwrap();
    let nodes = ask(world, &config, "/api/v1/nodes").await;
    assert_eq!(nodes["items"].as_array().map(Vec::len), Some(5), "{nodes}");
}

/// Asks the Kubernetes API behind the virtual address as the user of a kubeconfig.
async fn ask(world: &World, config: &serde_json::Value, path: &str) -> serde_json::Value {
    use http_body_util::BodyExt as _;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

    let pem = |value: &serde_json::Value| {
        data_encoding::BASE64
            .decode(value.as_str().unwrap().as_bytes())
            .unwrap()
    };
    let cluster = &config["clusters"][0]["cluster"];
    let user = &config["users"][0]["user"];
    let mut roots = rustls::RootCertStore::empty();
    let authority = pem(&cluster["certificate-authority-data"]);
    roots
        .add(CertificateDer::from_pem_slice(&authority).unwrap())
        .unwrap();
    let certificate = CertificateDer::from_pem_slice(&pem(&user["client-certificate-data"]));
    let key = PrivateKeyDer::from_pem_slice(&pem(&user["client-key-data"])).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate.unwrap()], key)
        .unwrap();
    let address: std::net::IpAddr = VIP.parse().unwrap();
    let operator = "203.0.113.5".parse().unwrap();
    let stream = world.network.dial(operator, address, 6443).unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    let stream = connector
        .connect(ServerName::from(address), stream)
        .await
        .unwrap();
    let stream = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(path)
        .header("host", VIP)
        .body(String::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// A control plane that carries pods, in the documents of 1.14.
fn documents(world: &World, node: &str, address: &str) -> String {
    let old = world.configuration(node, address, true);
    let line = |key: &str| {
        let found = old.lines().find(|line| line.trim_start().starts_with(key));
        found.unwrap().trim().to_owned()
    };
    let indented = |text: &str| text.trim_end().replace('\n', "\n      ");
    let kubernetes = &world.secrets.kubernetes;
    format!(
        "version: v1alpha1\npersist: true\nmachine:\n  type: controlplane\n  token: abcdef.0123456789abcdef\n  {}\ncluster:\n  token: abcdef.0123456789abcdef\n  {}\n\
---\napiVersion: v1alpha1\nkind: DiscoveryIdentityConfig\nclusterID: aWRlbnRpdHk=\nclusterSecret: c2VjcmV0\n\
---\napiVersion: v1alpha1\nkind: HostnameConfig\nhostname: {node}\n\
---\napiVersion: v1alpha1\nkind: LinkConfig\nname: eth0\naddresses: [{{address: {address}/24}}]\n\
---\napiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: {VIP}\nlink: eth0\n\
---\napiVersion: v1alpha1\nkind: KubeClusterConfig\nclusterName: home\nendpoint: https://{VIP}:6443\n\
---\napiVersion: v1alpha1\nkind: KubeNodeConfig\nnodeIP: {{}}\nlabels: {{example.org/rack: r1}}\n\
---\napiVersion: v1alpha1\nkind: KubeletConfig\nimage: ghcr.io/siderolabs/kubelet:v1.37.0\n\
---\napiVersion: v1alpha1\nkind: KubeNetworkConfig\npodSubnets: [10.244.0.0/16]\nserviceSubnets: [10.96.0.0/12]\n\
---\napiVersion: v1alpha1\nkind: KubeAPIServerCAConfig\nissuingCA:\n    cert: |\n      {}\n    key: |\n      {}\n\
---\napiVersion: v1alpha1\nkind: KubeAPIServerConfig\nimage: registry.k8s.io/kube-apiserver:v1.37.0\n",
        line("ca: {crt"),
        line("etcd:"),
        indented(&kubernetes.certificate),
        indented(&kubernetes.key),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_1_14_without_a_network_make_a_node_that_is_not_ready() {
    let world = World::new("v1.14.0");
    let address = CONTROL_PLANES[0].1;
    world.power_on(
        "cp-1",
        Some(strata_lab::talos::Cidata {
            meta_data: "local-hostname: cp-1\n".into(),
            network_config: String::new(),
            user_data: documents(&world, "cp-1", address),
        }),
    );
    let mut admin = world.admin(address).await;
    while admin
        .bootstrap(wire::BootstrapRequest::default())
        .await
        .is_err()
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.running(&["cp-1"]).await;
    let status = ("runtime", "MachineStatuses.runtime.talos.dev", "machine");
    let status = world.resource(address, Some(&ADMIN), status).await.unwrap();
    assert_eq!(status["stage"], "running");
    assert_eq!(status["status"]["ready"], false);
    assert_eq!(status["status"]["unmetConditions"][0]["name"], "nodeReady");
    let plane = &world.machines.clusters()[0];
    assert_eq!(plane.version(), "v1.37.0");
    let estate = plane.estate();
    assert_eq!(estate["nodes"]["cp-1"]["kubelet"], "v1.37.0+lab");
    assert_eq!(
        estate["objects"]["daemonsets.apps"],
        serde_json::Value::Null
    );
    assert_eq!(estate["endpoint"], format!("{VIP}:6443"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_kubernetes_is_a_change_of_images() {
    let world = World::new("v1.13.9");
    let (node, address) = CONTROL_PLANES[0];
    world.start(node, address, true);
    world.start(WORKERS[0].0, WORKERS[0].1, false);
    let mut admin = world.admin(address).await;
    while admin
        .bootstrap(wire::BootstrapRequest::default())
        .await
        .is_err()
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.running(&[node, WORKERS[0].0]).await;
    for (node, address, controls) in [(node, address, true), (WORKERS[0].0, WORKERS[0].1, false)] {
        let text = world.configuration(node, address, controls);
        let mut client = world.admin(address).await;
        client
            .apply_configuration(wire::ApplyConfigurationRequest {
                data: text.replace("v1.36.3", "v1.36.4").into_bytes(),
                mode: wire::apply_configuration_request::Mode::Auto.into(),
                ..wire::ApplyConfigurationRequest::default()
            })
            .await
            .unwrap();
    }
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let nodes = world.machines.clusters()[0].estate()["nodes"].clone();
        let moved = nodes["cp-1"]["components"] == "v1.36.4"
            && nodes["cp-1"]["kubelet"] == "v1.36.4+lab"
            && nodes["w-1"]["kubelet"] == "v1.36.4+lab";
        if moved {
            break;
        }
        assert!(std::time::Instant::now() < end, "{nodes:#}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // A worker forwards to nobody, a control plane does.
    let mut worker = world.admin(WORKERS[0].1).await;
    let ask = |to: &str| {
        let mut request = tonic::Request::new(());
        request.metadata_mut().insert("node", to.parse().unwrap());
        request
    };
    let refused = worker.hostname(ask(address)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let through = admin
        .hostname(ask(WORKERS[0].1))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(through.messages[0].hostname, "w-1");
    let unknown = worker.etcd_status(()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
}
