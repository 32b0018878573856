//! Lockdown, SSH and the node's script against the real OpenSSH `sshd` and the real `nft`, in network namespaces: the lab's model of both is ours and proves
//! nothing about them.
//!
//! Each test makes two namespaces with a cable between them (`rooms.rs`). On the node's side (`node.rs`, `node.sh`) are a kernel with its own rules, an sshd for
//! each connection as on Flatcar, `strata-node` byte for byte, and the user `core` with `sudo`; files are the namespace's own, so nothing on the host is touched. On the
//! operator's side is the provider with the dialer of the real world. Needs root, and the packages openssh-server, sudo, nftables, iproute2 and util-linux.
//!
//! Not real: systemd (`systemctl` and `systemd-run` beside this file stand in, with a real process as timer), and Kubernetes: the lab's API server answers on the
//! node's port 6443, and the door's pod is run by `nsenter` into the node's namespaces (`machines.rs`). Nor kubeadm and etcd: stand-ins check and leave the files that
//! the real ones do, and ask the test for the cluster.

#![allow(clippy::unwrap_used, reason = "tests")]

mod machines;
mod node;
mod nodes;
mod rooms;
mod site;

use std::net::UdpSocket;
use std::time::Duration;

use russh::keys::PrivateKey;
use strata_framework::{Found, Harness, Limits, Resource};
use strata_provider::access::{self, Access};
use strata_provider::firewall::{Api, Ssh as SshRule};
use strata_provider::http::dial::Dialer;
use strata_provider::secret::Secret;
use strata_provider::services::lockdown::NodeLockdown;
use strata_provider::services::lockdown::probe::{self, Seen};
use strata_provider::ssh::{self, Error, HostKey, Target};
use strata_provider::verb::Verb;

use self::rooms::{CABLE, NODE4, OPERATOR4, OPERATOR6, inside, run, within};
use self::site::{NAME, Operator, Site, key, private, public, rules};

/// Longer than anything on a cable in memory takes.
const SOON: Duration = Duration::from_secs(2);

fn locked() -> String {
    rules(SshRule::Nobody, Api::Any).render()
}

#[test]
fn good_rules_close_the_node_and_a_second_lockdown_changes_nothing() {
    inside(async |room| {
        let site = Site::at(&room).await;
        let others = site
            .node
            .run(&["nft", "--handle", "list", "table", "inet", "cilium"]);
        let session = site.session().await;
        site.declare_node_port();
        let process = Harness::shared(site.operator.strata.clone());
        let process = process.with(Limits::within(Duration::from_secs(50)));
        let planned = site.operator.lockdown();
        let create =
            async || NodeLockdown::create(&process.cx(), planned.clone(), planned.clone()).await;

        let first = create().await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(first.locked.known(), Some(&true));
        let observed = first.observed.known().unwrap();
        assert_eq!(
            (&*observed["ipv4"], &*observed["ipv6"]),
            ("closed", "closed")
        );
        assert_eq!(observed["node_ports"], "silent");
        assert!(site.node.is_locked() && site.node.timers().is_empty());
        // Cut, not only silenced: the client hears of it at once.
        let cut = tokio::time::timeout(SOON, session.run(&Verb::Version, b"")).await;
        assert!(matches!(cut, Ok(Err(Error::Lost { .. }))), "{cut:?}");
        assert_eq!(
            others,
            site.node
                .run(&["nft", "--handle", "list", "table", "inet", "cilium"])
        );
        dhcpv6_answers_pass(&site, &room.place);

        let rules = site.node.rules();
        let second = create().await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(second, first);
        assert_eq!(rules, site.node.rules(), "a reload would give new handles");
        let Ok(Found::Present(seen)) = NodeLockdown::read(&process.cx(), first.clone()).await
        else {
            panic!("not found")
        };
        assert_eq!(seen, first);

        // What a reboot loads.
        site.node
            .run(&["/opt/strata/bin/strata-node", "firewall-load"]);
        assert!(site.node.is_locked());
        NodeLockdown::delete(&process.cx(), first)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(site.port22().await, Seen::Connects);
    });
}

