//! What goes wrong around a run: Ctrl-C, a cluster nobody has tried before.

use std::time::Duration;

use crate::cold_start::{assert_locked, assert_only_reads, assert_ready};
use crate::day_two::cluster_text;
use crate::harness::{Project, Ran, eventually};

#[test]
fn an_interrupt_during_delivery_resumes_with_the_same_server() {
    let project = Project::new();
    let name = "broken";
    let text = cluster_text(name, &[("cp-1", "control-plane")]).replace("speed: 300", "speed: 60");
    let file = project.cluster_file(name, &text);
    let path = file.to_str().unwrap();
    // The lab is started beforehand, so that its servers can be watched while the run goes on.
    project.bootstrap(&["preflight", "-c", path]).expect_code(0);
    let lab = project.lab(name);
    let run = project
        .command("./bootstrap.sh")
        .args(["-c", path, "--yes"])
        .spawn()
        .unwrap();
    eventually("a server is ordered", Duration::from_mins(1), || {
        !lab.servers().is_empty()
    });
    let ordered = lab.servers()["broken-cp-1"]["id"].clone();
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &run.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    let stopped = Ran::from(run.wait_with_output().unwrap());
    assert_eq!(
        stopped.code,
        130,
        "an interrupted run ends with 130:\n{}",
        stopped.text()
    );

    let changes = project.changes(name, &file, "01-infrastructure");
    for (address, actions) in &changes {
        let paid = address.contains("strata_scaleway_baremetal_server");
        assert!(
            !actions.contains(&"delete".to_owned()),
            "{address}: {actions:?}"
        );
        assert!(
            !paid || actions == &["update"],
            "{address} would be ordered again: {actions:?}"
        );
    }
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_eq!(
        lab.servers()["broken-cp-1"]["id"],
        ordered,
        "the server was ordered twice"
    );
    assert_eq!(lab.servers().len(), 1);
    assert_ready(&project, name, 1);
}

/// A small generator with its seed in the message, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64: any fixed generator does, the seed is printed.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn word(&mut self, length: u64) -> String {
        (0..length)
            .map(|_| char::from(b'a' + u8::try_from(self.roll(26)).unwrap()))
            .collect()
    }
}

#[test]
fn a_cluster_file_nobody_wrote_gives_the_cluster_it_says() {
    use std::fmt::Write;
    let seed = std::env::var("STRATA_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| {
            u64::try_from(
                std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap()
                    .as_millis(),
            )
            .unwrap()
        });
    println!("STRATA_SEED={seed}");
    let mut dice = Dice(seed | 1);
    let name = format!("c{}", dice.word(6));
    let control_planes = [1, 3, 5][usize::try_from(dice.roll(3)).unwrap()];
    let workers = usize::try_from(dice.roll(5)).unwrap();
    let version = ["v1.33.5", "v1.34.2"][usize::try_from(dice.roll(2)).unwrap()];
    let zone = ["fr-par-2", "nl-ams-1", "pl-waw-3"][usize::try_from(dice.roll(3)).unwrap()];
    let (pods, services) = (100 + dice.roll(50), 200 + dice.roll(50));
    let mut text = format!(
        "strata: 1\nname: {name}\nlab: {{speed: 300}}\nplatform: {{scaleway: {{zone: {zone}}}}}\ndistribution: {{kubeadm: {{version: {version}}}}}\ndns: {{cloudflare: {{zone: strata.test}}}}\nendpoint: {{name: k.{name}.strata.test}}\nnetwork: {{pods: 10.{pods}.0.0/16, services: 10.{services}.0.0/20}}\nnodes:\n"
    );
    let mut names = std::collections::BTreeSet::new();
    while names.len() < control_planes + workers {
        let length = 3 + dice.roll(6);
        names.insert(dice.word(length));
    }
    for (index, node) in names.iter().enumerate() {
        writeln!(
            text,
            "  {node}: {}",
            if index < control_planes {
                "control-plane"
            } else {
                "worker"
            }
        )
        .unwrap();
    }
    println!("{text}");
    let project = Project::new();
    let file = project.cluster_file(&name, &text);
    project
        .bootstrap(&["-c", file.to_str().unwrap(), "--yes"])
        .expect_code(0);
    assert_ready(&project, &name, control_planes + workers);
    let shown = project.kubectl(&name, &["get", "nodes", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status.nodeInfo.kubeletVersion}{\"\\n\"}{end}"]).expect_code(0);
    for node in &names {
        assert!(
            shown
                .stdout
                .lines()
                .any(|line| line.starts_with(&format!("{node} {version}"))),
            "{node}:\n{}",
            shown.stdout
        );
    }
    let lab = project.lab(&name);
    for node in &names {
        let server = &lab.servers()[&format!("{name}-{node}")];
        assert_eq!(server["zone"], zone, "{server}");
    }
    lab.clear_calls();
    project
        .bootstrap(&["-c", file.to_str().unwrap(), "--yes"])
        .expect_code(0);
    assert_only_reads(&lab);
    let _ = assert_locked;
}
