//! The erased resource: decode, call, carry over, check, for each of its operations.

use std::cmp::Ordering;

use futures::future::BoxFuture;
use serde_json::Value as Json;

use super::fingerprint::{self, Fingerprints, filled_in, laid_over};
use super::{AnyResource, PlanInput, PlanOutcome, Typed, validate};
use crate::cx::lock;
use crate::field::{Source, carry_over};
use crate::operation::{
    Kind, Operation, Outcome, encode_private, kept_private, limit, marked_imported, written_private,
};
use crate::path::Path;
use crate::resource::{Change, Found, Limit, MoveSource, Planned, Resource};
use crate::{Diagnostics, Field, Model, Schema, Value, check, generate, json, plan, repair};

/// A model and the value it came from, so that only its changes reach the wire.
struct Decoded<M> {
    given: Value,
    encoded: Value,
    model: M,
}

impl<M: Model> Decoded<M> {
    fn state(given: Value) -> Result<Self, Diagnostics> {
        let model = M::decode_object(&given, Source::State)?;
        Ok(Self {
            encoded: model.encode(),
            given,
            model,
        })
    }
}

/// What the model was changed to, in terms of the value it came from.
fn changed<M: Field>(given: &Value, before: &Value, model: &M) -> Value {
    carry_over(given, before, model.encode())
}

