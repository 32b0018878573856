//! Which node is next, and what kubeadm does there. Pure: everything is read from the cluster anew before each node, so that a run that broke
//! off goes on where it was.

use crate::kubernetes::version::Version;
use crate::verb::Upgrade;

/// A node as the cluster shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Node name.
    pub name: String,
    /// Its role.
    pub control_plane: bool,
    /// Why it is not Ready; `None` when it is.
    pub trouble: Option<String>,
    /// Version of the kubelet.
    pub kubelet: String,
    /// Version of its API server, on control planes.
    pub components: Option<String>,
    /// An upgrade has begun to work on it.
    pub in_work: bool,
}

/// The next piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Node name.
    pub node: String,
    /// Its role.
    pub control_plane: bool,
    /// What kubeadm does there.
    pub step: Upgrade,
}

fn is_at(text: &str, wanted: Version) -> bool {
    Version::parse(text) == Some(wanted)
}

impl Standing {
    /// Whether kubelet and API server are of this version.
    pub fn runs(&self, wanted: Version) -> bool {
        let components = !self.control_plane
            || self
                .components
                .as_deref()
                .is_some_and(|version| is_at(version, wanted));
        is_at(&self.kubelet, wanted) && components
    }

    fn is_done(&self, wanted: Version) -> bool {
        !self.in_work && self.runs(wanted)
    }
}

/// Whether anything is left to do.
pub fn is_done(nodes: &[Standing], configured: &str, wanted: Version) -> bool {
    is_at(configured, wanted) && nodes.iter().all(|node| node.is_done(wanted))
}

/// The next node: the one in work, then control planes, then workers, each by name. `None`: all is done.
///
/// # Errors
/// Another node than the one in work is not Ready: with one more away, the cluster might not survive.
pub fn next(nodes: &[Standing], configured: &str, wanted: Version) -> Result<Option<Task>, String> {
    if is_done(nodes, configured, wanted) {
        return Ok(None);
    }
    let mut order: Vec<&Standing> = nodes.iter().collect();
    order.sort_by_key(|node| (!node.in_work, !node.control_plane, &node.name));
    let open = order.iter().find(|node| !node.is_done(wanted));
    // Every node is there and the configuration is not: kubeadm broke off after its last static pod.
    let last = order.iter().find(|node| node.control_plane);
    let is_configured = is_at(configured, wanted);
    let found = match open {
        Some(node) if node.control_plane || node.in_work || is_configured => open,
        _ => last,
    };
    let Some(chosen) = found else {
        return Err("the cluster has no control plane".into());
    };
    let sick: Vec<String> = nodes
        .iter()
        .filter(|node| node.name != chosen.name || !node.in_work)
        .filter_map(|node| {
            let trouble = node.trouble.as_deref()?;
            Some(format!("{} ({trouble})", node.name))
        })
        .collect();
    if !sick.is_empty() {
        return Err(format!(
            "not Ready: {}. One node at a time is taken away from a cluster that is otherwise whole",
            sick.join(", ")
        ));
    }
    let step = if chosen.control_plane && !is_configured {
        Upgrade::Apply
    } else {
        Upgrade::Node
    };
    Ok(Some(Task {
        node: chosen.name.clone(),
        control_plane: chosen.control_plane,
        step,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "v1.34.2";
    const NEW: &str = "v1.35.0";

    fn standing(name: &str, version: &str) -> Standing {
        let control_plane = name.starts_with("cp");
        Standing {
            name: name.into(),
            control_plane,
            trouble: None,
            kubelet: version.into(),
            components: control_plane.then(|| version.into()),
            in_work: false,
        }
    }

    fn wanted() -> Version {
        Version::parse(NEW).unwrap()
    }

    fn chosen(nodes: &[Standing], configured: &str) -> Option<(String, Upgrade)> {
        next(nodes, configured, wanted())
            .unwrap()
            .map(|task| (task.node, task.step))
    }

    #[test]
    fn control_planes_come_first_and_only_the_first_applies() {
        let mut nodes = ["w-1", "cp-2", "cp-1"].map(|name| standing(name, OLD));
        let mut order = Vec::new();
        let mut configured = OLD;
        while let Some((name, step)) = chosen(&nodes, configured) {
            let node = nodes.iter_mut().find(|node| node.name == name).unwrap();
            *node = standing(&name, NEW);
            configured = NEW;
            order.push((name, step));
        }
        let expected = [
            ("cp-1".to_owned(), Upgrade::Apply),
            ("cp-2".to_owned(), Upgrade::Node),
            ("w-1".to_owned(), Upgrade::Node),
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn the_node_in_work_goes_first_whatever_it_says_of_itself() {
        let mut nodes = ["cp-1", "cp-2", "w-1"].map(|name| standing(name, NEW));
        nodes[1].in_work = true;
        nodes[1].trouble = Some("rebooting".into());
        nodes[2].kubelet = OLD.into();
        assert_eq!(chosen(&nodes, NEW), Some(("cp-2".into(), Upgrade::Node)));
    }

    #[test]
    fn a_control_plane_whose_kubelet_alone_is_new_is_not_done() {
        let mut nodes = ["cp-1", "w-1"].map(|name| standing(name, NEW));
        nodes[0].components = Some(OLD.into());
        assert_eq!(chosen(&nodes, OLD), Some(("cp-1".into(), Upgrade::Apply)));
        // The static pods are there, the configuration is not.
        nodes[0].components = Some(NEW.into());
        nodes[1].kubelet = OLD.into();
        assert_eq!(chosen(&nodes, OLD), Some(("cp-1".into(), Upgrade::Apply)));
        assert_eq!(chosen(&nodes, NEW), Some(("w-1".into(), Upgrade::Node)));
        nodes[1].kubelet = format!("{NEW}+lab");
        assert_eq!(chosen(&nodes, NEW), None);
    }

    #[test]
    fn a_sick_node_elsewhere_stops_it() {
        let mut nodes = ["cp-1", "cp-2", "w-1"].map(|name| standing(name, OLD));
        nodes[2].trouble = Some("silent".into());
        let error = next(&nodes, OLD, wanted()).unwrap_err();
        assert!(error.contains("w-1 (silent)"), "{error}");
        // Nothing to do is no question of health.
        let mut done = ["cp-1", "w-1"].map(|name| standing(name, NEW));
        done[1].trouble = Some("silent".into());
        assert_eq!(chosen(&done, NEW), None);
    }
}
