//! From Ubuntu to Flatcar, and where wrong deliveries stop.

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_good_delivery_becomes_flatcar_with_the_delivered_keys() {
    let world = World::new();
    let delivery = world.delivery("cp-1");
    let machine = world.install(10, &delivery);
    world.flatcar(&machine).await;
    assert_eq!(machine.trouble(), None);
    let session = world.login(10).await.expect("login");
    let expected = russh::keys::PublicKey::from_openssh(&delivery.host_key.1)
        .expect("key")
        .fingerprint(russh::keys::HashAlg::Sha256)
        .to_string();
    assert_eq!(session.fingerprint, expected);
    let output = session
        .exec("sudo /opt/strata/bin/strata-node version", b"")
        .await;
    assert_eq!(
        (output.code, output.stdout.as_str(), output.stderr.as_str()),
        (Some(0), "strata-node 1\n", "")
    );
    let estate = world.machines.estate();
    assert_eq!(estate[0]["hostname"], "cp-1");
    assert_eq!(estate[0]["stage"], "flatcar");
    assert_eq!(estate[0]["listening"], serde_json::json!([22]));
    assert_eq!(estate[0]["host_key"], expected);
    assert_eq!(estate, world.machines.estate());
    // A fresh host key, seen by the next connection and kept over a reboot.
    let output = session
        .exec("sudo /opt/strata/bin/strata-node host-key", b"")
        .await;
    let made = russh::keys::PublicKey::from_openssh(output.stdout.trim())
        .expect("a key line")
        .fingerprint(russh::keys::HashAlg::Sha256)
        .to_string();
    assert_ne!(made, expected);
    assert_eq!(world.login(10).await.expect("login").fingerprint, made);
    assert_eq!(world.verb(10, "reboot").await.code, Some(0));
    world.until("reboot", || !machine.is_up()).await;
    world.flatcar(&machine).await;
    assert_eq!(world.login(10).await.expect("login").fingerprint, made);
    assert_eq!(world.calls.snapshot().get("ssh EXEC version"), Some(&1));
    assert_eq!(world.calls.snapshot().get("ssh LOGIN core"), Some(&4));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_named_disk_the_smallest_is_taken() {
    let world = World::new();
    let delivery = world.delivery("w-1");
    let machine = world.install_stub(20, "w-1", delivery.stub(None));
    world.flatcar(&machine).await;
    assert_eq!(world.verb(20, "version").await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn put_writes_where_it_may_and_nothing_else_runs() {
    let world = World::new();
    let machine = world.install(10, &world.delivery("cp-1"));
    world.flatcar(&machine).await;
    assert_eq!(
        world
            .put(10, "600", "/etc/kubernetes/pki/etcd/ca.crt", "content\n")
            .await
            .code,
        Some(0)
    );
    let output = world.put(10, "600", "/etc/shadow", "x").await;
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (
            Some(64),
            "strata-node: put: /etc/shadow is not under /etc/kubernetes or /etc/strata\n"
        )
    );
    assert_eq!(
        world
            .put(10, "600", "/etc/strata/../shadow", "x")
            .await
            .code,
        Some(64)
    );
    assert_eq!(
        world.verb(10, "frobnicate").await.stderr,
        "strata-node: unknown verb 'frobnicate'\n"
    );
    let session = world.login(10).await.expect("login");
    for command in [
        "ls",
        "sudo reboot",
        "sudo /opt/strata/bin/strata-node version; id",
    ] {
        let output = session.exec(command, b"").await;
        assert_eq!(output.code, Some(127), "{command}");
        assert!(
            output
                .stderr
                .starts_with("LAB-UNKNOWN: the lab cannot run "),
            "{command}: {output:?}"
        );
    }
    assert_eq!(session.exec("true", b"").await.code, Some(0));
    assert!(
        world.login_from("203.0.113.9", 10, "core").await.is_err(),
        "another operator address"
    );
    assert_eq!(
        world
            .login_from(crate::delivery::OPERATOR, 10, "root")
            .await
            .err()
            .as_deref(),
        Some("permission denied")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_deliveries_stop_where_metal_stops() {
    let cases = [
        (
            "stub",
            "kexec -l",
            "kexek -l",
            "ubuntu",
            "LAB-UNKNOWN: the lab cannot run `kexek",
        ),
        (
            "stub",
            "/4230.2.3/flatcar_production_pxe.vmlinuz",
            "/4230/flatcar_production_pxe.vmlinuz",
            "ubuntu",
            "404",
        ),
        (
            "stub",
            "https://stable.release",
            "https://stabel.release",
            "ubuntu",
            "Could not resolve host",
        ),
        (
            "stub",
            "curl -fsSL --retry 5 -o /run/strata/initrd.gz",
            "echo \"00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000  /run/strata/vmlinuz\" | sha512sum -c -\ncurl -fsSL --retry 5 -o /run/strata/initrd.gz",
            "ubuntu",
            "did NOT match",
        ),
        (
            "stub",
            "STRATA\nbase64",
            "STRATO\nbase64",
            "ubuntu",
            "end-of-file",
        ),
        (
            "installer",
            "\"version\":\"3.3.0\"",
            "\"version\":\"3.5.0\"",
            "emergency",
            "unsupported config version",
        ),
        (
            "installer",
            "\"compression\":\"gzip\"",
            "\"compression\":\"zstd\"",
            "emergency",
            "invalid compression",
        ),
        (
            "installer",
            "\"mode\":384",
            "\"mode\":\"0600\"",
            "emergency",
            "config is not valid",
        ),
        (
            "file:/opt/strata/install",
            "nvme-SIM-0",
            "nvme-SIM-7",
            "installer",
            "probing initialization failed",
        ),
        (
            "ignition",
            "org/extensions/kubernetes-v1.34.2",
            "org/extensions/kubernetes-1.34.2",
            "emergency",
            "404",
        ),
        (
            "ignition",
            "\"hard\":false",
            "\"hrad\":false",
            "emergency",
            "LAB-UNKNOWN",
        ),
        (
            "ignition",
            "/etc/flatcar/update.conf",
            "/etc/hostname",
            "emergency",
            "duplicate",
        ),
    ];
    for (place, from, to, stage, expected) in cases {
        let world = World::new();
        world.mutate(place, from, to);
        let machine = world.install(10, &world.delivery("cp-1"));
        world
            .until(&format!("{place}: {from} stops"), || {
                machine.trouble().is_some()
            })
            .await;
        assert!(
            world.faults.list().is_empty(),
            "{place}: {from} was not delivered"
        );
        assert_eq!(
            machine.stage(),
            stage,
            "{place}: {from}: {:?}",
            machine.trouble()
        );
        assert!(
            machine.trouble().expect("some").contains(expected),
            "{place}: {from}: {:?}",
            machine.trouble()
        );
        let login = world.login(10).await;
        assert!(login.is_err(), "{place}: {from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_boot_rule_file_that_nft_refuses_leaves_the_unit_failed() {
    let world = World::new();
    world.mutate("file:/etc/strata/nft/open.nft", "@operator4", "@operators4");
    let machine = world.install(10, &world.delivery("cp-1"));
    world.flatcar(&machine).await;
    world
        .until("the unit fails", || machine.trouble().is_some())
        .await;
    assert_eq!(
        world.machines.estate()[0]["failed_units"],
        serde_json::json!(["strata-firewall.service"])
    );
}
