//! `strata_kubeadm_node` from its creation to its removal, as Terraform calls it, over the real sshd and the real firewall: nothing of it is known to the lab's machines.

use std::time::Duration;

use strata_framework::{Attr, Diagnostics, Found, Harness, Limits, Resource};
use strata_provider::claim::{self, State};
use strata_provider::provider::Strata;
use strata_provider::services::attribute::Ssh;
use strata_provider::services::kubeadm::join_info::KubeadmJoinInfo;
use strata_provider::services::kubeadm::node::KubeadmNode;
use strata_provider::services::lockdown::NodeLockdown;
use strata_provider::services::lockdown::probe::Seen;
use strata_provider::store::Name;

use super::rooms::{NODE4, NODE6, SECOND4, SECOND6, inside};
use super::site::{NAME, Operator, Site, key, public};

const SECOND: &str = "cp-2";

fn text(text: &str) -> Attr<String> {
    Attr::Known(text.to_owned())
}

/// The resource as a layer writes it.
fn node(site: &Site, name: &str, addresses: [&str; 2]) -> KubeadmNode {
    let mut cluster = site.operator.cluster.clone();
    let all = [(NAME, NODE4), (SECOND, SECOND4)];
    let all = all.map(|(name, address)| (name.to_owned(), address.to_owned()));
    cluster.control_planes = Attr::Known(all.clone().into());
    cluster.peers = Attr::Known(all.into());
    cluster.kubernetes_version = text("v1.34.2");
    cluster.pod_subnet = text("10.244.0.0/16");
    cluster.service_subnet = text("10.96.0.0/12");
    cluster.dns_domain = text("cluster.local");
    KubeadmNode {
        name: text(name),
        role: text("control-plane"),
        server_id: text("a namespace"),
        server_ready: Attr::Known(true),
        address: text(addresses[0]),
        addresses: Attr::Known(addresses.map(str::to_owned).into()),
        labels: Attr::Known([("example.org/site".to_owned(), name.to_owned())].into()),
        taints: Attr::Null,
        cluster: Attr::Known(cluster),
        ssh: Attr::Known(Ssh {
            user: text("core"),
            private_key: text("ssh/operator"),
            host_key: Attr::Known(format!("nodes/{name}/host-key-current")),
        }),
        id: Attr::Unknown,
        initialised: Attr::Unknown,
        timeouts: Attr::Null,
    }
}

/// A provider process of the operator's.
fn process(site: &Site) -> Harness<Strata> {
    Harness::shared(site.operator.strata.clone()).with(Limits::within(Duration::from_mins(2)))
}

async fn create(site: &Site, planned: &KubeadmNode) -> Result<KubeadmNode, Diagnostics> {
    let process = process(site);
    let created = KubeadmNode::create(&process.cx(), planned.clone(), planned.clone()).await;
    assert!(process.warnings().is_empty(), "{}", process.warnings());
    created
}

async fn claimed(site: &Site) -> Option<State> {
    let store = site.operator.strata.store().unwrap();
    let claim = claim::read(&*store).await.unwrap();
    claim.map(|(claim, _)| claim.state)
}

