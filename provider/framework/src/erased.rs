//! The object-safe twins of the traits: values and bytes instead of models, boxed futures instead of `async fn`.

mod ephemeral;
mod fingerprint;
mod identity;
mod list;
mod resource;

pub(crate) use ephemeral::{AnyEphemeral, Lease};
pub(crate) use identity::AnyIdentity;
pub(crate) use list::{AnyList, Event, Query};

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value as Json;

use crate::field::Source;
use crate::function::{Arguments, Function, Takes};
use crate::operation::{Operation, Outcome};
use crate::path::Path;
use crate::resource::{DataSource, Limit, MoveSource};
use crate::schema::Mode;
use crate::{
    Diagnostics, Field, FunctionError, Model, Parameter, Schema, Type, Value, check, deprecated,
};

/// Carries the type of a resource, data source, ephemeral resource or function.
pub(crate) struct Typed<T>(pub(crate) PhantomData<fn() -> T>);

/// What a plan starts from.
pub(crate) struct PlanInput {
    pub(crate) config: Value,
    pub(crate) prior: Value,
    pub(crate) proposed: Value,
}

/// What a plan says.
#[derive(Debug, Default)]
pub(crate) struct PlanOutcome {
    pub(crate) planned: Option<Value>,
    pub(crate) replace: Vec<Path>,
    pub(crate) private: Vec<u8>,
    pub(crate) diagnostics: Diagnostics,
}

pub(crate) trait AnyResource<P>: Send + Sync {
    fn schema(&self) -> &'static Schema;
    fn subcategory(&self) -> &'static str;
    fn timeouts(&self) -> Limit;
    fn validate(&self, config: &Value) -> Diagnostics;
    fn plan(&self, operation: Operation<P>, input: PlanInput) -> BoxFuture<'static, PlanOutcome>;
    fn plan_delete(&self, operation: Operation<P>, prior: Value)
    -> BoxFuture<'static, PlanOutcome>;
    fn create(
        &self,
        operation: Operation<P>,
        config: Value,
        planned: Value,
    ) -> BoxFuture<'static, Outcome>;
    fn read(&self, operation: Operation<P>, prior: Value) -> BoxFuture<'static, Outcome>;
    fn update(
        &self,
        operation: Operation<P>,
        config: Value,
        prior: Value,
        planned: Value,
    ) -> BoxFuture<'static, Outcome>;
    fn delete(&self, operation: Operation<P>, prior: Value) -> BoxFuture<'static, Outcome>;
    fn import(&self, operation: Operation<P>, id: String) -> BoxFuture<'static, Outcome>;
    /// The configuration that would have made a state.
    fn generate(&self, state: &Value) -> Result<Value, Diagnostics>;
    fn upgrade(&self, from: i64, raw: Json) -> Result<Value, Diagnostics>;
    fn moved(&self, source: &MoveSource) -> Result<(Value, Vec<u8>), Diagnostics>;
}

pub(crate) trait AnyDataSource<P>: Send + Sync {
    fn schema(&self) -> &'static Schema;
    fn subcategory(&self) -> &'static str;
    fn limit(&self) -> Duration;
    fn validate(&self, config: &Value) -> Diagnostics;
    fn read(&self, operation: Operation<P>, config: Value) -> BoxFuture<'static, Outcome>;
}

pub(crate) trait AnyFunction: Send + Sync {
    fn subcategory(&self) -> &'static str;
    fn summary(&self) -> &'static str;
    fn description(&self) -> &'static str;
    fn deprecated(&self) -> Option<&'static str>;
    fn parameters(&self) -> Vec<(Parameter, Takes)>;
    fn returns(&self) -> Type;
    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError>;
}

/// Runs an author's code that is not in a task of its own: a panic becomes a diagnostic. The panic hook has logged its
/// message; it may hold a secret and is not repeated.
pub(crate) fn guarded<T>(
    what: &str,
    name: &str,
    work: impl FnOnce() -> T,
) -> Result<T, Diagnostics> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        Diagnostics::bug(format!("{what} of {name} panicked."))
            .hint("Run again with TF_LOG_PROVIDER=ERROR to see where, and report it.")
    })
}

