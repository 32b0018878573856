//! Faults at every step of Talos on Proxmox, as one table: after each the next run ends well, there is one machine for each node and one etcd, nothing is orphaned.
//!
//! Faults that do not disturb each other share a run. How each ends is said in docs/guides/talos.md, "What happens when".

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Lab, Project};
use crate::table::{Fault, Meddling, Step, Subject, WELL};
use crate::talos::{assert_one_etcd, cluster_text, machine, vms};

const NAME: &str = "talos-faults";

const CREATE: &str = "POST /api2/json/nodes/*/qemu";
const UPLOAD: &str = "POST /api2/json/nodes/*/storage/*/upload";
const DOWNLOAD: &str = "POST /api2/json/nodes/*/storage/*/download-url";
const BOOTSTRAP: &str = "cp-1 /machine.MachineService/Bootstrap";
const START: &str = "POST /api2/json/nodes/*/qemu/*/status/start";

/// What happens to a cluster and its nodes.
const OF_NODES: &[Step] = &[
    Step {
        when: "a cold start whose image cannot be fetched",
        nodes: &["cp-1", "w-1"],
        faults: &[
            Fault {
                what: "the task that downloads it ends in an error",
                json: || json!({"place": "proxmox", "target": DOWNLOAD, "action": {"task_error": {"text": "download failed: 502 Bad Gateway"}}, "times": 1}),
                says: &[
                    "Cannot create Proxmox image",
                    "download failed: 502 Bad Gateway",
                ],
            },
            Fault {
                what: "in the next run: etcd cannot be made yet",
                json: || json!({"place": "talos", "target": BOOTSTRAP, "action": {"grpc": {"code": "failed_precondition", "message": "bootstrap is not available yet"}}, "times": 1}),
                says: &[],
            },
            Fault {
                what: "in the next run: the reply to the bootstrap is lost",
                json: || json!({"place": "talos", "target": BOOTSTRAP, "action": "lose_reply", "times": 1}),
                says: &[],
            },
        ],
        code: 1,
        ..WELL
    },
    Step {
        when: "the store is away",
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
        when: "Proxmox is away",
        nodes: &["cp-1", "w-1"],
        faults: &[Fault {
            what: "its gateway answers 502",
            json: || json!({"place": "proxmox", "action": {"status": {"code": 502}}}),
            says: &["PVE-02", "Nothing was changed"],
        }],
        code: 2,
        ..WELL
    },
    Step {
        when: "the Image Factory is away",
        nodes: &["cp-1", "w-1"],
        faults: &[Fault {
            what: "it answers 503",
            json: || json!({"place": "factory", "action": {"status": {"code": 503}}}),
            says: &[
                "Cannot read Talos schematic",
                "not observed, kept as it was: 1 resource",
            ],
        }],
        code: 4,
        ..WELL
    },
    Step {
        when: "a machine does not answer at refresh",
        nodes: &["cp-1", "w-1"],
        faults: &[Fault {
            what: "packets to a worker are dropped",
            json: || json!({"place": "talos", "target": "w-1", "action": "unreachable"}),
            says: &[
                "Cannot observe machine \"w-1\"",
                "not observed, kept as it was",
            ],
        }],
        code: 4,
        ..WELL
    },
    Step {
        when: "the only control plane does not answer at refresh",
        nodes: &["cp-1", "w-1"],
        faults: &[Fault {
            what: "packets to it are dropped",
            json: || json!({"place": "talos", "target": "cp-1", "action": "unreachable"}),
            says: &[
                "Cannot observe machine \"cp-1\"",
                "not observed, kept as it was",
            ],
        }],
        code: 4,
        ..WELL
    },
    Step {
        when: "400 days without a run: every certificate of a client has expired",
        nodes: &["cp-1", "w-1"],
        meddling: Meddling::DaysLater(400),
        says: &["4 layers, no changes"],
        ..WELL
    },
    Step {
        when: "an upgrade whose installer fails",
        nodes: &["cp-1", "w-1"],
        with: "distribution: {talos: {version: v1.13.10}}\n",
        faults: &[Fault {
            what: "it ends with 7, and the call with OK",
            json: || json!({"place": "talos", "target": "cp-1", "action": {"installer_exit": {"code": 7}}, "times": 1}),
            says: &[
                "Cannot upgrade node \"cp-1\"",
                "code 7",
                "The node runs its old system",
            ],
        }],
        code: 1,
        ..WELL
    },
    Step {
        when: "an upgrade after which a node falls back",
        nodes: &["cp-1", "w-1"],
        with: "distribution: {talos: {version: v1.13.11}}\n",
        faults: &[Fault {
            what: "it boots the system that it had",
            json: || json!({"place": "talos", "target": "cp-1", "action": "upgrade_falls_back", "times": 1}),
            says: &[
                "Cannot upgrade node \"cp-1\"",
                "fell back",
                "it goes on with this node",
            ],
        }],
        code: 1,
        ..WELL
    },
    Step {
        when: "an upgrade whose node does not reboot",
        nodes: &["cp-1", "w-1"],
        with: "distribution: {talos: {version: v1.13.12}}\n",
        faults: &[Fault {
            what: "the sequence fails after the call ended with OK",
            json: || json!({"place": "talos", "target": "w-1", "action": {"sequence_fail": {"sequence": "reboot"}}, "times": 1}),
            says: &[
                "Cannot upgrade node \"w-1\"",
                "it has not rebooted yet",
                "it goes on with this node",
            ],
        }],
        code: 1,
        ..WELL
    },
];

