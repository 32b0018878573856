//! What core would refuse in a schema, in our words (contract: tfplugin6, section 2.5), and what we refuse ourselves.

use std::collections::BTreeSet;

use super::{Attribute, Mode, Replace, Schema, Shape, is_identifier};
use crate::Type;

impl Schema {
    /// Everything core would refuse, in our words. Empty for a good schema.
    pub fn faults(&self, reserved: &[&str]) -> Vec<String> {
        let mut faults = Vec::new();
        if self.version < 0 {
            faults.push("version is negative".to_owned());
        }
        let mut seen = BTreeSet::new();
        for attribute in &self.attributes {
            let name = attribute.name;
            let mut fault = |text: &str| faults.push(format!("{name}: {text}"));
            if !is_identifier(name) {
                fault("not an identifier of lower case letters, digits and underscores");
            }
            if reserved.contains(&name) {
                fault("a name that Terraform reserves");
            }
            if !seen.insert(name) {
                fault("declared twice");
            }
            self.rules_of(attribute, &mut fault);
            block(attribute, &mut fault);
            if let Some(nested) = attribute.nested() {
                inside(attribute, nested, &mut fault);
                let inner = nested.faults(&[]).into_iter();
                faults.extend(inner.map(|inner| format!("{name}.{inner}")));
            } else if let Shape::Plain(of) = &attribute.shape
                && set_of_dynamic(of)
            {
                fault("a set cannot hold dynamic values");
            }
        }
        for rule in &self.rules {
            let unknown = rule
                .names()
                .iter()
                .filter(|name| self.attribute(name).is_none());
            faults.extend(
                unknown.map(|name| format!("{name}: a rule names it, but it does not exist")),
            );
        }
        faults
    }

    /// Words that contradict each other.
    fn rules_of(&self, attribute: &Attribute, fault: &mut impl FnMut(&str)) {
        if attribute.default.is_some() && attribute.mode != Mode::OptionalComputed {
            fault("a default needs optional and computed");
        }
        if attribute.write_only && (attribute.is_computed() || attribute.block) {
            fault("write-only excludes computed and blocks");
        }
        if attribute.refinement.is_some() && !attribute.is_computed() {
            fault("only a computed value is unknown in a plan of ours");
        }
        if let Some(name) = attribute.fingerprint {
            match self.attribute(name) {
                _ if !attribute.write_only => fault("only a write-only value has a fingerprint"),
                Some(other) if other.mode == Mode::Computed => {}
                _ => fault("its fingerprint is no computed attribute beside it"),
            }
        }
    }
}

fn block(attribute: &Attribute, fault: &mut impl FnMut(&str)) {
    let (least, most) = attribute.items;
    if !attribute.block {
        if attribute.group || attribute.items != (0, 0) {
            fault("only blocks are groups or counted");
        }
        return;
    }
    match attribute.shape {
        Shape::Plain(_) => fault("a block holds nested objects"),
        Shape::Single(_) | Shape::Map(_) if attribute.items != (0, 0) => {
            fault("only lists and sets of blocks are counted");
        }
        Shape::List(_) | Shape::Set(_) | Shape::Map(_) if attribute.group => {
            fault("a group is one block");
        }
        Shape::Map(_) if attribute.mode == Mode::Required => {
            fault("core cannot require blocks with labels");
        }
        _ if attribute.group && attribute.mode == Mode::Required => {
            fault("a group is there even when nobody writes it");
        }
        _ => {}
    }
    if most != 0 && least > most {
        fault("more blocks are required than allowed");
    }
    if attribute.is_computed() || attribute.default.is_some() {
        fault("blocks are written, never computed");
    }
}

/// What a nested schema may not have because of how it nests.
fn inside(attribute: &Attribute, nested: &Schema, fault: &mut impl FnMut(&str)) {
    let in_set = matches!(attribute.shape, Shape::Set(_));
    let moves = in_set || matches!(attribute.shape, Shape::List(_));
    for inner in &nested.attributes {
        // Elements are matched by index or by guess, not by object: the prior value would be another object's.
        if moves && inner.keep_prior {
            fault(&format!(
                "{} keeps its prior value inside a list or set",
                inner.name
            ));
        }
        if in_set && matches!(inner.replace, Replace::If(_)) {
            fault(&format!("{} cannot be compared inside a set", inner.name));
        }
        if attribute.write_only && !inner.write_only {
            fault(&format!("{} must be write-only as well", inner.name));
        }
        if inner.block && !attribute.block {
            fault(&format!("{} is a block inside an attribute", inner.name));
        }
        if inner.fingerprint.is_some() {
            fault(&format!(
                "{} has a fingerprint, which only top-level attributes have",
                inner.name
            ));
        }
    }
    let dynamic = |inner: &Attribute| matches!(&inner.shape, Shape::Plain(of) if has_dynamic(of));
    if attribute.block
        && matches!(attribute.shape, Shape::List(_) | Shape::Map(_))
        && nested.any(&dynamic)
    {
        // Core sends such blocks as a tuple or object with a type of its own, which no field of a model can hold.
        fault("blocks in a list or map cannot hold dynamic values");
    }
    if in_set {
        if nested.any(&|inner| inner.write_only) {
            fault("a set cannot hold write-only values");
        }
        if nested.any(&|inner| matches!(&inner.shape, Shape::Plain(of) if has_dynamic(of))) {
            fault("a set cannot hold dynamic values");
        }
    }
}

impl Schema {
    /// Whether an attribute, at any depth, is such.
    pub(crate) fn any(&self, such: &dyn Fn(&Attribute) -> bool) -> bool {
        self.attributes
            .iter()
            .any(|one| such(one) || one.nested().is_some_and(|nested| nested.any(such)))
    }
}

fn set_of_dynamic(of: &Type) -> bool {
    match of {
        Type::Set(inner) => has_dynamic(inner),
        Type::List(inner) | Type::Map(inner) => set_of_dynamic(inner),
        Type::Tuple(inner) => inner.iter().any(set_of_dynamic),
        Type::Object(inner) => inner.values().any(set_of_dynamic),
        Type::String | Type::Bool | Type::Number | Type::Dynamic => false,
    }
}

fn has_dynamic(of: &Type) -> bool {
    match of {
        Type::Dynamic => true,
        Type::List(inner) | Type::Set(inner) | Type::Map(inner) => has_dynamic(inner),
        Type::Tuple(inner) => inner.iter().any(has_dynamic),
        Type::Object(inner) => inner.values().any(has_dynamic),
        Type::String | Type::Bool | Type::Number => false,
    }
}