#[test]
fn a_machine_initialises_another_joins_and_leaves_and_the_first_is_locked() {
    inside(async |room| {
        let site = Site::bare(&room).await;
        let first = node(&site, NAME, [NODE4, NODE6]);
        // The connection breaks when the cluster is there and before anybody hears of it.
        site.machines
            .cut_at(&format!("{NAME}: init api.home.example.org:6443"));
        let first = create(&site, &first)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(first.initialised, Attr::Known(true));
        assert_eq!(
            site.machines.asked(&format!("{NAME}: init")),
            1,
            "taken up, not done again"
        );
        assert_eq!(
            site.machines.asked(&format!("{NAME}: reset")),
            0,
            "what serves is not reset"
        );
        assert_eq!(claimed(&site).await, Some(State::Initialised));
        // What lies there is what only root may read, and the firewall knows whom the configuration names.
        let modes = "stat --format='%a %U' /etc/kubernetes/pki/ca.key /etc/kubernetes/pki/etcd/ca.key /etc/kubernetes/encryption.yaml /etc/strata/kubeadm.yaml | sort -u";
        assert_eq!(site.node.run(&["sh", "-c", modes]), "600 root\n");
        let admitted = site
            .node
            .run(&["nft", "list", "set", "inet", "strata", "nodes4"]);
        assert!(
            admitted.contains(NODE4) && admitted.contains(SECOND4),
            "{admitted}"
        );
        let process = process(&site);
        let Ok(Found::Present(seen)) = KubeadmNode::read(&process.cx(), first.clone()).await else {
            panic!("not found")
        };
        assert_eq!(seen, first);

        let machine = site.second(&room, SECOND).await;
        let second = node(&site, SECOND, [SECOND4, SECOND6]);
        let second = create(&site, &second)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(second.initialised, Attr::Known(false));
        let members = || {
            let members = site.machines.cluster().members();
            members
                .into_iter()
                .map(|member| member.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(members(), [NAME, SECOND]);
        // Its own API server is the endpoint for whatever runs on it from now on.
        let hosts = machine.run(&["cat", "/etc/hosts"]);
        assert!(
            hosts.contains(&format!("{SECOND4} api.home.example.org")),
            "{hosts}"
        );
        // A second creation of the same, as after a state that was not saved: it is a member, and nothing is done.
        let again = create(&site, &node(&site, SECOND, [SECOND4, SECOND6])).await;
        assert_eq!(again.unwrap_or_else(|error| panic!("{error}")), second);
        assert_eq!(site.machines.asked(&format!("{SECOND}: join")), 1);

        KubeadmNode::delete(&process.cx(), second.clone())
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(
            process.warnings().is_empty(),
            "a snapshot was kept before: {}",
            process.warnings()
        );
        assert_eq!(members(), [NAME]);
        let left = "ls /etc/kubernetes/pki /etc/kubernetes/kubelet.conf /etc/strata/discovery.conf /var/lib/etcd 2>/dev/null | wc -l";
        assert_eq!(machine.run(&["sh", "-c", left]), "0\n");
        assert!(matches!(
            KubeadmNode::read(&process.cx(), second).await,
            Ok(Found::Gone)
        ));
        let refused = KubeadmNode::delete(&process.cx(), first.clone())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("it is the last control plane"),
            "{refused}"
        );

        join_information(&site).await;
        let lockdown = site.operator.lockdown();
        let locked = NodeLockdown::create(&process.cx(), lockdown.clone(), lockdown)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(locked.locked.known(), Some(&true));
        assert_eq!(site.port22().await, Seen::Silent);
        // A locked member is still seen, and made again without a session: nothing is asked of the machine.
        let resets = site.machines.asked(&format!("{NAME}: "));
        assert!(matches!(
            KubeadmNode::read(&process.cx(), first).await,
            Ok(Found::Present(_))
        ));
        assert_eq!(site.machines.asked(&format!("{NAME}: ")), resets);
    });
}

/// For machines that are joined by other means: made from the cluster that lives, and gone with the resource.
async fn join_information(site: &Site) {
    let process = process(site);
    let planned = KubeadmJoinInfo {
        name: text("home"),
        cluster: Attr::Known(site.operator.cluster.clone()),
        certificate_key: Attr::Known(false),
        ttl: Attr::Known("90m".into()),
        endpoint: Attr::Unknown,
        ca_hash: Attr::Unknown,
        expires_at: Attr::Unknown,
        certificate_key_expires_at: Attr::Unknown,
        timeouts: Attr::Null,
    };
    let made = KubeadmJoinInfo::create(&process.cx(), planned.clone(), planned)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(made.endpoint.text(), "api.home.example.org:6443");
    assert_eq!(made.ca_hash.text(), site.pki.ca_hash().unwrap());
    let store = site.operator.strata.store().unwrap();
    let entry = Name::parse("join/home/K8S_JOIN_TOKEN").unwrap();
    let token = store.get(&entry).await.unwrap().unwrap();
    let cluster = site.machines.cluster();
    cluster.authenticate_token(token.value.expose()).unwrap();
    KubeadmJoinInfo::delete(&process.cx(), made)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(cluster.authenticate_token(token.value.expose()).is_err());
    assert!(store.get(&entry).await.unwrap().is_none());
}

#[test]
fn a_machine_with_another_host_key_is_told_nothing_and_the_next_try_goes_on() {
    inside(async |room| {
        let site = Site::bare(&room).await;
        let planned = node(&site, NAME, [NODE4, NODE6]);
        let entry = Name::parse("nodes/cp-1/host-key-current").unwrap();
        let store = site.operator.strata.store().unwrap();
        let right = store.get(&entry).await.unwrap().unwrap().value;
        site.operator
            .put("nodes/cp-1/host-key-current", &public(&key()))
            .await;
        let error = create(&site, &planned).await.unwrap_err().to_string();
        let answered = site.host_key.fingerprint();
        assert!(
            error.contains("Cannot reach node \"cp-1\"")
                && error.contains(&answered)
                && error.contains("host key"),
            "{error}"
        );
        let delivered = "ls /etc/kubernetes /etc/strata/kubeadm.yaml 2>/dev/null | wc -l";
        assert_eq!(
            site.node.run(&["sh", "-c", delivered]),
            "0\n",
            "no key went to a stranger"
        );
        assert_eq!(site.machines.asked(NAME), 0);

        store.put(&entry, &right).await.unwrap();
        let next = Operator::at(&room.place);
        let process = Harness::shared(next.strata).with(Limits::within(Duration::from_mins(2)));
        let created = KubeadmNode::create(&process.cx(), planned.clone(), planned).await;
        assert_eq!(
            created
                .unwrap_or_else(|error| panic!("{error}"))
                .initialised,
            Attr::Known(true)
        );
        assert_eq!(site.machines.asked(&format!("{NAME}: init")), 1);
    });
}
