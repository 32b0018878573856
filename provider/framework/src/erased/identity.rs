//! The erased identity: of a state, from an identity, of older versions.

use futures::future::BoxFuture;
use serde_json::Value as Json;

use super::{Typed, guarded};
use crate::field::Source;
use crate::identity::Identified;
use crate::operation::{Operation, Outcome};
use crate::{Diagnostics, Field, Model, Schema, Value, json};

pub(crate) trait AnyIdentity<P>: Send + Sync {
    fn schema(&self) -> &'static Schema;
    /// Of a state, which may hold unknown values.
    fn of(&self, state: &Value) -> Result<Value, Diagnostics>;
    fn import(&self, operation: Operation<P>, identity: Value) -> BoxFuture<'static, Outcome>;
    fn upgrade(&self, from: i64, raw: Json) -> Result<Value, Diagnostics>;
}

impl<R: Identified> AnyIdentity<R::Provider> for Typed<R> {
    fn schema(&self) -> &'static Schema {
        R::Identity::schema()
    }

    fn of(&self, state: &Value) -> Result<Value, Diagnostics> {
        let model = R::Model::decode_object(state, Source::State)?;
        // Called where the state must not be lost, so a panic ends here.
        guarded("The identity", R::NAME, || R::identity(&model).encode())
    }

    fn import(
        &self,
        operation: Operation<R::Provider>,
        identity: Value,
    ) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let private = operation.private::<R::Private>();
            let imported = async {
                let identity = R::Identity::decode_object(&identity, Source::Config)?;
                R::from_identity(&operation.cx(&private, R::TIMEOUTS.read), identity).await
            };
            let imported = imported.await;
            Self::imported(&operation, &private, imported)
        })
    }

    fn upgrade(&self, from: i64, raw: Json) -> Result<Value, Diagnostics> {
        let schema = R::Identity::schema();
        let what = "identity";
        let raw = match from.cmp(&schema.version) {
            std::cmp::Ordering::Less => R::upgrade_identity(from, raw)?,
            std::cmp::Ordering::Equal => raw,
            std::cmp::Ordering::Greater => {
                return Err(super::newer(what, R::NAME, from, schema.version));
            }
        };
        match json::decode(&raw, schema.value_type()) {
            Ok(Value::Null) => Err(Diagnostics::bug(format!(
                "The stored identity of {} is empty.",
                R::NAME
            ))),
            Ok(identity) => Ok(identity),
            Err(error) => Err(Diagnostics::failed(
                "read the stored identity of",
                R::NAME,
                "",
                &error,
            )),
        }
    }
}
