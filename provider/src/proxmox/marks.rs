//! Who a machine belongs to: tags with the cluster, the owner and the node. Tags of Proxmox have small letters and no `=`. A clone comes with the
//! tags of its source, so until it has its own a line of its description says the same.

use super::wire::Machine;

/// Tag of everything that Strata makes.
const OURS: &str = "strata";
const CLUSTER: &str = "strata-cluster-";
const OWNER: &str = "strata-owner-";
const NODE: &str = "strata-node-";

/// Who a machine belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// Name of the Strata cluster.
    pub cluster: String,
    /// Id of the estate.
    pub owner: String,
    /// Name of the node.
    pub node: String,
}

impl Marks {
    /// The tags that carry the marks.
    pub fn tags(&self) -> [String; 4] {
        [
            OURS.to_owned(),
            format!("{CLUSTER}{}", self.cluster.to_lowercase()),
            format!("{OWNER}{}", self.owner.to_lowercase()),
            format!("{NODE}{}", self.node.to_lowercase()),
        ]
    }

    /// The marks among tags, if a cluster's are.
    pub fn among(tags: &str) -> Option<Self> {
        let tags: Vec<&str> = split(tags).collect();
        let value = |key: &str| {
            let found = tags.iter().find_map(|tag| tag.strip_prefix(key));
            found.map(str::to_owned)
        };
        Some(Self {
            cluster: value(CLUSTER)?,
            owner: value(OWNER).unwrap_or_default(),
            node: value(NODE).unwrap_or_default(),
        })
    }

    /// The marks as a line of a description.
    pub fn line(&self) -> String {
        self.tags().join(" ")
    }

    /// The marks in a description, if a cluster's are.
    pub fn in_description(text: &str) -> Option<Self> {
        text.lines().find_map(Self::among)
    }

    /// The marks of a machine.
    pub fn of(machine: &Machine) -> Option<Self> {
        Self::among(&machine.tags)
    }

    /// Whether these are the same, as tags can say it.
    pub fn matches(&self, other: &Self) -> bool {
        self.tags() == other.tags()
    }
}

/// Tags as Proxmox separates them.
pub fn split(tags: &str) -> impl Iterator<Item = &str> {
    tags.split([';', ',', ' ']).filter(|tag| !tag.is_empty())
}

/// Whether a tag is one of the marks.
pub fn is_mark(tag: &str) -> bool {
    tag == OURS
        || [CLUSTER, OWNER, NODE]
            .iter()
            .any(|mark| tag.starts_with(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_the_way_through_tags() {
        let marks = Marks {
            cluster: "home".into(),
            owner: "7c1f0000-0000-4000-8000-000000000000".into(),
            node: "cp-1".into(),
        };
        let tags = format!("backup;{}", marks.tags().join(";"));
        assert_eq!(Marks::among(&tags).unwrap(), marks);
        assert!(marks.tags().iter().all(|tag| is_mark(tag)));
        assert!(!is_mark("strata-like"));
        assert_eq!(Marks::among("strata;backup"), None);
    }
}
