//! etcd membership, with the refusals of etcd's strict reconfiguration check.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

/// One etcd member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Member id; etcd prints it in hex.
    pub id: u64,
    /// Name, the node's.
    pub name: String,
    /// Address of the peer URL `https://<peer>:2380`.
    pub peer: IpAddr,
    /// True until promoted: a learner has no vote.
    pub learner: bool,
    /// True while its machine runs and is reachable.
    pub alive: bool,
}

/// The members; `alive` of the stored ones is filled in by the caller before each question.
#[derive(Default)]
pub(super) struct Membership {
    pub(super) members: Vec<Member>,
    /// Additions so far, so that a member that returns gets another id, as in etcd.
    additions: u64,
}

impl Membership {
    fn voters(&self) -> usize {
        self.members.iter().filter(|member| !member.learner).count()
    }

    fn voters_alive(&self) -> usize {
        self.members
            .iter()
            .filter(|member| !member.learner && member.alive)
            .count()
    }

    /// True while a majority of the voting members lives. With no member yet the first one is just starting.
    pub(super) fn has_quorum(&self) -> bool {
        self.members.is_empty() || self.voters_alive() > self.voters() / 2
    }

    fn require_quorum(&self) -> Result<(), String> {
        if self.has_quorum() {
            Ok(())
        } else {
            Err("etcdserver: request timed out".into())
        }
    }

    pub(super) fn first(&mut self, name: &str, peer: IpAddr) -> u64 {
        self.push(name, peer, false)
    }

    pub(super) fn add_learner(&mut self, name: &str, peer: IpAddr) -> Result<u64, String> {
        if self.members.is_empty() {
            return Ok(self.first(name, peer));
        }
        self.require_quorum()?;
        if self.members.iter().any(|member| member.peer == peer) {
            return Err("etcdserver: Peer URLs already exists".into());
        }
        if self.members.iter().any(|member| member.learner) {
            return Err("etcdserver: too many learner members in cluster".into());
        }
        if self.voters_alive() < self.voters() {
            return Err("etcdserver: unhealthy cluster".into());
        }
        Ok(self.push(name, peer, true))
    }

    pub(super) fn promote(&mut self, id: u64) -> Result<(), String> {
        self.require_quorum()?;
        let member = self
            .members
            .iter_mut()
            .find(|member| member.id == id)
            .ok_or("etcdserver: member not found")?;
        if !member.learner {
            return Err("etcdserver: can only promote a learner member".into());
        }
        if !member.alive {
            return Err(
                "etcdserver: can only promote a learner member which is in sync with leader".into(),
            );
        }
        member.learner = false;
        Ok(())
    }

    pub(super) fn remove(&mut self, id: u64) -> Result<(), String> {
        self.require_quorum()?;
        let index = self
            .members
            .iter()
            .position(|member| member.id == id)
            .ok_or("etcdserver: member not found")?;
        let member = &self.members[index];
        // A dead voter is outside of the quorum and safe to remove; a living one must leave a majority of the rest behind.
        if !member.learner && member.alive {
            let (voters, alive) = (self.voters() - 1, self.voters_alive() - 1);
            if alive < voters / 2 + 1 {
                return Err(
                    "etcdserver: re-configuration failed due to not enough started members".into(),
                );
            }
        }
        self.members.remove(index);
        Ok(())
    }

    fn push(&mut self, name: &str, peer: IpAddr, learner: bool) -> u64 {
        self.additions += 1;
        let digest = Sha256::digest(format!("{name} {peer} {}", self.additions));
        let id = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes of thirty-two"));
        self.members.push(Member {
            id,
            name: name.into(),
            peer,
            learner,
            alive: true,
        });
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Membership {
        let mut membership = Membership::default();
        for number in 1..=3u8 {
            let id = membership
                .add_learner(&format!("cp-{number}"), [192, 0, 2, number].into())
                .unwrap();
            if number > 1 {
                membership.promote(id).unwrap();
            }
        }
        membership
    }

    #[test]
    fn one_learner_at_a_time_and_none_beside_a_dead_member() {
        let mut membership = three();
        membership
            .add_learner("cp-4", [192, 0, 2, 4].into())
            .unwrap();
        assert_eq!(
            membership
                .add_learner("cp-5", [192, 0, 2, 5].into())
                .unwrap_err(),
            "etcdserver: too many learner members in cluster"
        );
        membership.members.pop();
        membership.members[2].alive = false;
        assert_eq!(
            membership
                .add_learner("cp-5", [192, 0, 2, 5].into())
                .unwrap_err(),
            "etcdserver: unhealthy cluster"
        );
    }

    #[test]
    fn quorum_is_protected() {
        let mut membership = three();
        membership.members[2].alive = false;
        let living = membership.members[0].id;
        assert!(
            membership
                .remove(living)
                .unwrap_err()
                .contains("not enough started members")
        );
        let dead = membership.members[2].id;
        membership.remove(dead).unwrap();
        assert_eq!(membership.members.len(), 2);
        membership.members[0].alive = false;
        assert!(!membership.has_quorum());
        assert_eq!(
            membership.remove(dead).unwrap_err(),
            "etcdserver: request timed out"
        );
    }
}
