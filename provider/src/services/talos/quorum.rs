//! Whether etcd can do without a control plane: for a reboot, or for good. Pure; the caller asks the nodes.

use crate::talos::etcd::{Member, Status};

/// A control plane, and what it says of etcd; nothing when it did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Node name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// All members, as it has them.
    pub members: Option<Vec<Member>>,
    /// Its own one.
    pub status: Option<Status>,
}

impl Seen {
    /// Its member votes and follows a leader.
    fn is_healthy(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|own| !own.is_learner && own.leader != 0 && own.errors.is_empty())
    }

    /// Whether its member leads.
    pub fn leads(&self) -> bool {
        self.status.as_ref().is_some_and(|own| own.leader == own.id)
    }
}

/// The members as the cluster has them; nothing while nobody has any.
pub fn members(seen: &[Seen]) -> Option<&[Member]> {
    let lists = seen.iter().filter_map(|one| one.members.as_deref());
    lists
        .filter(|list| !list.is_empty())
        .max_by_key(|list| list.len())
}

/// What keeps etcd from being healthy, in words: every control plane has a voting member, all agree on who that is, and nobody else is one.
pub fn troubles(seen: &[Seen]) -> Vec<String> {
    let mut found = Vec::new();
    let all = members(seen).unwrap_or_default();
    for one in seen {
        match (&one.members, &one.status) {
            (Some(list), Some(_)) if !list.is_empty() => {
                if list != all {
                    found.push(format!(
                        "{} has other members of etcd than the rest",
                        one.name
                    ));
                }
                if !one.is_healthy() {
                    found.push(format!("etcd on {} is not healthy", one.name));
                }
            }
            _ => found.push(format!("etcd on {} does not answer", one.name)),
        }
    }
    for member in all {
        if !seen.iter().any(|one| member.is_at(&one.address)) {
            found.push(format!(
                "etcd has the member {} ({}), which is no control plane of this cluster",
                member.hostname,
                member.peers.join(", ")
            ));
        }
    }
    found
}

/// Why etcd cannot be the cluster's own, in a sentence. The API does not tell etcd's own id, and the cluster's id that it tells is of the configuration, so this is
/// what can be proven: data that a disk brought along know none of our machines, and two control planes of one etcd know a member in common. Old data
/// of a machine that had the same address then are not told from ours.
pub fn foreign(seen: &[Seen]) -> Option<String> {
    let lists = seen.iter().filter_map(|one| {
        let members = one.members.as_deref()?;
        (!members.is_empty()).then_some((one, members))
    });
    let lists: Vec<_> = lists.collect();
    let is_ours = |member: &Member| seen.iter().any(|one| member.is_at(&one.address));
    for (one, members) in &lists {
        if !members.iter().any(is_ours) {
            let named: Vec<String> = members
                .iter()
                .map(|member| format!("{} ({})", member.hostname, member.peers.join(", ")))
                .collect();
            return Some(format!(
                "etcd on {} has the data of another cluster: it knows of {}, and of no control plane of this one",
                one.name,
                named.join(", ")
            ));
        }
    }
    let (first, known) = lists.first()?;
    let other = lists.iter().find(|(_, members)| {
        !members
            .iter()
            .any(|member| known.iter().any(|one| one.id == member.id))
    });
    other.map(|(other, _)| {
        format!(
            "{} and {} are members of two etcds that have no member in common",
            first.name, other.name
        )
    })
}

fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Voting members, how many of those at other addresses are healthy, and whether the node has one.
fn count(seen: &[Seen], node: &str) -> (usize, usize, bool) {
    let all = members(seen).unwrap_or_default();
    let voters = all.iter().filter(|member| !member.is_learner).count();
    let healthy = seen
        .iter()
        .filter(|one| one.name != node && one.is_healthy())
        .count();
    let here = seen.iter().find(|one| one.name == node);
    let has_member = here.is_some_and(|one| all.iter().any(|member| member.is_at(&one.address)));
    (voters, healthy, has_member)
}

/// Whether a node may stop for a while: the others must have a majority of what there is. A single control plane stops with its cluster, which nobody can help.
///
/// # Errors
/// The sentence says why not.
pub fn may_pause(seen: &[Seen], node: &str) -> Result<(), String> {
    let (voters, healthy, has_member) = count(seen, node);
    if !has_member || voters <= 1 {
        return Ok(());
    }
    if let Some(learner) = members(seen)
        .unwrap_or_default()
        .iter()
        .find(|member| member.is_learner)
    {
        return Err(format!(
            "the member {} of etcd is not voting yet",
            learner.hostname
        ));
    }
    if healthy < majority(voters) {
        return Err(format!(
            "while it is away only {healthy} of {voters} members of etcd are healthy, which is no majority"
        ));
    }
    Ok(())
}

