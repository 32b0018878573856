//! Holds a tree against the declaration: normalised values come out, findings are collected on the way.
//!
//! A value that does not fit becomes null in the result, so that later rules can skip it and still check the rest.

mod complaint;

use std::collections::BTreeMap;

use complaint::nearest;
use serde_json::{Map, Value, json};

use crate::{
    finding::Findings,
    scalar::Scalar,
    secret,
    shape::{Availability, Default, Field, Shape},
    tree::{Branch, Entry, Place, Tree},
};

/// Where the value of a field came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Written(Place),
    Default,
    /// Worked out from other fields; the text says how.
    Derived(&'static str),
}

pub(crate) struct Walk<'a> {
    pub(crate) findings: &'a mut Findings,
    pub(crate) origins: BTreeMap<String, Origin>,
}

/// `path` with one more part; parts with dots are quoted as `--set` takes them.
pub(crate) fn join(path: &str, part: &str) -> String {
    let part = if part.contains('.') {
        format!("\"{part}\"")
    } else {
        part.to_owned()
    };
    if path.is_empty() {
        part
    } else {
        format!("{path}.{part}")
    }
}

impl Walk<'_> {
    /// The normalised value of a record; `at` is where a missing field is reported.
    pub(crate) fn record(
        &mut self,
        fields: &[Field],
        tree: Option<&Tree>,
        path: &str,
        at: &Place,
    ) -> Map<String, Value> {
        let mut normal = Map::new();
        let entries: &[Entry] = match tree.map(|tree| &tree.value) {
            Some(Branch::Map(entries)) => entries,
            None => &[],
            Some(_) if tree.is_some_and(Tree::is_null) => &[],
            Some(other) => {
                let tree = tree.expect("matched Some");
                self.wrong(&tree.at, path, other, "a mapping of fields");
                &[]
            }
        };
        for entry in entries
            .iter()
            .filter(|entry| !fields.iter().any(|field| field.name == entry.key))
        {
            self.unknown_key(entry, path, fields.iter().map(|field| field.name));
        }
        for field in fields {
            let entry = entries.iter().find(|entry| entry.key == field.name);
            normal.insert(
                field.name.to_owned(),
                self.field(field, entry, &join(path, field.name), at),
            );
        }
        normal
    }

    fn field(&mut self, field: &Field, entry: Option<&Entry>, path: &str, at: &Place) -> Value {
        let written = entry.filter(|entry| !entry.value.is_null());
        let Some(entry) = written else {
            return match field.default {
                Default::Required => {
                    let at = entry.map_or(at, |entry| &entry.at);
                    self.findings.error(
                        "CFG-03",
                        at,
                        path,
                        format!("required field is missing: {}", field.meaning),
                        format!("add `{}`: {}", field.name, expected(&field.shape)),
                    );
                    Value::Null
                }
                Default::Null(_) => {
                    self.origins.insert(path.to_owned(), Origin::Default);
                    Value::Null
                }
                Default::Yaml(text) => {
                    self.origins.insert(path.to_owned(), Origin::Default);
                    self.value(&field.shape, &default_tree(text, at), path, at)
                }
            };
        };
        self.origins
            .insert(path.to_owned(), Origin::Written(entry.at.clone()));
        let value = self.value(&field.shape, &entry.value, path, &entry.at);
        self.refuse_unavailable(field, &value, path, &entry.at);
        value
    }

    fn value(&mut self, shape: &Shape, tree: &Tree, path: &str, at: &Place) -> Value {
        if tree.is_null() && !matches!(shape, Shape::One(_) | Shape::Any) {
            return self.value(shape, &Tree::empty_map(tree.at.clone()), path, at);
        }
        match shape {
            Shape::One(scalar) => self.scalar(*scalar, tree, path),
            Shape::List(item) => self.list(item, tree, path),
            Shape::Map(pattern, item) => self.map(pattern, item, tree, path),
            Shape::Record(fields) => Value::Object(self.record(fields, Some(tree), path, at)),
            Shape::Short(name, fields) => match &tree.value {
                Branch::Scalar { .. } => {
                    let full = Tree {
                        at: tree.at.clone(),
                        value: Branch::Map(vec![Entry {
                            key: (*name).to_owned(),
                            at: tree.at.clone(),
                            value: tree.clone(),
                        }]),
                    };
                    Value::Object(self.record(fields, Some(&full), path, at))
                }
                _ => Value::Object(self.record(fields, Some(tree), path, at)),
            },
            Shape::Switch(fields) => {
                let (enabled, inner) = match &tree.value {
                    Branch::Scalar { .. } => (self.scalar(Scalar::Bool, tree, path), None),
                    _ => (json!(true), Some(tree)),
                };
                let mut normal = Map::from_iter([("enabled".to_owned(), enabled)]);
                normal.extend(self.record(fields, inner, path, at));
                Value::Object(normal)
            }
            Shape::Choice { kinds, common } => self.choice(kinds, common, tree, path, at),
            Shape::Either(shapes) => {
                let shape = shapes
                    .iter()
                    .find(|shape| has_form(shape, tree))
                    .unwrap_or(&shapes[0]);
                self.value(shape, tree, path, at)
            }
            Shape::Any => self.any(tree, path),
        }
    }

    fn scalar(&mut self, scalar: Scalar, tree: &Tree, path: &str) -> Value {
        let Branch::Scalar { text, plain } = &tree.value else {
            self.wrong(&tree.at, path, &tree.value, &scalar.expected());
            return Value::Null;
        };
        let fits = if tree.is_null() {
            Err(scalar.expected())
        } else {
            scalar.read(text, *plain)
        };
        let secret = if fits.is_err() || scalar.is_free_text() {
            secret::suspected(text)
        } else {
            secret::known(text)
        };
        if let Some(what) = secret {
            self.secret(&tree.at, path, what);
            return Value::Null;
        }
        match fits {
            Ok(value) => value,
            Err(expected) => {
                let near = match scalar {
                    Scalar::OneOf(words) => nearest(text, words.iter().copied()),
                    _ => None,
                };
                let fix = match near {
                    Some(word) => format!("write `{word}`"),
                    None => format!("write {expected}"),
                };
                self.findings.error(
                    "CFG-04",
                    &tree.at,
                    path,
                    format!("{} is not {expected}", secret::shown(text)),
                    fix,
                );
                Value::Null
            }
        }
    }

    fn list(&mut self, item: &Shape, tree: &Tree, path: &str) -> Value {
        let items = match &tree.value {
            Branch::List(items) => items,
            // `{}` for an empty list comes from a default or from null.
            Branch::Map(entries) if entries.is_empty() => return json!([]),
            other => {
                self.wrong(
                    &tree.at,
                    path,
                    other,
                    &format!("a list in brackets, each {}", expected(item)),
                );
                return json!([]);
            }
        };
        let mut normal = Vec::new();
        for (index, tree) in items.iter().enumerate() {
            let value = self.value(item, tree, &format!("{path}[{index}]"), &tree.at);
            if !value.is_null() {
                normal.push(value);
            }
        }
        Value::Array(normal)
    }

    fn map(
        &mut self,
        pattern: &crate::scalar::Pattern,
        item: &Shape,
        tree: &Tree,
        path: &str,
    ) -> Value {
        let Branch::Map(entries) = &tree.value else {
            self.wrong(
                &tree.at,
                path,
                &tree.value,
                &format!("a mapping; each key {}", pattern.name),
            );
            return json!({});
        };
        let mut normal = Map::new();
        for entry in entries {
            if let Some(what) = secret::known(&entry.key) {
                self.secret(&entry.at, path, what);
                continue;
            }
            if !pattern.regex.is_match(&entry.key) {
                let message = format!(
                    "the key {} is not {}",
                    secret::shown(&entry.key),
                    pattern.name
                );
                self.findings.error(
                    "CFG-04",
                    &entry.at,
                    path,
                    message,
                    format!("write a key like {}", pattern.example),
                );
                continue;
            }
            let path = join(path, &entry.key);
            self.origins
                .insert(path.clone(), Origin::Written(entry.at.clone()));
            let value = self.value(item, &entry.value, &path, &entry.at);
            normal.insert(entry.key.clone(), value);
        }
        Value::Object(normal)
    }

    /// One-key map or bare word; the result has `kind`, the fields of the kind under its name, and the common fields.
    fn choice(
        &mut self,
        kinds: &[Field],
        common: &[Field],
        tree: &Tree,
        path: &str,
        at: &Place,
    ) -> Value {
        let names = || kinds.iter().map(|kind| kind.name);
        let list = names().collect::<Vec<_>>().join(", ");
        let mut normal = Map::from_iter([("kind".to_owned(), Value::Null)]);
        let (chosen, rest) = match &tree.value {
            Branch::Scalar { text, .. } => {
                let empty = Entry {
                    key: text.clone(),
                    at: tree.at.clone(),
                    value: Tree::empty_map(tree.at.clone()),
                };
                if !names().any(|name| name == text) {
                    self.not_a_kind(&empty, path, names());
                }
                (vec![empty], Vec::new())
            }
            Branch::Map(entries) => entries
                .iter()
                .cloned()
                .partition(|entry| !common.iter().any(|field| field.name == entry.key)),
            other @ Branch::List(_) => {
                self.wrong(&tree.at, path, other, &format!("one of {list}"));
                return Value::Object(normal);
            }
        };
        if let Branch::Map(_) = &tree.value {
            for entry in chosen
                .iter()
                .filter(|entry| !names().any(|name| name == entry.key))
            {
                self.unknown_key(
                    entry,
                    path,
                    names().chain(common.iter().map(|field| field.name)),
                );
            }
        }
        let chosen: Vec<Entry> = chosen
            .into_iter()
            .filter(|entry| names().any(|name| name == entry.key))
            .collect();
        match chosen.as_slice() {
            [] => {
                let fallback = kinds
                    .iter()
                    .find(|kind| kind.name == "none")
                    .filter(|_| matches!(&tree.value, Branch::Map(_)));
                if let Some(kind) = fallback {
                    normal.insert("kind".to_owned(), json!(kind.name));
                    normal.insert(kind.name.to_owned(), json!({}));
                } else if matches!(&tree.value, Branch::Map(entries) if entries.is_empty()) {
                    self.findings.error(
                        "CFG-05",
                        at,
                        path,
                        format!("nothing is chosen; exactly one of {list} is needed"),
                        format!("write one of {list}"),
                    );
                }
            }
            [entry] => {
                let kind = kinds
                    .iter()
                    .find(|kind| kind.name == entry.key)
                    .expect("filtered above");
                normal.insert("kind".to_owned(), json!(kind.name));
                let path = join(path, kind.name);
                self.origins
                    .insert(path.clone(), Origin::Written(entry.at.clone()));
                let value = self.value(&kind.shape, &entry.value, &path, &entry.at);
                if matches!(kind.availability, Availability::Later) {
                    self.not_available(&entry.at, &path, &format!("`{}`", kind.name));
                }
                normal.insert(kind.name.to_owned(), value);
            }
            [first, second, ..] => {
                let message = format!(
                    "both `{}` and `{}` are given; exactly one is allowed",
                    first.key, second.key
                );
                self.findings.error(
                    "CFG-05",
                    &second.at,
                    path,
                    message,
                    format!("keep one of {list}"),
                );
            }
        }
        let rest = Tree {
            at: tree.at.clone(),
            value: Branch::Map(rest),
        };
        normal.extend(self.record(common, Some(&rest), path, at));
        Value::Object(normal)
    }

    fn any(&mut self, tree: &Tree, path: &str) -> Value {
        match &tree.value {
            Branch::Scalar { text, plain } => {
                if let Some(what) = secret::suspected(text) {
                    self.secret(&tree.at, path, what);
                    return Value::Null;
                }
                if tree.is_null() {
                    return Value::Null;
                }
                Scalar::Bool
                    .read(text, *plain)
                    .or_else(|_| Scalar::Int(i64::MIN, i64::MAX).read(text, *plain))
                    .unwrap_or_else(|_| json!(text))
            }
            Branch::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.any(item, &format!("{path}[{index}]")))
                .collect(),
            Branch::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| {
                        let path = join(path, &entry.key);
                        self.secret_name(entry, &path);
                        (entry.key.clone(), self.any(&entry.value, &path))
                    })
                    .collect(),
            ),
        }
    }

    fn refuse_unavailable(&mut self, field: &Field, value: &Value, path: &str, at: &Place) {
        match field.availability {
            Availability::Now => {}
            Availability::LaterFor(words) => {
                if let Some(word) = value.as_str().filter(|word| words.contains(word)) {
                    self.not_available(at, path, &format!("`{word}`"));
                }
            }
            Availability::Later => {
                let default = match field.default {
                    Default::Yaml(text) => {
                        let mut quiet = Findings::new("");
                        Walk {
                            findings: &mut quiet,
                            origins: BTreeMap::new(),
                        }
                        .value(
                            &field.shape,
                            &default_tree(text, at),
                            path,
                            at,
                        )
                    }
                    _ => Value::Null,
                };
                // Null: it did not fit, which is a finding already.
                if *value != default && !value.is_null() && !(is_empty(value) && is_empty(&default))
                {
                    self.not_available(at, path, "this");
                }
            }
        }
    }
}

