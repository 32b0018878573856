//! A machine configuration as something to compare: its parts by path, who each of them belongs to, and what a change of it costs. Pure.
//!
//! A path is `machine.kubelet` in the document with `machine` and `cluster`, `HostnameConfig.hostname` or `LinkConfig eth0.addresses` in the others. The
//! first document is cut at three names, the others at one: deep enough to find the place, and a state of a few dozen lines.

use std::collections::BTreeMap;

use serde_json::Value;

use super::patch::{self, Document};
use crate::secret::Secret;

/// How many names a path has in the document with `machine` and `cluster`.
const DEPTH: usize = 3;

/// Images that `strata_talos_cluster` rolls, in the older form and in documents of their own.
const IMAGES: [&str; 12] = [
    "/machine/install/image",
    "/machine/kubelet/image",
    "/cluster/apiServer/image",
    "/cluster/controllerManager/image",
    "/cluster/scheduler/image",
    "/cluster/proxy/image",
    "UnattendedInstallConfig/installer/image",
    "KubeletConfig/image",
    "KubeAPIServerConfig/image",
    "KubeControllerManagerConfig/image",
    "KubeSchedulerConfig/image",
    "KubeProxyConfig/image",
];
/// Where the installer stands.
pub const INSTALLER: [&str; 2] = [IMAGES[0], IMAGES[6]];
/// Where the kubelet stands.
pub const KUBELET: [&str; 2] = [IMAGES[1], IMAGES[7]];
/// Where the rest of Kubernetes stands.
pub const CONTROL_PLANE: [&str; 8] = [
    IMAGES[2], IMAGES[3], IMAGES[4], IMAGES[5], IMAGES[8], IMAGES[9], IMAGES[10], IMAGES[11],
];

/// Documents of the firewall, which is changed in a way of its own: those with this beginning of a name, and the rule for everything else.
const FIREWALL: &str = "strata-";
const DEFAULT_ACTION: &str = "NetworkDefaultActionConfig";
const RULE: &str = "NetworkRuleConfig";

/// What Talos before 1.14 takes over without a reboot, in the first document. Other documents always are.
const LIVE: [&str; 25] = [
    "debug",
    "cluster",
    "machine.ca",
    "machine.acceptedCAs",
    "machine.time",
    "machine.certSANs",
    "machine.install",
    "machine.network",
    "machine.sysfs",
    "machine.sysctls",
    "machine.logging",
    "machine.controlPlane",
    "machine.kubelet",
    "machine.kernel",
    "machine.registries",
    "machine.pods",
    "machine.seccompProfiles",
    "machine.nodeAnnotations",
    "machine.nodeLabels",
    "machine.nodeTaints",
    "machine.features.kubernetesTalosAPIAccess",
    "machine.features.kubePrism",
    "machine.features.hostDNS",
    "machine.features.imageCache",
    "machine.features.nodeAddressSortAlgorithm",
];

/// A configuration in its documents.
#[derive(Clone)]
pub struct Content(Vec<Document>);

impl Content {
    /// Reads a stream of documents.
    ///
    /// # Errors
    /// It is none, or has a document twice. Nothing of it is quoted.
    pub fn parse(text: &str) -> Result<Self, patch::Error> {
        patch::documents(text).map(Self)
    }

    /// These documents.
    pub fn of(documents: Vec<Document>) -> Self {
        Self(documents)
    }

    /// As the node takes it.
    pub fn text(&self) -> Secret<String> {
        Secret::new(patch::render(&self.0))
    }

    /// What is compared: everything that this resource owns, by path, in a canonical form.
    pub fn parts(&self) -> BTreeMap<String, String> {
        let mut own = self.clone();
        for place in IMAGES {
            own.take(place);
        }
        own.0.retain(|document| !is_firewall(document));
        parts(own.0)
    }

    /// The same of the firewall alone.
    pub fn firewall(&self) -> BTreeMap<String, String> {
        let own = self.0.iter().filter(|document| is_firewall(document));
        parts(own.cloned().collect())
    }

    /// The same with what others own as it is on the machine: the images that are rolled, the firewall.
    #[must_use]
    pub fn with_others_of(&self, machine: &Self) -> Self {
        let mut mixed = self.clone();
        for place in IMAGES {
            if mixed.at(place).is_some()
                && let Some(value) = machine.at(place).cloned()
            {
                mixed.put(place, value);
            }
        }
        mixed.0.retain(|document| !is_firewall(document));
        mixed.0.extend(
            machine
                .0
                .iter()
                .filter(|document| is_firewall(document))
                .cloned(),
        );
        mixed
    }

    /// The same with this tag on every image that stands at one of the places, or this image altogether.
    #[must_use]
    pub fn with_image(&self, places: &[&str], change: impl Fn(&str) -> String) -> Self {
        let mut changed = self.clone();
        for place in places {
            if let Some(Value::String(image)) = changed.at(place) {
                let image = change(image);
                changed.put(place, Value::String(image));
            }
        }
        changed
    }

