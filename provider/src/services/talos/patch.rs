//! Patches of a machine configuration, in Talos' own meaning: <https://docs.siderolabs.com/talos/>, "Configuration patches".
//!
//! A configuration is a stream of YAML documents. A patch is a strategic merge (a stream of parts of documents) or a list of JSON 6902
//! operations, which Talos takes for a configuration of a single document only. In a strategic merge documents match by kind and name, and one
//! without a partner is added. Maps are merged key by key, a text or number replaces another unless it is empty or zero, lists are appended; the
//! exceptions are data below. What has `$patch: delete` inside is removed first. Appending does not look for what is there already: patch the
//! base, never what was patched. Not handled: a zero that means something, which only Talos' types know.
//!
//! ```text
//! documents(text)          -> Vec<Document>       YAML or JSON
//! apply(documents, patch)  -> Vec<Document>       text of a person
//! merge_all(documents, parts) -> Vec<Document>    parts of our own
//! render(&documents)       -> String              YAML
//! ```

use serde::Deserialize as _;
use serde_json::{Map, Value};

/// One document of a configuration.
pub type Document = Map<String, Value>;

/// Lists that replace, by kind and path; without a kind: of the first document, the one with `machine` and `cluster`.
const REPLACED: [&str; 9] = [
    "cluster.network.podSubnets",
    "cluster.network.serviceSubnets",
    "KubeNetworkConfig.podSubnets",
    "KubeNetworkConfig.serviceSubnets",
    "NetworkRuleConfig.portSelector.ports",
    "NetworkRuleConfig.ingress",
    "BGPInstanceConfig.advertise",
    "BGPInstanceConfig.importRoutes",
    "BGPInstanceConfig.neighbors",
];
/// Maps that replace as a whole.
const WHOLE: [&str; 6] = [
    "cluster.apiServer.auditPolicy",
    "KubeAuditPolicyConfig.configuration",
    "KubeAuthenticationConfig.configuration",
    "KubeCredentialProviderConfig.configuration",
    "KubeStaticPodConfig.pod",
    "CRIBaseRuntimeSpecConfig.overrides",
];
/// Lists whose elements are matched by one of these keys, by path; `*` is any element.
const KEYED: [(&str, &[&str]); 5] = [
    (
        "machine.network.interfaces",
        &["interface", "deviceSelector"],
    ),
    ("machine.network.interfaces.*.vlans", &["vlanId"]),
    ("cluster.apiServer.admissionControl", &["name"]),
    ("ExtensionServiceConfig.configFiles", &["mountPath"]),
    ("ImageVerificationConfig.rules", &["image"]),
];
/// Of these lists a matched element is replaced.
const REPLACED_ELEMENTS: [&str; 1] = ["ImageVerificationConfig.rules"];
/// A free map: what stands in it is replaced whole, lists included.
const FREE: &str = "extraArgs";
/// Marks what is to be removed.
const PATCH: &str = "$patch";

/// Why there is nothing patched. Names places, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No stream of mappings.
    #[error("{0} is no YAML or JSON with a mapping in each document")]
    Document(&'static str),
    /// Twice the same.
    #[error("{what} has the document {document} twice")]
    Twice {
        /// The configuration or the patch.
        what: &'static str,
        /// Kind and name.
        document: String,
    },
    /// Operations on several documents.
    #[error(
        "the patch is a list of JSON 6902 operations, which Talos takes for a configuration of one document only; write it as a part of a machine configuration"
    )]
    Operations,
    /// An operation that cannot be done.
    #[error("operation {0} of the patch cannot be done: its path is not there, or its test fails")]
    Operation(usize),
    /// A `$patch` that is none.
    #[error("`{0}.$patch` must be `delete`")]
    Directive(String),
    /// Nothing there to delete.
    #[error("the patch deletes `{0}`, which is not there")]
    Nothing(String),
    /// The document that cannot go.
    #[error(
        "the patch deletes the document with `machine` and `cluster`, without which nothing boots"
    )]
    Main,
}

const CONFIGURATION: &str = "the machine configuration";
const THE_PATCH: &str = "the patch";

/// The documents of a configuration.
pub fn documents(text: &str) -> Result<Vec<Document>, Error> {
    let mut documents = Vec::new();
    for value in stream(text, CONFIGURATION)? {
        match value {
            Value::Object(document) => documents.push(document),
            _ => return Err(Error::Document(CONFIGURATION)),
        }
    }
    if documents.is_empty() {
        return Err(Error::Document(CONFIGURATION));
    }
    unique(&documents, CONFIGURATION)?;
    Ok(documents)
}