/// From a link-local address to 546 they do, which no connection asked for; to the port beside it nothing does.
fn dhcpv6_answers_pass(site: &Site, place: &std::path::Path) {
    let link_local = |listing: &str| {
        let words: Vec<&str> = listing.split_whitespace().collect();
        let at = words
            .iter()
            .position(|word| word.starts_with("fe80"))
            .unwrap();
        words[at].split('/').next().unwrap().to_owned()
    };
    let show = ["-6", "-o", "address", "show", "scope", "link", "dev"];
    let here = link_local(&run("ip", &[&show[..], &[CABLE]].concat()));
    let there = link_local(&site.node.run(&[&["ip"][..], &show, &["node0"]].concat()));
    let listing = run("ip", &["-o", "link", "show", "dev", CABLE]);
    let index: u32 = listing.split(':').next().unwrap().trim().parse().unwrap();
    let address =
        |address: &str, port| std::net::SocketAddrV6::new(address.parse().unwrap(), port, 0, index);
    let noted = || std::fs::read_to_string(place.join("dhcp")).unwrap_or_default();
    let from_afar = UdpSocket::bind((OPERATOR6, 0)).unwrap();
    from_afar.send_to(b"afar ", (rooms::NODE6, 546)).unwrap();
    let server = UdpSocket::bind(address(&here, 547)).unwrap();
    within(SOON, "an answer of DHCPv6", || {
        server.send_to(b"answer ", address(&there, 546)).unwrap();
        noted().contains("answer").then_some(())
    });
    assert!(!noted().contains("afar"), "{}", noted());
}

#[test]
fn rules_that_nft_refuses_change_nothing_and_a_family_out_of_reach_is_not_called_closed() {
    inside(async |room| {
        let site = Site::at(&room).await;
        let before = site.node.rules();
        let broken = locked().replace("tcp dport 22 drop", "tcp dport ssh-or-so drop");
        let error = site.operator.close(&broken).await.unwrap_err().to_string();
        assert!(
            error.contains("lock-check") && error.contains("its rules are as before"),
            "{error}"
        );
        // The step after it would not have armed anything either.
        let session = site.session().await;
        let armed = session
            .run(&Verb::LockArm { seconds: 5 }, b"")
            .await
            .unwrap_err();
        assert!(armed.is_verb(), "{armed}");
        assert_eq!(before, site.node.rules());
        assert!(site.node.timers().is_empty());

        run("ip", &["-6", "address", "flush", "dev", CABLE]);
        let observed = site
            .operator
            .close(&locked())
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            (&*observed["ipv4"], &*observed["ipv6"]),
            ("closed", "not observed")
        );
        assert_eq!(observed["node_ports"], "none");
    });
}

#[test]
fn rules_that_leave_port_22_open_are_noticed_and_taken_back() {
    inside(async |room| {
        let site = Site::at(&room).await;
        let error = site
            .operator
            .close(&rules(SshRule::Everyone, Api::Any).render())
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("still answers on port 22") && text.contains("is not locked"),
            "{text}"
        );
        let rules = site.node.run(&["nft", "list", "table", "inet", "strata"]);
        assert!(
            rules.contains(OPERATOR4),
            "the open rules are back: {rules}"
        );
        // At the next boot, too.
        site.node
            .run(&["/opt/strata/bin/strata-node", "firewall-load"]);
        // The kubelet's port is for nodes, and who is one can be told at any time.
        let kubelet = async || {
            let address = NODE4.parse().unwrap();
            probe::port(&Dialer::direct(), address, 10250).await
        };
        assert_eq!(kubelet().await, Seen::Silent);
        let nodes = [NODE4, OPERATOR4].map(|address| address.parse().unwrap());
        let told = Verb::Peers(nodes.to_vec());
        site.session().await.run(&told, b"").await.unwrap();
        assert_eq!(kubelet().await, Seen::Connects);
        // What a boot loads is not older than what was told.
        site.node
            .run(&["/opt/strata/bin/strata-node", "firewall-load"]);
        assert_eq!(kubelet().await, Seen::Connects);
        assert_eq!(site.port22().await, Seen::Connects);
    });
}

#[test]
fn rules_that_cut_the_api_are_taken_back_by_the_timer() {
    inside(async |room| {
        let mut site = Site::at(&room).await;
        // Later than all that is tried in vain.
        site.operator.restore = Duration::from_secs(13);
        let cut = rules(SshRule::Nobody, Api::From(Vec::new())).render();
        let error = site.operator.close(&cut).await.unwrap_err().to_string();
        assert!(
            error.contains("its API does not answer from here")
                && error.contains("its timer restored the open rules"),
            "{error}"
        );
        assert_eq!(site.port22().await, Seen::Connects);
        assert!(site.node.timers().is_empty());
        // Too late is too late: what the timer took back cannot be confirmed.
        let confirmed = site
            .node
            .command(&["/opt/strata/bin/strata-node", "confirm"])
            .output()
            .unwrap();
        assert_eq!(confirmed.status.code(), Some(1), "{confirmed:?}");
        site.node
            .run(&["/opt/strata/bin/strata-node", "firewall-load"]);
        assert_eq!(site.port22().await, Seen::Connects);
    });
}

