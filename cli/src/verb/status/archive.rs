//! How many snapshots of etcd there are where the operator's are kept, and how old the newest is.

use std::time::Duration;

use crate::{
    archive,
    console::duration,
    session::{Session, World},
};

/// Somebody may be a little late.
const LATE: u32 = 2;

/// What is printed.
pub(super) struct Snapshots {
    pub(super) lines: Vec<String>,
    /// The place could not be looked at.
    pub(super) unseen: bool,
}

/// The lines of `status`.
pub(super) async fn lines(session: &Session, world: &World) -> Snapshots {
    let looked = async {
        let place = archive::open(session, world).await?;
        let kept = place
            .list()
            .await
            .map_err(|found| anyhow::anyhow!("{found}"))?;
        anyhow::Ok((place, kept))
    };
    let speed = world.environment.speed();
    match looked.await {
        Err(error) => Snapshots {
            lines: vec![format!("snapshots of etcd were not observed: {error:#}")],
            unseen: true,
        },
        Ok((place, kept)) => {
            let mut lines = vec![archive::summary(&place, &kept, speed)];
            let age = place
                .newest(&kept)
                .map(|newest| archive::age(newest, speed));
            // Into a folder nobody promised anything on time: nodes of kubeadm save on their own disks.
            if place.bucket().is_some() {
                lines.extend(overdue(
                    age,
                    archive::every(session),
                    &session.again("backup"),
                ));
            }
            if !session.has_doors() {
                lines.push(
                    "nodes of Talos save none by themselves: up and backup bring them".into(),
                );
            }
            Snapshots {
                lines,
                unseen: false,
            }
        }
    }
}

fn overdue(age: Option<Duration>, every: Duration, command: &str) -> Option<String> {
    let late = age.is_none_or(|age| age > every * LATE);
    late.then(|| {
        format!(
            "overdue: one every {} is wanted, and only a run brings one there. Now: {command}; from then on by a timer where the credentials are",
            duration(every)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_is_late_is_asked_for() {
        let hours = |hours| Duration::from_hours(hours);
        assert_eq!(overdue(Some(hours(12)), hours(6), "x"), None);
        let line = overdue(Some(hours(13)), hours(6), "./bootstrap.sh backup").unwrap();
        assert!(
            line.starts_with("overdue: one every 6") && line.contains("./bootstrap.sh backup"),
            "{line}"
        );
        assert!(overdue(None, hours(6), "x").is_some());
    }
}
