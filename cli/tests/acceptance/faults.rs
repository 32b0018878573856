//! Faults at every step, as one table: what goes wrong, when, how the run ends and what it says. After each the next run ends well, nothing
//! is orphaned and nothing was ordered twice, by the lab's own truth.
//!
//! One cluster lives through all of it; faults that do not disturb each other share a run. Interrupts with a plan in between, kubeadm that breaks
//! off and mutated deliveries have tests of their own (`failures`, `mutations`, `rollback`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cold_start::assert_ready;
use crate::day_two::cluster_text;
use crate::harness::{Lab, Project, Ran, eventually};

const NAME: &str = "faulty";

/// The order of a server.
const ORDER: &str = "POST /baremetal/v1/zones/*/servers";

/// One thing that goes wrong.
struct Fault {
    what: &'static str,
    json: fn() -> Value,
    /// Words that the run says about it.
    says: &'static [&'static str],
}

/// What happens to a run from outside.
enum Meddling {
    Nothing,
    /// SIGKILL for the provider when a server was ordered.
    KilledProvider,
    /// Ctrl-C when a server was ordered.
    Interrupt,
    /// Before the run the clock goes on by this many days.
    DaysLater(u32),
}

/// One run under faults.
struct Step {
    when: &'static str,
    /// Workers that the cluster file has from here on.
    workers: &'static [&'static str],
    /// Appended to the cluster file for this run.
    also: &'static str,
    meddling: Meddling,
    faults: &'static [Fault],
    code: i32,
    /// What is run afterwards, with `--yes`; it ends with 0.
    then: &'static [&'static str],
}

const STEPS: &[Step] = &[
    Step {
        when: "a cold start outlives what a busy API does",
        workers: &["w-1"],
        also: "",
        meddling: Meddling::Nothing,
        faults: &[
            Fault {
                what: "429 with Retry-After on orders",
                json: || json!({"place": "scaleway", "target": ORDER, "action": {"status": {"code": 429, "retry_after": 3}}, "times": 2}),
                says: &[],
            },
            Fault {
                what: "500 on parallel orders",
                json: || json!({"place": "scaleway", "target": ORDER, "action": {"status": {"code": 500}}, "times": 2}),
                says: &[],
            },
            Fault {
                what: "the reply to an order is lost",
                json: || json!({"place": "scaleway", "target": ORDER, "action": "lose_reply", "times": 1}),
                says: &[],
            },
            Fault {
                what: "a burst of 403",
                json: || json!({"place": "scaleway", "target": "GET /baremetal/v1/zones/*/servers", "action": {"status": {"code": 403}}, "times": 3}),
                says: &[],
            },
        ],
        code: 0,
        then: &[],
    },
    Step {
        when: "the store is down",
        workers: &["w-1"],
        also: "",
        meddling: Meddling::Nothing,
        faults: &[Fault {
            what: "Infisical answers 503",
            json: || json!({"place": "infisical", "action": {"status": {"code": 503}}}),
            says: &["STORE-02", "Nothing was changed"],
        }],
        code: 2,
        then: &[],
    },
    Step {
        when: "the Kubernetes API is down",
        workers: &["w-1"],
        also: "",
        meddling: Meddling::Nothing,
        faults: &[Fault {
            what: "the API answers 503",
            json: || json!({"place": "kubernetes", "action": {"status": {"code": 503}}}),
            says: &[
                "Cannot observe cluster \"api.faulty.strata.test\"",
                "not observed, kept as it was: 4 resources",
            ],
        }],
        code: 4,
        then: &[],
    },
    Step {
        when: "400 days without a run",
        workers: &["w-1"],
        also: "",
        meddling: Meddling::DaysLater(400),
        faults: &[],
        code: 0,
        then: &[],
    },
    Step {
        when: "three workers are added",
        workers: &["w-1", "w-2", "w-3", "w-4"],
        also: "",
        meddling: Meddling::Nothing,
        faults: &[
            Fault {
                what: "an installation ends in error",
                json: || json!({"place": "machine", "target": "w-2", "action": {"install_error": {"after": 60}}, "times": 1}),
                says: &["w-2"],
            },
            Fault {
                what: "SSH drops in the middle of kubeadm join",
                json: || json!({"place": "machine", "target": "w-3", "action": {"reboot_during": {"verb": "kubeadm-join"}}, "times": 1}),
                says: &[],
            },
            Fault {
                what: "out of stock at the order",
                json: || json!({"place": "scaleway", "target": ORDER, "action": "out_of_stock", "times": 1}),
                says: &["out of stock"],
            },
        ],
        code: 1,
        then: &[],
    },
    Step {
        when: "a delivery gets stuck",
        workers: &["w-1", "w-2", "w-3", "w-4", "w-5"],
        also: "timeouts: {deliver: 10s}\n",
        meddling: Meddling::Nothing,
        faults: &[Fault {
            what: "an installation never ends",
            json: || json!({"place": "machine", "target": "w-5", "action": "install_stuck", "times": 1}),
            says: &["not ready yet"],
        }],
        code: 1,
        then: &["node", "replace", "w-5"],
    },
    Step {
        when: "the provider is killed",
        workers: &["w-1", "w-2", "w-3", "w-4", "w-5", "w-6"],
        also: "",
        meddling: Meddling::KilledProvider,
        faults: &[],
        code: 1,
        then: &[],
    },
    Step {
        when: "Ctrl-C",
        workers: &["w-1", "w-2", "w-3", "w-4", "w-5", "w-6", "w-7"],
        also: "",
        meddling: Meddling::Interrupt,
        faults: &[],
        code: 130,
        then: &[],
    },
];

