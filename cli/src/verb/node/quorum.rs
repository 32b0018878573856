//! Whether the cluster survives without some of its control planes, before anything is changed. The provider asks etcd once more when a
//! member leaves; here the API's view of the nodes is enough to refuse what would stop half-way.

use anyhow::Context as _;
use strata_provider::kubernetes::node;

use crate::{
    observe,
    project::Layer,
    session::{Purpose, Session, World},
};

/// A control plane that is a member.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    name: String,
    ready: bool,
}

/// Looks, and decides. `comes_back`: a replacement, so that the last one may not go either.
pub(super) async fn may_go(
    session: &Session,
    world: &World,
    leaving: &[&str],
    comes_back: bool,
) -> anyhow::Result<Result<(), String>> {
    let spec = &session.cluster.spec;
    let touches = leaving
        .iter()
        .any(|name| spec.control_planes.iter().any(|plane| plane == name));
    if !touches || !session.project.has_state(Layer::Infrastructure) {
        return Ok(Ok(()));
    }
    if comes_back && spec.control_planes.len() == 1 {
        return Ok(Err(format!(
            "{} is the only control plane: while it is replaced there would be no cluster. Give it company first, for example: {}",
            leaving.join(" "),
            session.again("node add cp-2 cp-3 --role control-plane")
        )));
    }
    let outputs = session
        .terraform(world, Purpose::Build)?
        .outputs(Layer::Infrastructure)
        .await?;
    let addresses = observe::addresses(&outputs["machines"]);
    let client = observe::client(session, world.environment.dialer(), &addresses).await?;
    let seen = match node::list(&client).await.context("listing the nodes") {
        Ok(seen) => seen,
        Err(error) => {
            return Ok(Err(format!(
                "the API does not answer, so nobody knows whether the cluster survives without {}: {error:#}",
                leaving.join(" ")
            )));
        }
    };
    let members: Vec<Member> = seen
        .iter()
        .filter(|node| node.control_plane)
        .map(|node| Member {
            name: node.name.clone(),
            ready: node.is_ready(),
        })
        .collect();
    Ok(decide(&members, leaving))
}

/// Members leave one at a time, dead ones first; after each step a majority of what is left has to be alive.
fn decide(members: &[Member], leaving: &[&str]) -> Result<(), String> {
    let mut rest = members.to_vec();
    let mut order: Vec<&Member> = members
        .iter()
        .filter(|member| leaving.contains(&member.name.as_str()))
        .collect();
    order.sort_by_key(|member| member.ready);
    for gone in order {
        rest.retain(|member| member != gone);
        let alive = rest.iter().filter(|member| member.ready).count();
        if alive < rest.len() / 2 + 1 {
            let dead: Vec<_> = rest
                .iter()
                .filter(|member| !member.ready)
                .map(|member| member.name.as_str())
                .collect();
            let why = if dead.is_empty() {
                "nothing would be left of etcd".to_owned()
            } else {
                format!(
                    "only {alive} of {} members of etcd would be alive (not Ready: {}), which is no majority. Mend or replace these first",
                    rest.len(),
                    dead.join(" ")
                )
            };
            return Err(format!(
                "without {} the cluster would stop: {why}",
                gone.name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(states: &[(&str, bool)]) -> Vec<Member> {
        states
            .iter()
            .map(|(name, ready)| Member {
                name: (*name).into(),
                ready: *ready,
            })
            .collect()
    }

    #[test]
    fn a_majority_of_what_is_left_has_to_be_alive() {
        let healthy = members(&[("cp-1", true), ("cp-2", true), ("cp-3", true)]);
        assert_eq!(decide(&healthy, &["cp-2"]), Ok(()));
        assert_eq!(decide(&healthy, &["cp-2", "cp-3"]), Ok(()));
        assert_eq!(decide(&healthy, &["w-1"]), Ok(()));
        let one_dead = members(&[("cp-1", true), ("cp-2", false), ("cp-3", true)]);
        assert_eq!(decide(&one_dead, &["cp-2"]), Ok(()), "the dead one may go");
        let refused = decide(&one_dead, &["cp-1"]).unwrap_err();
        assert!(
            refused.contains("only 1 of 2") && refused.contains("not Ready: cp-2"),
            "{refused}"
        );
        // With the dead one out of the way first, both may go.
        assert_eq!(decide(&one_dead, &["cp-1", "cp-2"]), Ok(()));
        assert!(decide(&members(&[("cp-1", true)]), &["cp-1"]).is_err());
    }
}