impl<R: Resource> Typed<R> {
    fn schema() -> &'static Schema {
        R::Model::schema()
    }

    async fn planned(
        operation: &Operation<R::Provider>,
        private: &std::sync::Mutex<R::Private>,
        input: &PlanInput,
    ) -> Result<(Value, Vec<Path>), Diagnostics> {
        let PlanInput {
            config,
            prior,
            proposed,
        } = input;
        let schema = Self::schema();
        let config_model = R::Model::decode_object(config, Source::Config)?;
        let prior_model = if prior.is_null() {
            None
        } else {
            Some(R::Model::decode_object(prior, Source::State)?)
        };

        let limits = operation
            .cx::<(), _>(private, limit(Kind::Read, R::TIMEOUTS, proposed))
            .limits();
        let (mut fingerprints, warnings) =
            fingerprint::planned(operation, &limits, schema, config, prior).await;
        lock(&operation.sink.warnings).merge(warnings);
        let mut base = laid_over(plan::with_defaults(schema, config, proposed), &fingerprints);
        let mut noop = !plan::differs(schema, &base, prior);
        if !noop {
            fingerprints = fingerprint::in_update(schema, config, fingerprints);
            base = plan::with_unknowns(schema, config, prior, &base);
            base = laid_over(base, &fingerprints);
        }
        loop {
            let Decoded {
                given,
                encoded,
                model,
            } = Decoded::<R::Model>::state(base)?;
            let change = match &prior_model {
                None => Change::Create {
                    config: &config_model,
                },
                Some(prior) => Change::Update {
                    config: &config_model,
                    prior,
                },
            };
            let cx = operation.cx(private, limit(Kind::Read, R::TIMEOUTS, &given));
            let wanted = R::plan(
                &cx,
                change,
                Planned {
                    state: model,
                    replace: Vec::new(),
                },
            )
            .await?;
            let result = changed(&given, &encoded, &wanted.state);
            if noop && plan::differs(schema, &result, prior) {
                // The resource itself found a change, so the other computed values may move as well; it plans again with
                // those unknown, as in any update.
                noop = false;
                fingerprints = fingerprint::in_update(schema, config, fingerprints);
                base = plan::with_unknowns(schema, config, prior, &given);
                base = laid_over(base, &fingerprints);
                continue;
            }
            let mut replace = plan::replacements(schema, config, prior, &result);
            replace.extend(wanted.replace);
            replace.sort();
            replace.dedup();
            let planned = plan::without_write_only(schema, result);
            return Ok((plan::refined(schema, planned), replace));
        }
    }

    /// The result in terms of the plan, with contradictions repaired and told as warnings.
    fn conform(
        planned: &Decoded<R::Model>,
        new: &R::Model,
        fingerprints: Fingerprints,
    ) -> (Value, Diagnostics) {
        let value = changed(&planned.given, &planned.encoded, new);
        let value = filled_in(value, fingerprints);
        let value = plan::without_write_only(Self::schema(), value);
        let faults = check::result(Self::schema(), &planned.given, &value);
        if faults.is_empty() {
            return (value, Diagnostics::none());
        }
        let what = format!("The result of applying {}", R::NAME);
        let told = check::diagnostics(&what, &faults)
            .left("The planned values were kept; the next plan shows the real ones.");
        let value = repair::toward_plan(Self::schema(), &planned.given, &value);
        (value, told.into_warnings())
    }

    /// Partial state that the operation saved, wholly known.
    fn saved(operation: &Operation<R::Provider>, planned: &Decoded<R::Model>) -> Option<Value> {
        let saved = lock(&operation.sink.saved).take()?;
        let value = carry_over(&planned.given, &planned.encoded, saved);
        let value = plan::without_write_only(Self::schema(), value);
        Some(repair::known(Self::schema(), value))
    }

    /// What an import or a move found, with defaults: it must not show what the user never set as a change. Core reads it
    /// next, so it has to say which object it is.
    fn stub(verb: &str, model: &R::Model) -> Result<Value, Diagnostics> {
        let model = model.encode();
        let state = plan::filled_with_defaults(Self::schema(), model.clone());
        let state = plan::without_write_only(Self::schema(), state);
        let mut faults = check::stored(Self::schema(), &state);
        if let Value::Map(attributes) = &model
            && attributes.values().all(Value::is_unset)
        {
            faults = check::object(Self::schema(), &Value::Null);
        }
        if faults.is_empty() {
            return Ok(state);
        }
        let what = format!("The {verb} of {}", R::NAME);
        Err(check::diagnostics(&what, &faults))
    }

    /// Private state of an object that was not made by us: its fingerprints are still to be taken.
    fn stub_private(private: &std::sync::Mutex<R::Private>) -> Vec<u8> {
        let private = encode_private(private, Vec::new());
        if fingerprint::has_any(Self::schema()) {
            marked_imported(&private)
        } else {
            private
        }
    }

    pub(super) fn imported(
        operation: &Operation<R::Provider>,
        private: &std::sync::Mutex<R::Private>,
        imported: Result<R::Model, Diagnostics>,
    ) -> Outcome {
        match imported.and_then(|model| Self::stub("import", &model)) {
            Ok(state) => Outcome {
                state: Some(state),
                private: Self::stub_private(private),
                diagnostics: operation.diagnostics(None),
            },
            Err(error) => Outcome::failed(Vec::new(), operation.diagnostics(Some(error))),
        }
    }

    async fn finish(
        operation: &Operation<R::Provider>,
        private: &std::sync::Mutex<R::Private>,
        config: &Value,
        planned: &Decoded<R::Model>,
        result: Result<R::Model, Diagnostics>,
    ) -> Outcome {
        let limits = operation.cx::<(), _>(private, R::TIMEOUTS.read).limits();
        let private = written_private(private, &operation.private);
        match result {
            Ok(model) => {
                let (fingerprints, warnings) =
                    fingerprint::delivered(operation, &limits, Self::schema(), config).await;
                let (state, faults) = Self::conform(planned, &model, fingerprints);
                let mut diagnostics = operation.diagnostics(None);
                diagnostics.merge(warnings);
                diagnostics.merge(faults);
                Outcome {
                    state: Some(state),
                    private,
                    diagnostics,
                }
            }
            Err(error) => Outcome {
                state: Self::saved(operation, planned),
                private,
                diagnostics: operation.diagnostics(Some(error)),
            },
        }
    }
}