fn has_form(shape: &Shape, tree: &Tree) -> bool {
    match (shape, &tree.value) {
        (Shape::One(scalar), Branch::Scalar { text, plain }) => scalar.read(text, *plain).is_ok(),
        (Shape::List(_), Branch::List(_))
        | (Shape::Map(..) | Shape::Record(_), Branch::Map(_))
        | (Shape::Any, _) => true,
        _ => false,
    }
}

/// What a shape takes, in an error's words.
fn expected(shape: &Shape) -> String {
    match shape {
        Shape::One(scalar) => scalar.expected(),
        Shape::List(item) => format!("a list, each {}", expected(item)),
        Shape::Map(pattern, _) => format!("a mapping with keys like {}", pattern.example),
        Shape::Choice { kinds, .. } => format!(
            "one of {}",
            kinds
                .iter()
                .map(|kind| kind.name)
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Shape::Either(shapes) => shapes
            .iter()
            .map(expected)
            .collect::<Vec<_>>()
            .join(", or "),
        Shape::Record(_) | Shape::Short(..) | Shape::Switch(_) | Shape::Any => {
            "a mapping of fields".to_owned()
        }
    }
}

/// The tree of a default: `{}`, `[a]` or a bare word, as the declaration writes them.
fn default_tree(text: &str, at: &Place) -> Tree {
    let scalar = |text: &str| Tree {
        at: at.clone(),
        value: Branch::Scalar {
            text: text.to_owned(),
            plain: true,
        },
    };
    match text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some("") => Tree {
            at: at.clone(),
            value: Branch::List(Vec::new()),
        },
        Some(items) => Tree {
            at: at.clone(),
            value: Branch::List(items.split(", ").map(scalar).collect()),
        },
        None if text == "{}" => Tree::empty_map(at.clone()),
        None => scalar(text),
    }
}

/// An empty list and an empty mapping say the same where both forms are allowed.
fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}
