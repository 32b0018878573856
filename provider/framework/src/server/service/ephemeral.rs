//! Ephemeral resources: open, renew, close, and the leases that core forgets to close.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use strata_proto::tfplugin6 as wire;

use super::Service;
use crate::Diagnostics;
use crate::cx::lock;
use crate::erased::Lease;
use crate::resource::Provider;
use crate::server::convert;

/// At shutdown core waits without limit, but the user does too.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

fn at(after: Option<Duration>) -> Option<Timestamp> {
    after.map(|after| Timestamp::from(SystemTime::now() + after))
}

impl<P: Provider> Service<P> {
    pub(super) async fn open(
        &self,
        request: wire::open_ephemeral_resource::Request,
    ) -> wire::open_ephemeral_resource::Response {
        let open = async {
            let ephemeral = self.ephemeral(&request.type_name)?;
            let of = ephemeral.schema().value_type();
            let config = convert::value(request.config.as_ref(), &of)?;
            let (operation, _) = self.operation(Vec::new())?;
            let work = ephemeral.open(operation, config);
            let mut lease = self
                .run("OpenEphemeralResource", &request.type_name, work)
                .await?;
            lease.diagnostics = lease.diagnostics.placed(ephemeral.schema());
            if let Some(private) = &lease.private {
                lock(&self.inner.leases).insert(private.clone(), request.type_name.clone());
            }
            let result = lease
                .result
                .as_ref()
                .map(|result| convert::dynamic(result, &of))
                .transpose()?;
            Ok((result, lease))
        };
        let (result, lease) = open.await.unwrap_or_else(|diagnostics: Diagnostics| {
            (
                None,
                Lease {
                    diagnostics,
                    ..Lease::default()
                },
            )
        });
        wire::open_ephemeral_resource::Response {
            diagnostics: convert::diagnostics(lease.diagnostics),
            renew_at: at(lease.renew_after),
            result,
            private: lease.private,
            deferred: None,
        }
    }

    pub(super) async fn renew(
        &self,
        request: wire::renew_ephemeral_resource::Request,
    ) -> wire::renew_ephemeral_resource::Response {
        let renew = async {
            let ephemeral = self.ephemeral(&request.type_name)?;
            let (operation, _) = self.operation(request.private.clone().unwrap_or_default())?;
            self.run(
                "RenewEphemeralResource",
                &request.type_name,
                ephemeral.renew(operation),
            )
            .await
        };
        let lease = renew.await.unwrap_or_else(|diagnostics| Lease {
            diagnostics,
            ..Lease::default()
        });
        if lease.diagnostics.has_errors() {
            // Core loses the errors of Renew (fixed after 1.16), so the log is the only place to see them.
            tracing::error!("Cannot renew {}: {}", request.type_name, lease.diagnostics);
        }
        wire::renew_ephemeral_resource::Response {
            diagnostics: convert::diagnostics(lease.diagnostics),
            renew_at: at(lease.renew_after),
            private: lease.private.or(request.private),
        }
    }

    pub(super) async fn close(
        &self,
        request: wire::close_ephemeral_resource::Request,
    ) -> wire::close_ephemeral_resource::Response {
        let private = request.private.unwrap_or_default();
        let diagnostics = self.release(&request.type_name, private).await;
        wire::close_ephemeral_resource::Response {
            diagnostics: convert::diagnostics(diagnostics),
        }
    }

    async fn release(&self, type_name: &str, private: Vec<u8>) -> Diagnostics {
        lock(&self.inner.leases).remove(&private);
        let close = async {
            let ephemeral = self.ephemeral(type_name)?;
            let (operation, _) = self.operation(private)?;
            self.run(
                "CloseEphemeralResource",
                type_name,
                ephemeral.close(operation),
            )
            .await
        };
        close
            .await
            .map_or_else(|error| error, |lease| lease.diagnostics)
    }

    /// Closes what core left open: it does not call Close when a consumer failed or the run was interrupted.
    pub(in crate::server) async fn close_leases(&self) {
        let open: Vec<_> = lock(&self.inner.leases).drain().collect();
        let all = open.into_iter().map(|(private, type_name)| async move {
            let found = self.release(&type_name, private).await;
            if found.has_errors() {
                tracing::warn!("Cannot close {type_name}: {found}");
            }
        });
        if tokio::time::timeout(CLOSE_LIMIT, futures::future::join_all(all))
            .await
            .is_err()
        {
            tracing::warn!(
                "Leases are still open after {CLOSE_LIMIT:?}; they expire by themselves"
            );
        }
    }
}
