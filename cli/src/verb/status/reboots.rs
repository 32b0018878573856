//! Which nodes have an update of their system that waits for a reboot, and since when (FN12). Updates are fetched by the node; its reboot is kured's
//! or a person's.

use jiff::Timestamp;
use serde_json::Value;
use strata_provider::verb::Verb;

use super::ask::ask;
use crate::session::{Session, World};

/// The lines of `status`.
pub(super) async fn lines(session: &Session, world: &World, machines: &Value) -> Vec<String> {
    let nodes = session.cluster.spec.nodes.keys();
    let answers = ask(session, world, machines, nodes, Verb::Updates).await;
    words(&answers, &session.again("node reboot NAME"))
}

fn words(answers: &[(String, Option<String>)], command: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut unseen = Vec::new();
    for (node, answer) in answers {
        let Some(answer) = answer else {
            unseen.push(node.as_str());
            continue;
        };
        if let Some(since) = since(answer) {
            lines.push(format!(
                "reboot pending since {}: {node}",
                since.strftime("%Y-%m-%d %H:%M UTC")
            ));
        }
    }
    lines.sort();
    if !lines.is_empty() {
        lines.push(format!("one node at a time: {command}"));
    }
    if !unseen.is_empty() {
        lines.push(format!(
            "whether a reboot is pending was not observed: {}",
            unseen.join(" ")
        ));
    }
    lines
}

/// The log holds the moment on a line of its own, or nothing.
fn since(answer: &str) -> Option<Timestamp> {
    let seconds = answer.lines().find_map(|line| line.trim().parse().ok())?;
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_wait_are_named_the_longest_first() {
        let answer = |node: &str, text: Option<&str>| (node.to_owned(), text.map(str::to_owned));
        let answers = [
            answer("cp-1", Some("1764150000\n")),
            answer("cp-2", Some("")),
            answer("w-1", None),
            answer("w-2", Some("1764060000\n")),
        ];
        assert_eq!(
            words(&answers, "./bootstrap.sh node reboot NAME"),
            [
                "reboot pending since 2025-11-25 08:40 UTC: w-2",
                "reboot pending since 2025-11-26 09:40 UTC: cp-1",
                "one node at a time: ./bootstrap.sh node reboot NAME",
                "whether a reboot is pending was not observed: w-1",
            ]
        );
        assert!(words(&[answer("cp-2", Some(""))], "").is_empty());
    }
}
