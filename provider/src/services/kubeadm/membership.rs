//! etcd membership: what must be cleaned up before a control plane joins, and whether one may leave (FN8). Pure; the caller runs the verbs.

use serde::{Deserialize, Deserializer};

/// A member as `etcdctl member list -w json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// etcd's id.
    #[serde(rename = "ID", deserialize_with = "id")]
    pub id: u64,
    /// Node name; empty until the member has started.
    #[serde(default)]
    pub name: String,
    /// `https://<address>:2380`.
    #[serde(rename = "peerURLs", default)]
    pub peer_urls: Vec<String>,
    /// Learners do not vote.
    #[serde(rename = "isLearner", default)]
    pub is_learner: bool,
}

#[derive(Deserialize)]
struct List {
    members: Vec<Member>,
}

/// etcdctl prints the id as a number of 64 bits, its gateway as text.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let number = value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    number.ok_or_else(|| serde::de::Error::custom("a member id that is not a number"))
}

/// Reads the output of verb `members`.
///
/// # Errors
/// The output is not etcdctl's JSON.
pub fn parse(output: &str) -> Result<Vec<Member>, serde_json::Error> {
    // A pod's log may begin with a warning on a line of its own.
    let start = output.find('{').unwrap_or(0);
    serde_json::from_str::<List>(output[start..].trim_end()).map(|list| list.members)
}

impl Member {
    fn is_at(&self, address: &str) -> bool {
        let bracketed = format!("[{address}]");
        self.peer_urls.iter().any(|url| {
            let authority = url.split("://").nth(1).unwrap_or(url).trim_end_matches('/');
            let host = authority
                .rsplit_once(':')
                .map_or(authority, |(host, _)| host);
            host == address || host == bracketed
        })
    }

    /// Whether it is the member of this node.
    pub fn is_of(&self, node: &str, address: &str) -> bool {
        self.name == node || (self.name.is_empty() && self.is_at(address))
    }

    fn label(&self) -> String {
        if self.name.is_empty() {
            format!("an unstarted member at {}", self.peer_urls.join(", "))
        } else {
            self.name.clone()
        }
    }
}

/// A control plane as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Node name.
    pub name: String,
    /// Whether its kubelet has been heard of lately.
    pub alive: bool,
}

/// What to do before a join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Remove these members, then join.
    Join(Vec<Member>),
    /// Another join is under way.
    Wait(String),
    /// The cluster is not ours to change.
    Refuse(String),
}

/// Plans the join of `node` at `address`. `nodes` are the control planes that the API knows, `ours` the names that this estate ever had.
pub fn before_join(
    members: &[Member],
    nodes: &[Peer],
    ours: &[String],
    node: &str,
    address: &str,
) -> Plan {
    let mut dead = Vec::new();
    for member in members {
        let has_node = nodes.iter().any(|peer| peer.name == member.name);
        if member.is_of(node, address) {
            // The node is about to join with an empty disk: whatever is listed for it never comes back.
            dead.push(member.clone());
        } else if has_node {
            if member.is_learner {
                return Plan::Wait(format!(
                    "etcd takes one new member at a time, and {} is not voting yet",
                    member.name
                ));
            }
        } else if member.name.is_empty() || ours.contains(&member.name) {
            dead.push(member.clone());
        } else {
            return Plan::Refuse(format!(
                "etcd has the member {} ({}), which is neither a node of this cluster nor ever was one of this estate. Find out who added it.",
                member.label(),
                member.peer_urls.join(", ")
            ));
        }
    }
    let voters: Vec<&Member> = members.iter().filter(|member| !member.is_learner).collect();
    let alive = alive_among(&voters, nodes);
    let dead_voters = dead.iter().filter(|member| !member.is_learner).count();
    // Each removal is a decision of the members that are there at that moment.
    if dead_voters > 0 && alive < quorum(voters.len()) {
        let labels: Vec<String> = dead.iter().map(Member::label).collect();
        return Plan::Refuse(format!(
            "{} must leave etcd first, but only {alive} of {} voting members are alive: there is no majority that could remove it. \
             Restore etcd from a snapshot.",
            labels.join(", "),
            voters.len()
        ));
    }
    Plan::Join(dead)
}

/// Whether `node` may leave: the rest must have a majority of what is left. The sentence says why not.
pub fn may_leave(members: &[Member], nodes: &[Peer], node: &str) -> Result<(), String> {
    let voters: Vec<&Member> = members.iter().filter(|member| !member.is_learner).collect();
    let rest: Vec<&Member> = voters
        .iter()
        .copied()
        .filter(|member| member.name != node)
        .collect();
    if rest.len() == voters.len() {
        return Ok(());
    }
    if rest.is_empty() {
        return Err("it is the last member of etcd: without it there is no cluster. Destroy the cluster as a whole instead".into());
    }
    let alive = alive_among(&rest, nodes);
    if alive < quorum(rest.len()) {
        return Err(format!(
            "after it leaves only {alive} of {} members of etcd would be alive, which is no majority",
            rest.len()
        ));
    }
    Ok(())
}

