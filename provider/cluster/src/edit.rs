//! Adding nodes to the text of a cluster file and removing them. Only the node's own lines change: comments, order and layout of the rest
//! stay as somebody wrote them.
//!
//! Guarantee: the edited text reads as the old one with exactly that node more or less, or there is an error and no text. Comments above a
//! removed node stay; nobody knows whether they speak of it alone.

use std::fmt;

use granit_parser::{Event, Options, Parser, StructureStyle};
use serde_json::Value;

use crate::{
    finding::Findings,
    scalar,
    tree::{self, Branch, Tree},
};

/// A node that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewNode<'a> {
    /// Its name for life.
    pub name: &'a str,
    /// `control-plane` or `worker`.
    pub role: &'a str,
    /// Offer, where it differs from the role's default.
    pub offer: Option<&'a str>,
    /// Zone, where it differs from the platform's.
    pub zone: Option<&'a str>,
}

/// Why a text was not edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditError(String);

impl fmt::Display for EditError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for EditError {}

/// Writes a node into the text: behind the last one of its role, else at the end.
///
/// # Errors
/// The text is no cluster file, has a node of that name, or is laid out in a way that cannot be edited.
pub fn add_node(text: &str, node: &NewNode<'_>) -> Result<String, EditError> {
    let before = read(text)?;
    let line = written(node)?;
    if !scalar::NODE_NAME.regex.is_match(node.name) {
        return Err(EditError(format!(
            "`{}` is not {}; write a name like {}",
            node.name,
            scalar::NODE_NAME.name,
            scalar::NODE_NAME.example
        )));
    }
    let nodes = locate(text).ok_or_else(no_nodes)?;
    if nodes.entries.iter().any(|entry| entry.name == node.name) {
        return Err(EditError(format!(
            "there is a node {} already; names are for life, so choose another one",
            node.name
        )));
    }
    let role_of = |name: &str| role(&before, name);
    let last = nodes
        .entries
        .iter()
        .rfind(|entry| role_of(&entry.name) == Some(node.role))
        .or(nodes.entries.last())
        .ok_or_else(no_nodes)?;
    let mut edited = text.to_owned();
    if nodes.style == StructureStyle::Flow {
        edited.insert_str(last.end, &format!(", {line}"));
    } else {
        let at = end_of_line(text, last.end);
        let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let indent = " ".repeat(last.column);
        let line = if text[..at].ends_with('\n') {
            format!("{indent}{line}{ending}")
        } else {
            format!("{ending}{indent}{line}")
        };
        edited.insert_str(at, &line);
    }
    let mut wanted = plain(&before);
    wanted["nodes"][node.name] =
        plain(&read(&format!("nodes: {{{line}}}"))?)["nodes"][node.name].take();
    checked(edited, &wanted, || {
        format!("add this line under `nodes` yourself: {line}")
    })
}

/// Takes a node out of the text.
///
/// # Errors
/// The text is no cluster file, has no node of that name, or is laid out in a way that cannot be edited.
pub fn remove_node(text: &str, name: &str) -> Result<String, EditError> {
    let before = read(text)?;
    let nodes = locate(text).ok_or_else(no_nodes)?;
    let index = nodes
        .entries
        .iter()
        .position(|entry| entry.name == name)
        .ok_or_else(|| {
            let known: Vec<_> = nodes
                .entries
                .iter()
                .map(|entry| entry.name.as_str())
                .collect();
            EditError(format!(
                "there is no node {name} under `nodes`; there are {}",
                known.join(" ")
            ))
        })?;
    let entry = &nodes.entries[index];
    let (start, end) = if nodes.style == StructureStyle::Block {
        let start = text[..entry.start]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        (start, end_of_line(text, entry.end))
    } else if index > 0 {
        (nodes.entries[index - 1].end, entry.end)
    } else {
        let next = nodes.entries.get(1).map_or(entry.end, |next| next.start);
        (entry.start, next)
    };
    let mut edited = text.to_owned();
    edited.replace_range(start..end, "");
    let mut wanted = plain(&before);
    if let Some(nodes) = wanted["nodes"].as_object_mut() {
        nodes.remove(name);
    }
    checked(edited, &wanted, || {
        format!("take the node {name} out of `nodes` yourself")
    })
}

