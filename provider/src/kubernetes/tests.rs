//! The client against the lab's control plane: login, breaker, kinds, drift, tokens, the door, moving pods away.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use strata_lab::calls::Calls;
use strata_lab::clock::Clock;
use strata_lab::fault::Faults;
use strata_lab::kubernetes::agent::{Agent, Bootstrap, NodeSpec, PodOutcome};
use strata_lab::kubernetes::{ApiServer, ControlPlane};
use strata_lab::network::{Answer, Host, Network};
use strata_lab::teleport;
use tokio::net::TcpListener;

use super::apply::{Id, order, parse};
use super::door::Outcome;
use super::node::Readiness;
use super::*;
use crate::verb::Verb;

pub(crate) const ENDPOINT: &str = "api.home.example.org";

/// A machine that fails the verb `rules` and notes all others.
#[derive(Default)]
struct Machine(Mutex<Vec<Vec<String>>>);

impl Agent for Machine {
    fn run(&self, command: Vec<String>) -> Pin<Box<dyn Future<Output = PodOutcome> + Send + '_>> {
        Box::pin(async move {
            let failed = command.iter().any(|word| word == "rules");
            self.0.lock().unwrap().push(command);
            PodOutcome {
                exit_code: i32::from(failed),
                log: "said so\n".into(),
            }
        })
    }

    fn is_alive(&self) -> bool {
        true
    }
}

pub(crate) struct Cluster {
    pub(crate) pki: Pki,
    plane: Arc<ControlPlane>,
    server: ApiServer,
    pub(crate) address: SocketAddr,
    calls: Calls,
    clock: Clock,
}

pub(crate) async fn cluster() -> Cluster {
    cluster_at(600.0).await
}

/// Its clock runs so many times faster than the wall's.
async fn cluster_at(speed: f64) -> Cluster {
    let pki = Pki::generate().unwrap();
    let file = |name: &str| {
        pki.files()
            .into_iter()
            .find(|(file, _)| *file == name)
            .unwrap()
            .1
            .expose()
            .clone()
    };
    let (clock, calls, faults) = (Clock::new(speed), Calls::default(), Faults::default());
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
        cluster_configuration: "kind: ClusterConfiguration\n".into(),
        kubelet_configuration: "kind: KubeletConfiguration\n".into(),
        anonymous_cluster_info: true,
    };
    let plane = ControlPlane::bootstrap(clock.clone(), calls.clone(), faults, bootstrap).unwrap();
    let authority =
        Issuer::from_ca_cert_pem(&pki.ca_crt, KeyPair::from_pem(&file("ca.key")).unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut serving = CertificateParams::new(vec![ENDPOINT.to_owned()]).unwrap();
    serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let chain = serving.signed_by(&key, &authority).unwrap().pem();
    let server = plane.server("cp-1", &chain, &key.serialize_pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = server.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (mut near, far) = tokio::io::duplex(64 * 1024);
            tokio::spawn(answering.answer()(far));
            tokio::spawn(
                async move { tokio::io::copy_bidirectional(&mut socket, &mut near).await },
            );
        }
    });
    Cluster {
        pki,
        plane,
        server,
        address,
        calls,
        clock,
    }
}

/// An API server as a host of the lab's network.
struct Listening(ApiServer);

impl Host for Listening {
    fn answer(&self, _: IpAddr, _: IpAddr, _: u16) -> Answer {
        Answer::Accept(self.0.answer())
    }
}

impl Cluster {
    /// Puts the API server on a lab's network, and says how an agent of Teleport reaches it.
    pub(crate) fn agent(&self, address: IpAddr, network: &Network) -> teleport::Agent {
        network.register(address, Arc::new(Listening(self.server.clone())));
        let identity = self
            .pki
            .identity("agent", crate::pki::MASTERS, Duration::from_hours(1))
            .unwrap();
        teleport::Agent {
            address,
            endpoint: ENDPOINT.into(),
            ca: self.pki.ca_crt.clone(),
            certificate: identity.certificate,
            key: identity.key.expose().clone(),
        }
    }

