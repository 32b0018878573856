//! Many resources at once against a world that is often too busy to answer.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::workspace::{Workspace, eventually};

#[test]
fn five_hundred_at_fifty_at_once_with_a_busy_world() {
    let space = Workspace::new(
        r#"
provider "example" {
  alias  = "busy"
  folder = var.folder
  busy   = 30
  seed   = 4
}
resource "example_thing" "many" {
  provider = example.busy
  count    = 500
  name     = "t-${count.index}"
  size     = 1 + count.index % 9
}
"#,
    );
    let applied = space
        .run(&["apply", "-auto-approve", "-parallelism=50"])
        .succeeds();
    assert!(
        applied.contains("500 added, 0 changed, 0 destroyed"),
        "{applied}"
    );
    let journal = space.journal();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &journal {
        *counts.entry(line.split(' ').next().unwrap()).or_default() += 1;
    }
    // Each is looked for and written: 1,000 requests, 30 of 100 attempts refused, so about 430 refusals.
    assert_eq!(counts["done"], 1000, "{counts:?}");
    assert!((350..520).contains(&counts["busy"]), "{counts:?}");
    let written: Vec<_> = journal
        .iter()
        .filter(|line| line.starts_with("done write "))
        .collect();
    assert_eq!(written.len(), 500, "each is written once");
    assert_eq!(space.instances("example_thing.many").len(), 500);

    let plan = space.run(&["plan", "-detailed-exitcode", "-parallelism=50"]);
    assert_eq!(plan.code, 0, "{}", plan.text);
}

#[test]
fn fifty_calls_are_served_at_once() {
    let space = Workspace::new(
        r#"
resource "example_thing" "many" {
  count = 60
  name  = "t-${count.index}"
  mood  = "deaf"
}
"#,
    );
    let things = || {
        let files = std::fs::read_dir(space.file(".")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
            .count()
    };
    let running = space.start(&["apply", "-auto-approve", "-parallelism=50"]);
    // None of them ends before it is woken: all fifty are in flight, in one process.
    eventually("50 begun", Duration::from_mins(1), || things() == 50);
    for number in 0..60 {
        std::fs::write(space.file(&format!("t-{number}.wake")), "").unwrap();
    }
    running.ended().succeeds();
    assert_eq!(things(), 60);
}
