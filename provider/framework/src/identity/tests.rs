//! What is stored as identity, case by case, and which schemas are none.

use std::collections::{BTreeMap, BTreeSet};

use super::{Moment, faults, settle, strays};
use crate::{Attr, Field, Model, Schema, Secret, Value};

/// Where it is.
#[derive(Schema, Clone, Default)]
#[schema(name = "place")]
struct Place {
    /// Zone.
    #[schema(required_for_import)]
    zone: Attr<String>,
    /// Number in the zone.
    #[schema(optional_for_import)]
    number: Attr<u16>,
    /// Aliases.
    #[schema(optional_for_import)]
    names: Attr<Vec<String>>,
}

fn place(zone: impl Into<Attr<String>>, number: impl Into<Attr<u16>>) -> Value {
    let (zone, number) = (zone.into(), number.into());
    Place {
        zone,
        number,
        names: Attr::Null,
    }
    .encode()
}

fn existing(stored: &Value, now: &Value) -> (Value, Vec<String>) {
    settle(Place::schema(), stored, now, Moment::Existing)
}

#[test]
fn a_first_identity_is_taken_as_it_is() {
    let now = place("a", 1);
    assert_eq!(existing(&Value::Null, &now), (now, vec![]));
}

#[test]
fn a_stored_attribute_never_changes() {
    let (stored, now) = (place("a", 1), place("b", 1));
    let (kept, faults) = existing(&stored, &now);
    assert_eq!(kept, stored);
    assert_eq!(faults, ["zone changed from \"a\" to \"b\""]);
    let (kept, faults) = existing(&stored, &place("a", Attr::Null));
    assert_eq!(kept, stored);
    assert_eq!(faults, ["number changed from 1 to null"]);
}

#[test]
fn what_is_unknown_again_stays_as_stored() {
    let stored = place("a", 1);
    assert_eq!(
        existing(&stored, &place(Attr::Unknown, 1)),
        (stored, vec![])
    );
}

#[test]
fn what_was_stored_null_may_be_learnt() {
    let now = place("a", 1);
    assert_eq!(existing(&place("a", Attr::Null), &now), (now, vec![]));
}

#[test]
fn an_incomplete_identity_is_none() {
    let (none, faults) = existing(&Value::Null, &place(Attr::Null, 1));
    assert!(none.is_null());
    assert_eq!(faults, ["zone is null"]);
    let (none, faults) = existing(&Value::Null, &place("a", Attr::Unknown));
    assert!(none.is_null());
    assert_eq!(faults, ["number is unknown"]);
}

#[test]
fn a_planned_creation_may_leave_everything_unknown() {
    let now = place(Attr::Unknown, Attr::Unknown);
    let (planned, faults) = settle(Place::schema(), &Value::Null, &now, Moment::Planned);
    assert_eq!((planned, faults), (now, vec![]));
}

#[test]
fn schemas_that_are_no_identity_are_refused() {
    /// Not an identity.
    #[derive(Schema, Clone)]
    #[schema(name = "wrong")]
    struct Wrong {
        /// A map.
        #[schema(required_for_import)]
        map: Attr<BTreeMap<String, String>>,
        /// A set.
        #[schema(optional_for_import)]
        set: Attr<BTreeSet<String>>,
        /// An object.
        #[schema(optional_for_import)]
        object: Attr<Place>,
        /// A list of lists.
        #[schema(optional_for_import)]
        lists: Attr<Vec<Vec<String>>>,
        /// A secret.
        #[schema(required_for_import)]
        secret: Attr<Secret<String>>,
        /// An ordinary attribute.
        #[schema(computed)]
        computed: Attr<String>,
    }
    assert!(faults(Place::schema()).is_empty());
    let scalars = "an identity has scalars and lists of scalars only";
    assert_eq!(
        faults(Wrong::schema()),
        [
            format!("map: {scalars}"),
            format!("set: {scalars}"),
            format!("object: {scalars}"),
            format!("lists: {scalars}"),
            "secret: an identity is shown, so nothing in it is secret".to_owned(),
            "computed: say required_for_import or optional_for_import".to_owned(),
        ]
    );
    assert_eq!(strays(Place::schema()).len(), 3);
}
