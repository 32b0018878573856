//! Resource identity: which object outside a state belongs to, in terms that outlive the state's schema.
//!
//! Terraform 1.12 and newer store the identity beside the state, import by it (`import { identity = { .. } }`) and take
//! the results of list resources from it. An older client never asks, so a resource gains nothing and loses nothing.
//!
//! A trait of its own, registered beside the resource: most resources are well served by their id.

use std::collections::BTreeMap;
use std::future::Future;

use serde_json::Value as Json;

use crate::cx::Of;
use crate::resource::Resource;
use crate::schema::{Mode, Schema, Shape};
use crate::{Diagnostics, Model, Type, Value};

/// A resource whose objects have an identity. Registered by [`Registry::identity`](crate::Registry::identity).
///
/// The identity is a function of the state alone: whatever holds a state (an import, a move in a process that is never
/// configured, what was saved before a panic) has its identity too. What is known only to the provider, like the region
/// it is configured for, belongs into the state as a computed attribute first.
pub trait Identified: Resource {
    /// Its attributes: scalars and lists of scalars, each `required_for_import` or `optional_for_import`. Never secret:
    /// Terraform shows them.
    type Identity: Model;

    /// Of an object. Attributes may be unknown while a creation is planned; once stored, none may change.
    fn identity(state: &Self::Model) -> Self::Identity;

    /// From the identity a user wrote to a model that `read` can complete: the twin of [`Resource::import`].
    fn from_identity(
        cx: &Of<'_, Self>,
        identity: Self::Identity,
    ) -> impl Future<Output = Result<Self::Model, Diagnostics>> + Send;

    /// Brings an identity of an older version to the present one. The version is the one in the header of the identity's
    /// struct.
    fn upgrade_identity(_from: i64, _raw: Json) -> Result<Json, Diagnostics> {
        Err(Diagnostics::unsupported("upgrading this old identity"))
    }
}

/// What core and this framework would refuse in the schema of an identity.
pub(crate) fn faults(schema: &Schema) -> Vec<String> {
    let mut faults = schema.faults(&[]);
    if schema.attributes.is_empty() {
        faults.push("an identity without attributes".to_owned());
    }
    for attribute in &schema.attributes {
        let mut fault = |text: &str| faults.push(format!("{}: {text}", attribute.name));
        if !attribute.for_import {
            fault("say required_for_import or optional_for_import");
        }
        if attribute.secret || attribute.sensitive || attribute.write_only {
            fault("an identity is shown, so nothing in it is secret");
        }
        let plain = match &attribute.shape {
            Shape::Plain(Type::List(element)) => is_scalar(element),
            Shape::Plain(of) => is_scalar(of),
            _ => false,
        };
        if !plain || attribute.block {
            fault("an identity has scalars and lists of scalars only");
        }
    }
    faults
}

/// What must not stand in any other schema.
pub(crate) fn strays(schema: &Schema) -> Vec<String> {
    let stray = schema.attributes.iter().filter(|one| one.for_import);
    stray
        .map(|one| {
            let name = one.name;
            format!("{name}: required_for_import and optional_for_import belong to identities")
        })
        .collect()
}

fn is_scalar(of: &Type) -> bool {
    matches!(of, Type::String | Type::Number | Type::Bool)
}

/// Whether the object whose identity it is exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A creation is planned: anything may be unknown.
    Planned,
    /// It exists, or will once a planned update is done: everything is known.
    Existing,
}

/// What to store, from what is stored and what the state says now. The texts are the provider's mistakes.
///
/// A stored attribute stays, whatever the state says, and one that is stored null may still be learnt: an import may
/// leave out what is `optional_for_import`. An identity that lacks what an import needs is no identity; core would store
/// it and call the next, complete one a change.
pub(crate) fn settle(
    schema: &Schema,
    stored: &Value,
    now: &Value,
    moment: Moment,
) -> (Value, Vec<String>) {
    let mut faults = Vec::new();
    let mut settled = BTreeMap::new();
    let mut is_whole = true;
    for attribute in &schema.attributes {
        let name = attribute.name;
        let (stored, now) = (stored.get(name), now.get(name));
        let has_stored = !stored.is_null() && stored.is_wholly_known();
        let value = match (has_stored, now.is_wholly_known()) {
            (true, false) => stored,
            (true, true) if attribute.equal(stored, now) => stored,
            (true, true) => {
                let (before, after) = (spell(stored), spell(now));
                faults.push(format!("{name} changed from {before} to {after}"));
                stored
            }
            (false, true) => now,
            (false, false) if moment == Moment::Planned => now,
            (false, false) => {
                is_whole = false;
                faults.push(format!("{name} is unknown"));
                now
            }
        };
        if value.is_null() && attribute.mode == Mode::Required && moment == Moment::Existing {
            is_whole = false;
            faults.push(format!("{name} is null"));
        }
        settled.insert(name.to_owned(), value.clone());
    }
    if is_whole {
        (Value::Map(settled), faults)
    } else {
        (Value::Null, faults)
    }
}

/// Identities are not secret, so a message may show them.
fn spell(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::List(elements) => {
            let all: Vec<_> = elements.iter().map(spell).collect();
            format!("[{}]", all.join(", "))
        }
        other => other.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests;