/// The configuration with the patch applied.
pub fn apply(base: Vec<Document>, patch: &str) -> Result<Vec<Document>, Error> {
    let parts = stream(patch, THE_PATCH)?;
    if let [Value::Array(operations)] = parts.as_slice() {
        return operate(base, operations);
    }
    merge_all(base, parts)
}

/// The configuration with these parts of documents merged into it.
pub fn merge_all(mut base: Vec<Document>, parts: Vec<Value>) -> Result<Vec<Document>, Error> {
    for part in parts {
        let Value::Object(part) = part else {
            return Err(Error::Document(THE_PATCH));
        };
        merge_document(&mut base, part)?;
    }
    Ok(base)
}

/// A stream of YAML documents.
pub fn render(documents: &[Document]) -> String {
    let texts: Vec<String> = documents
        .iter()
        .map(|document| {
            let document = Value::Object(document.clone());
            serde_yaml_ng::to_string(&yaml(&document)).expect("texts, numbers and lists")
        })
        .collect();
    texts.join("---\n")
}

/// JSON's numbers are exact texts here, which YAML's serialiser takes for mappings.
fn yaml(value: &Value) -> serde_yaml_ng::Value {
    use serde_yaml_ng::Value as Yaml;
    match value {
        Value::Null => Yaml::Null,
        Value::Bool(value) => Yaml::Bool(*value),
        Value::String(text) => Yaml::String(text.clone()),
        Value::Array(list) => Yaml::Sequence(list.iter().map(yaml).collect()),
        Value::Object(map) => Yaml::Mapping(
            map.iter()
                .map(|(key, value)| (Yaml::String(key.clone()), yaml(value)))
                .collect(),
        ),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Yaml::Number(number.into()),
            (_, Some(number), _) => Yaml::Number(number.into()),
            (_, _, Some(number)) => Yaml::Number(number.into()),
            _ => Yaml::String(number.to_string()),
        },
    }
}

/// The configuration with the patch applied, as [`text`].
pub fn merged(configuration: &str, patch: &str) -> Result<String, Error> {
    Ok(text(&apply(documents(configuration)?, patch)?))
}

/// JSON when it is one document, else YAML.
pub fn text(documents: &[Document]) -> String {
    match documents {
        [document] => Value::Object(document.clone()).to_string(),
        several => render(several),
    }
}

/// Empty documents are left out.
fn stream(text: &str, what: &'static str) -> Result<Vec<Value>, Error> {
    let mut values = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        // The parser's own text is left out: it could quote a key.
        match Value::deserialize(document).map_err(|_| Error::Document(what))? {
            Value::Null => {}
            value => values.push(value),
        }
    }
    Ok(values)
}

/// Kind and name; nothing for the document with `machine` and `cluster`.
fn identity(document: &Document) -> Option<(&str, &str)> {
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    Some((text("kind")?, text("name").unwrap_or_default()))
}

fn called(identity: Option<(&str, &str)>) -> String {
    match identity {
        None => "v1alpha1".into(),
        Some((kind, "")) => kind.into(),
        Some((kind, name)) => format!("{kind} {name}"),
    }
}

fn unique(documents: &[Document], what: &'static str) -> Result<(), Error> {
    for (at, document) in documents.iter().enumerate() {
        let same = |other: &Document| identity(other) == identity(document);
        if documents[..at].iter().any(same) {
            let document = called(identity(document));
            return Err(Error::Twice { what, document });
        }
    }
    Ok(())
}

fn merge_document(base: &mut Vec<Document>, mut part: Document) -> Result<(), Error> {
    let at = base
        .iter()
        .position(|document| identity(document) == identity(&part));
    if is_deletion(&part, &called(identity(&part)))? {
        if identity(&part).is_none() {
            return Err(Error::Main);
        }
        // A document that is not there needs no deletion; Talos sees it the same way.
        if let Some(at) = at {
            base.remove(at);
        }
        return Ok(());
    }
    let Some(at) = at else {
        base.push(part);
        return Ok(());
    };
    let root = identity(&part).map_or(String::new(), |(kind, _)| kind.to_owned());
    delete(&mut base[at], &mut part, &root)?;
    merge(&mut base[at], part, &root);
    Ok(())
}

