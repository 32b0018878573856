//! Overrides (`--set a.b.c=value`) and role defaults: what is laid over and under the file before it is checked.

use std::collections::BTreeMap;

use crate::{
    finding::Findings,
    tree::{self, Branch, Entry, Place, Tree},
};

/// Lays every override over the tree.
pub(crate) fn apply(root: &mut Tree, set: &BTreeMap<String, String>, findings: &mut Findings) {
    for (key, text) in set {
        let at = Place::Set(key.clone());
        let Some(segments) = segments(key) else {
            findings.error("CFG-10", &at, key, "this is not a path of fields", "write it like --set endpoint.port=6443; quote a part that contains dots: nodes.w-1.labels.\"example.org/disk\"");
            continue;
        };
        let Some(value) = tree::read_override(key, text, findings) else {
            continue;
        };
        if let Err(message) = lay(root, &segments, &[], value, &at) {
            findings.error(
                "CFG-10",
                &at,
                key,
                message,
                "set the whole list, for example --set access.public_ports=[80,443]",
            );
        }
    }
}

/// Splits `a.b."c.d"` into its parts.
pub(crate) fn segments(key: &str) -> Option<Vec<String>> {
    let mut segments = Vec::new();
    let mut current = String::new();
    let mut quoted = false;
    for letter in key.chars() {
        match letter {
            '"' => quoted = !quoted,
            '.' if !quoted => segments.push(std::mem::take(&mut current)),
            _ => current.push(letter),
        }
    }
    segments.push(current);
    (!quoted && segments.iter().all(|segment| !segment.is_empty())).then_some(segments)
}

fn lay(
    tree: &mut Tree,
    segments: &[String],
    above: &[&str],
    value: Tree,
    at: &Place,
) -> Result<(), String> {
    let Some((head, rest)) = segments.split_first() else {
        *tree = value;
        return Ok(());
    };
    match &tree.value {
        Branch::List(_) => return Err("lists cannot be changed item by item".to_owned()),
        // A bare word is short for a mapping: write it out before going into it.
        Branch::Scalar { text, .. } => {
            let mut expanded = Tree::empty_map(at.clone());
            if let Branch::Map(entries) = &mut expanded.value {
                if text == head {
                    entries.push(Entry {
                        key: text.clone(),
                        at: tree.at.clone(),
                        value: Tree::empty_map(tree.at.clone()),
                    });
                } else if above.len() == 2 && above[0] == "nodes" {
                    entries.push(Entry {
                        key: "role".to_owned(),
                        at: tree.at.clone(),
                        value: tree.clone(),
                    });
                }
            }
            *tree = expanded;
        }
        Branch::Map(_) => {}
    }
    let mut path = above.to_vec();
    path.push(head);
    if tree.entry(head).is_none()
        && let Branch::Map(entries) = &mut tree.value
    {
        entries.push(Entry {
            key: head.clone(),
            at: at.clone(),
            value: Tree::empty_map(at.clone()),
        });
    }
    let entry = tree
        .entry_mut(head)
        .expect("pushed just above when it was missing");
    if rest.is_empty() {
        entry.at = at.clone();
    }
    lay(&mut entry.value, rest, &path, value, at)
}

/// Lays `defaults.<role>` under each node of the role, key by key; what the node says wins.
pub(crate) fn lay_role_defaults(root: &mut Tree) {
    let defaults: BTreeMap<String, Vec<Entry>> =
        match root.entry("defaults").map(|entry| &entry.value.value) {
            Some(Branch::Map(roles)) => roles
                .iter()
                .filter_map(|role| match &role.value.value {
                    Branch::Map(entries) => Some((role.key.clone(), entries.clone())),
                    _ => None,
                })
                .collect(),
            _ => return,
        };
    let Some(Branch::Map(nodes)) = root.entry_mut("nodes").map(|entry| &mut entry.value.value)
    else {
        return;
    };
    for node in nodes {
        let role = match node.value.text() {
            Some(word) => Some(word.to_owned()),
            None => node
                .value
                .entry("role")
                .and_then(|entry| entry.value.text())
                .map(str::to_owned),
        };
        let Some(under) = role.as_ref().and_then(|role| defaults.get(role)) else {
            continue;
        };
        if let Branch::Scalar { .. } = node.value.value {
            let word = node.value.clone();
            let at = word.at.clone();
            node.value.value = Branch::Map(vec![Entry {
                key: "role".to_owned(),
                at,
                value: word,
            }]);
        }
        if let Branch::Map(entries) = &mut node.value.value {
            for default in under {
                if default.key != "role" && !entries.iter().any(|entry| entry.key == default.key) {
                    entries.push(default.clone());
                }
            }
        }
    }
}