/// What a newer version of the provider stored, this one cannot read: a downgrade could lose what it does not know.
pub(crate) fn newer(what: &str, name: &str, stored: i64, ours: i64) -> Diagnostics {
    let facts = format!(
        "A newer version of the provider wrote it: version {stored}, and this one knows up to {ours}."
    );
    Diagnostics::error(format!("Cannot read the stored {what} of {name}"), facts)
        .hint("Use that version of the provider, or a newer one.")
}

/// Every check of a configuration: presence, validators, decoding, then the author's rules.
pub(crate) fn validate<M: Model>(config: &Value, rules: fn(&M, &mut Diagnostics)) -> Diagnostics {
    let mut found = Diagnostics::none();
    check::config(M::schema(), config, &Path::root(), &mut found);
    deprecated::warn(M::schema(), config, &mut found);
    match M::decode_object(config, Source::Config) {
        Ok(model) => rules(&model, &mut found),
        // One mistake is told once: a number out of range need not be told again as undecodable.
        Err(undecodable) => found.merge_elsewhere(undecodable),
    }
    found
}

/// A data source's, ephemeral resource's or list's configuration with its defaults.
fn with_defaults<M: Model>(config: &Value) -> Result<M, Diagnostics> {
    M::decode_object(
        &crate::plan::with_defaults(M::schema(), config, config),
        Source::Config,
    )
}

/// Configured values are echoed as written; core insists.
fn echoed(schema: &Schema, config: &Value, result: Value) -> Value {
    let Value::Map(mut attributes) = result else {
        return result;
    };
    for attribute in &schema.attributes {
        let configured = config.get(attribute.name);
        if attribute.mode != Mode::Computed && !configured.is_null() && attribute.nested().is_none()
        {
            attributes.insert(attribute.name.to_owned(), configured.clone());
        }
    }
    Value::Map(attributes)
}

impl<D: DataSource> AnyDataSource<D::Provider> for Typed<D> {
    fn schema(&self) -> &'static Schema {
        D::Model::schema()
    }
    fn subcategory(&self) -> &'static str {
        D::SUBCATEGORY
    }
    fn limit(&self) -> Duration {
        D::LIMIT
    }
    fn validate(&self, config: &Value) -> Diagnostics {
        validate(config, D::validate)
    }
    fn read(
        &self,
        operation: Operation<D::Provider>,
        config: Value,
    ) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let private = operation.private::<()>();
            let result = async {
                let model = with_defaults::<D::Model>(&config)?;
                D::read(&operation.cx(&private, D::LIMIT), model).await
            };
            match result.await {
                Ok(model) => {
                    let state = echoed(D::Model::schema(), &config, model.encode());
                    let mut diagnostics = operation.diagnostics(None);
                    let faults = check::object(D::Model::schema(), &state);
                    if !faults.is_empty() {
                        let what = format!("What was read of {}", D::Model::NAME);
                        diagnostics.merge(check::diagnostics(&what, &faults));
                    }
                    Outcome {
                        state: Some(state),
                        private: Vec::new(),
                        diagnostics,
                    }
                }
                Err(error) => Outcome::failed(Vec::new(), operation.diagnostics(Some(error))),
            }
        })
    }
}

impl<F: Function> AnyFunction for Typed<F> {
    fn subcategory(&self) -> &'static str {
        F::SUBCATEGORY
    }
    fn summary(&self) -> &'static str {
        F::SUMMARY
    }
    fn description(&self) -> &'static str {
        F::DESCRIPTION
    }
    fn deprecated(&self) -> Option<&'static str> {
        F::DEPRECATED
    }
    fn parameters(&self) -> Vec<(Parameter, Takes)> {
        F::PARAMETERS
            .iter()
            .copied()
            .zip(F::Arguments::takes())
            .collect()
    }
    fn returns(&self) -> Type {
        F::Return::shape().value_type()
    }
    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        match F::Arguments::decode(arguments)? {
            Some(arguments) => F::call(arguments).map(|result| result.encode()),
            None => Ok(Value::UNKNOWN),
        }
    }
}
