//! Documentation made from the declaration: the table of fields, the JSON schema for editors, and where a value came from.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::{
    cluster::Cluster,
    declaration::CLUSTER,
    overrides::segments,
    shape::{Availability, Default, Field, Shape},
    tree::Place,
    walk::{Origin, join},
};

/// One line of the documentation table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDoc {
    /// Dotted path; `*` stands for a key of the user's choice.
    pub path: String,
    /// Type, in a word.
    pub kind: String,
    /// Default as written in the file, or what absence means.
    pub default: String,
    /// What the field does.
    pub meaning: &'static str,
    /// Platforms or distributions it belongs to; empty for all.
    pub only: &'static [&'static str],
    /// Whether this release can do it.
    pub available: bool,
}

/// Every field of the cluster file, in the order of the declaration.
pub fn fields() -> Vec<FieldDoc> {
    let mut docs = Vec::new();
    for field in CLUSTER {
        document(field, "", true, &mut docs);
    }
    docs
}

fn document(field: &Field, above: &str, available: bool, docs: &mut Vec<FieldDoc>) {
    let path = join(above, field.name);
    let available = available && !matches!(field.availability, Availability::Later);
    let default = match field.default {
        Default::Required => "required".to_owned(),
        Default::Null(means) => format!("null ({means})"),
        Default::Yaml(text) => text.to_owned(),
    };
    docs.push(FieldDoc {
        path: path.clone(),
        kind: kind(&field.shape),
        default,
        meaning: field.meaning,
        only: field.only,
        available,
    });
    inner(&field.shape, &path, available, docs);
}

fn inner(shape: &Shape, path: &str, available: bool, docs: &mut Vec<FieldDoc>) {
    match shape {
        Shape::Record(fields) | Shape::Short(_, fields) | Shape::Switch(fields) => fields
            .iter()
            .for_each(|field| document(field, path, available, docs)),
        Shape::Choice { kinds, common } => kinds
            .iter()
            .chain(*common)
            .for_each(|field| document(field, path, available, docs)),
        Shape::Map(_, item) => inner(item, &format!("{path}.*"), available, docs),
        Shape::Either(shapes) => shapes
            .iter()
            .for_each(|shape| inner(shape, path, available, docs)),
        Shape::One(_) | Shape::List(_) | Shape::Any => {}
    }
}

fn kind(shape: &Shape) -> String {
    match shape {
        Shape::One(scalar) => scalar.name(),
        Shape::List(item) => format!("list of {}", kind(item)),
        Shape::Map(_, item) => format!("map of {}", kind(item)),
        Shape::Record(_) | Shape::Any => "mapping".to_owned(),
        Shape::Short(name, _) => format!("mapping, or its {name} alone"),
        Shape::Switch(_) => "bool or mapping".to_owned(),
        Shape::Choice { kinds, .. } => format!(
            "one of {}",
            kinds
                .iter()
                .map(|kind| kind.name)
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Shape::Either(shapes) => shapes.iter().map(kind).collect::<Vec<_>>().join(" or "),
    }
}

/// The table of all fields in Markdown: the page that people read.
pub fn markdown() -> String {
    let mut page = String::from(
        "# The cluster file\n\nGenerated from the declaration that the parser uses; change `provider/cluster/src/declaration/`, then run\n\
         `make docs`. An editor checks a file against `docs/cluster-file.schema.json` while you write.\n\n\
         One-key mappings choose a kind, and a bare word is that kind with defaults (`platform: scaleway`). `*` is a name of your choice.\n\
         Fields marked *later* are understood, checked and refused until a release can do what they say.\n\n\
         | field | type | default | meaning |\n| --- | --- | --- | --- |\n",
    );
    for doc in fields() {
        let later = if doc.available { "" } else { " *Later.*" };
        let _infallible = writeln!(
            page,
            "| `{}` | {} | {} | {}{}{later} |",
            doc.path,
            doc.kind,
            doc.default,
            doc.meaning,
            belongs(doc.only)
        );
    }
    page
}

fn belongs(only: &[&str]) -> String {
    match only {
        [] => String::new(),
        kinds => format!(" Only with {}.", kinds.join(" or ")),
    }
}

/// The value of a field, what it means and where it came from. `None` when there is no such field in this cluster.
pub fn explain(cluster: &Cluster, path: &str) -> Option<String> {
    let segments = segments(path)?;
    let mut value = &cluster.normal;
    for segment in &segments {
        value = value.get(segment)?;
    }
    // The nearest field that was written speaks for its parts.
    let whole = segments
        .iter()
        .fold(String::new(), |above, segment| join(&above, segment));
    let origin = (0..segments.len()).rev().find_map(|last| {
        let path = segments[..=last]
            .iter()
            .fold(String::new(), |above, segment| join(&above, segment));
        cluster.origins.get(&path)
    });
    let from = match origin {
        Some(Origin::Written(Place::File { line, column })) => {
            format!("{}:{line}:{column}", cluster.path)
        }
        Some(Origin::Written(Place::Set(key))) => format!("--set {key}"),
        Some(Origin::Derived(how)) => format!("worked out: {how}"),
        Some(Origin::Default) | None => "default".to_owned(),
    };
    let meaning = meaning_of(&segments).unwrap_or_default();
    let shown = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    Some(format!("{whole} = {shown}   ({from})\n  {meaning}"))
}

fn meaning_of(segments: &[String]) -> Option<&'static str> {
    fields().into_iter().find_map(|doc| {
        let parts: Vec<&str> = doc.path.split('.').collect();
        (parts.len() == segments.len()
            && parts
                .iter()
                .zip(segments)
                .all(|(part, segment)| *part == "*" || part == segment))
        .then_some(doc.meaning)
    })
}

/// JSON schema (2020-12) of the cluster file, for editors.
pub fn json_schema() -> Value {
    let mut schema = record(CLUSTER);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Strata cluster file");
    schema
}

fn record(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut schema = schema_of(&field.shape);
            if !matches!(field.default, Default::Required) {
                schema = json!({"anyOf": [schema, {"type": "null"}]});
            }
            let later = if matches!(field.availability, Availability::Later) {
                " Not available yet."
            } else {
                ""
            };
            schema["description"] =
                json!(format!("{}{}{later}", field.meaning, belongs(field.only)));
            (field.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| matches!(field.default, Default::Required))
        .map(|field| field.name)
        .collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties, "required": required})
}

fn schema_of(shape: &Shape) -> Value {
    match shape {
        Shape::One(scalar) => scalar.json_schema(),
        Shape::List(item) => json!({"type": "array", "items": schema_of(item)}),
        Shape::Map(pattern, item) => {
            json!({"type": "object", "propertyNames": {"pattern": pattern.regex.as_str()}, "additionalProperties": schema_of(item)})
        }
        Shape::Record(fields) => record(fields),
        Shape::Short(name, fields) => {
            let short = fields
                .iter()
                .find(|field| field.name == *name)
                .map_or_else(|| json!({}), |field| schema_of(&field.shape));
            json!({"anyOf": [short, record(fields)]})
        }
        Shape::Switch(fields) => json!({"anyOf": [{"type": "boolean"}, record(fields)]}),
        Shape::Choice { kinds, common } => {
            let words: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
            let mut map = record(common);
            for kind in *kinds {
                map["properties"][kind.name] = json!({"anyOf": [schema_of(&kind.shape), {"type": "null"}], "description": kind.meaning});
            }
            json!({"anyOf": [{"enum": words}, map]})
        }
        Shape::Either(shapes) => json!({"anyOf": shapes.iter().map(schema_of).collect::<Vec<_>>()}),
        Shape::Any => json!({}),
    }
}
