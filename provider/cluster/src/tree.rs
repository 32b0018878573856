//! YAML text as a tree in which every value knows where it stands, and the overrides that are laid over it.
//!
//! YAML 1.2 core schema. Duplicate keys are findings; anchors, aliases, tags and further documents are refused:
//! a file that describes a cluster should read top to bottom without looking things up.

use std::borrow::Cow;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle};

use crate::finding::Findings;

/// Above this size a file is not a cluster file.
const MAX_BYTES: usize = 1 << 20;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the file, counted from 1.
    File { line: usize, column: usize },
    /// In an override, by its key.
    Set(String),
}

impl Place {
    pub(crate) fn start() -> Self {
        Place::File { line: 1, column: 1 }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) at: Place,
    pub(crate) value: Branch,
}

#[derive(Clone, Debug)]
pub(crate) enum Branch {
    /// `plain` is false for quoted and block scalars, which are always strings.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Tree>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Place,
    pub(crate) value: Tree,
}

impl Tree {
    pub(crate) fn empty_map(at: Place) -> Self {
        Tree {
            at,
            value: Branch::Map(Vec::new()),
        }
    }

    /// Null as YAML means it: nothing, `null` or `~`, unquoted.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Branch::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Branch::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Branch::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    pub(crate) fn entry_mut(&mut self, key: &str) -> Option<&mut Entry> {
        match &mut self.value {
            Branch::Map(entries) => entries.iter_mut().find(|entry| entry.key == key),
            _ => None,
        }
    }
}

/// Reads the text of a file. `None` when nothing can be made of it; the findings say why.
pub(crate) fn read(text: &str, findings: &mut Findings) -> Option<Tree> {
    if text.len() > MAX_BYTES {
        let message = format!(
            "{} bytes are too many for a cluster file (at most {MAX_BYTES})",
            text.len()
        );
        findings.error(
            "CFG-01",
            &Place::start(),
            "",
            message,
            "name the cluster file itself, for example cluster.yaml",
        );
        return None;
    }
    let mut builder = Builder {
        findings,
        place: &|marker: &Marker| Place::File {
            line: marker.line(),
            column: marker.col() + 1,
        },
        stack: Vec::new(),
        root: None,
        documents: 0,
    };
    builder.read(text)?;
    match builder.root {
        Some(root) if matches!(root.value, Branch::Map(_)) => Some(root),
        Some(root) if !root.is_null() => {
            findings.error(
                "CFG-01",
                &root.at,
                "",
                "a cluster file is a mapping of fields",
                "start with `strata: 1`; see examples/clusters/lab.yaml",
            );
            None
        }
        _ => {
            findings.error(
                "CFG-01",
                &Place::start(),
                "",
                "the file is empty",
                "start with `strata: 1`; see examples/clusters/lab.yaml",
            );
            None
        }
    }
}

/// Reads the value of an override: YAML if it is a list, a mapping or quoted, else the text as it stands.
pub(crate) fn read_override(key: &str, text: &str, findings: &mut Findings) -> Option<Tree> {
    let at = Place::Set(key.to_owned());
    if text.len() <= MAX_BYTES && text.starts_with(['[', '{', '"', '\'']) {
        let mut builder = Builder {
            findings,
            place: &|_: &Marker| at.clone(),
            stack: Vec::new(),
            root: None,
            documents: 0,
        };
        builder.read(text)?;
        return builder.root;
    }
    Some(Tree {
        at,
        value: Branch::Scalar {
            text: text.to_owned(),
            plain: true,
        },
    })
}

struct Builder<'a> {
    findings: &'a mut Findings,
    place: &'a dyn Fn(&Marker) -> Place,
    stack: Vec<Open>,
    root: Option<Tree>,
    documents: usize,
}

enum Open {
    List {
        at: Place,
        items: Vec<Tree>,
    },
    Map {
        at: Place,
        entries: Vec<Entry>,
        key: Option<(String, Place)>,
    },
}