/// What happens while machines are made.
const OF_ORDERS: &[Step] = &[
    Step {
        when: "a worker is added, and orders get no honest answer",
        nodes: &["cp-1", "w-1", "w-2"],
        faults: &[
            Fault {
                what: "the host does not answer in time, and did not do it",
                json: || json!({"place": "proxmox", "target": CREATE, "action": {"status": {"code": 596}}, "times": 1}),
                says: &[],
            },
            Fault {
                what: "the reply to an order is lost",
                json: || json!({"place": "proxmox", "target": CREATE, "action": "lose_reply", "times": 1}),
                says: &[],
            },
            Fault {
                what: "an upload takes its time",
                json: || json!({"place": "proxmox", "target": UPLOAD, "action": {"delay": {"seconds": 600}}, "times": 1}),
                says: &[],
            },
            Fault {
                what: "a gateway gives up on the start, which is done",
                json: || json!({"place": "proxmox", "target": START, "action": {"late_status": {"code": 504}}, "times": 1}),
                says: &[],
            },
        ],
        ..WELL
    },
    Step {
        when: "a worker is added where no space is left",
        nodes: &["cp-1", "w-1", "w-2", "w-3"],
        faults: &[Fault {
            what: "the storage is full",
            json: || json!({"place": "proxmox", "target": CREATE, "action": {"task_error": {"text": "lvcreate error: Volume group \"pve\" has insufficient free space"}}, "times": 1}),
            says: &["insufficient free space", "No machine was made"],
        }],
        code: 1,
        ..WELL
    },
    Step {
        when: "two workers are added, and tasks end in errors after a 200",
        nodes: &["cp-1", "w-1", "w-2", "w-3", "w-4", "w-5"],
        faults: &[
            Fault {
                what: "the image with a configuration is not taken",
                json: || json!({"place": "proxmox", "target": UPLOAD, "action": {"task_error": {"text": "import failed: No space left on device"}}, "times": 1}),
                says: &[
                    "Cannot deliver configuration to machine",
                    "No space left on device",
                ],
            },
            Fault {
                what: "a machine does not start",
                json: || json!({"place": "proxmox", "target": START, "action": {"task_error": {"text": "start failed: QEMU exited with code 1"}}, "times": 1}),
                says: &["QEMU exited with code 1"],
            },
        ],
        code: 1,
        ..WELL
    },
    Step {
        when: "a worker is added, and its configuration is not taken",
        nodes: &["cp-1", "w-1", "w-2", "w-3", "w-4", "w-5", "w-6"],
        faults: &[Fault {
            what: "an upload is refused",
            json: || json!({"place": "proxmox", "target": UPLOAD, "action": {"status": {"code": 500, "body": "{\"data\":null,\"message\":\"unable to create directory '/var/lib/vz/template/iso'\\n\"}"}}, "times": 1}),
            says: &["unable to create directory"],
        }],
        code: 1,
        ..WELL
    },
    Step {
        when: "the provider is killed when a machine was ordered",
        nodes: &["cp-1", "w-1", "w-2", "w-3", "w-4", "w-5", "w-6", "w-7"],
        meddling: Meddling::KilledProvider,
        code: 1,
        ..WELL
    },
    Step {
        when: "Ctrl-C when a machine was ordered",
        nodes: &[
            "cp-1", "w-1", "w-2", "w-3", "w-4", "w-5", "w-6", "w-7", "w-8",
        ],
        meddling: Meddling::Interrupt(1),
        code: 130,
        ..WELL
    },
    Step {
        when: "Ctrl-C twice when a machine was ordered",
        nodes: &[
            "cp-1", "w-1", "w-2", "w-3", "w-4", "w-5", "w-6", "w-7", "w-8", "w-9",
        ],
        meddling: Meddling::Interrupt(2),
        code: 130,
        ..WELL
    },
];

