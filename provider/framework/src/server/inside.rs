//! The framework's inside, for its own tests with the real Terraform. Not for people, and free to change.

use strata_proto::tfplugin6 as wire;

use crate::{Diagnostics, Schema, Type, Value};

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