/// `w-3: worker`, or with what is special: `w-3: {role: worker, offer: EM-B220E-NVME}`.
fn written(node: &NewNode<'_>) -> Result<String, EditError> {
    let more = [("offer", node.offer), ("zone", node.zone)];
    for (field, word) in [("role", Some(node.role))].into_iter().chain(more) {
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if let Some(word) = word.filter(|word| !is_word(word)) {
            return Err(EditError(format!("`{word}` cannot be a node's {field}")));
        }
    }
    let more: String = more
        .iter()
        .filter_map(|(field, word)| Some(format!(", {field}: {}", (*word)?)))
        .collect();
    Ok(if more.is_empty() {
        format!("{}: {}", node.name, node.role)
    } else {
        format!("{}: {{role: {}{more}}}", node.name, node.role)
    })
}

fn read(text: &str) -> Result<Tree, EditError> {
    let mut findings = Findings::new("the cluster file");
    tree::read(text, &mut findings)
        .filter(|_| !findings.has_errors())
        .ok_or_else(|| {
            let findings: Vec<_> = findings
                .into_sorted()
                .iter()
                .map(ToString::to_string)
                .collect();
            EditError(findings.join("\n"))
        })
}

fn no_nodes() -> EditError {
    EditError("the cluster file has no `nodes` to edit".to_owned())
}

fn role<'a>(root: &'a Tree, name: &str) -> Option<&'a str> {
    let node = &root.entry("nodes")?.value.entry(name)?.value;
    node.text().or_else(|| node.entry("role")?.value.text())
}

/// What a text says, without where it says it.
fn plain(tree: &Tree) -> Value {
    match &tree.value {
        // Quotes are layout, but `"1"` is not `1`.
        Branch::Scalar { text, plain } => serde_json::json!([text, plain]),
        Branch::List(items) => items.iter().map(plain).collect(),
        Branch::Map(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), plain(&entry.value)))
            .collect(),
    }
}

/// The edited text, if it says what it should.
fn checked(
    edited: String,
    wanted: &Value,
    remedy: impl Fn() -> String,
) -> Result<String, EditError> {
    match read(&edited) {
        Ok(tree) if plain(&tree) == *wanted => Ok(edited),
        _ => Err(EditError(format!(
            "`nodes` is laid out in a way that cannot be edited safely; {}",
            remedy()
        ))),
    }
}

/// Behind the line break of the line in which the content before `end` lies.
fn end_of_line(text: &str, end: usize) -> usize {
    // A block scalar's span ends at the start of the next line.
    let from = end.saturating_sub(usize::from(text[..end].ends_with('\n')));
    text[from..]
        .find('\n')
        .map_or(text.len(), |newline| from + newline + 1)
}

/// Where `nodes` stands.
struct Nodes {
    style: StructureStyle,
    entries: Vec<Span>,
}

/// Where one node stands: bytes from its key to the end of its value.
struct Span {
    name: String,
    column: usize,
    start: usize,
    end: usize,
}