#[test]
fn every_fault_ends_in_a_known_state_and_the_next_run_ends_well() {
    let project = Project::new();
    let mut ids = BTreeMap::new();
    for step in STEPS {
        let names: Vec<&str> = ["cp-1"].iter().chain(step.workers).copied().collect();
        let (path, good) = cluster_file(&project, &names);
        let path = path.to_str().unwrap();
        // The first step finds no lab yet.
        if ids.is_empty() {
            project.bootstrap(&["preflight", "-c", path]).expect_code(0);
        }
        let lab = project.lab(NAME);
        lab.clear_faults();
        for fault in step.faults {
            lab.fault((fault.json)());
        }
        project.cluster_file(NAME, &format!("{good}{}", step.also));
        let ran = meddled(&project, &lab, path, &step.meddling);
        assert_eq!(ran.code, step.code, "{}:\n{}", step.when, ran.text());
        for fault in step.faults {
            for word in fault.says {
                assert!(
                    ran.text().contains(word),
                    "{}: {}: `{word}` is not in\n{}",
                    step.when,
                    fault.what,
                    ran.text()
                );
            }
        }
        // What is not limited would go on for ever; what is may be left for the next run.
        if lab.faults().iter().any(|fault| fault["times"].is_null()) {
            lab.clear_faults();
        }

        project.cluster_file(NAME, &good);
        if step.code != 0 {
            let next = [step.then, &["-c", path, "--yes"]].concat();
            project.bootstrap(&next).expect_code(0);
        }
        assert_eq!(
            lab.faults(),
            Vec::<Value>::new(),
            "{}: never happened",
            step.when
        );
        assert_ready(&project, NAME, names.len());
        assert_tidy(&lab, &names, step, &mut ids);
    }
    let lab = project.lab(NAME);
    project
        .bootstrap(&["destroy", "-c", &format!("{NAME}.yaml"), "--yes"])
        .expect_code(0);
    let estate = lab.estate();
    assert_eq!(estate["servers"], json!([]), "{estate}");
    assert_eq!(estate["dns_records"], json!([]), "{estate}");
}

fn cluster_file(project: &Project, names: &[&str]) -> (std::path::PathBuf, String) {
    let nodes: Vec<(&str, &str)> = names
        .iter()
        .map(|name| {
            let role = if name.starts_with("cp") {
                "control-plane"
            } else {
                "worker"
            };
            (*name, role)
        })
        .collect();
    let text = cluster_text(NAME, &nodes) + "store: infisical\n";
    (project.cluster_file(NAME, &text), text)
}

/// One `up` with what happens to it from outside.
fn meddled(project: &Project, lab: &Lab, path: &str, meddling: &Meddling) -> Ran {
    let up = ["-c", path, "--yes"];
    if let Meddling::DaysLater(days) = meddling {
        lab.advance(f64::from(*days) * 86_400.0);
    }
    if !matches!(meddling, Meddling::KilledProvider | Meddling::Interrupt) {
        return project.bootstrap(&up);
    }
    let before = lab.servers().len();
    let run = project
        .command("./bootstrap.sh")
        .args(up)
        .spawn()
        .expect("bootstrap.sh starts");
    eventually("a server is ordered", Duration::from_mins(2), || {
        lab.servers().len() > before
    });
    match meddling {
        Meddling::KilledProvider => {
            let providers = providers(project);
            assert!(!providers.is_empty(), "no provider runs");
            for provider in providers {
                send("KILL", provider);
            }
        }
        _ => send("INT", run.id()),
    }
    run.wait_with_output().expect("bootstrap.sh ends").into()
}

fn send(signal: &str, pid: u32) {
    let sent = std::process::Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(sent.expect("kill starts").success());
}

/// Processes that were started as this project's provider.
fn providers(project: &Project) -> Vec<u32> {
    let link = project
        .path()
        .join(format!(".strata/{NAME}/provider/terraform-provider-strata"));
    let link = link.to_str().expect("UTF-8 path").as_bytes();
    let processes = std::fs::read_dir("/proc").expect("/proc can be read");
    processes
        .flatten()
        .filter(|process| {
            std::fs::read(process.path().join("cmdline")).is_ok_and(|line| line.starts_with(link))
        })
        .filter_map(|process| process.file_name().to_string_lossy().parse().ok())
        .collect()
}

/// One server for each node and none besides, the same ones as before; one record of the endpoint; one key.
fn assert_tidy(lab: &Lab, names: &[&str], step: &Step, ids: &mut BTreeMap<String, Value>) {
    let estate = lab.estate();
    let servers = estate["servers"].as_array().unwrap();
    assert_eq!(servers.len(), names.len(), "{}: {servers:#?}", step.when);
    for name in names {
        let mark = json!(format!("strata-node={name}"));
        let mine: Vec<&Value> = servers
            .iter()
            .filter(|server| server["tags"].as_array().unwrap().contains(&mark))
            .collect();
        assert_eq!(mine.len(), 1, "{}: {name}: {mine:#?}", step.when);
        let id = mine[0]["id"].clone();
        let known = ids.entry((*name).to_owned()).or_insert_with(|| id.clone());
        assert_eq!(*known, id, "{}: {name} was ordered again", step.when);
    }
    let records = estate["dns_records"].as_array().unwrap();
    assert_eq!(records.len(), 1, "{}: {records:#?}", step.when);
    let keys = estate["ssh_keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1, "{}: {keys:#?}", step.when);
}
