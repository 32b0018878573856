//! Identities: their schemas, their upgrades, and the identity in every answer that carries a state.

use strata_proto::tfplugin6 as wire;

use super::read::raw;
use super::{Service, unknown_type};
use crate::erased::{AnyIdentity, guarded};
use crate::identity::{Moment, settle};
use crate::operation::Outcome;
use crate::resource::Provider;
use crate::server::convert;
use crate::{Diagnostics, Path, Schema, Value, check};

type Data = wire::ResourceIdentityData;

fn decode(schema: &Schema, data: Option<&Data>) -> Result<Value, Diagnostics> {
    let data = data.and_then(|data| data.identity_data.as_ref());
    convert::value(data, schema.value_type())
}

fn encode(schema: &Schema, identity: &Value) -> Result<Option<Data>, Diagnostics> {
    if identity.is_null() {
        return Ok(None);
    }
    let identity_data = Some(convert::dynamic(identity, schema.value_type())?);
    Ok(Some(Data { identity_data }))
}

impl<P: Provider> Service<P> {
    fn identity_of(&self, name: &str) -> Option<&dyn AnyIdentity<P>> {
        self.registry().identities.get(name).map(|one| &**one)
    }

    pub(super) fn identity_schemas(&self) -> wire::get_resource_identity_schemas::Response {
        let all = self.registry().identities.iter();
        wire::get_resource_identity_schemas::Response {
            identity_schemas: all
                .map(|(name, one)| (name.clone(), convert::identity_schema(one.schema())))
                .collect(),
            diagnostics: Vec::new(),
        }
    }

    pub(super) fn upgrade_identity(
        &self,
        request: &wire::upgrade_resource_identity::Request,
    ) -> wire::upgrade_resource_identity::Response {
        let name = &request.type_name;
        let upgrade = || {
            let identity = self.identity_of(name);
            let identity = identity.ok_or_else(|| unknown_type("identity of", name))?;
            let stored = raw(request.raw_identity.as_ref())?;
            let upgrade = || identity.upgrade(request.version, stored);
            let upgraded = guarded("UpgradeResourceIdentity", name, upgrade)??;
            encode(identity.schema(), &upgraded)
        };
        let (upgraded_identity, found) = match upgrade() {
            Ok(identity) => (identity, Diagnostics::none()),
            Err(error) => (None, error),
        };
        wire::upgrade_resource_identity::Response {
            upgraded_identity,
            diagnostics: convert::diagnostics(found),
        }
    }

    /// The identity to answer beside a state: what `stored` and the state say; none when the object is gone. The
    /// diagnostics are the provider's mistakes.
    pub(super) fn identity(
        &self,
        name: &str,
        stored: Option<&Data>,
        state: &Value,
        moment: Moment,
    ) -> (Option<Data>, Diagnostics) {
        let Some(identity) = self.identity_of(name).filter(|_| !state.is_null()) else {
            return (None, Diagnostics::none());
        };
        let settled = || {
            let before = decode(identity.schema(), stored)?;
            let (settled, faults) =
                settle(identity.schema(), &before, &identity.of(state)?, moment);
            Ok((encode(identity.schema(), &settled)?, faults))
        };
        match settled() {
            Ok((data, faults)) if faults.is_empty() => (data, Diagnostics::none()),
            Ok((data, faults)) => {
                let facts = format!("The identity of {name} is wrong: {}.", faults.join("; "));
                let found = Diagnostics::bug(facts);
                let rule = "An object has one identity, and keeps it as long as it lives.";
                (data, found.left(rule))
            }
            Err(error) => (stored.cloned(), error),
        }
    }

    /// The identity of what was imported by id or moved: whole, or none until the read that follows.
    pub(super) fn whole_identity(&self, name: &str, state: &Value) -> Option<Data> {
        let identity = self.identity_of(name)?;
        let of = identity.of(state).ok()?;
        let is_whole = match &of {
            Value::Map(all) => all
                .values()
                .all(|one| !one.is_null() && one.is_wholly_known()),
            _ => false,
        };
        encode(identity.schema(), &of).ok()?.filter(|_| is_whole)
    }

    /// A whole identity as it travels; none for null.
    pub(super) fn encoded_identity(
        &self,
        name: &str,
        identity: &Value,
    ) -> Result<Option<Data>, Diagnostics> {
        self.identity_of(name)
            .map_or(Ok(None), |of| encode(of.schema(), identity))
    }

    /// Imports by the identity that a user wrote, where there is no id.
    pub(super) async fn import_by_identity(
        &self,
        name: &str,
        data: &Data,
    ) -> Result<Outcome, Diagnostics> {
        let identity = self.identity_of(name).ok_or_else(|| {
            let summary = format!("Cannot import {name} by identity");
            Diagnostics::error(summary, "This resource has no identity.")
                .hint("Write `id = ...` in the import block.")
        })?;
        let schema = identity.schema();
        let wanted = decode(schema, Some(data))?;
        let mut found = Diagnostics::none();
        check::config(schema, &wanted, &Path::root(), &mut found);
        // A path would point into the resource's own block.
        found.without_path().into_result()?;
        let (operation, _) = self.operation(Vec::new())?;
        let work = identity.import(operation, wanted);
        self.run("ImportResourceState", name, work).await
    }
}
