//! Rules that look at more than one field. They run even when single fields were wrong: what did not fit is null and skipped.
//!
//! Defaults that depend on other fields (the lab's offers, `endpoint.via`) are worked out here too, into the normal form.

mod derive;
mod network;
mod node;
mod reach;
mod virtual_machine;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    finding::Findings,
    scalar,
    tree::Place,
    walk::{Origin, join},
};

/// What each platform can run.
const MATRIX: [(&str, &[&str]); 4] = [
    ("scaleway", &["kubeadm", "talos"]),
    ("proxmox", &["talos", "kubeadm"]),
    ("aws", &["talos"]),
    ("netboot", &["k3s", "talos"]),
];

/// What of it this release can build.
const BUILT: [(&str, &str); 2] = [("scaleway", "kubeadm"), ("proxmox", "talos")];

pub(crate) struct Rules<'a> {
    pub(crate) normal: &'a mut Value,
    pub(crate) origins: &'a mut BTreeMap<String, Origin>,
    pub(crate) findings: &'a mut Findings,
}

impl Rules<'_> {
    pub(crate) fn run(&mut self) {
        self.derive();
        self.platform();
        self.nodes();
        self.networks();
        self.virtual_machines();
        self.endpoint();
        self.dns();
        self.access();
        self.timeouts();
        self.lab();
        if self.text("/cni/kind") == Some("none") {
            let place = self.place("cni");
            self.findings.warning(
                "CNI-01",
                &place,
                "cni",
                "without a pod network nodes stay NotReady until you install one",
                "remove `cni`, or apply your own through `manifests`",
            );
        }
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.normal.pointer(pointer).and_then(Value::as_str)
    }

    fn owned(&self, pointer: &str) -> Option<String> {
        self.text(pointer).map(str::to_owned)
    }

    fn is_lab(&self) -> bool {
        self.normal.pointer("/lab/enabled") == Some(&json!(true))
    }

    /// The place of a field, or of the nearest field around it that is written.
    fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(Origin::Written(place)) = self.origins.get(path) {
                return place.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return Place::start(),
            }
        }
    }

    fn error(
        &mut self,
        code: &'static str,
        path: &str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let place = self.place(path);
        self.findings.error(code, &place, path, message, fix);
    }

    fn is_written(&self, path: &str) -> bool {
        matches!(self.origins.get(path), Some(Origin::Written(_)))
    }

    /// Fills a null field whose default depends on others.
    fn fill(&mut self, path: &str, pointer: &str, value: Value, how: &'static str) {
        if let Some(slot) = self.normal.pointer_mut(pointer)
            && slot.is_null()
            && !self
                .origins
                .get(path)
                .is_some_and(|origin| matches!(origin, Origin::Written(_)))
        {
            *slot = value;
            self.origins.insert(path.to_owned(), Origin::Derived(how));
        }
    }

    fn node_names(&self) -> Vec<String> {
        self.normal["nodes"]
            .as_object()
            .map(|nodes| nodes.keys().cloned().collect())
            .unwrap_or_default()
    }

    fn names_of(&self, role: &str) -> Vec<String> {
        self.node_names()
            .into_iter()
            .filter(|name| self.normal["nodes"][name]["role"] == role)
            .collect()
    }

    fn platform(&mut self) {
        let Some(platform) = self.owned("/platform/kind") else {
            return;
        };
        if let Some(distribution) = self.owned("/distribution/kind") {
            let runs = MATRIX
                .iter()
                .find(|(name, _)| *name == platform)
                .map_or(&[] as &[&str], |(_, runs)| runs);
            if !runs.contains(&distribution.as_str()) {
                self.error(
                    "CFG-06",
                    "distribution",
                    format!("{distribution} does not run on {platform}"),
                    format!("choose {}", runs.join(" or ")),
                );
            } else if !BUILT.contains(&(platform.as_str(), distribution.as_str()))
                && BUILT.iter().any(|(built, _)| *built == platform)
            {
                self.error(
                    "CFG-08",
                    "distribution",
                    format!("{distribution} on {platform} is not available yet in this release"),
                    "remove `distribution`: the platform's usual one is taken",
                );
            }
        }
        self.belonging(&platform);
        let required: &[&str] = match platform.as_str() {
            "scaleway" => &["offer", "zone"],
            "proxmox" => &["address", "host"],
            "aws" => &["type"],
            _ => &["mac"],
        };
        for node in self.node_names() {
            for field in required {
                let path = format!("nodes.{node}.{field}");
                if self.normal["nodes"][&node][field].is_null() && !self.is_written(&path) {
                    let fix = match *field {
                        "offer" => "add `offer`, or set it once for the role in `defaults`; for example EM-I215E-NVME".to_owned(),
                        "zone" => "set platform.scaleway.zone, for example fr-par-2, or export SCW_DEFAULT_ZONE and use ./bootstrap.sh".to_owned(),
                        other => format!("add `{other}`"),
                    };
                    self.error(
                        "CFG-03",
                        &path,
                        format!("required on {platform} and missing"),
                        fix,
                    );
                }
            }
        }
        if ["proxmox", "netboot"].contains(&platform.as_str())
            && self.normal["network"]["nodes"].is_null()
        {
            self.error(
                "CFG-03",
                "network.nodes",
                format!("required on {platform} and missing"),
                "add the network of the nodes, for example 192.0.2.0/24",
            );
        }
        if let Some(version) = self.owned("/distribution/kubeadm/version")
            && minor(&version) < 31
        {
            let message = format!(
                "{version} is too old: the configuration kubeadm.k8s.io/v1beta4 needs v1.31 or newer"
            );
            self.error(
                "CFG-04",
                "distribution.kubeadm.version",
                message,
                "write v1.34.2",
            );
        }
        self.talos();
    }

    /// What is written for another platform or distribution would have no effect.
    fn belonging(&mut self, platform: &str) {
        let distribution = self.owned("/distribution/kind").unwrap_or_default();
        for (path, kinds) in crate::declaration::fields_of_some() {
            let parents: Vec<String> = match path.strip_prefix("nodes.*.") {
                Some(_) => self
                    .node_names()
                    .into_iter()
                    .map(|node| format!("nodes.{node}"))
                    .collect(),
                None => vec![
                    path.rsplit_once('.')
                        .map_or("", |(parent, _)| parent)
                        .to_owned(),
                ],
            };
            let field = path.rsplit('.').next().unwrap_or_default();
            let belongs = kinds.contains(&platform) || kinds.contains(&distribution.as_str());
            for parent in parents {
                let path = join(&parent, field);
                if self.is_written(&path) && !belongs {
                    self.error(
                        "CFG-06",
                        &path,
                        format!(
                            "this belongs to {}, not to {distribution} on {platform}",
                            kinds.join(" or ")
                        ),
                        "remove it",
                    );
                }
            }
        }
    }

    /// What Talos' versions say about each other.
    fn talos(&mut self) {
        let Some(version) = self.owned("/distribution/talos/version") else {
            return;
        };
        let [runs, kubernetes, contract] = [
            version.clone(),
            self.owned("/distribution/talos/kubernetes")
                .unwrap_or_default(),
            self.owned("/distribution/talos/contract")
                .unwrap_or_default(),
        ]
        .map(|version| minor(&version));
        if !(12..=15).contains(&runs) {
            self.error(
                "CFG-04",
                "distribution.talos.version",
                format!("{version} is none of v1.12 to v1.15, which this release knows"),
                "write v1.13.9",
            );
            return;
        }
        if !(12..=runs).contains(&contract) {
            self.error(
                "CFG-04",
                "distribution.talos.contract",
                format!("v1.{contract} is no contract that Talos {version} reads"),
                format!("write one of v1.12 to v1.{runs}; it stays when Talos is upgraded"),
            );
        }
        // Talos 1.13 runs Kubernetes 1.31 to 1.36, and each next one begins and ends one later.
        let (first, last) = (runs + 18, runs + 23);
        if !(first..=last).contains(&kubernetes) {
            self.error(
                "CFG-04",
                "distribution.talos.kubernetes",
                format!("Talos {version} runs Kubernetes v1.{first} to v1.{last}"),
                format!("write for example v1.{last}.0"),
            );
        }
    }

    fn timeouts(&mut self) {
        let fields: Vec<(String, String)> = self.normal["timeouts"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        for (name, text) in fields {
            let fits =
                scalar::seconds(&text).is_some_and(|seconds| (1..=7 * 86_400).contains(&seconds));
            if !fits {
                self.error(
                    "CFG-04",
                    &format!("timeouts.{name}"),
                    format!("`{text}` is not between 1s and 7d"),
                    "write for example 20m",
                );
            }
        }
    }
}

/// The second number of a version that has one.
fn minor(version: &str) -> u32 {
    version
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse().ok())
        .unwrap_or(0)
}
