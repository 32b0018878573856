//! Plan and apply.
//!
//! Whatever happens in an apply, the answer carries the best state there is: the result, else what the operation saved,
//! else the prior one. A create that made something is never answered without a state.
//!
//! A plan is a function of configuration, prior state and prior private state. Terraform 1.16 sends with the second plan,
//! at apply, what the first had left in private state (`planned_private`); it is not read. Up to 1.15 nothing like it comes,
//! so a plan that used it would agree with itself under one Terraform and contradict itself under another. What the first
//! plan learnt and the second must have is a planned value.
//!
//! Nothing is ever deferred: 1.11 says that it allows it at apply and refuses it then, and later ones allow it only in
//! an experiment.

use std::sync::Arc;

use strata_proto::tfplugin6 as wire;

use super::Service;
use crate::cx::{Sink, lock};
use crate::erased::{PlanInput, PlanOutcome};
use crate::identity::Moment;
use crate::operation::Outcome;
use crate::resource::Provider;
use crate::server::convert;
use crate::{Diagnostics, Value, plan, repair};

impl<P: Provider> Service<P> {
    pub(super) async fn plan(
        &self,
        request: wire::plan_resource_change::Request,
    ) -> wire::plan_resource_change::Response {
        let plan = async {
            let resource = self.resource(&request.type_name)?;
            let of = resource.schema().value_type();
            let prior = convert::value(request.prior_state.as_ref(), of)?;
            let proposed = convert::value(request.proposed_new_state.as_ref(), of)?;
            let config = convert::value(request.config.as_ref(), of)?;
            let (operation, _) = self.operation_in(
                request.prior_private.clone(),
                request.provider_meta.as_ref(),
            )?;
            let moment = if prior.is_null() {
                Moment::Planned
            } else {
                Moment::Existing
            };
            let work = if proposed.is_null() {
                resource.plan_delete(operation, prior)
            } else {
                resource.plan(
                    operation,
                    PlanInput {
                        config,
                        prior,
                        proposed,
                    },
                )
            };
            let mut outcome = self
                .run("PlanResourceChange", &request.type_name, work)
                .await?;
            // A replacement is planned twice; the second time there is no prior state, and the identity is a new one.
            let stored = request.prior_identity.as_ref();
            let stored = stored.filter(|_| moment == Moment::Existing);
            let identity = match &outcome.planned {
                Some(planned) if outcome.replace.is_empty() => {
                    let name = &request.type_name;
                    let (identity, wrong) = self.identity(name, stored, planned, moment);
                    outcome.diagnostics.merge(wrong);
                    identity
                }
                _ => stored.cloned(),
            };
            let planned = outcome
                .planned
                .as_ref()
                .map(|planned| convert::dynamic(planned, of))
                .transpose()?;
            outcome.diagnostics = outcome.diagnostics.placed(resource.schema());
            Ok((planned, identity, outcome))
        };
        let plan = plan.await.unwrap_or_else(|diagnostics: Diagnostics| {
            (
                None,
                None,
                PlanOutcome {
                    private: request.prior_private.clone(),
                    diagnostics,
                    ..PlanOutcome::default()
                },
            )
        });
        let (planned_state, planned_identity, outcome) = plan;
        wire::plan_resource_change::Response {
            planned_state,
            planned_identity,
            requires_replace: outcome.replace.iter().map(convert::path).collect(),
            planned_private: outcome.private,
            diagnostics: convert::diagnostics(outcome.diagnostics),
            ..Default::default()
        }
    }

    pub(super) async fn apply(
        &self,
        request: wire::apply_resource_change::Request,
    ) -> wire::apply_resource_change::Response {
        let prior_state = request.prior_state.clone();
        let apply = async {
            let resource = self.resource(&request.type_name)?;
            let schema = resource.schema();
            let of = schema.value_type();
            let prior = convert::value(request.prior_state.as_ref(), of)?;
            let planned = convert::value(request.planned_state.as_ref(), of)?;
            let config = convert::value(request.config.as_ref(), of)?;
            let private = request.planned_private.clone();
            let (operation, sink) =
                self.operation_in(private.clone(), request.provider_meta.as_ref())?;
            let before = prior.clone();
            let (verb, work) = if planned.is_null() {
                ("delete", resource.delete(operation, prior))
            } else if prior.is_null() {
                ("create", resource.create(operation, config, planned))
            } else {
                ("update", resource.update(operation, config, prior, planned))
            };
            tracing::debug!("Applying {}: {verb}", request.type_name);
            let outcome = match self
                .run("ApplyResourceChange", &request.type_name, work)
                .await
            {
                Ok(outcome) => outcome,
                Err(panic) => Outcome {
                    state: saved(schema, &sink),
                    private,
                    diagnostics: panic,
                },
            };
            // No state of its own: as it was. Null on create, which core reads as "nothing was made".
            let is_create = before.is_null();
            let state = outcome.state.unwrap_or(before);
            let planned = request.planned_identity.as_ref();
            let (new_identity, wrong) =
                self.identity(&request.type_name, planned, &state, Moment::Existing);
            let mut diagnostics = outcome.diagnostics;
            if diagnostics.has_errors() {
                // What is half made has the identity it has.
            } else if is_create {
                // An error would taint what was created, and a taint orders it again.
                diagnostics.merge(wrong.into_warnings());
            } else {
                diagnostics.merge(wrong);
            }
            Ok(wire::apply_resource_change::Response {
                new_state: Some(convert::dynamic(&state, of)?),
                new_identity,
                private: outcome.private,
                diagnostics: convert::diagnostics(diagnostics.placed(schema)),
            })
        };
        match apply.await {
            Ok(response) => response,
            Err(error) => {
                let error: Diagnostics = error;
                wire::apply_resource_change::Response {
                    new_state: prior_state,
                    // Of what is still there; a planned creation made nothing.
                    new_identity: request
                        .planned_identity
                        .filter(|_| !is_null(request.prior_state.as_ref())),
                    private: request.planned_private.clone(),
                    diagnostics: convert::diagnostics(error),
                }
            }
        }
    }
}

/// Whether there was no object before.
fn is_null(state: Option<&wire::DynamicValue>) -> bool {
    state.is_none_or(|state| {
        state.msgpack == [0xc0] || (state.msgpack.is_empty() && state.json.is_empty())
    })
}

/// What a panicked operation had saved.
fn saved(schema: &crate::Schema, sink: &Arc<Sink>) -> Option<Value> {
    let saved = lock(&sink.saved).take()?;
    let saved = plan::without_write_only(schema, saved);
    Some(repair::known(schema, saved))
}