#[test]
fn every_fault_of_talos_ends_as_documented() {
    let project = Project::new();
    endure(&project, OF_NODES);
    let path = format!("{NAME}.yaml");
    project
        .bootstrap(&["destroy", "-c", &path, "--yes"])
        .expect_code(0);
    assert_nothing_left(&project.lab(NAME));
}

#[test]
fn every_fault_of_an_order_of_talos_ends_as_documented() {
    let project = Project::new();
    endure(&project, OF_ORDERS);
    let lab = project.lab(NAME);
    let path = format!("{NAME}.yaml");
    let stuck = json!({"place": "proxmox", "target": "DELETE /api2/json/nodes/*/qemu/*", "action": {"task_error": {"text": "can't remove VM: storage is busy"}}, "times": 1});
    lab.fault(stuck);
    project
        .bootstrap(&["destroy", "-c", &path, "--yes"])
        .expect_code(1)
        .expect_text("storage is busy");
    assert_eq!(vms(&lab.estate()).len(), 1);
    project
        .bootstrap(&["destroy", "-c", &path, "--yes"])
        .expect_code(0);
    assert_nothing_left(&lab);
}

fn endure(project: &Project, steps: &[Step]) {
    let made = RefCell::default();
    let subject = Subject {
        name: NAME,
        text,
        machines: |lab| vms(&lab.estate()).len(),
        assert_tidy: &|lab, names, when| assert_tidy(lab, names, when, &mut made.borrow_mut()),
    };
    subject.endure(project, steps);
}

fn assert_nothing_left(lab: &Lab) {
    let estate = lab.estate()["proxmox"].clone();
    assert_eq!((&estate["vms"], &estate["files"]), (&json!([]), &json!([])));
}

fn text(names: &[&str]) -> String {
    cluster_text(NAME, names) + "store: infisical\n"
}

/// One machine for each node, the same as before, at work, without its image; one etcd with one member for each control plane.
fn assert_tidy(lab: &Lab, names: &[&str], when: &str, made: &mut BTreeMap<String, u64>) {
    let estate = lab.estate();
    let vms = vms(&estate);
    assert_eq!(vms.len(), names.len(), "{when}: {vms:#?}");
    for name in names {
        let title = format!("{NAME}-{name}");
        let mine: Vec<&Value> = vms.iter().filter(|vm| vm["name"] == *title).collect();
        assert_eq!(mine.len(), 1, "{when}: {name}: {vms:#?}");
        let id = mine[0]["vmid"].as_u64().unwrap();
        let known = *made.entry((*name).to_owned()).or_insert(id);
        assert_eq!(known, id, "{when}: {name} was made again");
        let machine = machine(&estate, name);
        assert_eq!(
            (&machine["mode"], &machine["cidata"]),
            (&json!("normal"), &json!(false)),
            "{when}: {machine:#}"
        );
    }
    let files = estate["proxmox"]["files"].as_array().unwrap();
    let images = files
        .iter()
        .filter(|file| file["volid"].as_str().unwrap().contains("iso/"));
    assert_eq!(images.count(), 0, "{when}: {files:#?}");
    assert_one_etcd(&estate);
    let controls = names.iter().filter(|name| name.starts_with("cp"));
    let members = estate["clusters"][0]["members"].as_array().unwrap();
    assert_eq!(members.len(), controls.count(), "{when}: {members:#?}");
}