    pub(crate) fn client(&self) -> Client {
        self.client_as(ENDPOINT, &self.pki)
    }

    fn client_as(&self, endpoint: &str, pki: &Pki) -> Client {
        let addresses = vec!["127.0.0.1".to_owned()];
        Client::new(&Reach {
            dialer: &Dialer::loopback(),
            endpoint,
            port: self.address.port(),
            addresses,
            pki,
        })
        .unwrap()
    }

    fn node(&self, name: &str, control_plane: bool) -> Arc<Machine> {
        let machine = Arc::new(Machine::default());
        let spec = NodeSpec {
            name: name.into(),
            address: "192.0.2.11".parse().unwrap(),
            control_plane,
            version: "v1.34.2".into(),
            os_image: "lab".into(),
            labels: std::collections::BTreeMap::new(),
            taints: None,
        };
        self.plane.register_node(spec, machine.clone());
        machine
    }
}

/// Looks until it is so; the lab's controllers need a moment.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..400 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it did not happen")
}

fn objects(text: &str) -> Vec<super::apply::Object> {
    let mut objects = parse(&[text.to_owned()]).unwrap();
    order(&mut objects);
    objects
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoints_name_is_verified_while_an_address_is_dialled() {
    let cluster = cluster().await;
    cluster.client().ready().await.unwrap();
    assert!(
        cluster
            .client()
            .version()
            .await
            .unwrap()
            .starts_with("v1.34.2")
    );
    let wrong_name = cluster
        .client_as("api.other.example.org", &cluster.pki)
        .ready()
        .await
        .unwrap_err();
    assert!(
        wrong_name.is_unreachable() && wrong_name.to_string().contains("127.0.0.1"),
        "{wrong_name}"
    );
    let wrong_ca = cluster
        .client_as(ENDPOINT, &Pki::generate().unwrap())
        .ready()
        .await
        .unwrap_err();
    assert!(wrong_ca.is_unreachable(), "{wrong_ca}");
    let limit = Duration::from_secs(3);
    let probe = async |ca: &str| {
        answers_tls(
            &Dialer::loopback(),
            "127.0.0.1",
            ENDPOINT,
            cluster.address.port(),
            ca,
            limit,
        )
        .await
    };
    probe(&cluster.pki.ca_crt).await.unwrap();
    assert!(probe(&Pki::generate().unwrap().ca_crt).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_control_plane_is_asked_once_and_again_only_by_a_probe() {
    let cluster = cluster().await;
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let addresses = vec!["127.0.0.1".to_owned()];
    let reach = Reach {
        dialer: &Dialer::loopback(),
        endpoint: ENDPOINT,
        port: nobody,
        addresses,
        pki: &cluster.pki,
    };
    let client = Client::new(&reach).unwrap();
    assert!(
        client
            .ready()
            .await
            .unwrap_err()
            .to_string()
            .contains("connection refused")
    );
    assert!(
        client
            .ready()
            .await
            .unwrap_err()
            .to_string()
            .contains("did not answer earlier in this run")
    );
    assert!(
        client
            .probe()
            .await
            .unwrap_err()
            .to_string()
            .contains("connection refused")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_applied_read_back_without_a_difference_and_deleted() {
    let cluster = cluster().await;
    let client = cluster.client();
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: apps, labels: {app: x}}\ndata: {number: '1', empty: ''}\n---\n\
                apiVersion: v1\nkind: Namespace\nmetadata: {name: apps}\n---\n\
                apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: d, namespace: apps}\nspec:\n  selector: {matchLabels: {k: d}}\n  template:\n    metadata: {labels: {k: d}}\n    \
                spec: {containers: [{name: c, image: x, ports: [{containerPort: 80}], resources: {requests: {cpu: 1000m, memory: 64Mi}}}]}\n";
    let objects = objects(text);
    for object in &objects {
        client.apply(object).await.unwrap();
    }
    let difference = async |object: &super::apply::Object| {
        compare::difference(
            &object.value,
            &client.fetch(&object.id).await.unwrap().unwrap(),
        )
    };
    for object in &objects {
        assert_eq!(difference(object).await, None, "{}", object.id);
    }
    let map = objects
        .iter()
        .find(|object| object.id.kind == "ConfigMap")
        .unwrap();
    let mut other = map.clone();
    other.value["data"]["number"] = "2".into();
    client.apply(&other).await.unwrap();
    assert_eq!(difference(map).await.unwrap(), "data.number");
    let reads = || {
        cluster
            .calls
            .snapshot()
            .iter()
            .filter(|(call, _)| !call.contains(" GET "))
            .map(|(_, count)| *count)
            .sum::<u64>()
    };
    let before = reads();
    difference(map).await;
    assert_eq!(reads(), before, "looking for drift only reads");
    for object in objects.iter().rev() {
        client.delete(&object.id).await.unwrap();
        client.delete(&object.id).await.unwrap();
    }
    let unknown = Id {
        api_version: "example.org/v1".into(),
        kind: "Thing".into(),
        namespace: String::new(),
        name: "a".into(),
    };
    assert_eq!(client.fetch(&unknown).await.unwrap(), None);
    let error = client
        .apply(&super::apply::Object {
            id: unknown,
            value: serde_json::json!({}),
        })
        .await
        .unwrap_err();
    assert!(
        error.is_not_found() && error.to_string().contains("example.org/v1 Thing"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charts_own_label_is_left_alone() {
    let cluster = cluster().await;
    let client = cluster.client();
    for (name, label, expected) in [
        ("a", "labels: {app.kubernetes.io/managed-by: Helm}", "Helm"),
        ("b", "", "strata"),
    ] {
        let object = objects(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: default\n  {label}\n")).remove(0);
        let applied = client.apply(&object).await.unwrap();
        assert_eq!(
            applied["metadata"]["labels"]["app.kubernetes.io/managed-by"],
            expected
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_from_the_servers_clock_and_ends_when_revoked() {
    let cluster = cluster_at(1.0).await;
    let works = |token: &token::Token| {
        cluster
            .plane
            .authenticate_token(token.value.expose())
            .is_ok()
    };
    // The server's clock is ahead of ours, by less than the life of a token and by more.
    for ahead in [5, 60] {
        cluster.clock.advance(Duration::from_mins(ahead));
        // A new one: its certificate, too, lives for an hour of the server's.
        let client = cluster.client();
        let token = token::mint(&client, Duration::from_hours(1), "test")
            .await
            .unwrap();
        assert!(token.expires_at > cluster.clock.now() + jiff::SignedDuration::from_mins(58));
        cluster.clock.advance(Duration::from_mins(58));
        assert!(works(&token), "{ahead} minutes ahead");
        cluster.clock.advance(Duration::from_mins(3));
        assert!(!works(&token), "{ahead} minutes ahead");
    }
    let client = cluster.client();
    let token = token::mint(&client, Duration::from_hours(1), "test")
        .await
        .unwrap();
    assert!(works(&token));
    let other = token::mint_signing(&client, Duration::from_hours(1), "test")
        .await
        .unwrap();
    token::revoke(&client, &token.id).await.unwrap();
    token::revoke(&client, &token.id).await.unwrap();
    assert!(!works(&token) && works(&other));
    token::revoke_all(&client).await.unwrap();
    assert!(!works(&other));
    assert_eq!(certificates::expiry(&client).await.unwrap(), None);
    let upload = certificates::upload(&client, &cluster.pki).await.unwrap();
    assert_eq!(upload.key.expose().len(), 64);
    assert_eq!(
        certificates::expiry(&client).await.unwrap(),
        Some(token::rfc3339(upload.expires_at))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_runs_through_the_door_and_the_pod_is_gone_afterwards() {
    let cluster = cluster().await;
    let client = cluster.client();
    let machine = cluster.node("w-1", false);
    assert_eq!(door::image(&client).await.unwrap(), None);
    let cilium = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: cilium, namespace: kube-system, labels: {k8s-app: cilium}}\nspec:\n  \
                  selector: {matchLabels: {k8s-app: cilium}}\n  template:\n    metadata: {labels: {k8s-app: cilium}}\n    \
                  spec: {tolerations: [{operator: Exists}], containers: [{name: cilium-agent, image: 'quay.io/cilium/cilium:v1.18.4'}]}\n";
    client.apply(&objects(cilium)[0]).await.unwrap();
    let image = door::image(&client).await.unwrap().unwrap();
    until(async || {
        node::get(&client, "w-1")
            .await
            .unwrap()
            .filter(node::View::is_ready)
    })
    .await;
    for (verb, expected) in [(Verb::Confirm, 0), (Verb::Rules, 1)] {
        let door = door::open(&client, "w-1", &image, &verb).await.unwrap();
        let ended = until(async || match door::poll(&client, &door).await.unwrap() {
            Outcome::Ended { code, log } => Some((code, log)),
            Outcome::Running(_) => None,
        })
        .await;
        assert_eq!(ended, (expected, "said so\n".to_owned()));
        door::close(&client, &door).await.unwrap();
        door::close(&client, &door).await.unwrap();
    }
    assert_eq!(machine.0.lock().unwrap()[0].last().unwrap(), "confirm");
    door::open(&client, "w-1", &image, &Verb::Confirm)
        .await
        .unwrap();
    door::sweep(&client, "w-1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_seen_labelled_drained_and_deleted() {
    let cluster = cluster().await;
    let client = cluster.client();
    cluster.node("cp-1", true);
    cluster.node("w-1", false);
    let nodes = node::list(&client).await.unwrap();
    assert_eq!(
        nodes
            .iter()
            .map(|node| (node.name.as_str(), node.control_plane))
            .collect::<Vec<_>>(),
        [("cp-1", true), ("w-1", false)]
    );
    assert!(
        matches!(nodes[0].readiness, Readiness::NotReady(_)),
        "no CNI: {:?}",
        nodes[0].readiness
    );
    let labels = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    node::set_labels(&client, "w-1", &labels(&[("disk", "fast"), ("zone", "a")]))
        .await
        .unwrap();
    node::set_labels(&client, "w-1", &labels(&[("zone", "b")]))
        .await
        .unwrap();
    let id = Id {
        api_version: "v1".into(),
        kind: "Node".into(),
        namespace: String::new(),
        name: "w-1".into(),
    };
    let live = client.fetch(&id).await.unwrap().unwrap();
    assert_eq!(
        (
            &live["metadata"]["labels"]["zone"],
            live["metadata"]["labels"].get("disk")
        ),
        (&serde_json::json!("b"), None)
    );
    let taint = |key: &str| node::Taint {
        key: key.into(),
        effect: "NoSchedule".into(),
        value: None,
        time_added: None,
    };
    node::change_taints(&client, "w-1", &[], &[taint("a")])
        .await
        .unwrap();
    node::change_taints(&client, "w-1", &[taint("a")], &[taint("b")])
        .await
        .unwrap();
    let live = client.fetch(&id).await.unwrap().unwrap();
    let keys: Vec<&str> = live["spec"]["taints"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|taint| taint["key"].as_str())
        .collect();
    assert!(
        keys.contains(&"b")
            && !keys.contains(&"a")
            && keys.contains(&"node.kubernetes.io/not-ready"),
        "{keys:?}"
    );
    node::cordon(&client, "w-1").await.unwrap();
    until(async || {
        node::evict(&client, "w-1")
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    node::delete(&client, "w-1").await.unwrap();
    node::delete(&client, "w-1").await.unwrap();
    assert_eq!(node::get(&client, "w-1").await.unwrap(), None);
}
