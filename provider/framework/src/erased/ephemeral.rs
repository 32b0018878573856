//! The erased ephemeral resource: open and check the result, renew, close.

use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value as Json;

use super::{Typed, validate, with_defaults};
use crate::ephemeral::Ephemeral;
use crate::field::carry_over;
use crate::operation::{Operation, decode_private};
use crate::{Diagnostics, Field, Model, Schema, Value, check, plan};

/// What opening or renewing leaves.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    pub(crate) result: Option<Value>,
    /// What renew and close need to know; `None`: nothing to renew or close.
    pub(crate) kept: Option<Json>,
    pub(crate) good_for: Option<Duration>,
    pub(crate) diagnostics: Diagnostics,
}

pub(crate) trait AnyEphemeral<P>: Send + Sync {
    fn schema(&self) -> &'static Schema;
    fn subcategory(&self) -> &'static str;
    fn limit(&self) -> Duration;
    fn validate(&self, config: &Value) -> Diagnostics;
    fn open(&self, operation: Operation<P>, config: Value) -> BoxFuture<'static, Lease>;
    fn renew(&self, operation: Operation<P>) -> BoxFuture<'static, Lease>;
    fn close(&self, operation: Operation<P>) -> BoxFuture<'static, Lease>;
}

impl<E: Ephemeral> Typed<E> {
    /// The result as it travels, or the lease to give back and why.
    async fn opened(
        operation: &Operation<E::Provider>,
        config: &Value,
    ) -> Result<Lease, Diagnostics> {
        let schema = E::Model::schema();
        let private = operation.private::<()>();
        let cx = operation.cx(&private, E::LIMIT);
        let given = plan::with_defaults(schema, config, config);
        let model = with_defaults::<E::Model>(config)?;
        let before = model.encode();
        let opened = E::open(&cx, model).await?;
        // Written forms stay: `1.50` is not echoed as `1.5`.
        let result = carry_over(&given, &before, opened.result.encode());
        // Unknown is no answer to somebody who opens it now.
        let mut faults = check::opened(schema, config, &result);
        faults.extend(check::object(schema, &result));
        // To renew or to close is a call with a lease, and so one of `()` is one.
        let lease = match (opened.lease, opened.good_for) {
            (None, Some(_)) => Some(E::Lease::default()),
            (lease, _) => lease,
        };
        if faults.is_empty() {
            return Ok(Lease {
                result: Some(result),
                kept: lease.map(|lease| serde_json::to_value(lease).unwrap_or_default()),
                good_for: opened.good_for,
                diagnostics: operation.diagnostics(None),
            });
        }
        // Core does not close what it could not open.
        let mut found = check::diagnostics(&format!("What opening {} answered", E::NAME), &faults);
        if let Some(lease) = lease
            && let Err(error) = E::close(&cx, lease).await
        {
            found.merge(error);
        }
        Err(found)
    }
}

impl<E: Ephemeral> AnyEphemeral<E::Provider> for Typed<E> {
    fn schema(&self) -> &'static Schema {
        E::Model::schema()
    }
    fn subcategory(&self) -> &'static str {
        E::SUBCATEGORY
    }
    fn limit(&self) -> Duration {
        E::LIMIT
    }
    fn validate(&self, config: &Value) -> Diagnostics {
        validate(config, E::validate)
    }
    fn open(&self, operation: Operation<E::Provider>, config: Value) -> BoxFuture<'static, Lease> {
        Box::pin(async move {
            Self::opened(&operation, &config)
                .await
                .unwrap_or_else(|error| Lease {
                    diagnostics: operation.diagnostics(Some(error)),
                    ..Lease::default()
                })
        })
    }
    fn renew(&self, operation: Operation<E::Provider>) -> BoxFuture<'static, Lease> {
        Box::pin(async move {
            let private = operation.private::<()>();
            let mut lease: E::Lease = decode_private(&operation.private);
            let renewed = E::renew(&operation.cx(&private, E::LIMIT), &mut lease).await;
            let (good_for, error) = match renewed {
                Ok(good_for) => (good_for, None),
                Err(error) => (None, Some(error)),
            };
            Lease {
                result: None,
                kept: serde_json::to_value(lease).ok(),
                good_for,
                diagnostics: operation.diagnostics(error),
            }
        })
    }
    fn close(&self, operation: Operation<E::Provider>) -> BoxFuture<'static, Lease> {
        Box::pin(async move {
            let private = operation.private::<()>();
            let lease: E::Lease = decode_private(&operation.private);
            let closed = E::close(&operation.cx(&private, E::LIMIT), lease).await;
            Lease {
                diagnostics: operation.diagnostics(closed.err()),
                ..Lease::default()
            }
        })
    }
}