/// Finds the nodes in a text that [`read`] accepted: the root is a mapping and keys are scalars.
fn locate(text: &str) -> Option<Nodes> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut open: Vec<StructureStyle> = Vec::new();
    let mut nodes: Option<Nodes> = None;
    let mut inside = false;
    // Whether the next scalar is a key: of the root, of `nodes`.
    let (mut root_key, mut node_key) = (true, true);
    let mut named = false;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.ok()?;
        let (start, end) = (span.start.byte_offset()?, span.end.byte_offset()?);
        match event {
            Event::Scalar(word, ..) => {
                if open.len() == 1 {
                    named = root_key && word == "nodes";
                    root_key = !root_key;
                } else if let Some(nodes) = nodes.as_mut().filter(|_| inside) {
                    if open.len() == 2 && node_key {
                        nodes.entries.push(Span {
                            name: word.into_owned(),
                            column: span.start.col(),
                            start,
                            end,
                        });
                    }
                    nodes.entries.last_mut()?.end = end;
                    if open.len() == 2 {
                        node_key = !node_key;
                    }
                }
            }
            Event::MappingStart(style, ..) if open.len() == 1 && named => {
                nodes = Some(Nodes {
                    style,
                    entries: Vec::new(),
                });
                inside = true;
                named = false;
                open.push(style);
            }
            Event::MappingStart(style, ..) | Event::SequenceStart(style, ..) => open.push(style),
            Event::MappingEnd | Event::SequenceEnd => {
                let style = open.pop()?;
                if open.len() == 1 {
                    (root_key, inside) = (true, false);
                } else if let Some(nodes) = nodes.as_mut().filter(|_| inside) {
                    // The end of a block collection is where the next thing begins.
                    if style == StructureStyle::Flow {
                        nodes.entries.last_mut()?.end = end;
                    }
                    node_key = node_key || open.len() == 2;
                }
            }
            _ => {}
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAID_OUT: &str = "\
# Everything here is mine.
strata: 1
nodes: # five are planned
  # the ones that think
  cp-1: control-plane   # first
  cp-2: {role: control-plane, zone: fr-par-1}

  # the ones that work
  w-1:
    role: worker
    labels: {a.example/b: c} # why not
    # a disk of its own
    disk: nvme-1
  \"w-2\": worker

name: home # the last word
";

    fn node<'a>(name: &'a str, role: &'a str) -> NewNode<'a> {
        NewNode {
            name,
            role,
            offer: None,
            zone: None,
        }
    }

    #[test]
    fn a_node_is_one_line_behind_the_last_of_its_role() {
        let edited = add_node(LAID_OUT, &node("w-3", "worker")).unwrap();
        assert_eq!(
            edited,
            LAID_OUT.replace("\"w-2\": worker\n", "\"w-2\": worker\n  w-3: worker\n")
        );
        let edited = add_node(LAID_OUT, &node("cp-3", "control-plane")).unwrap();
        assert_eq!(
            edited,
            LAID_OUT.replace("fr-par-1}\n", "fr-par-1}\n  cp-3: control-plane\n")
        );
        let special = NewNode {
            offer: Some("EM-B220E-NVME"),
            zone: Some("nl-ams-1"),
            ..node("w-3", "worker")
        };
        let edited = add_node(LAID_OUT, &special).unwrap();
        assert!(
            edited.contains("  w-3: {role: worker, offer: EM-B220E-NVME, zone: nl-ams-1}\n\nname"),
            "{edited}"
        );
    }

    #[test]
    fn a_node_goes_with_its_lines_and_no_others() {
        assert_eq!(
            remove_node(LAID_OUT, "cp-1").unwrap(),
            LAID_OUT.replace("  cp-1: control-plane   # first\n", "")
        );
        let whole = "  w-1:\n    role: worker\n    labels: {a.example/b: c} # why not\n    # a disk of its own\n    disk: nvme-1\n";
        assert_eq!(
            remove_node(LAID_OUT, "w-1").unwrap(),
            LAID_OUT.replace(whole, "")
        );
        assert_eq!(
            remove_node(LAID_OUT, "w-2").unwrap(),
            LAID_OUT.replace("  \"w-2\": worker\n", "")
        );
    }

    #[test]
    fn flow_style_windows_lines_and_a_missing_last_newline_are_kept() {
        let flow = "name: a\nnodes: {cp-1: control-plane, w-1: {role: worker}}\nlab: true\n";
        let edited = add_node(flow, &node("w-2", "worker")).unwrap();
        assert_eq!(
            edited,
            "name: a\nnodes: {cp-1: control-plane, w-1: {role: worker}, w-2: worker}\nlab: true\n"
        );
        assert_eq!(remove_node(&edited, "w-2").unwrap(), flow);
        assert_eq!(
            remove_node(flow, "cp-1").unwrap(),
            "name: a\nnodes: {w-1: {role: worker}}\nlab: true\n"
        );
        let windows = "name: a\r\nnodes:\r\n  cp-1: control-plane\r\n";
        let edited = add_node(windows, &node("w-1", "worker")).unwrap();
        assert_eq!(edited, format!("{windows}  w-1: worker\r\n"));
        assert_eq!(remove_node(&edited, "w-1").unwrap(), windows);
        let ends = "nodes:\n    cp-1: control-plane";
        assert_eq!(
            add_node(ends, &node("w-1", "worker")).unwrap(),
            "nodes:\n    cp-1: control-plane\n    w-1: worker"
        );
    }

    #[test]
    fn every_example_takes_a_node_and_gives_it_back() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/clusters");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            for role in ["control-plane", "worker"] {
                let edited = add_node(&text, &node("new-1", role)).unwrap();
                assert_eq!(edited.lines().count(), text.lines().count() + 1);
                assert_eq!(
                    remove_node(&edited, "new-1").unwrap(),
                    text,
                    "{}",
                    path.display()
                );
            }
            seen += 1;
        }
        assert!(seen > 0);
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_sentence() {
        let refused = |result: Result<String, EditError>, part: &str| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        refused(add_node(LAID_OUT, &node("w-1", "worker")), "already");
        refused(
            add_node(LAID_OUT, &node("w 1: {}", "worker")),
            "a name like cp-1",
        );
        let odd = NewNode {
            offer: Some("a, role: b"),
            ..node("w-3", "worker")
        };
        refused(add_node(LAID_OUT, &odd), "offer");
        refused(remove_node(LAID_OUT, "w-9"), "there are cp-1 cp-2 w-1 w-2");
        refused(add_node("name: a\n", &node("w-1", "worker")), "no `nodes`");
        refused(add_node("nodes: [", &node("w-1", "worker")), "not YAML");
    }
}
