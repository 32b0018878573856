//! The framework's inside, for its own tests with the real Terraform. Not for people, and free to change.

use strata_proto::tfplugin6 as wire;

use crate::{Diagnostics, Path, Schema, Type, Value, check};

pub use crate::check::{Fault, Law};

pub use super::{Ending, serve_service};

/// A schema as core gets it.
pub fn schema(schema: &Schema) -> wire::Schema {
    super::convert::schema(schema)
}

/// A value as core gets it.
pub fn dynamic(value: &Value, of: &Type) -> Result<wire::DynamicValue, Diagnostics> {
    super::convert::dynamic(value, of)
}

/// A value that core sent.
pub fn value(given: Option<&wire::DynamicValue>, of: &Type) -> Result<Value, Diagnostics> {
    super::convert::value(given, of)
}

/// Our verdict on a plan, as core gives it.
pub fn plan(schema: &Schema, config: &Value, prior: &Value, planned: &Value) -> Vec<Fault> {
    check::plan(schema, config, prior, planned)
}

/// Our verdict on the places that are to replace an object.
pub fn replacements(
    schema: &Schema,
    prior: &Value,
    planned: &Value,
    replace: &[Path],
) -> Vec<Fault> {
    check::replacements(schema, prior, planned, replace)
}

/// Our verdict on a second plan.
pub fn second_plan(schema: &Schema, first: &Value, second: &Value) -> Vec<Fault> {
    check::second_plan(schema, first, second)
}

/// Our verdict on the result of a create or update.
pub fn result(schema: &Schema, planned: &Value, new: &Value) -> Vec<Fault> {
    check::result(schema, planned, new)
}

/// Our verdict on the result of a delete.
pub fn deleted(schema: &Schema, new: &Value) -> Vec<Fault> {
    check::deleted(schema, new)
}

/// Our verdict on what goes into state.
pub fn stored(schema: &Schema, new: &Value) -> Vec<Fault> {
    check::stored(schema, new)
}

/// Our verdict on what goes into state and must be there.
pub fn object(schema: &Schema, new: &Value) -> Vec<Fault> {
    check::object(schema, new)
}

/// Our verdict on what an ephemeral resource returns.
pub fn opened(schema: &Schema, config: &Value, result: &Value) -> Vec<Fault> {
    check::opened(schema, config, result)
}

/// A result made to agree with its plan, as the framework does it.
pub fn toward_plan(schema: &Schema, planned: &Value, new: &Value) -> Value {
    let new = crate::plan::without_write_only(schema, new.clone());
    crate::repair::toward_plan(schema, planned, &new)
}