fn alive_among(members: &[&Member], nodes: &[Peer]) -> usize {
    members
        .iter()
        .filter(|member| {
            nodes
                .iter()
                .any(|peer| peer.alive && peer.name == member.name)
        })
        .count()
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, address: &str, is_learner: bool) -> Member {
        Member {
            id: name.len() as u64,
            name: name.into(),
            peer_urls: vec![format!("https://{address}:2380")],
            is_learner,
        }
    }

    fn peers(names: &[(&str, bool)]) -> Vec<Peer> {
        names
            .iter()
            .map(|(name, alive)| Peer {
                name: (*name).into(),
                alive: *alive,
            })
            .collect()
    }

    fn ours() -> Vec<String> {
        ["cp-1", "cp-2", "cp-3", "cp-4"].map(String::from).into()
    }

    #[test]
    fn the_list_of_etcdctl_is_read_with_all_64_bits() {
        let output = "warning: x\n{\"header\":{\"cluster_id\":17237436991929493444},\"members\":[{\"ID\":10501334649042878790,\"name\":\"cp-1\",\
                      \"peerURLs\":[\"https://[2001:db8::1]:2380\"],\"clientURLs\":[]},{\"ID\":2,\"peerURLs\":[\"https://192.0.2.2:2380\"],\"isLearner\":true}]}\n";
        let members = parse(output).unwrap();
        assert_eq!(
            (members[0].id, members[0].is_learner),
            (10_501_334_649_042_878_790, false)
        );
        assert!(
            members[0].is_at("2001:db8::1")
                && members[1].is_of("cp-2", "192.0.2.2")
                && members[1].is_learner
        );
        assert!(parse("command failed").is_err());
    }

    #[test]
    fn a_join_removes_our_dead_and_what_is_left_of_the_joiner() {
        let members = [
            member("cp-1", "192.0.2.1", false),
            member("cp-2", "192.0.2.2", false),
            member("cp-3", "192.0.2.3", false),
        ];
        let nodes = peers(&[("cp-1", true), ("cp-2", true)]);
        let plan = before_join(&members, &nodes, &ours(), "cp-4", "192.0.2.4");
        assert_eq!(plan, Plan::Join(vec![members[2].clone()]));
        let half = [
            member("cp-1", "192.0.2.1", false),
            member("", "192.0.2.4", true),
        ];
        let plan = before_join(
            &half,
            &peers(&[("cp-1", true)]),
            &ours(),
            "cp-4",
            "192.0.2.4",
        );
        assert_eq!(plan, Plan::Join(vec![half[1].clone()]));
        let clean = [member("cp-1", "192.0.2.1", false)];
        assert_eq!(
            before_join(
                &clean,
                &peers(&[("cp-1", true)]),
                &ours(),
                "cp-2",
                "192.0.2.2"
            ),
            Plan::Join(vec![])
        );
    }

    #[test]
    fn a_foreign_member_a_learner_and_a_lost_majority_stop_the_join() {
        let nodes = peers(&[("cp-1", true)]);
        let foreign = [
            member("cp-1", "192.0.2.1", false),
            member("evil", "203.0.113.9", false),
        ];
        assert!(
            matches!(before_join(&foreign, &nodes, &ours(), "cp-2", "192.0.2.2"), Plan::Refuse(text) if text.contains("evil"))
        );
        let learner = [
            member("cp-1", "192.0.2.1", false),
            member("cp-3", "192.0.2.3", true),
        ];
        let both = peers(&[("cp-1", true), ("cp-3", true)]);
        assert!(
            matches!(before_join(&learner, &both, &ours(), "cp-2", "192.0.2.2"), Plan::Wait(text) if text.contains("cp-3"))
        );
        let lost = [
            member("cp-1", "192.0.2.1", false),
            member("cp-2", "192.0.2.2", false),
            member("cp-3", "192.0.2.3", false),
        ];
        assert!(
            matches!(before_join(&lost, &nodes, &ours(), "cp-4", "192.0.2.4"), Plan::Refuse(text) if text.contains("majority"))
        );
    }

    #[test]
    fn leaving_keeps_a_majority() {
        let three = [
            member("cp-1", "192.0.2.1", false),
            member("cp-2", "192.0.2.2", false),
            member("cp-3", "192.0.2.3", false),
        ];
        assert!(
            may_leave(
                &three,
                &peers(&[("cp-1", true), ("cp-2", true), ("cp-3", true)]),
                "cp-1"
            )
            .is_ok()
        );
        assert!(
            may_leave(
                &three,
                &peers(&[("cp-1", false), ("cp-2", true), ("cp-3", true)]),
                "cp-1"
            )
            .is_ok()
        );
        assert!(
            may_leave(
                &three,
                &peers(&[("cp-1", true), ("cp-2", false), ("cp-3", true)]),
                "cp-1"
            )
            .is_err()
        );
        assert!(may_leave(&three[..1], &peers(&[("cp-1", true)]), "cp-1").is_err());
        assert!(
            may_leave(&three, &peers(&[]), "w-1").is_ok(),
            "a worker has no member"
        );
    }
}
