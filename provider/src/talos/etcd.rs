//! etcd as a control plane sees it.

use std::time::Duration;

use strata_proto::talos::common::Data;
use strata_proto::talos::machine::{
    EtcdForfeitLeadershipRequest, EtcdLeaveClusterRequest, EtcdMemberListRequest,
    EtcdRemoveMemberByIdRequest, EtcdSnapshotRequest,
};
use tonic::Code;

use super::client::ANSWER;
use super::{Client, Error};

/// A node leaves for five minutes at most, says Talos.
const LEAVE: Duration = Duration::from_mins(6);
/// Bytes per message of a snapshot that is handed over.
const PART: usize = 1024 * 1024;

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// etcd's id.
    pub id: u64,
    /// Host name of its node.
    pub hostname: String,
    /// `https://<address>:2380`.
    pub peers: Vec<String>,
    /// Learners do not vote.
    pub is_learner: bool,
}

impl Member {
    /// Whether it is at this address.
    pub fn is_at(&self, address: &str) -> bool {
        let ends = [format!("//{address}:"), format!("//[{address}]:")];
        let at = |url: &String| ends.iter().any(|end| url.contains(end.as_str()));
        self.peers.iter().any(at)
    }
}

/// The member of the node that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub id: u64,
    /// Id of the leader; 0 when there is none.
    pub leader: u64,
    /// Does not vote.
    pub is_learner: bool,
    /// What etcd complains about.
    pub errors: Vec<String>,
}

impl Client {
    /// The members. `local`: as the node's own member has them, else as any has them.
    pub async fn members(&self, local: bool) -> Result<Vec<Member>, Error> {
        let step = "list the members of etcd";
        let mut machine = self.machine();
        let request = EtcdMemberListRequest { query_local: local };
        let answer = self
            .ask(step, ANSWER, machine.etcd_member_list(request))
            .await?;
        let members = self.only(step, answer.messages)?.members;
        let mut members: Vec<Member> = members
            .into_iter()
            .map(|member| Member {
                id: member.id,
                hostname: member.hostname,
                peers: member.peer_urls,
                is_learner: member.is_learner,
            })
            .collect();
        members.sort();
        Ok(members)
    }

    /// The node's own member.
    pub async fn status(&self) -> Result<Status, Error> {
        let step = "read the status of etcd";
        let mut machine = self.machine();
        let answer = self.ask(step, ANSWER, machine.etcd_status(())).await?;
        let status = self.only(step, answer.messages)?.member_status;
        let status = status.ok_or_else(|| self.odd(step, "has no status in it"))?;
        Ok(Status {
            id: status.member_id,
            leader: status.leader,
            is_learner: status.is_learner,
            errors: status.errors,
        })
    }

    /// How many alarms etcd has raised: out of space, or damaged data.
    pub async fn alarms(&self) -> Result<usize, Error> {
        let step = "list the alarms of etcd";
        let mut machine = self.machine();
        let answer = self.ask(step, ANSWER, machine.etcd_alarm_list(())).await?;
        let alarms = answer.messages.into_iter().flat_map(|of| of.member_alarms);
        Ok(alarms.filter(|alarm| alarm.alarm != 0).count())
    }

    /// The node leaves etcd and forgets its data.
    pub async fn leave(&self) -> Result<(), Error> {
        let mut machine = self.machine();
        let call = machine.etcd_leave_cluster(EtcdLeaveClusterRequest {});
        self.ask("leave etcd", LEAVE, call).await.map(drop)
    }

    /// Another member leads from now on, if this one did.
    pub async fn forfeit(&self) -> Result<(), Error> {
        let mut machine = self.machine();
        let call = machine.etcd_forfeit_leadership(EtcdForfeitLeadershipRequest {});
        self.ask("hand the leadership of etcd over", ANSWER, call)
            .await
            .map(drop)
    }

    /// Removes a member; gone already is success. Asked of a survivor.
    pub async fn remove(&self, member_id: u64) -> Result<(), Error> {
        let mut machine = self.machine();
        let call = machine.etcd_remove_member_by_id(EtcdRemoveMemberByIdRequest { member_id });
        match self.ask("remove a member of etcd", ANSWER, call).await {
            Err(error) if error.code() == Some(Code::NotFound) => Ok(()),
            other => other.map(drop),
        }
    }

    /// A snapshot, as etcd's database file.
    pub async fn snapshot(&self) -> Result<Vec<u8>, Error> {
        let step = "take a snapshot of etcd";
        let mut machine = self.machine();
        let call = machine.etcd_snapshot(EtcdSnapshotRequest {});
        let mut stream = self.ask(step, ANSWER, call).await?;
        let mut bytes = Vec::new();
        while let Some(part) = self.next(step, ANSWER, &mut stream).await? {
            bytes.extend(part.bytes);
        }
        if bytes.is_empty() {
            return Err(self.odd(step, "is empty"));
        }
        Ok(bytes)
    }

    /// Hands a snapshot over, for the bootstrap that follows.
    pub async fn recover(&self, snapshot: &[u8]) -> Result<(), Error> {
        let parts: Vec<Data> = snapshot
            .chunks(PART)
            .map(|bytes| Data {
                metadata: None,
                bytes: bytes.to_vec(),
            })
            .collect();
        let mut machine = self.machine();
        let call = machine.etcd_recover(futures::stream::iter(parts));
        self.ask("hand the snapshot over", LEAVE, call)
            .await
            .map(drop)
    }
}
