//! Recorded event streams and the lines they become.

use super::*;
use crate::terraform::event::parse;

fn hook(kind: &str, resource_type: &str, key: &str, action: &str, seconds: u64) -> Event {
    let line = format!(
        r#"{{"type":"{kind}","hook":{{"resource":{{"addr":"module.x.{resource_type}.this[\"{key}\"]","module":"module.x","resource_type":"{resource_type}","resource_key":"{key}"}},"action":"{action}","elapsed_seconds":{seconds}}}}}"#
    );
    parse(&line).expect("written above")
}

fn texts(lines: Vec<Line>) -> Vec<String> {
    lines.into_iter().map(|line| line.text).collect()
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn what_begins_together_is_one_line() {
    let mut progress = Progress::new(Layer::Infrastructure, at(0));
    for name in ["w-1", "cp-1", "cp-2"] {
        assert!(
            progress
                .event(
                    at(1),
                    &hook(
                        "apply_start",
                        "strata_scaleway_baremetal_server",
                        name,
                        "create",
                        0
                    )
                )
                .is_empty()
        );
    }
    assert!(progress.tick(at(1)).is_empty());
    assert_eq!(texts(progress.tick(at(2))), ["ordering cp-1 cp-2 w-1"]);
    assert!(progress.tick(at(3)).is_empty());
}

#[test]
fn a_wait_speaks_every_thirty_seconds_and_says_for_what() {
    let mut progress = Progress::new(Layer::Infrastructure, at(0));
    progress.event(
        at(0),
        &hook(
            "apply_start",
            "strata_scaleway_baremetal_server",
            "cp-1",
            "create",
            0,
        ),
    );
    progress.event(
        at(0),
        &hook("apply_start", "strata_dns_record", "www", "create", 0),
    );
    assert_eq!(texts(progress.tick(at(1))), ["ordering cp-1"]);
    assert!(progress.tick(at(30)).is_empty());
    assert_eq!(
        texts(progress.tick(at(31))),
        ["waiting for 2: the DNS service www (31 s); delivery of cp-1 (31 s)"]
    );
    assert!(progress.tick(at(60)).is_empty());
    assert_eq!(progress.tick(at(61)).len(), 1);
}

#[test]
fn a_failure_is_told_at_once_with_what_still_runs() {
    let mut progress = Progress::new(Layer::Infrastructure, at(0));
    for name in ["cp-2", "cp-3"] {
        progress.event(
            at(0),
            &hook("apply_start", "strata_kubeadm_node", name, "create", 0),
        );
    }
    progress.tick(at(2));
    let lines = progress.event(
        at(9),
        &hook("apply_errored", "strata_kubeadm_node", "cp-3", "create", 9),
    );
    assert_eq!(
        texts(lines),
        ["cp-3: FAILED after 9 s", "letting what runs finish: cp-2"]
    );
    assert_eq!(progress.failed.len(), 1);
    progress.event(
        at(10),
        &hook(
            "apply_complete",
            "strata_kubeadm_node",
            "cp-2",
            "create",
            10,
        ),
    );
    assert_eq!(
        texts(progress.finish(at(10))),
        ["member of the cluster: cp-2 (10 s)"]
    );
    assert_eq!(
        progress.created,
        [r#"module.x.strata_kubeadm_node.this["cp-2"]"#]
    );
}

#[test]
fn a_plan_says_what_it_means_for_servers() {
    let mut plan = PlannedChanges::default();
    let planned = |key: &str, action: &str| {
        parse(&format!(
            r#"{{"type":"planned_change","change":{{"resource":{{"addr":"a","module":"module.machine[\"{key}\"]","resource_type":"strata_scaleway_baremetal_server","resource_key":null}},"action":"{action}"}}}}"#
        ))
        .expect("written above")
    };
    plan.event(&planned("cp-1", "update"));
    plan.event(&parse(r#"{"type":"change_summary","changes":{"add":9,"import":0,"change":1,"remove":0,"operation":"plan"}}"#).expect("written above"));
    assert_eq!(
        plan.sentence(),
        "9 to create, 1 to update; no server is replaced"
    );
    plan.event(&planned("w-1", "create"));
    plan.event(&planned("cp-2", "delete"));
    assert_eq!(
        plan.sentence(),
        "9 to create, 1 to update; 1 server ordered; given back: cp-2"
    );
    assert_eq!(totals(Totals::default()), "no changes");
}

#[test]
fn the_guard_is_not_counted() {
    let mut plan = PlannedChanges::default();
    plan.event(&parse(r#"{"type":"planned_change","change":{"resource":{"addr":"terraform_data.guard","resource_type":"terraform_data"},"action":"create"}}"#).unwrap());
    plan.event(&parse(r#"{"type":"change_summary","changes":{"add":1,"import":0,"change":0,"remove":0,"operation":"plan"}}"#).unwrap());
    assert!(!plan.totals.any());
}