impl<R: Resource> AnyResource<R::Provider> for Typed<R> {
    fn schema(&self) -> &'static Schema {
        R::Model::schema()
    }

    fn subcategory(&self) -> &'static str {
        R::SUBCATEGORY
    }

    fn timeouts(&self) -> Limit {
        R::TIMEOUTS
    }

    fn validate(&self, config: &Value) -> Diagnostics {
        validate(config, R::validate)
    }

    fn plan(
        &self,
        operation: Operation<R::Provider>,
        input: PlanInput,
    ) -> BoxFuture<'static, PlanOutcome> {
        Box::pin(async move {
            let private = operation.private::<R::Private>();
            match Self::planned(&operation, &private, &input).await {
                Ok((planned, replace)) => {
                    let mut diagnostics = operation.diagnostics(None);
                    let PlanInput { config, prior, .. } = &input;
                    let schema = Self::schema();
                    let mut faults = check::plan(schema, config, prior, &planned);
                    faults.extend(check::replacements(schema, prior, &planned, &replace));
                    if !faults.is_empty() {
                        let what = format!("The plan of {}", R::NAME);
                        diagnostics.merge(check::diagnostics(&what, &faults));
                    }
                    let private = kept_private(&private, &operation.private);
                    PlanOutcome {
                        planned: Some(planned),
                        replace,
                        private,
                        diagnostics,
                    }
                }
                Err(error) => PlanOutcome {
                    private: operation.private.clone(),
                    diagnostics: operation.diagnostics(Some(error)),
                    ..PlanOutcome::default()
                },
            }
        })
    }

    fn plan_delete(
        &self,
        operation: Operation<R::Provider>,
        prior: Value,
    ) -> BoxFuture<'static, PlanOutcome> {
        Box::pin(async move {
            let private = operation.private::<R::Private>();
            let limit = limit(Kind::Read, R::TIMEOUTS, &prior);
            let result = async {
                let prior = R::Model::decode_object(&prior, Source::State)?;
                R::plan_delete(&operation.cx(&private, limit), &prior).await
            };
            let error = result.await.err();
            PlanOutcome {
                planned: Some(Value::Null),
                replace: Vec::new(),
                private: encode_private(&private, operation.private.clone()),
                diagnostics: operation.diagnostics(error),
            }
        })
    }

    fn create(
        &self,
        operation: Operation<R::Provider>,
        config: Value,
        planned: Value,
    ) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let private = operation.private::<R::Private>();
            let limit = limit(Kind::Create, R::TIMEOUTS, &planned);
            let models = R::Model::decode_object(&config, Source::Config)
                .and_then(|config| Ok((config, Decoded::<R::Model>::state(planned)?)));
            match models {
                Ok((model, planned)) => {
                    let cx = operation.cx(&private, limit);
                    let result = R::create(&cx, model, planned.model.clone()).await;
                    Self::finish(&operation, &private, &config, &planned, result).await
                }
                Err(error) => Outcome::failed(
                    operation.private.clone(),
                    operation.diagnostics(Some(error)),
                ),
            }
        })
    }

    fn update(
        &self,
        operation: Operation<R::Provider>,
        config: Value,
        prior: Value,
        planned: Value,
    ) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            if planned.is_wholly_known() && !plan::differs(Self::schema(), &planned, &prior) {
                // Only recorded attributes changed.
                let private = operation.private.clone();
                return Outcome {
                    state: Some(planned),
                    private,
                    diagnostics: Diagnostics::none(),
                };
            }
            let private = operation.private::<R::Private>();
            let limit = limit(Kind::Update, R::TIMEOUTS, &planned);
            let models = R::Model::decode_object(&config, Source::Config).and_then(|config| {
                let prior = R::Model::decode_object(&prior, Source::State)?;
                Ok((config, prior, Decoded::<R::Model>::state(planned)?))
            });
            match models {
                Ok((model, prior, planned)) => {
                    let cx = operation.cx(&private, limit);
                    let result = R::update(&cx, model, prior, planned.model.clone()).await;
                    Self::finish(&operation, &private, &config, &planned, result).await
                }
                Err(error) => Outcome::failed(
                    operation.private.clone(),
                    operation.diagnostics(Some(error)),
                ),
            }
        })
    }

    fn read(&self, operation: Operation<R::Provider>, prior: Value) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let private = operation.private::<R::Private>();
            let limit = limit(Kind::Read, R::TIMEOUTS, &prior);
            let decoded = match Decoded::<R::Model>::state(prior) {
                Ok(decoded) => decoded,
                Err(error) => return Outcome::failed(operation.private.clone(), error),
            };
            let found = R::read(&operation.cx(&private, limit), decoded.model.clone()).await;
            let private = kept_private(&private, &operation.private);
            let mut diagnostics = operation.diagnostics(None);
            let state = match found {
                Ok(Found::Present(model)) => {
                    let state = changed(&decoded.given, &decoded.encoded, &model);
                    let state = plan::without_write_only(Self::schema(), state);
                    let faults = check::stored(Self::schema(), &state);
                    if !faults.is_empty() {
                        let what = format!("What was read of {}", R::NAME);
                        diagnostics.merge(check::diagnostics(&what, &faults));
                    }
                    let state = repair::known(Self::schema(), state);
                    Some(state)
                }
                Ok(Found::Gone) => Some(Value::Null),
                Ok(Found::Unknown(reasons)) => {
                    diagnostics.merge(reasons.into_warnings());
                    None
                }
                Err(error) => {
                    diagnostics.merge(error);
                    None
                }
            };
            Outcome {
                state,
                private,
                diagnostics,
            }
        })
    }

    fn delete(
        &self,
        operation: Operation<R::Provider>,
        prior: Value,
    ) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let private = operation.private::<R::Private>();
            let limit = limit(Kind::Delete, R::TIMEOUTS, &prior);
            let decoded = match Decoded::<R::Model>::state(prior) {
                Ok(decoded) => decoded,
                Err(error) => return Outcome::failed(operation.private.clone(), error),
            };
            let result = R::delete(&operation.cx(&private, limit), decoded.model.clone()).await;
            match result {
                Ok(()) => Outcome {
                    state: Some(Value::Null),
                    private: Vec::new(),
                    diagnostics: operation.diagnostics(None),
                },
                Err(error) => Outcome {
                    state: Self::saved(&operation, &decoded),
                    private: encode_private(&private, operation.private.clone()),
                    diagnostics: operation.diagnostics(Some(error)),
                },
            }
        })
    }

    fn import(&self, operation: Operation<R::Provider>, id: String) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let private = operation.private::<R::Private>();
            let cx = operation.cx(&private, R::TIMEOUTS.read);
            let imported = R::import(&cx, &id).await;
            Self::imported(&operation, &private, imported)
        })
    }

    fn generate(&self, state: &Value) -> Result<Value, Diagnostics> {
        // What no model can hold is no state of this resource.
        R::Model::decode_object(state, Source::State)?;
        Ok(generate::config(Self::schema(), state))
    }

    fn upgrade(&self, from: i64, raw: Json) -> Result<Value, Diagnostics> {
        let schema = Self::schema();
        let raw = match from.cmp(&schema.version) {
            Ordering::Less => R::upgrade(from, raw)?,
            Ordering::Equal => raw,
            Ordering::Greater => {
                return Err(super::newer("state", R::NAME, from, schema.version));
            }
        };
        match json::decode(&raw, schema.value_type()) {
            Ok(Value::Null) => Err(Diagnostics::bug(format!(
                "The stored state of {} is empty.",
                R::NAME
            ))),
            Ok(state) => {
                let state = plan::with_empty_blocks(schema, state);
                Ok(plan::without_write_only(schema, state))
            }
            Err(error) => Err(Diagnostics::failed(
                "read the stored state of",
                R::NAME,
                "",
                &error,
            )),
        }
    }

    fn moved(&self, source: &MoveSource) -> Result<(Value, Vec<u8>), Diagnostics> {
        let refused = || {
            let summary = format!("Cannot move {} to {}", source.resource, R::NAME);
            Diagnostics::error(
                summary,
                "This resource does not take over the state of that type.",
            )
            .hint("Remove the moved block and import the object instead.")
        };
        let mut private = R::Private::default();
        let model = R::moved(source, &mut private).ok_or_else(refused)??;
        let state = Self::stub("move", &model)?;
        Ok((state, Self::stub_private(&private.into())))
    }
}
