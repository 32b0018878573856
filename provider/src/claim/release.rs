//! When a claim may be released by hand (`strata unlock`): never while its run may be at work, never while the cluster lives. Pure.

use super::process::Standing;
use super::{Claim, State};

/// Whether the cluster's API answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// It does.
    Answers,
    /// Every address of a control plane was tried, and none answers; or there is no control plane.
    Silent,
}

/// What was looked at before the decision.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Id of the estate of whoever asks.
    pub owner: &'a str,
    /// The process that wrote the claim.
    pub standing: &'a Standing,
    /// The cluster's API.
    pub api: Api,
    /// How many machines the platform has with the estate's mark.
    pub machines: usize,
    /// The run that a person says is over.
    pub confirmed: Option<&'a str>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is no claim.
    Nothing,
    /// It may go; the sentence says why.
    Release(String),
    /// Only a person can know; the sentence says why.
    Ask(String),
    /// It must stay; the sentence says why and what to do.
    Refuse(String),
}

/// Decides.
pub fn release(claim: Option<&Claim>, evidence: Evidence<'_>) -> Verdict {
    let Some(claim) = claim else {
        return Verdict::Nothing;
    };
    if claim.owner != evidence.owner {
        return Verdict::Refuse(format!(
            "it belongs to estate {}, and this estate is {}: only whoever has that estate may release it",
            claim.owner, evidence.owner
        ));
    }
    if evidence.api == Api::Answers {
        return Verdict::Refuse(
            "the cluster's API answers: without the claim the next run would initialise a second cluster. Nothing holds you up: run `up`, it goes on".into(),
        );
    }
    match claim.state {
        // Such a claim is no run's: it says that the cluster exists.
        State::Initialised | State::Teardown if evidence.machines == 0 => {
            Verdict::Release("the cluster that it speaks of is gone: no machine carries the estate's mark, and no API answers".into())
        }
        State::Initialised | State::Teardown => Verdict::Refuse(format!(
            "it says that the cluster lives, and {} of the estate's machines are there, though no API answers. Mend them, or take the cluster down: ./bootstrap.sh destroy",
            evidence.machines
        )),
        State::Claimed => match evidence.standing {
            Standing::Alive => Verdict::Refuse("its run is at work on this machine. Wait for it, or stop it with Ctrl-C".into()),
            Standing::Dead(how) => Verdict::Release(how.clone()),
            Standing::Unknown(_) if evidence.confirmed == Some(claim.run.as_str()) => {
                Verdict::Release("you say that its run is over".into())
            }
            Standing::Unknown(why) => Verdict::Ask(why.clone()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_release() {
        use Standing::{Alive, Dead, Unknown};
        let (dead, unknown) = (Dead("gone".into()), Unknown("elsewhere".into()));
        let claim = |state| Claim {
            state,
            ..Claim::new("estate", "cp-1", "run-1")
        };
        let word = |state, standing: &Standing, api, machines, confirmed| {
            let evidence = Evidence {
                owner: "estate",
                standing,
                api,
                machines,
                confirmed,
            };
            match release(Some(&claim(state)), evidence) {
                Verdict::Nothing => "nothing",
                Verdict::Release(_) => "release",
                Verdict::Ask(_) => "ask",
                Verdict::Refuse(_) => "refuse",
            }
        };
        let table = [
            // A run at work is never robbed, whatever a person says.
            (State::Claimed, &Alive, Api::Silent, 1, None, "refuse"),
            (
                State::Claimed,
                &Alive,
                Api::Silent,
                1,
                Some("run-1"),
                "refuse",
            ),
            (State::Claimed, &dead, Api::Silent, 1, None, "release"),
            (State::Claimed, &dead, Api::Silent, 0, None, "release"),
            // From elsewhere it takes the run's own name.
            (State::Claimed, &unknown, Api::Silent, 1, None, "ask"),
            (
                State::Claimed,
                &unknown,
                Api::Silent,
                1,
                Some("run-2"),
                "ask",
            ),
            (
                State::Claimed,
                &unknown,
                Api::Silent,
                1,
                Some("run-1"),
                "release",
            ),
            // Its init went through, and only the note of it is missing.
            (
                State::Claimed,
                &dead,
                Api::Answers,
                1,
                Some("run-1"),
                "refuse",
            ),
            (
                State::Initialised,
                &dead,
                Api::Answers,
                3,
                Some("run-1"),
                "refuse",
            ),
            (
                State::Initialised,
                &dead,
                Api::Silent,
                3,
                Some("run-1"),
                "refuse",
            ),
            (
                State::Initialised,
                &unknown,
                Api::Silent,
                0,
                None,
                "release",
            ),
            (State::Teardown, &unknown, Api::Silent, 0, None, "release"),
            (State::Teardown, &dead, Api::Silent, 1, None, "refuse"),
        ];
        for (state, standing, api, machines, confirmed, expected) in table {
            assert_eq!(
                word(state, standing, api, machines, confirmed),
                expected,
                "{state:?} {standing:?} {api:?} {machines} {confirmed:?}"
            );
        }
    }

    #[test]
    fn nobodys_claim_and_somebody_elses() {
        let evidence = Evidence {
            owner: "mine",
            standing: &Standing::Dead("gone".into()),
            api: Api::Silent,
            machines: 0,
            confirmed: Some("run-1"),
        };
        assert_eq!(release(None, evidence), Verdict::Nothing);
        let foreign = Claim::new("theirs", "cp-1", "run-1");
        let Verdict::Refuse(sentence) = release(Some(&foreign), evidence) else {
            panic!("not refused")
        };
        assert!(sentence.contains("theirs") && sentence.contains("mine"));
    }
}
