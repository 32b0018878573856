//! Rules over nodes: how many control planes, what a label may be.

use super::{Rules, reach::is_inside};
use crate::{tree::Place, walk::join};

impl Rules<'_> {
    pub(super) fn nodes(&mut self) {
        let names = self.node_names();
        let planes = self.names_of("control-plane");
        // A node whose role is misspelt may be the one that makes the count right.
        if names
            .iter()
            .all(|name| self.normal["nodes"][name]["role"].is_string())
            && self.normal["nodes"].is_object()
        {
            let count = planes.len();
            if count == 0 {
                self.error(
                    "NODES-01",
                    "nodes",
                    "no node is a control plane",
                    "give 1, 3 or 5 nodes the role control-plane",
                );
            } else if count.is_multiple_of(2) || count > 5 {
                // The one written last is the one to talk about.
                let last = planes
                    .iter()
                    .max_by_key(|name| position(&self.place(&format!("nodes.{name}"))))
                    .cloned()
                    .unwrap_or_default();
                let (message, fix) = if count > 5 {
                    (
                        format!(
                            "{count} control planes make etcd slower, not safer; 1, 3 or 5 are allowed"
                        ),
                        format!("make {last} a worker"),
                    )
                } else {
                    (
                        format!(
                            "{count} control planes tolerate as many failures as {}",
                            count - 1
                        ),
                        format!("make {last} a worker, or add one more control plane"),
                    )
                };
                self.error("NODES-02", &format!("nodes.{last}"), message, fix);
            }
        }
        for name in names {
            let path = format!("nodes.{name}");
            // Only Flatcar's installer looks for a disk.
            let searched = self.text("/platform/kind") == Some("scaleway")
                && self.text("/distribution/kind") == Some("kubeadm");
            if self.normal["nodes"][&name]["disk"].is_object() && !searched {
                let place = self.place(&format!("{path}.disk"));
                self.findings.error(
                    "CFG-08",
                    &place,
                    &format!("{path}.disk"),
                    "a disk by size or type is not available yet here",
                    "name the disk as it stands below /dev/disk/by-id",
                );
            }
            let labels: Vec<String> = self.normal["nodes"][&name]["labels"]
                .as_object()
                .map(|labels| labels.keys().cloned().collect())
                .unwrap_or_default();
            for label in labels.iter().filter(|label| is_reserved_label(label)) {
                let path = join(&format!("{path}.labels"), label);
                self.error(
                    "NODES-04",
                    &path,
                    "Kubernetes keeps this label for itself: a kubelet refuses to start with it",
                    "use a label below your own domain, or node.kubernetes.io/",
                );
            }
        }
    }
}

fn position(place: &Place) -> (usize, usize) {
    match place {
        Place::File { line, column } => (*line, *column),
        Place::Set(_) => (usize::MAX, 0),
    }
}

/// Labels that the admission plugin NodeRestriction and the kubelet itself refuse.
fn is_reserved_label(label: &str) -> bool {
    let Some((domain, name)) = label.split_once('/') else {
        return false;
    };
    let reserved = ["kubernetes.io", "k8s.io"]
        .iter()
        .any(|zone| is_inside(domain, zone));
    let free = ["node.kubernetes.io", "kubelet.kubernetes.io"]
        .iter()
        .any(|zone| is_inside(domain, zone))
        || (domain == "topology.kubernetes.io" && ["region", "zone"].contains(&name));
    reserved && !free
}
