//! Rules of a plan (contract: tfplugin6, section 5.1): the configuration decides, the provider fills what it may.

use super::fault::{Fault, Found, Law};
use super::marks::marks;
use super::part;
use crate::path::{Path, Step};
use crate::schema::{Attribute, Mode, Schema, Shape};
use crate::value::distinct;
use crate::{Type, Value};

/// What core would refuse in a plan.
pub(crate) fn plan(schema: &Schema, config: &Value, prior: &Value, planned: &Value) -> Vec<Fault> {
    let mut found = Found::default();
    marks(schema, planned, &Path::root(), &mut found);
    // Core stops here as well: the write-only value is in the plan file already.
    if found.is_empty() {
        object(
            schema,
            &Three {
                config,
                prior,
                planned,
            },
            &Path::root(),
            &mut found,
        );
    }
    found.into_faults(schema)
}

/// Places that are to replace the object, and are in neither value.
pub(crate) fn replacements(
    schema: &Schema,
    prior: &Value,
    planned: &Value,
    replace: &[Path],
) -> Vec<Fault> {
    let mut found = Found::default();
    let of = schema.value_type();
    // What does not exist yet is not replaced.
    if !prior.is_null() {
        for path in replace {
            if !reaches(prior, of, path.steps()) && !reaches(planned, of, path.steps()) {
                found.add(path, Law::NoSuchPlace, &[]);
            }
        }
    }
    found.into_faults(schema)
}

/// Whether the steps lead somewhere in the value. Everything is inside an unknown value, nothing is inside null.
fn reaches(value: &Value, of: &Type, steps: &[Step]) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return true;
    };
    match (step, value, of) {
        (_, Value::Dynamic(dynamic), _) => reaches(&dynamic.value, &dynamic.of, steps),
        (_, Value::Unknown(_), _) => true,
        (Step::Attribute(name) | Step::Key(name), Value::Map(_), Type::Object(types)) => types
            .get(name)
            .is_some_and(|of| reaches(value.get(name), of, rest)),
        (Step::Attribute(key) | Step::Key(key), Value::Map(elements), Type::Map(of)) => elements
            .get(key)
            .is_some_and(|element| reaches(element, of, rest)),
        (Step::Index(index), Value::List(elements), of) => {
            let Ok(index) = usize::try_from(*index) else {
                return false;
            };
            let of = match of {
                Type::List(of) => Some(&**of),
                Type::Tuple(types) => types.get(index),
                // A set element has no address.
                _ => None,
            };
            elements
                .get(index)
                .zip(of)
                .is_some_and(|(element, of)| reaches(element, of, rest))
        }
        _ => false,
    }
}

/// The three values that a plan is judged by, at one place.
struct Three<'a> {
    config: &'a Value,
    prior: &'a Value,
    planned: &'a Value,
}

impl<'a> Three<'a> {
    fn of(&self, name: &str) -> Self {
        Self {
            config: part::of(self.config, name),
            prior: part::of(self.prior, name),
            planned: part::of(self.planned, name),
        }
    }
    fn at(&self, index: usize) -> Self {
        Self {
            config: part::at(self.config, index),
            prior: part::at(self.prior, index),
            planned: part::at(self.planned, index),
        }
    }
    /// Whether the plan is what the configuration says, or the prior state does: nothing else needs a reason.
    fn agree(&self, attribute: &Attribute) -> bool {
        attribute.equal(self.planned, self.config)
            || (!attribute.block
                && !part::is_absent(self.prior)
                && !part::is_absent(self.config)
                && attribute.equal(self.planned, self.prior))
    }
    fn values(&self) -> [(&'static str, &'a Value); 3] {
        [
            ("planned", self.planned),
            ("configured", self.config),
            ("prior", self.prior),
        ]
    }
    fn add(&self, found: &mut Found, path: &Path, law: Law) {
        // A prior value that does not exist explains nothing.
        let shown = if part::is_absent(self.prior) { 2 } else { 3 };
        found.add(path, law, &self.values()[..shown]);
    }
}

/// The object itself or a block: there or not as configured, then everything in it.
fn object(schema: &Schema, three: &Three<'_>, path: &Path, found: &mut Found) {
    match (three.config.is_null(), three.planned.is_null()) {
        (false, true) => three.add(found, path, Law::PlannedAbsent),
        (true, false) => three.add(found, path, Law::PlannedPresent),
        (true, true) => {}
        (false, false) => {
            for attribute in &schema.attributes {
                let three = three.of(attribute.name);
                if three.agree(attribute) {
                    continue;
                }
                let path = path.with(Step::Attribute(attribute.name.to_owned()));
                if attribute.block {
                    blocks(attribute, &three, &path, found);
                } else {
                    self::attribute(attribute, &three, &path, found);
                }
            }
        }
    }
}

