//! BACKUP: the bucket for snapshots is there and takes them, seen before anything is paid for.

use strata_provider::{environment::Environment, s3};

use super::{Preflight, open_store};
use crate::{archive, cluster::Cluster, finding::Finding, project::Project};

/// Lists, and offers one byte with a wrong digest, which a storage that would take it refuses for that alone.
pub(super) async fn check(
    project: &Project,
    cluster: &Cluster,
    environment: &Environment,
    preflight: &mut Preflight,
) {
    // A store that cannot be opened or read has a finding of its own.
    let Ok(store) = open_store(project, cluster) else {
        return;
    };
    let place = archive::place(project, cluster, environment, &*store).await;
    let bucket = match place.bucket() {
        None | Some(Err(s3::Error::Store(_))) => return,
        Some(Ok(bucket)) => bucket,
        Some(Err(error)) => {
            preflight
                .report
                .find(unusable(&cluster.spec.backup.etcd.to, error));
            return;
        }
    };
    preflight
        .credentials
        .push(format!("snapshots from {}", bucket.source()));
    if let Err(error) = bucket.list().await {
        let finding = unusable(&bucket.location().to_string(), &error);
        preflight.report.find(finding);
        return;
    }
    preflight.report.pass();
    let written = bucket.try_to_write().await;
    preflight.report.check(written.err().map(|error| {
        Finding::error(
            "BACKUP-02",
            format!(
                "no snapshot could be written to {}: {error}",
                bucket.location()
            ),
            error.hint(),
        )
    }));
}

fn unusable(to: &str, error: &s3::Error) -> Finding {
    Finding::error(
        "BACKUP-01",
        format!("snapshots cannot be kept in {to}: {error}"),
        error.hint(),
    )
}
