//! Ephemeral resources: open, renew, close, and the leases that core forgets to close.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use strata_proto::tfplugin6 as wire;
use tokio_util::sync::CancellationToken;

use super::Service;
use super::lease::{Open, chance, renew_after};
use crate::Diagnostics;
use crate::cx::lock;
use crate::erased::Lease;
use crate::operation::private_bytes;
use crate::resource::Provider;
use crate::server::convert;

/// At shutdown core waits without limit, but the user does too.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

fn renew_at(good_for: Option<Duration>) -> Option<Timestamp> {
    let after = renew_after(good_for?, chance());
    Some(Timestamp::from(SystemTime::now() + after))
}

impl<P: Provider> Service<P> {
    pub(super) async fn open(
        &self,
        request: wire::open_ephemeral_resource::Request,
    ) -> wire::open_ephemeral_resource::Response {
        let name = &request.type_name;
        let open = async {
            let ephemeral = self.ephemeral(name)?;
            let of = ephemeral.schema().value_type();
            let config = convert::value(request.config.as_ref(), of)?;
            let (operation, _) = self.operation(Vec::new())?;
            let work = ephemeral.open(operation, config);
            let lease = self.run("OpenEphemeralResource", name, work).await?;
            let private = lease
                .kept
                .map(|kept| lock(&self.inner.leases).open(name, kept));
            let result = lease.result.map(|result| convert::dynamic(&result, of));
            Ok(wire::open_ephemeral_resource::Response {
                diagnostics: convert::diagnostics(lease.diagnostics.placed(ephemeral.schema())),
                renew_at: renew_at(lease.good_for),
                result: result.transpose()?,
                private,
                deferred: None,
            })
        };
        open.await.unwrap_or_else(
            |error: Diagnostics| wire::open_ephemeral_resource::Response {
                diagnostics: convert::diagnostics(error),
                ..Default::default()
            },
        )
    }

    pub(super) async fn renew(
        &self,
        request: wire::renew_ephemeral_resource::Request,
    ) -> wire::renew_ephemeral_resource::Response {
        let name = &request.type_name;
        let bytes = request.private.unwrap_or_default();
        let kept = lock(&self.inner.leases).kept(&bytes);
        let renew = async {
            let ephemeral = self.ephemeral(name)?;
            let (operation, _) = self.operation(private_bytes(&kept))?;
            let work = ephemeral.renew(operation);
            self.run("RenewEphemeralResource", name, work).await
        };
        let lease = renew.await.unwrap_or_else(|diagnostics| Lease {
            diagnostics,
            ..Lease::default()
        });
        if lease.diagnostics.has_errors() {
            // Core loses the errors of Renew, so they are in the log now and in the answer to Close.
            tracing::error!("Cannot renew {name}: {}", lease.diagnostics);
        }
        let private = lock(&self.inner.leases).renewed(&bytes, lease.kept, &lease.diagnostics);
        wire::renew_ephemeral_resource::Response {
            diagnostics: convert::diagnostics(lease.diagnostics),
            renew_at: renew_at(lease.good_for),
            private: Some(private),
        }
    }

    pub(super) async fn close(
        &self,
        request: wire::close_ephemeral_resource::Request,
    ) -> wire::close_ephemeral_resource::Response {
        let bytes = request.private.unwrap_or_default();
        let open = lock(&self.inner.leases).close(&request.type_name, &bytes);
        wire::close_ephemeral_resource::Response {
            diagnostics: convert::diagnostics(self.release(open).await),
        }
    }

    async fn release(&self, open: Open) -> Diagnostics {
        let Open {
            type_name,
            kept,
            untold,
        } = open;
        let close = async {
            let ephemeral = self.ephemeral(&type_name)?;
            let (mut operation, _) = self.operation(private_bytes(&kept))?;
            // To release is what a stop asks for, so a stop that came before does not cut it short.
            operation.cancel = CancellationToken::new();
            let work = ephemeral.close(operation);
            self.run("CloseEphemeralResource", &type_name, work).await
        };
        let mut found =
            untold.left("That was in the background; what used it since then may have failed.");
        found.merge(
            close
                .await
                .map_or_else(|error| error, |lease| lease.diagnostics),
        );
        found
    }

    /// Closes what core left open: it does not call Close when a consumer failed or the run was interrupted.
    pub(in crate::server) async fn close_leases(&self) {
        let open = lock(&self.inner.leases).take();
        let all = open.into_iter().map(|open| async move {
            let type_name = open.type_name.clone();
            let found = self.release(open).await;
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