#[test]
fn a_client_that_is_killed_in_the_middle_leaves_an_open_node() {
    inside(async |room| {
        if room.is_client {
            let closed = Operator::at(&room.place).close(&locked()).await;
            panic!("the client lived to the end: {closed:?}");
        }
        let site = Site::at(&room).await;
        let mut client = room.client();
        within(Duration::from_secs(15), "the locked rules", || {
            site.node.is_locked().then_some(())
        });
        client.kill().unwrap();
        client.wait().unwrap();
        assert_eq!(site.port22().await, Seen::Silent);
        assert_eq!(site.node.timers(), ["strata-restore.timer"]);
        within(
            Duration::from_secs(10),
            "the open rules to come back",
            || (!site.node.is_locked()).then_some(()),
        );
        assert_eq!(site.port22().await, Seen::Connects);
        assert!(site.session().await.run(&Verb::Version, b"").await.is_ok());
    });
}

#[test]
fn only_the_machine_that_was_set_up_is_talked_to() {
    inside(async |room| {
        let site = Site::at(&room).await;
        let dialer = Dialer::direct();
        let session = site.session().await;
        let version = session.run(&Verb::Version, b"").await.unwrap();
        assert_eq!(version.stdout, "strata-node 1\n");
        session
            .put("0640", "/etc/kubernetes/pki/ca.crt", b"a certificate\n")
            .await
            .unwrap();
        let put = [
            "sh",
            "-c",
            "stat -c '%a %U' /etc/kubernetes/pki/ca.crt; cat /etc/kubernetes/pki/ca.crt",
        ];
        assert_eq!(site.node.run(&put), "640 root\na certificate\n");
        let outside = session.put("0644", "/etc/passwd", b"").await.unwrap_err();
        assert!(matches!(outside, Error::Verb { code: 64, .. }), "{outside}");
        for address in ["10.77.0.9", NODE4] {
            let hosts = Verb::Hosts {
                name: "api.home.example.org".into(),
                address: address.parse().unwrap(),
            };
            session.run(&hosts, b"").await.unwrap();
        }
        let hosts = site.node.run(&["cat", "/etc/hosts"]);
        let lines: Vec<&str> = hosts
            .lines()
            .filter(|line| line.contains("api.home"))
            .collect();
        assert_eq!(lines, ["10.77.0.2 api.home.example.org"]);

        // The first contact: the machine makes a key of its own, and what was in its user data opens nothing any more.
        let own = HostKey::parse(&ssh::own_host_key(session).await.unwrap()).unwrap();
        let foreign = ssh::connect(&dialer, &site.target(NODE4))
            .await
            .err()
            .unwrap();
        assert!(
            matches!(&foreign, Error::HostKey { expected, answered, .. } if *expected == site.host_key.fingerprint() && *answered == own.fingerprint()),
            "{foreign}"
        );
        let target = ssh::Target {
            host_key: own,
            ..site.target(rooms::NODE6)
        };
        ssh::connect(&dialer, &target).await.unwrap();
        let stranger = ssh::Target {
            user: "root".into(),
            ..target
        };
        let denied = ssh::connect(&dialer, &stranger).await.err().unwrap();
        assert!(matches!(denied, Error::Denied { .. }), "{denied}");
    });
}

#[test]
fn a_window_lets_one_address_in_and_closes_by_itself() {
    inside(async |room| {
        let site = Site::at(&room).await;
        let operator = &site.operator;
        site.declare_node_port();
        // What Cilium does to NodePorts: they answer whatever the rules of the lockdown say.
        let passing =
            locked().replace("iif lo accept", "iif lo accept\n    tcp dport 30080 accept");
        let observed = operator
            .close(&passing)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(observed["node_ports"], "answers");
        let access = Access::of(&operator.strata).await.unwrap();
        let client = access.client(&operator.cluster).await.unwrap();
        let open = async |seconds| {
            let window = Verb::SshOpen {
                address: OPERATOR4.parse().unwrap(),
                seconds,
            };
            access::through_door(&Limits::within(SOON), &client, 1.0, NAME, &window).await
        };
        open(2).await.unwrap();
        let session = site.session().await;
        // A second window replaces the first: it can be made longer.
        open(5).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(session.run(&Verb::Version, b"").await.is_ok());
        // Only for whom it was opened.
        let stranger = "10.77.0.7";
        run("ip", &["address", "add", "10.77.0.7/24", "dev", CABLE]);
        let from = std::net::SocketAddr::new(stranger.parse().unwrap(), 0);
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(from).unwrap();
        let node = std::net::SocketAddr::new(NODE4.parse().unwrap(), 22);
        let refused = tokio::time::timeout(Duration::from_secs(1), socket.connect(node)).await;
        assert!(refused.is_err(), "{refused:?}");
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let cut = tokio::time::timeout(SOON, session.run(&Verb::Version, b"")).await;
        assert!(!matches!(cut, Ok(Ok(_))), "{cut:?}");
        assert_eq!(site.port22().await, Seen::Silent);
        let never = open(14_401).await.unwrap_err().to_string();
        assert!(never.contains("14400"), "{never}");
    });
}

