//! Snapshots in a bucket: brought there by every run, pruned, burned over, restored from; and a bucket that is not there, or does not answer.

use serde_json::{Value, json};

use crate::cold_start::assert_ready;
use crate::day_two::cluster_text;
use crate::harness::{Lab, Project};

const NAME: &str = "bucket";
const PLACE: &str = "s3://strata-lab/clusters/home";

/// The objects of the lab's bucket.
fn objects(lab: &Lab) -> Vec<String> {
    let estate = lab.estate();
    let keys = estate["s3"]["strata-lab"].as_array().unwrap().iter();
    keys.map(|object: &Value| object["key"].as_str().unwrap().to_owned())
        .collect()
}

fn note(project: &Project, name: &str) {
    let made = project.kubectl(NAME, &["create", "configmap", name, "--from-literal=a=b"]);
    made.expect_code(0);
}

#[test]
fn a_cluster_backed_up_to_a_bucket_burns_and_comes_back_from_there() {
    let project = Project::new();
    let nodes = [("cp-1", "control-plane"), ("w-1", "worker")];
    let text = format!(
        "{}backup: {{etcd: {{to: \"{PLACE}\"}}}}\n",
        cluster_text(NAME, &nodes)
    );
    let file = project.cluster_file(NAME, &text);
    let path = file.to_str().unwrap();
    let run = |arguments: &[&str]| project.bootstrap(&[arguments, &["-c", path]].concat());

    // Nothing is ordered before the bucket is known to take snapshots.
    run(&["--yes", "--set", "backup.etcd.to=s3://missing/home"])
        .expect_code(2)
        .expect_text("BACKUP-01")
        .expect_text("NoSuchBucket");
    let lab = project.lab(NAME);
    let write = |times: Option<u32>, action: Value| {
        let mut fault = json!({ "place": "s3", "target": "PUT /{bucket}/{key}", "action": action });
        if let Some(times) = times {
            fault["times"] = times.into();
        }
        lab.fault(fault);
    };
    write(Some(1), json!({ "status": { "code": 403 } }));
    run(&["--yes"])
        .expect_code(2)
        .expect_text("BACKUP-02")
        .expect_text("s3:PutObject");
    assert_eq!(lab.servers().len(), 0);
    assert_eq!(
        objects(&lab),
        Vec::<String>::new(),
        "a preflight leaves nothing"
    );

    // The first run brings the first snapshot, sealed, through a storage that stumbles.
    write(Some(2), json!({ "status": { "code": 503 } }));
    run(&["--yes"]).expect_code(0).expect_text(PLACE);
    lab.clear_faults();
    let first = objects(&lab);
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(
        first[0].starts_with(&format!("clusters/home/{NAME}-")),
        "{first:?}"
    );
    note(&project, "before");
    run(&["backup"])
        .expect_code(0)
        .expect_text(PLACE)
        .expect_text("sealed with a key of the cluster's PKI");
    run(&["status"])
        .expect_code(0)
        .expect_text(&format!("2 snapshots of etcd in {PLACE}, the newest"));
    run(&["backup", "--set", "backup.etcd.keep=1"]).expect_code(0);
    let kept = objects(&lab);
    assert_eq!(kept.len(), 1, "the oldest go: {kept:?}");
    assert!(!first.contains(&kept[0]), "{kept:?}");

    // A bucket that takes nothing costs no snapshot: it lies beside the cluster file.
    write(None, json!({ "status": { "code": 503 } }));
    run(&["backup"])
        .expect_code(1)
        .expect_text("SlowDown")
        .expect_text("instead");
    lab.clear_faults();
    assert_eq!(objects(&lab), kept);
    let folder = project.path().join(format!(".strata/{NAME}/snapshots"));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::remove_dir_all(&folder).unwrap();

    note(&project, "after");
    for server in lab.servers().keys() {
        lab.change(json!({ "delete_server": server }));
    }
    // By its address, and by its name alone.
    let name = kept[0].rsplit('/').next().unwrap();
    run(&["restore", &format!("{PLACE}/nothing-here.etcd.age")])
        .expect_code(1)
        .expect_text("NoSuchKey");
    run(&["restore", &format!("{PLACE}/{name}")])
        .expect_code(0)
        .expect_text("fetched");
    let fetched = std::fs::read(folder.join(name)).unwrap();
    assert!(
        fetched.starts_with(b"age-encryption.org/"),
        "only sealed snapshots leave"
    );
    std::fs::remove_file(folder.join(name)).unwrap();
    run(&["restore", name])
        .expect_code(0)
        .expect_text("fetched");
    let up = run(&["--yes"]);
    assert!(matches!(up.code, 0 | 4), "{}", up.text());
    run(&["--yes"]).expect_code(0);
    assert_ready(&project, NAME, 2);
    let maps = project
        .kubectl(NAME, &["get", "configmap", "--output", "name"])
        .expect_code(0);
    assert!(maps.stdout.contains("configmap/before"), "{}", maps.stdout);
    assert!(!maps.stdout.contains("configmap/after"), "{}", maps.stdout);

    // The last snapshot before a destroy goes there too.
    let before = objects(&lab);
    run(&["destroy", "--yes"])
        .expect_code(0)
        .expect_text(&format!("the latest {PLACE}/{NAME}-"));
    let left = objects(&lab);
    assert_eq!(left.len(), before.len() + 1, "{left:?}");
}