fn attributes(schema: &Schema, three: &Three<'_>, path: &Path, found: &mut Found) {
    for attribute in &schema.attributes {
        let three = three.of(attribute.name);
        if !three.agree(attribute) {
            let path = path.with(Step::Attribute(attribute.name.to_owned()));
            self::attribute(attribute, &three, &path, found);
        }
    }
}

fn attribute(attribute: &Attribute, three: &Three<'_>, path: &Path, found: &mut Found) {
    let Three {
        config,
        prior: _,
        planned,
    } = *three;
    let no_config = part::is_absent(config);
    if attribute.write_only {
        // Null is what it must be, whatever is configured; what is known was found before.
        if !part::is_absent(planned) {
            found.add(path, Law::WriteOnly, &[]);
        }
        return;
    }
    if attribute.mode == Mode::Computed || (no_config && attribute.is_computed()) {
        return;
    }
    if no_config && !part::is_absent(planned) {
        return three.add(found, path, Law::NotComputed);
    }
    match attribute.nested() {
        Some(nested) => nested_attribute(&attribute.shape, nested, three, path, found),
        None => three.add(found, path, Law::NotConfigured),
    }
}

fn nested_attribute(
    shape: &Shape,
    nested: &Schema,
    three: &Three<'_>,
    path: &Path,
    found: &mut Found,
) {
    let Three {
        config,
        prior: _,
        planned,
    } = *three;
    if planned.is_null() {
        return three.add(found, path, Law::PlannedAbsent);
    }
    if planned.is_unknown() {
        return three.add(found, path, Law::PlannedUnknown);
    }
    match (shape, planned, config) {
        (Shape::Single(_), _, _) => attributes(nested, three, path, found),
        (Shape::List(_), Value::List(there), Value::List(wanted))
            if there.len() == wanted.len() =>
        {
            for index in 0..there.len() {
                attributes(nested, &three.at(index), &path.clone().index(index), found);
            }
        }
        (Shape::Map(_), Value::Map(there), Value::Map(wanted)) if there.len() == wanted.len() => {
            if !there.keys().eq(wanted.keys()) {
                three.add(found, path, Law::ConfiguredKeys);
            }
            for key in there.keys().filter(|key| wanted.contains_key(*key)) {
                attributes(nested, &three.of(key), &path.clone().key(key), found);
            }
        }
        // Nothing correlates the elements of two sets, so only their number is compared.
        (Shape::Set(_), _, _) if counts_agree(planned, config, nested.value_type()) => {}
        _ => three.add(found, path, Law::ConfiguredCount),
    }
}

/// Whether two sets can have the same number of elements: unknown ones may turn out equal to others.
fn counts_agree(planned: &Value, config: &Value, of: &Type) -> bool {
    match (count(planned, of), count(config, of)) {
        (Some((least, most)), Some((low, high))) => least <= high && low <= most,
        _ => true,
    }
}

fn count(set: &Value, of: &Type) -> Option<(usize, usize)> {
    let Value::List(elements) = set else {
        return None;
    };
    let most = distinct(elements, of).len();
    let least = if most <= 1 || set.is_wholly_known() {
        most
    } else {
        1
    };
    Some((least, most))
}

fn blocks(attribute: &Attribute, three: &Three<'_>, path: &Path, found: &mut Found) {
    let Three {
        config,
        prior: _,
        planned,
    } = *three;
    let Some(nested) = attribute.nested() else {
        return;
    };
    if config.is_unknown() {
        return three.add(found, path, Law::UnknownBlocks);
    }
    if planned.is_unknown() {
        return three.add(found, path, Law::UnknownBlock);
    }
    let is_single = matches!(attribute.shape, Shape::Single(_));
    if planned.is_null() && !is_single {
        return three.add(found, path, Law::NullBlocks);
    }
    let block = |three: &Three<'_>, path: &Path, found: &mut Found| {
        if three.planned.is_unknown() {
            three.add(found, path, Law::UnknownBlock);
        } else {
            object(nested, three, path, found);
        }
    };
    match (&attribute.shape, planned, config) {
        (Shape::Single(_), _, _) => object(nested, three, path, found),
        (Shape::List(_), Value::List(there), Value::List(wanted))
            if there.len() == wanted.len() =>
        {
            for index in 0..there.len() {
                block(&three.at(index), &path.clone().index(index), found);
            }
        }
        (Shape::Map(_), Value::Map(there), Value::Map(wanted)) if there.len() == wanted.len() => {
            if !there.keys().eq(wanted.keys()) {
                three.add(found, path, Law::ConfiguredKeys);
            }
            for key in there.keys().filter(|key| wanted.contains_key(*key)) {
                block(&three.of(key), &path.clone().key(key), found);
            }
        }
        // Core trusts the provider with sets of blocks: it cannot tell which is which.
        (Shape::Set(_), Value::List(there), _) => {
            if there.iter().any(Value::is_unknown) {
                three.add(found, path, Law::UnknownBlock);
            }
        }
        _ => three.add(found, path, Law::ConfiguredCount),
    }
}
