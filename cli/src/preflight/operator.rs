//! From where this machine is seen, when the cluster file leaves that to `auto`: found out before a machine is ordered that admits nobody else.

use std::collections::BTreeSet;
use std::net::IpAddr;

use strata_provider::echo::{self, Family};
use strata_provider::environment::Environment;

use crate::finding::{Finding, Report};

/// What each service said.
type Answers = Vec<(String, Result<IpAddr, String>)>;

/// NET-01 and NET-02.
pub(super) async fn check(environment: &Environment, ordering: bool, report: &mut Report) {
    let (v4, v6) = tokio::join!(
        echo::all(environment, Family::V4),
        echo::all(environment, Family::V6)
    );
    report.check(unknown(&v4, &v6, ordering));
    for (family, answers) in [(Family::V4, &v4), (Family::V6, &v6)] {
        report.check(disagreement(family, answers));
    }
}

/// Without an address no node can be ordered: it would admit nobody. While nothing is ordered, that is worth a line.
fn unknown(v4: &Answers, v6: &Answers, ordering: bool) -> Option<Finding> {
    let answers = || v4.iter().chain(v6);
    if answers().any(|(_, answer)| answer.is_ok()) {
        return None;
    }
    let reasons: Vec<String> = answers()
        .filter_map(|(url, answer)| Some(format!("{url}: {}", answer.as_ref().err()?)))
        .collect();
    let message = format!(
        "access.operators is `auto`, and no echo service told this machine's address ({})",
        reasons.join("; ")
    );
    let fix = "write your address into access.operators, or name services of your own in STRATA_ECHO_IPV4 and STRATA_ECHO_IPV6";
    Some(if ordering {
        Finding::error("NET-01", message, fix)
    } else {
        Finding::warning("NET-01", message, fix)
    })
}

/// Several addresses at once: a pool of a provider's carrier-grade NAT, or two ways out. A node admits the one that is seen when it is ordered.
fn disagreement(family: Family, answers: &Answers) -> Option<Finding> {
    let seen: BTreeSet<IpAddr> = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok().copied())
        .collect();
    if seen.len() < 2 {
        return None;
    }
    let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
    Some(Finding::warning(
        "NET-02",
        format!(
            "echo services see this machine at several {family} addresses ({}); a new node admits one of them, and the next connection may come from another",
            seen.join(", ")
        ),
        "write the network they are from into access.operators, for example [\"203.0.113.0/24\"]",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Severity;

    fn answers(list: &[Result<&str, &str>]) -> Answers {
        list.iter()
            .map(|answer| {
                let answer = answer
                    .map(|text| text.parse().unwrap())
                    .map_err(str::to_owned);
                ("https://echo".to_owned(), answer)
            })
            .collect()
    }

    #[test]
    fn one_answer_of_either_family_is_enough() {
        let (none, some) = (
            answers(&[Err("nothing within 5 s"); 3]),
            answers(&[Err("404"), Ok("2001:db8::5")]),
        );
        assert!(unknown(&none, &some, true).is_none());
        let finding = unknown(&none, &none, true).unwrap();
        assert!(
            finding.code == "NET-01" && finding.severity == Severity::Error,
            "{finding}"
        );
        assert!(finding.message.contains("nothing within 5 s"));
        assert!(unknown(&none, &none, false).unwrap().severity == Severity::Warning);
    }

    #[test]
    fn services_that_disagree_are_a_warning_with_what_they_said() {
        let pool = answers(&[Ok("203.0.113.5"), Ok("203.0.113.6"), Err("503")]);
        let finding = disagreement(Family::V4, &pool).unwrap();
        assert!(
            finding.code == "NET-02" && finding.severity == Severity::Warning,
            "{finding}"
        );
        assert!(finding.message.contains("203.0.113.5, 203.0.113.6"));
        let same = answers(&[Ok("203.0.113.5"), Ok("203.0.113.5")]);
        assert!(disagreement(Family::V4, &same).is_none());
    }
}
