//! What is made here, on a machine of the lab: from the stub in Ubuntu to a Flatcar that answers with the host key we made.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use strata_lab::calls::Calls;
use strata_lab::clock::Clock;
use strata_lab::fault::Faults;
use strata_lab::machine::{Machines, Spec};
use strata_lab::network::Network;

use super::ignition::{NodeIgnition, Snapshots, node_ignition};
use super::install::{Disk, Install, Kind as DiskKind, Like, Wipe, install_script};
use crate::firewall::{Api, Rules, Ssh};
use crate::services::secret::kind::Kind;

fn keypair() -> (String, String) {
    let private = Kind::SshHostKeypair
        .generate("test", 0)
        .unwrap()
        .expose()
        .clone();
    let public = russh::keys::PrivateKey::from_openssh(&private)
        .unwrap()
        .public_key()
        .to_openssh()
        .unwrap();
    (private, public)
}

/// Boots one machine and returns what the lab says about it when it no longer changes stage.
async fn boot(install: &Install<'_>) -> Value {
    let disks = [
        ("nvme-SAMSUNG_MZ_S1", 512_000_000_000),
        ("nvme-SAMSUNG_MZ_S2", 256_000_000_000),
    ];
    boot_with(install, &disks).await
}

/// The same with these disks.
async fn boot_with(install: &Install<'_>, disks: &[(&str, u64)]) -> Value {
    let machines = Machines::new(
        Clock::new(3000.0),
        Network::default(),
        Faults::default(),
        Calls::default(),
    );
    machines.install(Spec {
        server_id: "1".to_owned(),
        name: "lab-w-1".to_owned(),
        hostname: "w-1".to_owned(),
        ipv4: IpAddr::from([198, 51, 100, 10]),
        ipv6: "2001:db8::10".parse().unwrap(),
        disks: disks
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), *bytes))
            .collect(),
        user_data: Some(install_script(install).unwrap().into_bytes()),
        ssh_public_keys: Vec::new(),
        bare: false,
    });
    let start = Instant::now();
    loop {
        let machine = machines.estate()[0].clone();
        let done = machine["stage"] == "flatcar"
            && machine["up"] == true
            && !machine["firewall"]["rules"]
                .as_str()
                .unwrap_or_default()
                .is_empty();
        if done || !machine["trouble"].is_null() || start.elapsed() > Duration::from_secs(30) {
            return machine;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_way_of_installing_ends_in_flatcar() {
    let (private, public) = keypair();
    let (_, operator) = keypair();
    let rules = Rules {
        control_plane: false,
        nodes: BTreeSet::new(),
        ssh: Ssh::From(vec!["203.0.113.0/28".parse().unwrap()]),
        api: Api::Any,
        pods: vec!["10.244.0.0/16".parse().unwrap()],
        public_ports: [80, 443].into(),
    };
    let node = node_ignition(&NodeIgnition {
        name: "w-1",
        control_plane: false,
        ssh_public_key: &operator,
        host_private_key: &private,
        host_public_key: &public,
        kubernetes_version: "v1.34.2",
        extension_sha256: None,
        snapshots: Snapshots::default(),
        updates: false,
        open_rules: &rules.render(),
    })
    .unwrap();
    let disk = Disk::Named("/dev/disk/by-id/nvme-SAMSUNG_MZ_S2");
    for (channel, version, disk, wipe) in [
        ("stable", Some("4230.2.3"), Disk::Smallest, Wipe::All),
        ("stable", None, disk, Wipe::All),
        ("lts", None, disk, Wipe::Target),
        ("beta", Some("4300.1.0"), Disk::Smallest, Wipe::Target),
    ] {
        let machine = boot(&Install {
            node_ignition: &node,
            channel,
            version,
            disk,
            wipe,
            admits: &[],
            kernel_sha512: None,
            initrd_sha512: None,
        })
        .await;
        assert_eq!(machine["trouble"], Value::Null, "{machine:#}");
        assert_eq!(
            (&machine["stage"], &machine["hostname"]),
            (&"flatcar".into(), &"w-1".into()),
            "{machine:#}"
        );
        assert_eq!(
            machine["failed_units"].as_array().map(Vec::len),
            Some(0),
            "{machine:#}"
        );
        assert!(
            machine["release"]
                .as_str()
                .unwrap_or_default()
                .starts_with(channel),
            "{machine:#}"
        );
        assert_eq!(
            machine["firewall"]["sets"]["operator4"],
            serde_json::json!(["203.0.113.0/28"]),
            "{machine:#}"
        );
        let expected = russh::keys::PublicKey::from_openssh(&public)
            .unwrap()
            .fingerprint(russh::keys::HashAlg::Sha256)
            .to_string();
        assert_eq!(machine["host_key"], expected.as_str(), "{machine:#}");
    }
}

#[tokio::test]
async fn a_disk_by_size_and_kind_is_found_on_the_machine_or_nothing_is_written() {
    let (private, public) = keypair();
    let (_, operator) = keypair();
    let rules = Rules {
        control_plane: false,
        nodes: BTreeSet::new(),
        ssh: Ssh::Everyone,
        api: Api::Any,
        pods: vec!["10.244.0.0/16".parse().unwrap()],
        public_ports: BTreeSet::new(),
    };
    let node = node_ignition(&NodeIgnition {
        name: "w-1",
        control_plane: false,
        ssh_public_key: &operator,
        host_private_key: &private,
        host_public_key: &public,
        kubernetes_version: "v1.34.2",
        extension_sha256: None,
        snapshots: Snapshots::default(),
        updates: false,
        open_rules: &rules.render(),
    })
    .unwrap();
    let disks = [
        ("nvme-A", 480_000_000_000),
        ("nvme-B", 960_000_000_000),
        ("ata-SSD_C", 960_000_000_000),
        ("ata-SSD_D", 960_000_000_000),
        ("ata-HDD_E", 8_000_000_000_000),
    ];
    let gb = |gb: u64| gb * 1_000_000_000;
    for (min, kind, wipe, expected) in [
        (gb(900), Some(DiskKind::NVMe), Wipe::All, Ok("nvme-B")),
        // Two that do not differ: the first.
        (gb(900), Some(DiskKind::Ssd), Wipe::Target, Ok("ata-SSD_C")),
        (gb(1), Some(DiskKind::Hdd), Wipe::Target, Ok("ata-HDD_E")),
        (gb(2000), None, Wipe::Target, Ok("ata-HDD_E")),
        (
            gb(1),
            Some(DiskKind::NVMe),
            Wipe::All,
            Err("differ in size"),
        ),
        (gb(900), None, Wipe::Target, Err("differ in size")),
        (
            gb(1000),
            Some(DiskKind::NVMe),
            Wipe::All,
            Err("no disk fits: NVMe, at least 1000000000000 bytes"),
        ),
    ] {
        let install = Install {
            node_ignition: &node,
            channel: "stable",
            version: Some("4230.2.3"),
            disk: Disk::Like(Like { min, kind }),
            wipe,
            admits: &[],
            kernel_sha512: None,
            initrd_sha512: None,
        };
        let machine = boot_with(&install, &disks).await;
        match expected {
            Ok(disk) => {
                assert_eq!(machine["stage"], "flatcar", "{machine:#}");
                assert_eq!(machine["disk"], disk, "{machine:#}");
            }
            Err(words) => {
                assert_eq!(
                    (&machine["stage"], &machine["disk"]),
                    (&"installer".into(), &Value::Null),
                    "{machine:#}"
                );
                let said = machine["trouble"].as_str().unwrap_or_default();
                assert!(said.contains(words), "{machine:#}");
            }
        }
    }
}
