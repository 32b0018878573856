//! Versions of Kubernetes: what they say, which step is allowed, and which ones run here.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::ListParams;

use super::{Client, Error};

const NAMESPACE: &str = "kube-system";
const CONFIGURATION: &str = "kubeadm-config";

/// A release, ordered as releases are. Build metadata (`+lab`) does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 1.
    pub major: u32,
    /// What an upgrade may raise by one.
    pub minor: u32,
    /// Fixes.
    pub patch: u32,
}

impl Version {
    /// Reads `v1.34.2`; `None` for anything else, pre-releases included.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v')?;
        let (number, _) = text.split_once('+').unwrap_or((text, ""));
        let mut parts = number.split('.').map(|part| part.parse::<u32>().ok());
        let version = Self {
            major: parts.next()??,
            minor: parts.next()??,
            patch: parts.next()??,
        };
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Whether a cluster of `from` may be upgraded to `to`. The sentence says why not.
///
/// # Errors
/// Not a release, an older one, or more than one minor release ahead.
pub fn allowed(from: &str, to: &str) -> Result<(), String> {
    let Some(wanted) = Version::parse(to) else {
        return Err(format!("`{to}` is not a release like v1.34.2"));
    };
    let Some(current) = Version::parse(from) else {
        return Err(format!("the cluster runs `{from}`, which is not a release"));
    };
    if wanted < current {
        return Err(format!(
            "the cluster runs {current}, and Kubernetes does not go back to {wanted}: its etcd may hold objects that the older one cannot read. \
             Set the version to {current}, or restore a snapshot of before"
        ));
    }
    let next = current.minor + 1;
    if wanted.major != current.major || wanted.minor > next {
        return Err(format!(
            "from {current} to {wanted} is more than one minor release, and each one migrates what the one before left. \
             Go to v{}.{next}.x first",
            current.major
        ));
    }
    Ok(())
}

/// The version that kubeadm's configuration in the cluster names: what `kubeadm upgrade apply` writes last.
pub async fn configured(client: &Client) -> Result<String, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.api(), NAMESPACE);
    let map = api
        .get(CONFIGURATION)
        .await
        .map_err(Error::during("read ConfigMap", CONFIGURATION))?;
    let text = map
        .data
        .and_then(|mut data| data.remove("ClusterConfiguration"))
        .unwrap_or_default();
    named(&text).ok_or_else(|| Error::Document {
        number: 1,
        reason: format!("ConfigMap {NAMESPACE}/{CONFIGURATION} names no kubernetesVersion"),
    })
}

fn named(configuration: &str) -> Option<String> {
    let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(configuration).ok()?;
    Some(value.get("kubernetesVersion")?.as_str()?.to_owned())
}

/// The version of the API server on each control plane, by node: the tag of its static pod's image.
pub async fn components(client: &Client) -> Result<BTreeMap<String, String>, Error> {
    let api: Api<Pod> = Api::namespaced(client.api(), NAMESPACE);
    let servers = ListParams::default().labels("component=kube-apiserver");
    let pods = api
        .list(&servers)
        .await
        .map_err(Error::during("list", "the API servers' pods"))?;
    let one = |pod: Pod| {
        let spec = pod.spec?;
        let image = spec.containers.into_iter().next()?.image?;
        let (_, tag) = image.rsplit_once(':')?;
        Some((spec.node_name?, tag.to_owned()))
    };
    Ok(pods.items.into_iter().filter_map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered_and_build_metadata_does_not_count() {
        let parse = |text| Version::parse(text).unwrap();
        assert!(parse("v1.34.10") > parse("v1.34.9"));
        assert_eq!(parse("v1.34.2+lab"), parse("v1.34.2"));
        for bad in ["1.34.2", "v1.34", "v1.35.0-rc.1", "v1.34.2.1", "v1.x.2", ""] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_minor_release_at_a_time_and_never_back() {
        for to in ["v1.34.2", "v1.34.9", "v1.35.0", "v1.35.7"] {
            assert_eq!(allowed("v1.34.2", to), Ok(()), "{to}");
        }
        for (to, why) in [
            ("v1.34.1", "does not go back"),
            ("v1.33.9", "does not go back"),
            ("v1.36.0", "Go to v1.35.x first"),
            ("v2.0.0", "more than one minor"),
            ("1.35.0", "not a release"),
        ] {
            let error = allowed("v1.34.2", to).unwrap_err();
            assert!(error.contains(why), "{to}: {error}");
        }
    }

    #[test]
    fn the_version_is_read_from_kubeadms_yaml() {
        assert_eq!(
            named("apiVersion: x\nkubernetesVersion: v1.34.2\n").as_deref(),
            Some("v1.34.2")
        );
        assert_eq!(named("kind: y"), None);
    }
}
