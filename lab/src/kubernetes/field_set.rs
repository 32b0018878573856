//! Sets of field paths and their wire form `FieldsV1`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::shape::{Shapes, Treatment, key_of};

/// One step of a path. The texts are what stands behind `f:`, `k:` and `v:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Field(String),
    /// Item of a keyed list, by its key as compact JSON with sorted names.
    Key(String),
    /// Item of a set, as compact JSON.
    Member(String),
}

pub(super) type Path = Vec<Step>;

/// Paths somebody owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSet(pub(super) BTreeSet<Path>);

/// Fields that belong to the server and to nobody's set.
fn is_unowned(path: &[&str]) -> bool {
    match path {
        ["apiVersion" | "kind"] => true,
        ["metadata", field] => matches!(
            *field,
            "name"
                | "namespace"
                | "uid"
                | "resourceVersion"
                | "generation"
                | "creationTimestamp"
                | "deletionTimestamp"
                | "deletionGracePeriodSeconds"
                | "selfLink"
                | "managedFields"
        ),
        _ => false,
    }
}

impl FieldSet {
    /// The fields an object sets.
    pub(super) fn of(object: &Value, shapes: &Shapes) -> Self {
        let mut set = Self::default();
        set.collect(object, shapes, &mut Vec::new(), &mut Vec::new());
        set
    }

    fn collect<'v>(
        &mut self,
        value: &'v Value,
        shapes: &Shapes,
        fields: &mut Vec<&'v str>,
        path: &mut Path,
    ) {
        if is_unowned(fields) {
            return;
        }
        let treatment = if fields.is_empty() {
            Treatment::Granular
        } else {
            shapes.treatment(fields, value)
        };
        match (value, treatment) {
            (Value::Object(map), Treatment::Granular) if !map.is_empty() => {
                for (name, value) in map {
                    fields.push(name);
                    path.push(Step::Field(name.clone()));
                    self.collect(value, shapes, fields, path);
                    path.pop();
                    fields.pop();
                }
            }
            (Value::Array(items), Treatment::Keyed(keys)) if !items.is_empty() => {
                for item in items {
                    path.push(Step::Key(key_of(item, &keys).to_string()));
                    self.0.insert(path.clone());
                    if let Value::Object(map) = item {
                        for (name, value) in map {
                            fields.push(name);
                            path.push(Step::Field(name.clone()));
                            self.collect(value, shapes, fields, path);
                            path.pop();
                            fields.pop();
                        }
                    }
                    path.pop();
                }
            }
            (Value::Array(items), Treatment::Set) if !items.is_empty() => {
                for item in items {
                    path.push(Step::Member(item.to_string()));
                    self.0.insert(path.clone());
                    path.pop();
                }
            }
            _ if fields.as_slice() == ["metadata"] => {}
            _ => {
                self.0.insert(path.clone());
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when the path itself or anything below it is in the set.
    pub(super) fn touches(&self, path: &Path) -> bool {
        self.0
            .range(path.clone()..)
            .next()
            .is_some_and(|found| found.starts_with(path))
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    pub(super) fn encode(&self) -> Value {
        #[derive(Default)]
        struct Node {
            itself: bool,
            below: BTreeMap<String, Node>,
        }
        fn wire(node: &Node) -> Value {
            let mut map = Map::new();
            if node.itself && !node.below.is_empty() {
                map.insert(".".into(), Value::Object(Map::new()));
            }
            map.extend(
                node.below
                    .iter()
                    .map(|(name, node)| (name.clone(), wire(node))),
            );
            Value::Object(map)
        }
        let mut root = Node::default();
        for path in &self.0 {
            let mut node = &mut root;
            for step in path {
                let name = match step {
                    Step::Field(name) => format!("f:{name}"),
                    Step::Key(key) => format!("k:{key}"),
                    Step::Member(value) => format!("v:{value}"),
                };
                node = node.below.entry(name).or_default();
            }
            node.itself = true;
        }
        wire(&root)
    }

    pub(super) fn decode(fields: &Value) -> Self {
        fn walk(value: &Value, path: &mut Path, set: &mut FieldSet) {
            let Value::Object(map) = value else { return };
            if map.is_empty() && !path.is_empty() {
                set.0.insert(path.clone());
            }
            for (name, below) in map {
                let step = match name.split_once(':') {
                    Some(("f", field)) => Step::Field(field.into()),
                    Some(("k", key)) => Step::Key(key.into()),
                    Some(("v", value)) => Step::Member(value.into()),
                    _ => {
                        if name == "." {
                            set.0.insert(path.clone());
                        }
                        continue;
                    }
                };
                path.push(step);
                walk(below, path, set);
                path.pop();
            }
        }
        let mut set = Self::default();
        walk(fields, &mut Vec::new(), &mut set);
        set
    }
}

/// `.spec.template.spec.containers[name="app"].image`, as conflicts name fields.
pub(super) fn path_text(path: &Path) -> String {
    path.iter()
        .map(|step| match step {
            Step::Field(name) => format!(".{name}"),
            Step::Member(value) => format!("[={value}]"),
            Step::Key(key) => {
                let map: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
                let parts: Vec<String> = map
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                format!("[{}]", parts.join(","))
            }
        })
        .collect()
}

/// The value at a path.
pub(super) fn value_at<'v>(object: &'v Value, path: &[Step]) -> Option<&'v Value> {
    let Some((step, rest)) = path.split_first() else {
        return Some(object);
    };
    let next = match step {
        Step::Field(name) => object.get(name)?,
        Step::Key(_) | Step::Member(_) => {
            let index = position(object, step)?;
            &object[index]
        }
    };
    value_at(next, rest)
}

/// Removes what a path names, and containers that become empty by that unless `keep` says somebody owns them.
pub(super) fn remove_at(object: &mut Value, path: &[Step]) -> bool {
    match path {
        [] => false,
        [Step::Field(name)] => object
            .as_object_mut()
            .is_some_and(|map| map.shift_remove(name).is_some()),
        [step] => match position(object, step) {
            Some(index) => {
                object
                    .as_array_mut()
                    .expect("a position is one of a list")
                    .remove(index);
                true
            }
            None => false,
        },
        [Step::Field(name), rest @ ..] => {
            let Some(below) = object.get_mut(name) else {
                return false;
            };
            let removed = remove_at(below, rest);
            let is_empty = below.as_object().is_some_and(Map::is_empty)
                || below.as_array().is_some_and(Vec::is_empty);
            if removed && is_empty {
                object
                    .as_object_mut()
                    .expect("it had a field")
                    .shift_remove(name);
            }
            removed
        }
        [step, rest @ ..] => match position(object, step) {
            Some(index) => remove_at(&mut object[index], rest),
            None => false,
        },
    }
}

fn position(list: &Value, step: &Step) -> Option<usize> {
    let items = list.as_array()?;
    match step {
        Step::Key(key) => {
            let wanted: Map<String, Value> = serde_json::from_str(key).ok()?;
            let names: Vec<String> = wanted.keys().cloned().collect();
            items
                .iter()
                .position(|item| key_of(item, &names).as_object() == Some(&wanted))
        }
        Step::Member(value) => {
            let wanted: Value = serde_json::from_str(value).ok()?;
            items.iter().position(|item| *item == wanted)
        }
        Step::Field(_) => None,
    }
}
