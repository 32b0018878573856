//! A machine configuration as the lab acts on it: what is asked of the documents, in their old form and in the documents of 1.14.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize as _;
use serde_json::Value;

use super::pki;
use crate::kubernetes::agent::Taint;

/// A stream of documents.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    /// As it was handed over.
    pub(super) text: String,
    pub(super) documents: Vec<Value>,
}

/// The authority of a section: certificate and key, PEM; a worker has no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: Option<String>,
}

/// A rule of the machine's firewall.
pub(super) struct Rule {
    pub(super) ports: Vec<(u16, u16)>,
    pub(super) subnets: Vec<(IpNet, Option<IpNet>)>,
}

fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A mapping of texts.
fn pairs(value: &Value) -> impl Iterator<Item = (String, String)> {
    let fields = value.as_object().into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().filter_map(text).collect()
}

/// `v1.36.3` of an image's reference.
pub(super) fn tag(image: &str) -> Option<String> {
    let image = image.split('@').next().unwrap_or_default();
    let name = image.rsplit('/').next()?;
    name.split_once(':').map(|(_, tag)| tag.to_owned())
}

impl Config {
    /// Reads a stream of YAML documents; whether they are right is for `validate` to say.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut documents = Vec::new();
        for document in serde_yaml_ng::Deserializer::from_str(text) {
            let value = Value::deserialize(document)
                .map_err(|error| format!("failed to decode configuration: {error}"))?;
            if !value.is_null() {
                documents.push(value);
            }
        }
        Ok(Self {
            text: text.to_owned(),
            documents,
        })
    }

    /// The document without a kind.
    pub(super) fn main(&self) -> Option<&Value> {
        self.documents
            .iter()
            .find(|document| document.get("kind").is_none() && document["version"] == "v1alpha1")
    }

    fn at(&self, pointer: &str) -> &Value {
        self.main()
            .and_then(|document| document.pointer(pointer))
            .unwrap_or(&Value::Null)
    }

    /// Documents of a kind.
    pub(super) fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.documents
            .iter()
            .filter(move |document| document["kind"] == kind)
    }

    /// The document of a kind that has no name.
    pub(super) fn one(&self, kind: &str) -> &Value {
        self.all(kind).next().unwrap_or(&Value::Null)
    }

    /// A field in its old place, else in a document.
    fn either(&self, old: &str, kind: &str, field: &str) -> Option<String> {
        text(self.at(old)).or_else(|| text(&self.one(kind)[field]))
    }

    pub(super) fn is_control_plane(&self) -> bool {
        matches!(
            self.at("/machine/type").as_str(),
            Some("controlplane" | "init")
        )
    }

    /// `controlplane` or `worker`.
    pub(super) fn role(&self) -> &'static str {
        if self.is_control_plane() {
            "controlplane"
        } else {
            "worker"
        }
    }

    pub(super) fn hostname(&self) -> Option<String> {
        self.either("/machine/network/hostname", "HostnameConfig", "hostname")
    }

    fn interfaces(&self) -> &[Value] {
        list(self.at("/machine/network/interfaces"))
    }

    /// Static addresses of all links.
    pub(super) fn addresses(&self) -> Vec<IpNet> {
        let old = self
            .interfaces()
            .iter()
            .flat_map(|interface| texts(&interface["addresses"]));
        let links = self
            .all("LinkConfig")
            .flat_map(|link| list(&link["addresses"]))
            .filter_map(|address| text(&address["address"]));
        old.chain(links)
            .filter_map(|address| address.parse().ok())
            .collect()
    }

    /// Addresses that one control plane of all holds.
    pub(super) fn virtual_addresses(&self) -> Vec<IpAddr> {
        let old = self
            .interfaces()
            .iter()
            .filter_map(|interface| text(&interface["vip"]["ip"]));
        let documents = self
            .all("Layer2VIPConfig")
            .filter_map(|document| text(&document["name"]));
        old.chain(documents)
            .filter_map(|address| address.parse().ok())
            .collect()
    }

    fn encoded(&self, old: &str) -> Result<Option<Pair>, String> {
        let section = self.at(old);
        let Some(certificate) = text(&section["crt"]) else {
            return Ok(None);
        };
        let path = old.trim_start_matches('/').replace('/', ".");
        let read =
            |field: &str| pki::decoded(field).map_err(|error| format!("reading {path}: {error}"));
        let key = text(&section["key"]).map(|key| read(&key)).transpose()?;
        Ok(Some(Pair {
            certificate: read(&certificate)?,
            key,
        }))
    }

    /// `machine.ca`.
    pub(super) fn os_ca(&self) -> Result<Pair, String> {
        self.encoded("/machine/ca")?
            .ok_or_else(|| "issuing CA is required: machine.ca".to_owned())
    }

    /// Further authorities of the API's clients.
    pub(super) fn accepted_os_cas(&self) -> Vec<String> {
        list(self.at("/machine/acceptedCAs"))
            .iter()
            .filter_map(|authority| text(&authority["crt"]))
            .filter_map(|field| pki::decoded(&field).ok())
            .collect()
    }

    /// `cluster.etcd.ca`.
    pub(super) fn etcd_ca(&self) -> Result<Option<Pair>, String> {
        self.encoded("/cluster/etcd/ca")
    }

    /// The Kubernetes authority.
    pub(super) fn kubernetes_ca(&self) -> Result<Option<Pair>, String> {
        if let Some(old) = self.encoded("/cluster/ca")? {
            return Ok(Some(old));
        }
        let document = self.one("KubeAPIServerCAConfig");
        if let Some(certificate) = text(&document["issuingCA"]["cert"]) {
            return Ok(Some(Pair {
                certificate,
                key: text(&document["issuingCA"]["key"]),
            }));
        }
        let accepted = list(&document["acceptedCAs"]).first().and_then(text);
        Ok(accepted.map(|certificate| Pair {
            certificate,
            key: None,
        }))
    }

    /// The key that signs tokens of service accounts; only compared.
    pub(super) fn service_account_key(&self) -> Option<String> {
        text(self.at("/cluster/serviceAccount/key"))
            .and_then(|field| pki::decoded(&field).ok())
            .or_else(|| text(&self.one("KubeServiceAccountConfig")["issuer"]["privateKey"]))
    }

    /// Names of the API beside its addresses.
    pub(super) fn cert_sans(&self) -> Vec<String> {
        texts(self.at("/machine/certSANs"))
    }

    /// Names of the Kubernetes API beside its own.
    pub(super) fn api_server_sans(&self) -> Vec<String> {
        let mut names = texts(self.at("/cluster/apiServer/certSANs"));
        names.extend(texts(&self.one("KubeAPIServerConfig")["certExtraSANs"]));
        names
    }

    pub(super) fn cluster_id(&self) -> Option<String> {
        self.either("/cluster/id", "DiscoveryIdentityConfig", "clusterID")
    }

    pub(super) fn cluster_secret(&self) -> Option<String> {
        self.either(
            "/cluster/secret",
            "DiscoveryIdentityConfig",
            "clusterSecret",
        )
    }

    pub(super) fn cluster_name(&self) -> Option<String> {
        self.either("/cluster/clusterName", "KubeClusterConfig", "clusterName")
    }

    /// `https://host:port`.
    pub(super) fn endpoint(&self) -> Option<String> {
        self.either(
            "/cluster/controlPlane/endpoint",
            "KubeClusterConfig",
            "endpoint",
        )
    }

    /// The token by which workers ask trustd.
    pub(super) fn trust_token(&self) -> Option<String> {
        text(self.at("/machine/token"))
    }

    fn subnets(&self, field: &str) -> String {
        let mut all = texts(self.at(&format!("/cluster/network/{field}")));
        if all.is_empty() {
            all = texts(&self.one("KubeNetworkConfig")[field]);
        }
        all.join(",")
    }

    pub(super) fn pod_subnets(&self) -> String {
        self.subnets("podSubnets")
    }

    pub(super) fn service_subnets(&self) -> String {
        self.subnets("serviceSubnets")
    }

    pub(super) fn dns_domain(&self) -> String {
        self.either(
            "/cluster/network/dnsDomain",
            "KubeNetworkConfig",
            "dnsDomain",
        )
        .unwrap_or_else(|| "cluster.local".into())
    }

    /// The kubelet's version, of its image.
    pub(super) fn kubelet_version(&self) -> Option<String> {
        tag(&self.either("/machine/kubelet/image", "KubeletConfig", "image")?)
    }

    /// The API server's version, of its image.
    pub(super) fn api_server_version(&self) -> Option<String> {
        tag(&self.either("/cluster/apiServer/image", "KubeAPIServerConfig", "image")?)
    }

    /// Whether Talos brings flannel.
    pub(super) fn brings_flannel(&self) -> bool {
        if self.at("/cluster/controlPlane").is_null() {
            return self.all("KubeFlannelCNIConfig").next().is_some();
        }
        matches!(
            self.at("/cluster/network/cni/name").as_str(),
            None | Some("flannel")
        )
    }

    /// Whether Talos brings kube-proxy.
    pub(super) fn brings_proxy(&self) -> bool {
        if self.at("/cluster/controlPlane").is_null() {
            return self
                .all("KubeProxyConfig")
                .any(|document| document["enabled"] != false);
        }
        self.at("/cluster/proxy/disabled") != true
    }

    /// Whether control planes carry ordinary pods.
    pub(super) fn schedules_on_control_planes(&self) -> bool {
        if self.at("/cluster/controlPlane").is_null() {
            return self.one("KubeNodeConfig")["taints"].is_null();
        }
        self.at("/cluster/allowSchedulingOnControlPlanes") == true
    }

    /// Labels of the Node.
    pub(super) fn node_labels(&self) -> BTreeMap<String, String> {
        let old = pairs(self.at("/machine/nodeLabels"));
        let new = pairs(&self.one("KubeNodeConfig")["labels"]);
        old.chain(new).collect()
    }

    /// Taints of the Node; a control plane has its own unless it carries ordinary pods.
    pub(super) fn node_taints(&self) -> Vec<Taint> {
        const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
        let old = pairs(self.at("/machine/nodeTaints"));
        let new = pairs(&self.one("KubeNodeConfig")["taints"]);
        let mut taints: Vec<Taint> = old
            .chain(new)
            .map(|(key, text)| {
                let (value, effect) = text.split_once(':').unwrap_or(("", text.as_str()));
                Taint {
                    key,
                    value: value.to_owned(),
                    effect: effect.to_owned(),
                }
            })
            .collect();
        let own = self.is_control_plane() && !self.schedules_on_control_planes();
        if own && taints.iter().all(|taint| taint.key != CONTROL_PLANE) {
            taints.insert(
                0,
                Taint {
                    key: CONTROL_PLANE.to_owned(),
                    value: String::new(),
                    effect: "NoSchedule".to_owned(),
                },
            );
        }
        taints
    }

    /// Manifests that are part of the configuration.
    pub(super) fn inline_manifests(&self) -> Vec<String> {
        let old = list(self.at("/cluster/inlineManifests"))
            .iter()
            .filter_map(|manifest| text(&manifest["contents"]));
        let documents = self
            .all("KubeInlineManifestConfig")
            .filter_map(|document| text(&document["manifest"]));
        old.chain(documents).collect()
    }

    /// Whether what no rule mentions may come in.
    pub(super) fn is_open(&self) -> bool {
        self.one("NetworkDefaultActionConfig")["ingress"] != "block"
    }

    /// The firewall's rules for TCP.
    pub(super) fn rules(&self) -> Vec<Rule> {
        self.all("NetworkRuleConfig")
            .filter(|rule| rule["portSelector"]["protocol"] == "tcp")
            .map(|rule| Rule {
                ports: list(&rule["portSelector"]["ports"])
                    .iter()
                    .filter_map(ports)
                    .collect(),
                subnets: list(&rule["ingress"])
                    .iter()
                    .filter_map(|ingress| {
                        let subnet = net(&ingress["subnet"])?;
                        Some((subnet, net(&ingress["except"])))
                    })
                    .collect(),
            })
            .collect()
    }
}

fn net(value: &Value) -> Option<IpNet> {
    let text = value.as_str()?;
    text.parse().ok().or_else(|| {
        let address: IpAddr = text.parse().ok()?;
        Some(IpNet::from(address))
    })
}

/// `50000` or `1000-2000`.
pub(super) fn ports(value: &Value) -> Option<(u16, u16)> {
    if let Some(port) = value.as_u64() {
        let port = u16::try_from(port).ok()?;
        return Some((port, port));
    }
    let text = value.as_str()?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

impl Rule {
    fn covers(&self, port: u16) -> bool {
        self.ports
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&port))
    }

    fn admits(&self, from: IpAddr) -> bool {
        self.subnets.iter().any(|(subnet, except)| {
            subnet.contains(&from) && !except.is_some_and(|except| except.contains(&from))
        })
    }
}

impl Config {
    /// Whether the firewall lets a new connection in: ports that rules mention are for whom these name, the rest is as the default says.
    pub(super) fn admits(&self, from: IpAddr, port: u16) -> bool {
        let rules = self.rules();
        let mut covering = rules.iter().filter(|rule| rule.covers(port)).peekable();
        if covering.peek().is_none() {
            return self.is_open();
        }
        covering.any(|rule| rule.admits(from))
    }
}