/// A key that is nobody's in peace time opens the door while the keys of a window are there, beside the operator's own, and not afterwards.
#[test]
fn a_break_glass_key_is_valid_while_the_window_lasts() {
    inside(async |room| {
        let site = Site::at(&room).await;
        let operator = &site.operator;
        operator
            .close(&locked())
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let access = Access::of(&operator.strata).await.unwrap();
        let client = access.client(&operator.cluster).await.unwrap();
        let knock = async |verb: Verb| {
            access::through_door(&Limits::within(SOON), &client, 1.0, NAME, &verb)
                .await
                .unwrap_or_else(|error| panic!("{error}"))
        };
        let (glass, other) = (key(), key());
        let log_in = async |key: &PrivateKey| {
            let target = Target {
                private_key: Secret::new(private(key)),
                ..site.target(NODE4)
            };
            strata_provider::ssh::connect(&Dialer::direct(), &target).await
        };
        let lines =
            |keys: &[&PrivateKey]| keys.iter().map(|key| public(key) + " on call").collect();
        knock(Verb::SshOpen {
            address: OPERATOR4.parse().unwrap(),
            seconds: 60,
        })
        .await;
        assert!(log_in(&glass).await.is_err(), "it is in no list yet");
        knock(Verb::SshKeys {
            seconds: 4,
            lines: lines(&[&other, &glass]),
        })
        .await;
        let session = log_in(&glass)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        session.run(&Verb::Version, b"").await.unwrap();
        log_in(&other).await.unwrap();
        site.session().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(log_in(&glass).await.is_err(), "its time is over");
        site.session().await;
        // Those of a second window replace those of the first, and none ends them at once.
        for (seconds, lines, valid) in [(60, lines(&[&other]), true), (0, Vec::new(), false)] {
            knock(Verb::SshKeys { seconds, lines }).await;
            assert!(log_in(&glass).await.is_err());
            assert_eq!(log_in(&other).await.is_ok(), valid, "{seconds}");
        }
    });
}

/// Each program writes down how it was called and says what it would; a disk named sda cannot discard.
const STAND_INS: &str = r#"
for tool in kubeadm ctr lsblk blkdiscard wipefs; do
  printf '#!/bin/bash\necho "%s $*" >>/run/calls\ncase "%s $*" in\n' $tool $tool
  cat <<'END'
  "kubeadm config images list "*) echo registry.k8s.io/etcd:3.6.4-0 ;;
  "lsblk "*) printf '/dev/nvme0n1\n/dev/sda\n/dev/sr0\n' ;;
  "blkdiscard --force /dev/sda") exit 1 ;;
esac
END
done | awk '/^#!/ { n++ } { print > "/run/tool." n }'
n=0
for tool in kubeadm ctr lsblk blkdiscard wipefs; do
  n=$((n + 1))
  install -m 755 /run/tool.$n /usr/local/sbin/$tool
done
"#;

/// The script as bash and sudo run it, with the programs of a Flatcar node stood in for: no disk is touched.
#[test]
fn every_disk_is_wiped_or_named_and_a_restore_writes_both_families() {
    inside(async |room| {
        let site = Site::at(&room).await;
        site.node.run(&["bash", "-c", STAND_INS]);
        let session = site.session().await;
        let calls = || site.node.run(&["cat", "/run/calls"]);
        for (address, url) in [
            ("198.51.100.10", "https://198.51.100.10:2380"),
            ("2001:db8::10", "https://[2001:db8::10]:2380"),
        ] {
            let verb = Verb::KubeadmRestore {
                name: NAME.into(),
                address: address.parse().unwrap(),
            };
            session.run(&verb, b"").await.unwrap();
            let member = format!(
                "--name cp-1 --initial-cluster cp-1={url} --initial-advertise-peer-urls {url} --bump-revision"
            );
            assert!(calls().contains(&member), "{}", calls());
        }
        site.node
            .run(&["install", "-D", "/dev/null", "/etc/kubernetes/pki/ca.key"]);
        let error = session.run(&Verb::Wipe, b"").await.unwrap_err().to_string();
        assert!(error.contains("cannot discard /dev/sda"), "{error}");
        let calls = calls();
        for call in [
            "kubeadm reset --force --skip-phases=remove-etcd-member\n",
            "blkdiscard --force /dev/nvme0n1\n",
            "wipefs --all --force /dev/sda\n",
        ] {
            assert!(calls.contains(call), "{call}: {calls}");
        }
        assert!(!calls.contains("sr0"), "{calls}");
        let mut left = site.node.command(&["test", "-e", "/etc/kubernetes"]);
        assert!(!left.status().unwrap().success(), "the keys are there");
    });
}
