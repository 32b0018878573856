//! Questions to the person at the terminal. Where there is no terminal, nobody is asked and nothing is done without `--yes`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::session::Session;

/// Asks a person to type a word. `otherwise` is the command that needs no question.
pub(crate) fn ask(
    session: &Session,
    question: &str,
    answer: &str,
    otherwise: &str,
) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        session.console.plain(&format!(
            "not a terminal and no --yes: refused. To go on: {otherwise}"
        ));
        return Ok(false);
    }
    write!(std::io::stdout(), "{question}")?;
    std::io::stdout().flush()?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    let same = typed.trim() == answer;
    if !same {
        session.console.plain("not confirmed; nothing was changed");
    }
    Ok(same)
}

/// What `--yes` says.
#[derive(Debug, PartialEq, Eq)]
enum Consent {
    Given,
    Asked,
    /// Refused, with the reason.
    Refused(String),
}

/// The lab takes a bare `--yes`; a paid platform wants the cluster's name.
fn consent(yes: Option<&str>, cluster: &str, lab: bool) -> Consent {
    match yes {
        None => Consent::Asked,
        Some(given) if given == cluster || (given.is_empty() && lab) => Consent::Given,
        Some("") => Consent::Refused("a paid platform wants the cluster's name".to_owned()),
        Some(given) => Consent::Refused(format!("--yes={given} is not this cluster's name")),
    }
}

/// Before money is spent: a bare `--yes` does, and a name has to be this cluster's.
fn consent_to_order(yes: Option<&str>, cluster: &str) -> Consent {
    match yes {
        None => Consent::Asked,
        Some(given) if given.is_empty() || given == cluster => Consent::Given,
        Some(given) => Consent::Refused(format!("--yes={given} is not this cluster's name")),
    }
}

/// Asks for the cluster's name before something is ordered.
pub(crate) fn may_order(session: &Session, yes: Option<&str>) -> anyhow::Result<bool> {
    let name = session.cluster.name();
    let command = session.again("up");
    match consent_to_order(yes, name) {
        Consent::Given => Ok(true),
        Consent::Refused(reason) => {
            session.console.plain(&format!(
                "{reason}: refused. To go on: {command} --yes={name}"
            ));
            Ok(false)
        }
        Consent::Asked => ask(
            session,
            &format!("Type the cluster's name ({name}) to order: "),
            name,
            &format!("{command} --yes"),
        ),
    }
}

/// Asks for the cluster's name before something is taken away. `command` is the whole command without `--yes`.
pub(crate) fn agreed(
    session: &Session,
    yes: Option<&str>,
    purpose: &str,
    command: &str,
) -> anyhow::Result<bool> {
    let name = session.cluster.name();
    let command = if session.cluster.is_lab() {
        format!("{command} --yes")
    } else {
        format!("{command} --yes={name}")
    };
    match consent(yes, name, session.cluster.is_lab()) {
        Consent::Given => Ok(true),
        Consent::Refused(reason) => {
            session
                .console
                .plain(&format!("{reason}: refused. To go on: {command}"));
            Ok(false)
        }
        Consent::Asked => ask(
            session,
            &format!("Type the cluster's name ({name}) to {purpose}: "),
            name,
            &command,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paid_platform_wants_the_name() {
        assert_eq!(consent(None, "prod", true), Consent::Asked);
        assert_eq!(consent(Some(""), "lab", true), Consent::Given);
        assert!(matches!(
            consent(Some(""), "prod", false),
            Consent::Refused(reason) if reason.contains("paid")
        ));
        assert_eq!(consent(Some("prod"), "prod", false), Consent::Given);
        for lab in [true, false] {
            assert!(matches!(
                consent(Some("home"), "prod", lab),
                Consent::Refused(reason) if reason.contains("--yes=home")
            ));
        }
    }

    #[test]
    fn an_order_wants_a_word_and_never_another_clusters_name() {
        assert_eq!(consent_to_order(None, "prod"), Consent::Asked);
        assert_eq!(consent_to_order(Some(""), "prod"), Consent::Given);
        assert_eq!(consent_to_order(Some("prod"), "prod"), Consent::Given);
        assert!(matches!(
            consent_to_order(Some("home"), "prod"),
            Consent::Refused(reason) if reason.contains("--yes=home")
        ));
    }
}
