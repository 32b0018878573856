//! A wrong cluster file is refused by preflight and by the first plan, naming line and field, before any call is made.

use std::fs;

use crate::cold_start::assert_only_reads;
use crate::harness::Project;

/// What is wrong, the file, the line and the field the finding must name.
const WRONG: &[(&str, &str, usize, &str)] = &[
    (
        "unknown field",
        "strata: 1\nname: wrong\nlab: true\nplatform: scaleway\nendpont: {name: api.wrong.strata.test}\nnodes:\n  cp-1: control-plane\n",
        5,
        "endpont",
    ),
    (
        "bad role",
        "strata: 1\nname: wrong\nlab: true\nplatform: scaleway\nendpoint: {name: api.wrong.strata.test}\nnodes:\n  cp-1: control-plane\n  w-1: wroker\n",
        8,
        "w-1",
    ),
    (
        "even control planes",
        "strata: 1\nname: wrong\nlab: true\nplatform: scaleway\ndns: {cloudflare: {zone: strata.test}}\nendpoint: {name: api.wrong.strata.test}\nnodes:\n  cp-1: control-plane\n  cp-2: control-plane\n",
        9,
        "nodes.cp-2",
    ),
    (
        "overlapping networks",
        "strata: 1\nname: wrong\nlab: true\nplatform: scaleway\ndns: {cloudflare: {zone: strata.test}}\nendpoint: {name: api.wrong.strata.test}\nnetwork:\n  pods: 10.96.0.0/16\nnodes:\n  cp-1: control-plane\n",
        8,
        "network.pods",
    ),
    (
        "a secret",
        "strata: 1\nname: wrong\nlab: true\nplatform: scaleway\ndns: {cloudflare: {zone: strata.test}}\nendpoint: {name: api.wrong.strata.test}\nnodes:\n  cp-1:\n    role: control-plane\n    labels: {example.org/token: AGE-SECRET-KEY-1QQPQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ}\n",
        10,
        "nodes.cp-1.labels",
    ),
];

#[test]
fn a_wrong_cluster_file_is_refused_before_any_call() {
    let project = Project::new();
    // A lab of a good cluster runs, so that a call would have somewhere to go and be counted.
    let good = project.cluster_file("wrong-good", "strata: 1\nname: wrong\nlab: {speed: 300}\nplatform: scaleway\nendpoint: {name: api.wrong.strata.test}\ndns: {cloudflare: {zone: strata.test}}\nnodes:\n  cp-1: control-plane\n");
    project
        .bootstrap(&["preflight", "-c", good.to_str().unwrap()])
        .expect_code(0);
    let lab = project.lab("wrong");
    for (what, text, line, field) in WRONG {
        let file = project.cluster_file("wrong", text);
        lab.clear_calls();
        let refused = project.bootstrap(&["preflight", "-c", file.to_str().unwrap()]);
        assert_eq!(refused.code, 2, "{what}: {}", refused.text());
        let place = format!("wrong.yaml:{line}:");
        assert!(
            refused.text().contains(&place) && refused.text().contains(field),
            "{what}: {place} and {field} are not in\n{}",
            refused.text()
        );
        assert!(
            !refused.text().contains("AGE-SECRET-KEY-1QQ"),
            "{what}: the value is quoted"
        );

        let refused = project.terraform("wrong", &file, "00-auth", &["plan", "-input=false"]);
        assert_eq!(refused.code, 1, "{what}: {}", refused.text());
        // Terraform wraps its error texts: compare without line breaks and frames.
        let folded: String = refused
            .text()
            .chars()
            .filter(|character| !character.is_whitespace() && *character != '│')
            .collect();
        assert!(
            folded.contains(&place) && folded.contains(field),
            "{what}: {place} and {field} are not in\n{}",
            refused.text()
        );
        assert!(
            !folded.contains("AGE-SECRET-KEY-1QQ"),
            "{what}: the value is quoted"
        );
        assert_eq!(
            lab.calls(),
            std::collections::BTreeMap::new(),
            "{what}: calls were made"
        );
    }

    // A budget is a hard stop before anything is ordered, also with --yes.
    let dear = fs::read_to_string(&good).unwrap() + "budget: {max_per_month: 1 EUR}\n";
    let file = project.cluster_file("wrong", &dear);
    lab.clear_calls();
    project
        .bootstrap(&["-c", file.to_str().unwrap(), "--yes"])
        .expect_code(2)
        .expect_text("BUDGET-01")
        .expect_text("may cost 1 EUR");
    assert_only_reads(&lab);
}
