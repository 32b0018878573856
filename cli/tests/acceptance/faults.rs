//! Faults at every step of kubeadm on Scaleway, as one table: after each the next run ends well, nothing is orphaned and nothing was ordered twice.
//!
//! Faults that do not disturb each other share a run. Interrupts with a plan in between, kubeadm that breaks off and mutated deliveries have tests of their own (`failures`, `mutations`,
//! `rollback`).

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::day_two::cluster_text;
use crate::harness::{Lab, Project};
use crate::table::{Fault, Meddling, Step, Subject, WELL};

const NAME: &str = "faulty";

/// The order of a server.
const ORDER: &str = "POST /baremetal/v1/zones/*/servers";

const STEPS: &[Step] = &[
    Step {
        when: "a cold start outlives what a busy API does",
        nodes: &["cp-1", "w-1"],
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
        ..WELL
    },
    Step {
        when: "the store is down",
        nodes: &["cp-1", "w-1"],
        faults: &[Fault {
            what: "Infisical answers 503",
            json: || json!({"place": "infisical", "action": {"status": {"code": 503}}}),
            says: &["STORE-02", "Nothing was changed"],
        }],
        code: 2,
        ..WELL
    },
    Step {
        when: "the Kubernetes API is down",
        nodes: &["cp-1", "w-1"],
        faults: &[Fault {
            what: "the API answers 503",
            json: || json!({"place": "kubernetes", "action": {"status": {"code": 503}}}),
            says: &[
                "Cannot observe cluster \"api.faulty.strata.test\"",
                "not observed, kept as it was: 4 resources",
            ],
        }],
        code: 4,
        ..WELL
    },
    Step {
        when: "400 days without a run",
        nodes: &["cp-1", "w-1"],
        meddling: Meddling::DaysLater(400),
        ..WELL
    },
    Step {
        when: "three workers are added",
        nodes: &["cp-1", "w-1", "w-2", "w-3", "w-4"],
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
        ..WELL
    },
    Step {
        when: "a delivery gets stuck",
        nodes: &["cp-1", "w-1", "w-2", "w-3", "w-4", "w-5"],
        also: "timeouts: {deliver: 10s}\n",
        faults: &[Fault {
            what: "an installation never ends",
            json: || json!({"place": "machine", "target": "w-5", "action": "install_stuck", "times": 1}),
            says: &["not ready yet"],
        }],
        code: 1,
        then: &["node", "replace", "w-5"],
        ..WELL
    },
    Step {
        when: "the provider is killed",
        nodes: &["cp-1", "w-1", "w-2", "w-3", "w-4", "w-5", "w-6"],
        meddling: Meddling::KilledProvider,
        code: 1,
        ..WELL
    },
    Step {
        when: "Ctrl-C",
        nodes: &["cp-1", "w-1", "w-2", "w-3", "w-4", "w-5", "w-6", "w-7"],
        meddling: Meddling::Interrupt(1),
        code: 130,
        ..WELL
    },
];

#[test]
fn every_fault_ends_in_a_known_state_and_the_next_run_ends_well() {
    let project = Project::new();
    let ordered = RefCell::default();
    let subject = Subject {
        name: NAME,
        text,
        machines: |lab| lab.servers().len(),
        assert_tidy: &|lab, names, when| assert_tidy(lab, names, when, &mut ordered.borrow_mut()),
    };
    subject.endure(&project, STEPS);
    let lab = project.lab(NAME);
    project
        .bootstrap(&["destroy", "-c", &format!("{NAME}.yaml"), "--yes"])
        .expect_code(0);
    let estate = lab.estate();
    assert_eq!(estate["servers"], json!([]), "{estate}");
    assert_eq!(estate["dns_records"], json!([]), "{estate}");
}

fn text(names: &[&str]) -> String {
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
    cluster_text(NAME, &nodes) + "store: infisical\n"
}

/// One server for each node and none besides, the same ones as before; one record of the endpoint; one key.
fn assert_tidy(lab: &Lab, names: &[&str], when: &str, ordered: &mut BTreeMap<String, Value>) {
    let estate = lab.estate();
    let servers = estate["servers"].as_array().unwrap();
    assert_eq!(servers.len(), names.len(), "{when}: {servers:#?}");
    for name in names {
        let mark = json!(format!("strata-node={name}"));
        let mine: Vec<&Value> = servers
            .iter()
            .filter(|server| server["tags"].as_array().unwrap().contains(&mark))
            .collect();
        assert_eq!(mine.len(), 1, "{when}: {name}: {mine:#?}");
        let id = mine[0]["id"].clone();
        let known = ordered
            .entry((*name).to_owned())
            .or_insert_with(|| id.clone());
        assert_eq!(*known, id, "{when}: {name} was ordered again");
    }
    let records = estate["dns_records"].as_array().unwrap();
    assert_eq!(records.len(), 1, "{when}: {records:#?}");
    let keys = estate["ssh_keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1, "{when}: {keys:#?}");
}