/// Nodes of Talos save nothing by themselves: `up` and `backup` read etcd over their API and bring it away.
#[test]
fn a_cluster_of_talos_is_backed_up_by_command_and_comes_back_from_the_bucket() {
    let project = Project::new();
    let name = "lab-talos";
    let example = project.path().join("examples/clusters/lab-talos.yaml");
    let example = std::fs::read_to_string(example).unwrap();
    let small = example.lines().filter(|line| {
        !["cp-2:", "cp-3:", "w-2:"]
            .iter()
            .any(|node| line.contains(node))
    });
    let text = format!(
        "{}\nbackup: {{etcd: {{to: \"s3://example-backup\"}}}}\n",
        small.collect::<Vec<_>>().join("\n")
    );
    let file = project.cluster_file(name, &text);
    let path = file.to_str().unwrap();
    let run = |arguments: &[&str]| project.bootstrap(&[arguments, &["-c", path]].concat());
    run(&["--yes"])
        .expect_code(0)
        .expect_text("s3://example-backup/lab-talos-");
    let made = project.kubectl(name, &["create", "configmap", "kept", "--from-literal=a=b"]);
    made.expect_code(0);
    run(&["backup"]).expect_code(0).expect_text("sealed");
    run(&["status"])
        .expect_code(0)
        .expect_text("2 snapshots of etcd in s3://example-backup, the newest")
        .expect_text("nodes of Talos save none by themselves");

    let lab = project.lab(name);
    let estate = lab.estate();
    let keys = estate["s3"]["example-backup"].as_array().unwrap();
    let newest = keys.last().unwrap()["key"].as_str().unwrap();
    for machine in estate["talos"]["machines"].as_array().unwrap() {
        let (_, id) = machine["vm"].as_str().unwrap().split_once('/').unwrap();
        lab.change(json!({ "delete_vm": id.parse::<u32>().unwrap() }));
    }
    run(&["restore", newest])
        .expect_code(0)
        .expect_text("fetched");
    let up = run(&["--yes"]);
    assert!(matches!(up.code, 0 | 4), "{}", up.text());
    run(&["--yes"]).expect_code(0);
    assert_ready(&project, name, 2);
    project
        .kubectl(
            name,
            &["get", "configmap", "kept", "-o", "jsonpath={.data.a}"],
        )
        .expect_code(0)
        .expect_text("b");
}