impl Builder<'_> {
    fn read(&mut self, text: &str) -> Option<()> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = match event {
                Ok(pair) => pair,
                Err(error) => {
                    let at = (self.place)(error.marker());
                    return self.refuse(
                        &at,
                        &format!("not YAML: {}", error.info()),
                        "correct the indentation, quotes or brackets here",
                    );
                }
            };
            let at = (self.place)(&span.start);
            match event {
                Event::DocumentStart(..) => {
                    self.documents += 1;
                    if self.documents > 1 {
                        return self.refuse(
                            &at,
                            "a second document begins here",
                            "keep one cluster per file: remove `---` and what follows",
                        );
                    }
                }
                Event::Alias(_) => {
                    return self.refuse(
                        &at,
                        "aliases (`*name`) are not supported",
                        "write the value out, or use `defaults`",
                    );
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.plain_node(&at, anchor, tag.is_some())?;
                    self.scalar(text, style, at);
                }
                Event::SequenceStart(_, anchor, tag) => {
                    self.plain_node(&at, anchor, tag.is_some())?;
                    self.no_key(&at)?;
                    self.stack.push(Open::List {
                        at,
                        items: Vec::new(),
                    });
                }
                Event::MappingStart(_, anchor, tag) => {
                    self.plain_node(&at, anchor, tag.is_some())?;
                    self.no_key(&at)?;
                    self.stack.push(Open::Map {
                        at,
                        entries: Vec::new(),
                        key: None,
                    });
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let done = match self.stack.pop()? {
                        Open::List { at, items } => Tree {
                            at,
                            value: Branch::List(items),
                        },
                        Open::Map { at, entries, .. } => Tree {
                            at,
                            value: Branch::Map(entries),
                        },
                    };
                    self.attach(done);
                }
                _ => {}
            }
        }
        Some(())
    }

    fn refuse<T>(&mut self, at: &Place, message: &str, fix: &str) -> Option<T> {
        self.findings.error("CFG-01", at, "", message, fix);
        None
    }

    fn plain_node(&mut self, at: &Place, anchor: usize, tagged: bool) -> Option<()> {
        if anchor != 0 {
            return self.refuse(
                at,
                "anchors (`&name`) are not supported",
                "write the value out, or use `defaults`",
            );
        }
        if tagged {
            return self.refuse(at, "tags (`!name`) are not supported", "remove the tag");
        }
        Some(())
    }

    /// Fails when a collection stands where a key is expected.
    fn no_key(&mut self, at: &Place) -> Option<()> {
        if matches!(self.stack.last(), Some(Open::Map { key: None, .. })) {
            return self.refuse(
                at,
                "a key must be a word, not a list or a mapping",
                "put quotes around it if it is meant as text",
            );
        }
        Some(())
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, at: Place) {
        let text = text.into_owned();
        if let Some(Open::Map {
            entries,
            key: key @ None,
            ..
        }) = self.stack.last_mut()
        {
            if let Some(first) = entries.iter().find(|entry| entry.key == text) {
                let line = if let Place::File { line, .. } = first.at {
                    format!(" (first in line {line})")
                } else {
                    String::new()
                };
                // A key may itself be something that must not be shown.
                let shown = crate::secret::shown(&text);
                self.findings.error(
                    "CFG-01",
                    &at,
                    "",
                    format!("the key {shown} stands here a second time{line}"),
                    "keep one of the two",
                );
            }
            *key = Some((text, at));
            return;
        }
        self.attach(Tree {
            at,
            value: Branch::Scalar {
                text,
                plain: style == ScalarStyle::Plain,
            },
        });
    }

    fn attach(&mut self, done: Tree) {
        match self.stack.last_mut() {
            None => self.root = Some(done),
            Some(Open::List { items, .. }) => items.push(done),
            Some(Open::Map { entries, key, .. }) => {
                if let Some((key, at)) = key.take() {
                    // Of two equal keys the first stays; the second is a finding already.
                    if !entries.iter().any(|entry| entry.key == key) {
                        entries.push(Entry {
                            key,
                            at,
                            value: done,
                        });
                    }
                }
            }
        }
    }
}