fn is_deletion(part: &Document, path: &str) -> Result<bool, Error> {
    match part.get(PATCH) {
        None => Ok(false),
        Some(Value::String(word)) if word == "delete" => Ok(true),
        Some(_) => Err(Error::Directive(path.to_owned())),
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// All deletions come before anything is merged.
fn delete(base: &mut Document, part: &mut Document, path: &str) -> Result<(), Error> {
    let mut left = Document::new();
    for (key, mut value) in std::mem::take(part) {
        let path = below(path, &key);
        match (&mut value, base.get_mut(&key)) {
            (Value::Object(inner), there) if is_deletion(inner, &path)? => {
                if there.is_none() {
                    return Err(Error::Nothing(path));
                }
                base.remove(&key);
                continue;
            }
            (Value::Object(inner), Some(Value::Object(there))) => delete(there, inner, &path)?,
            (Value::Array(elements), Some(Value::Array(there))) => {
                let is_empty = elements.is_empty();
                delete_elements(there, elements, &path)?;
                // A list that only deleted is no list; one that was empty to begin with may replace another.
                if elements.is_empty() && !is_empty {
                    continue;
                }
            }
            (Value::Object(inner), None) if holds_deletion(inner) => {
                return Err(Error::Nothing(path));
            }
            _ => {}
        }
        left.insert(key, value);
    }
    *part = left;
    Ok(())
}

fn holds_deletion(part: &Document) -> bool {
    part.contains_key(PATCH)
        || part
            .values()
            .any(|value| matches!(value, Value::Object(inner) if holds_deletion(inner)))
}

/// The other key of an element that deletes says which one is meant.
fn delete_elements(
    base: &mut Vec<Value>,
    elements: &mut Vec<Value>,
    path: &str,
) -> Result<(), Error> {
    let mut left = Vec::new();
    for element in std::mem::take(elements) {
        match &element {
            Value::Object(selector) if is_deletion(selector, path)? => {
                let mut keys = selector.iter().filter(|(key, _)| *key != PATCH);
                let wanted = keys.next().filter(|_| keys.next().is_none());
                let nothing = || Error::Nothing(format!("{path}[]"));
                let (key, wanted) = wanted.ok_or_else(nothing)?;
                let before = base.len();
                base.retain(|there| there.get(key) != Some(wanted));
                if base.len() == before {
                    return Err(Error::Nothing(format!("{path}[{key}]")));
                }
            }
            _ => left.push(element),
        }
    }
    *elements = left;
    Ok(())
}

fn merge(base: &mut Document, part: Document, path: &str) {
    for (key, value) in part {
        let below = below(path, &key);
        let free = path.rsplit('.').next() == Some(FREE);
        match (base.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new))
                if !free && !WHOLE.contains(&&*below) =>
            {
                merge(old, new, &below);
            }
            (Some(Value::Array(old)), Value::Array(new))
                if !free && !REPLACED.contains(&&*below) =>
            {
                append(old, new, &below);
            }
            (Some(_), new) if !free && is_zero(&new) => {}
            (_, new) => {
                base.insert(key, new);
            }
        }
    }
}

fn append(old: &mut Vec<Value>, new: Vec<Value>, path: &str) {
    let keys = KEYED.iter().find(|(list, _)| *list == path);
    for value in new {
        let same = keys.and_then(|(_, keys)| {
            // The first key that the patch really gives; another that happens to be equal matches nothing.
            let given = |key: &&'static str| {
                let wanted = value.get(*key).filter(|wanted| !is_zero(wanted))?;
                Some((*key, wanted))
            };
            let (key, wanted) = keys.iter().find_map(given)?;
            old.iter_mut().find(|old| old.get(key) == Some(wanted))
        });
        match (same, value) {
            (Some(old), new) if REPLACED_ELEMENTS.contains(&path) => *old = new,
            (Some(Value::Object(old)), Value::Object(new)) => {
                merge(old, new, &format!("{path}.*"));
            }
            (_, value) => old.push(value),
        }
    }
}

/// What Go's zero value looks like here; `false` is no zero, since a patch may switch something off.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

fn operate(base: Vec<Document>, operations: &[Value]) -> Result<Vec<Document>, Error> {
    let Ok([document]) = <[Document; 1]>::try_from(base) else {
        return Err(Error::Operations);
    };
    let mut document = Value::Object(document);
    for (number, operation) in operations.iter().enumerate() {
        let failed = || Error::Operation(number + 1);
        let operation: json_patch::PatchOperation =
            serde_json::from_value(operation.clone()).map_err(|_| failed())?;
        json_patch::patch(&mut document, &[operation]).map_err(|_| failed())?;
    }
    match document {
        Value::Object(document) => Ok(vec![document]),
        _ => Err(Error::Document(CONFIGURATION)),
    }
}

#[cfg(test)]
mod tests;
