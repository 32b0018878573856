//! The thin part: reads examples and guides, writes pages, and says which pages are not current.
//!
//! Owned whole are `index.md` and the folders of generated pages: a page of something that no longer exists is removed, or reported.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::example::Sources;

/// Folders of `docs/` that hold nothing but generated pages.
const GENERATED: [&str; 5] = [
    "data-sources",
    "ephemeral-resources",
    "functions",
    "list-resources",
    "resources",
];

/// Reads `examples/` and `docs/guides/` of a project.
pub fn sources(project: &Path) -> io::Result<Sources> {
    let mut sources = Sources::default();
    let examples = project.join("examples");
    for folder in GENERATED.into_iter().chain(["provider"]) {
        files(&examples, folder, &mut sources.examples)?;
    }
    files(&project.join("docs"), "guides", &mut sources.guides)?;
    Ok(sources)
}

/// Text files below `root/folder` by their path below `root`. A folder that does not exist has none; hidden files are not ours.
fn files(root: &Path, folder: &str, found: &mut BTreeMap<String, String>) -> io::Result<()> {
    let entries = match std::fs::read_dir(root.join(folder)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if name.starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            files(root, &path, found)?;
        } else {
            found.insert(path, std::fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}

/// The generated pages that exist now.
fn present(docs: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for folder in GENERATED {
        files(docs, folder, &mut found)?;
    }
    match std::fs::read_to_string(docs.join("index.md")) {
        Ok(text) => {
            found.insert("index.md".to_owned(), text);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// What differs between `docs` and the pages, one line each: "resources/a.md is missing".
pub fn stale(docs: &Path, pages: &BTreeMap<String, String>) -> io::Result<Vec<String>> {
    let present = present(docs)?;
    let mut stale = Vec::new();
    for (path, text) in pages {
        match present.get(path) {
            None => stale.push(format!("{path} is missing")),
            Some(old) if old != text => stale.push(format!("{path} is out of date")),
            Some(_) => {}
        }
    }
    let gone = present.keys().filter(|path| !pages.contains_key(*path));
    stale.extend(gone.map(|path| format!("{path} describes nothing that exists")));
    Ok(stale)
}

/// Makes `docs` what the pages say: writes what differs, removes what describes nothing.
pub fn write(docs: &Path, pages: &BTreeMap<String, String>) -> io::Result<()> {
    let present = present(docs)?;
    for (path, text) in pages {
        if present.get(path) == Some(text) {
            continue;
        }
        let path = docs.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, text)?;
    }
    for path in present.keys().filter(|path| !pages.contains_key(*path)) {
        std::fs::remove_file(docs.join(path))?;
    }
    Ok(())
}