    /// The text at a place like `/machine/type` or `KubeClusterConfig/endpoint`.
    pub fn word(&self, place: &str) -> Option<&str> {
        self.at(place).and_then(Value::as_str)
    }

    /// `https://HOST:PORT` of the Kubernetes API.
    pub fn endpoint(&self) -> Option<&str> {
        self.word("/cluster/controlPlane/endpoint")
            .or_else(|| self.word("KubeClusterConfig/endpoint"))
    }

    /// Documents of this kind.
    pub fn kinds(&self, kind: &str) -> impl Iterator<Item = &Document> {
        self.0
            .iter()
            .filter(move |document| document.get("kind").and_then(Value::as_str) == Some(kind))
    }

    /// The same without the firewall of ours, and with these documents for it.
    #[must_use]
    pub fn with_firewall(&self, documents: Vec<Document>) -> Self {
        let mut changed = self.clone();
        changed.0.retain(|document| !is_firewall(document));
        changed.0.extend(documents);
        changed
    }

    /// The document of this kind and name.
    pub fn document(&self, kind: &str, name: &str) -> Option<&Document> {
        self.0
            .iter()
            .find(|document| is_called(document, kind, name))
    }

    /// The same without the document of this kind and name.
    #[must_use]
    pub fn without_document(&self, kind: &str, name: &str) -> Self {
        let mut changed = self.clone();
        changed
            .0
            .retain(|document| !is_called(document, kind, name));
        changed
    }

    /// The same with this document, in the place of one of its kind and name.
    #[must_use]
    pub fn with_document(&self, document: Document) -> Self {
        let text = |key: &str| {
            document
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let mut changed = self.without_document(text("kind"), text("name"));
        changed.0.push(document);
        changed
    }

    fn at(&self, place: &str) -> Option<&Value> {
        let (kind, path) = split(place);
        let document = self.0.iter().find(|document| is_of(document, kind))?;
        path.iter()
            .try_fold(None, |at: Option<&Value>, key| match at {
                None => document.get(*key).map(Some),
                Some(value) => value.get(*key).map(Some),
            })
            .flatten()
    }

    fn slot(&mut self, place: &str) -> Option<(&mut Document, String)> {
        let (kind, path) = split(place);
        let (last, above) = path.split_last()?;
        let document = self.0.iter_mut().find(|document| is_of(document, kind))?;
        let object = above
            .iter()
            .try_fold(document, |at, key| at.get_mut(*key)?.as_object_mut())?;
        Some((object, (*last).to_owned()))
    }

    fn put(&mut self, place: &str, value: Value) {
        if let Some((object, key)) = self.slot(place) {
            object.insert(key, value);
        }
    }

    fn take(&mut self, place: &str) {
        if let Some((object, key)) = self.slot(place) {
            object.remove(&key);
        }
    }
}

fn parts(documents: Vec<Document>) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    for document in documents {
        let (name, depth) = match called(&document) {
            None => (String::new(), DEPTH),
            Some(name) => (name, 1),
        };
        let content = document
            .into_iter()
            .filter(|(key, _)| !matches!(key.as_str(), "kind" | "apiVersion" | "name"));
        collect(&name, &Value::Object(content.collect()), depth, &mut parts);
    }
    parts
}

/// Kind (none: the first document) and names of a place.
fn split(place: &str) -> (Option<&str>, Vec<&str>) {
    let mut names = place.split('/');
    let kind = names.next().filter(|kind| !kind.is_empty());
    (kind, names.collect())
}

fn is_of(document: &Document, kind: Option<&str>) -> bool {
    document.get("kind").and_then(Value::as_str) == kind
}

fn is_called(document: &Document, kind: &str, name: &str) -> bool {
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    text("kind") == Some(kind) && text("name") == Some(name)
}

fn called(document: &Document) -> Option<String> {
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    let kind = text("kind")?;
    Some(text("name").map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}")))
}

fn is_firewall(document: &Document) -> bool {
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    match text("kind") {
        Some(DEFAULT_ACTION) => true,
        Some(RULE) => text("name").is_some_and(|name| name.starts_with(FIREWALL)),
        _ => false,
    }
}

/// Null is as good as absent. An empty object or list says something.
fn collect(path: &str, value: &Value, depth: usize, parts: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(object) if depth > 0 && !object.is_empty() => {
            for (key, value) in object {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                collect(&below, value, depth - 1, parts);
            }
        }
        other => {
            parts.insert(path.to_owned(), canonical(other).to_string());
        }
    }
}