/// Whether a node may leave for good. `Ok(false)`: it is the last one.
///
/// # Errors
/// The sentence says why not.
pub fn may_leave(seen: &[Seen], node: &str) -> Result<bool, String> {
    let (voters, healthy, has_member) = count(seen, node);
    if !has_member {
        return Ok(true);
    }
    let rest = voters.saturating_sub(1);
    if rest == 0 {
        return Ok(false);
    }
    if healthy < majority(rest) {
        return Err(format!(
            "after it leaves only {healthy} of {rest} members of etcd would be healthy, which is no majority"
        ));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u64) -> Member {
        Member {
            id: number,
            hostname: format!("cp-{number}"),
            peers: vec![format!("https://192.0.2.1{number}:2380")],
            is_learner: false,
        }
    }

    fn cluster(count: u64) -> Vec<Seen> {
        let members: Vec<Member> = (1..=count).map(member).collect();
        (1..=count)
            .map(|number| Seen {
                name: format!("cp-{number}"),
                address: format!("192.0.2.1{number}"),
                members: Some(members.clone()),
                status: Some(Status {
                    id: number,
                    leader: 1,
                    is_learner: false,
                    errors: vec![],
                }),
            })
            .collect()
    }

    fn silent(mut seen: Vec<Seen>, name: &str) -> Vec<Seen> {
        for one in seen.iter_mut().filter(|one| one.name == name) {
            (one.members, one.status) = (None, None);
        }
        seen
    }

    #[test]
    fn a_majority_of_what_is_there_must_stay_for_a_reboot() {
        assert_eq!(may_pause(&cluster(3), "cp-1"), Ok(()));
        assert_eq!(may_pause(&cluster(1), "cp-1"), Ok(()));
        let degraded = silent(cluster(3), "cp-2");
        assert!(may_pause(&degraded, "cp-1").unwrap_err().contains("1 of 3"));
        // The dead one itself takes nothing away.
        assert_eq!(may_pause(&degraded, "cp-2"), Ok(()));
        let mut learning = cluster(3);
        for one in &mut learning {
            one.members.as_mut().unwrap()[2].is_learner = true;
        }
        assert!(may_pause(&learning, "cp-1").unwrap_err().contains("cp-3"));
        assert_eq!(may_pause(&[], "w-1"), Ok(()));
    }

    #[test]
    fn a_majority_of_the_rest_must_stay_for_good() {
        assert_eq!(may_leave(&cluster(3), "cp-1"), Ok(true));
        assert_eq!(may_leave(&cluster(2), "cp-1"), Ok(true));
        assert_eq!(may_leave(&cluster(1), "cp-1"), Ok(false));
        let degraded = silent(cluster(3), "cp-2");
        assert_eq!(may_leave(&degraded, "cp-2"), Ok(true));
        assert!(may_leave(&degraded, "cp-1").unwrap_err().contains("1 of 2"));
        assert_eq!(may_leave(&cluster(3), "cp-9"), Ok(true));
    }

    #[test]
    fn data_of_another_cluster_are_told_by_whom_they_know() {
        assert_eq!(foreign(&cluster(3)), None);
        assert_eq!(foreign(&silent(cluster(3), "cp-2")), None);
        assert_eq!(foreign(&silent(cluster(1), "cp-1")), None);
        // A dead member of a machine that is gone makes nobody foreign, and neither does one that joins.
        assert_eq!(foreign(&cluster(3)[..1]), None);
        let mut joining = cluster(3);
        joining[2].members = Some(vec![]);
        joining[1].members.as_mut().unwrap().pop();
        assert_eq!(foreign(&joining), None);
        // Its names prove nothing: the next cluster has the same.
        let mut old = cluster(3);
        let brought = Member {
            peers: vec!["https://198.51.100.11:2380".into()],
            ..member(2)
        };
        old[1].members = Some(vec![brought]);
        let sentence = foreign(&old).unwrap();
        for part in ["etcd on cp-2", "198.51.100.11", "another cluster"] {
            assert!(sentence.contains(part), "{part}: {sentence}");
        }
        let mut two = cluster(2);
        two[0].members = Some(vec![member(1)]);
        two[1].members = Some(vec![member(2)]);
        assert!(foreign(&two).unwrap().contains("cp-1 and cp-2"));
        // The same machine in two etcds.
        let again = Member { id: 7, ..member(1) };
        two[1].members = Some(vec![again]);
        assert!(foreign(&two).unwrap().contains("no member in common"));
    }

    #[test]
    fn what_is_wrong_with_etcd_is_named() {
        assert_eq!(troubles(&cluster(3)), Vec::<String>::new());
        assert!(cluster(3)[0].leads() && !cluster(3)[1].leads());
        assert_eq!(
            troubles(&silent(cluster(3), "cp-3")),
            ["etcd on cp-3 does not answer"]
        );
        let mut split = cluster(3);
        split[1].members = Some(vec![member(2)]);
        assert_eq!(
            troubles(&split),
            ["cp-2 has other members of etcd than the rest"]
        );
        let stranger = troubles(&cluster(3)[..2]);
        assert!(
            stranger[0].contains("cp-3") && stranger.len() == 1,
            "{stranger:?}"
        );
        let mut headless = cluster(1);
        headless[0].status.as_mut().unwrap().leader = 0;
        assert_eq!(troubles(&headless), ["etcd on cp-1 is not healthy"]);
        assert_eq!(members(&silent(cluster(1), "cp-1")), None);
    }
}
