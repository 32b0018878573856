//! The rules and the verbs of `strata-node` against the real nft, in namespaces of their own: the lab's model of nft is ours and proves nothing
//! about nft. Needs the packages `nftables` and `util-linux`; without them it fails and says so.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::{Api, Rules, Ssh, elements};
use crate::services::flatcar::STRATA_NODE;

/// Runs a script as root of its own user, network and mount namespaces, with an `/etc` of its own.
fn isolated(script: &str, input: &str) -> Output {
    let nft = Command::new("sh")
        .args(["-c", "command -v nft"])
        .env("PATH", path())
        .output()
        .unwrap();
    assert!(
        nft.status.success(),
        "nft is missing: install the package nftables (apt-get install nftables)"
    );
    let script = format!(
        "set -eu
         # nft looks the names of protocols up there; where there is no such file it says so.
         protocols=$(cat /etc/protocols || true)
         mount -t tmpfs tmpfs /etc
         echo \"$protocols\" > /etc/protocols
         mkdir -p /etc/strata/nft
         {script}"
    );
    let mut child = Command::new("unshare")
        .args(["--map-root-user", "--net", "--mount", "bash", "-c", &script])
        .env("PATH", path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare is missing: install the package util-linux");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// nft lies in `/usr/sbin`, which a person's PATH may lack.
fn path() -> String {
    format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    )
}

fn succeeds(script: &str, input: &str) -> String {
    let output = isolated(script, input);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{script}\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn rules(control_plane: bool, ssh: Ssh, api: Api) -> String {
    let nodes =
        ["198.51.100.11", "198.51.100.10", "2001:db8::10"].map(|address| address.parse().unwrap());
    Rules {
        control_plane,
        nodes: nodes.into(),
        ssh,
        api,
        pods: vec!["10.244.0.0/16".parse().unwrap()],
        public_ports: [80, 443].into(),
    }
    .render()
}

#[test]
fn nft_takes_every_rule_file_and_takes_it_again() {
    let networks = || {
        ["203.0.113.0/28", "203.0.113.7/32", "2001:db8:77::/48"]
            .map(|network| network.parse().unwrap())
            .to_vec()
    };
    for control_plane in [true, false] {
        for ssh in [Ssh::Everyone, Ssh::From(networks()), Ssh::Nobody] {
            for api in [Api::Any, Api::From(networks())] {
                let text = rules(control_plane, ssh.clone(), api);
                let listed = succeeds(
                    "cat > /etc/rules; nft -c -f /etc/rules; nft -f /etc/rules; nft -f /etc/rules; nft list table inet strata",
                    &text,
                );
                assert_eq!(elements(&listed, "nodes4").len(), 2, "{listed}");
                assert_eq!(listed.matches("chain input").count(), 1, "{listed}");
            }
        }
    }
    let empty = Rules {
        control_plane: false,
        nodes: [].into(),
        ssh: Ssh::Nobody,
        api: Api::Any,
        pods: Vec::new(),
        public_ports: [].into(),
    };
    succeeds("cat > /etc/rules; nft -f /etc/rules", &empty.render());
}

#[test]
fn tables_of_others_are_left_alone() {
    let listed = succeeds(
        "nft add table inet cilium; cat > /etc/rules; nft -f /etc/rules; nft list tables",
        &rules(true, Ssh::Nobody, Api::Any),
    );
    assert!(
        listed.contains("table inet cilium") && listed.contains("table inet strata"),
        "{listed}"
    );
}

#[test]
fn the_verbs_of_the_firewall_work_on_the_real_sets() {
    let script = format!(
        "cat > /etc/strata/nft/open.nft
         cat > /etc/strata-node <<'END'
{STRATA_NODE}
END
         run() {{ bash /etc/strata-node \"$@\"; }}
         run firewall-load
         run peers 198.51.100.20 198.51.100.21 2001:db8::20
         run ssh-open 203.0.113.99 600
         run ssh-open 2001:db8:5::1 600
         run rules; echo ---
         run firewall-load
         run rules"
    );
    let text = succeeds(&script, &rules(true, Ssh::Nobody, Api::Any));
    let (live, reloaded) = text.split_once("---").unwrap();
    assert!(
        live.contains("203.0.113.99 timeout 10m") && live.contains("2001:db8:5::1 timeout 10m"),
        "{live}"
    );
    for listed in [live, reloaded] {
        let nodes4 = elements(listed, "nodes4");
        assert!(
            nodes4.contains(&"198.51.100.21".parse().unwrap()) && nodes4.len() == 2,
            "{listed}"
        );
        assert_eq!(elements(listed, "nodes6").len(), 1, "{listed}");
    }
}

#[test]
fn a_window_longer_than_four_hours_and_an_unknown_verb_are_refused() {
    let script =
        |arguments: &str| format!("cat > /etc/strata-node; bash /etc/strata-node {arguments}");
    for arguments in [
        "ssh-open 203.0.113.9 14401",
        "shell",
        "put 600 /etc/passwd",
        "put 600 /etc/strata/../passwd",
    ] {
        assert_eq!(
            isolated(&script(arguments), STRATA_NODE).status.code(),
            Some(64),
            "{arguments}"
        );
    }
}