/// Keys in order, nothing that is null.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<&String, Value> = object
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, canonical(value)))
                .collect();
            Value::Object(
                sorted
                    .into_iter()
                    .map(|(key, value)| (key.clone(), value))
                    .collect(),
            )
        }
        Value::Array(list) => Value::Array(list.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

/// Paths that differ, in order.
pub fn changed(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> Vec<String> {
    let mut paths: Vec<String> = from
        .iter()
        .filter(|(path, value)| to.get(*path) != Some(value))
        .map(|(path, _)| path.clone())
        .chain(to.keys().filter(|path| !from.contains_key(*path)).cloned())
        .collect();
    paths.sort();
    paths
}

/// Paths among these that take a reboot to come into effect.
pub fn need_a_reboot(paths: &[String]) -> Vec<String> {
    let is_live = |path: &String| {
        let of_first = ["machine", "cluster", "debug", "persist", "version"]
            .iter()
            .any(|name| path == name || path.starts_with(&format!("{name}.")));
        let listed = |live: &str| path == live || path.starts_with(&format!("{live}."));
        !of_first || LIVE.iter().any(|live| listed(live))
    };
    paths
        .iter()
        .filter(|path| !is_live(path))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "
version: v1alpha1
machine:
  type: controlplane
  token: abcdef.0123456789abcdef
  kubelet: { image: 'ghcr.io/siderolabs/kubelet:v1.36.3', extraArgs: { a: b } }
  install: { disk: /dev/sda, image: 'factory.talos.dev/nocloud-installer/x:v1.13.9' }
  network: {}
cluster:
  controlPlane: { endpoint: 'https://192.0.2.10:6443' }
  apiServer: { image: 'registry.k8s.io/kube-apiserver:v1.36.3', certSANs: [a, b] }
---
apiVersion: v1alpha1
kind: HostnameConfig
auto: 'off'
hostname: cp-1
";

    fn content(text: &str) -> Content {
        Content::parse(text).unwrap()
    }

    #[test]
    fn images_that_are_rolled_and_the_firewall_are_no_part_and_stay_as_they_are() {
        let ours = content(OURS);
        let paths: Vec<String> = ours.parts().into_keys().collect();
        assert_eq!(
            paths,
            [
                "HostnameConfig.auto",
                "HostnameConfig.hostname",
                "cluster.apiServer.certSANs",
                "cluster.controlPlane.endpoint",
                "machine.install.disk",
                "machine.kubelet.extraArgs",
                "machine.network",
                "machine.token",
                "machine.type",
                "version",
            ]
        );
        let rolled = OURS
            .replace("v1.36.3", "v1.37.0")
            .replace("v1.13.9", "v1.14.0");
        let firewall = "---\napiVersion: v1alpha1\nkind: NetworkDefaultActionConfig\ningress: block\n---\napiVersion: v1alpha1\nkind: NetworkRuleConfig\nname: strata-api\n";
        let machine = content(&format!("{rolled}{firewall}"));
        assert_eq!(machine.parts(), ours.parts());
        let sent = ours.with_others_of(&machine);
        assert_eq!(sent.text().expose(), machine.text().expose());
        // A rule of somebody else is the configuration's own.
        let other = content(&format!(
            "{OURS}---\napiVersion: v1alpha1\nkind: NetworkRuleConfig\nname: web\nportSelector: {{ports: [80]}}\n"
        ));
        assert_eq!(
            changed(&ours.parts(), &other.parts()),
            ["NetworkRuleConfig web.portSelector"]
        );
    }

    #[test]
    fn order_and_null_are_no_difference_and_a_change_is_named_by_its_path() {
        let ours = content(OURS).parts();
        let other = OURS.replace(
            "type: controlplane\n  token: abcdef.0123456789abcdef",
            "token: abcdef.0123456789abcdef\n  type: controlplane\n  files: null",
        );
        assert!(changed(&ours, &content(&other).parts()).is_empty());
        let files = OURS.replace("network: {}", "network: {}\n  files: [{path: /x}]");
        let renamed = files
            .replace("hostname: cp-1", "hostname: cp-2")
            .replace("[a, b]", "[a]");
        let paths = changed(&ours, &content(&renamed).parts());
        assert_eq!(
            paths,
            [
                "HostnameConfig.hostname",
                "cluster.apiServer.certSANs",
                "machine.files"
            ]
        );
        assert_eq!(need_a_reboot(&paths), ["machine.files"]);
        assert!(content(OURS).parts()["machine.token"].contains("abcdef"));
    }

    #[test]
    fn an_image_is_changed_where_it_stands() {
        let changed =
            content(OURS).with_image(&KUBELET, |image| image.replace("v1.36.3", "v1.37.0"));
        assert_eq!(
            changed.word("/machine/kubelet/image"),
            Some("ghcr.io/siderolabs/kubelet:v1.37.0")
        );
        assert_eq!(changed.word("KubeletConfig/image"), None);
        assert_eq!(changed.endpoint(), Some("https://192.0.2.10:6443"));
    }
}
