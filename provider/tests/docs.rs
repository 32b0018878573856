//! The pages under `docs/` say what the code says, and say enough.

use std::path::{Path, PathBuf};

use strata_framework::docs::folder;
use strata_provider::provider::registry;

fn project() -> PathBuf {
    let parent = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    parent.expect("provider lies in the project").to_owned()
}

/// With `STRATA_WRITE_DOCS` it writes the pages: that is `make docs`.
#[test]
fn the_written_pages_are_current() {
    let (project, docs) = (project(), project().join("docs"));
    let sources = folder::sources(&project).expect("examples and guides can be read");
    let pages = registry().pages(&sources);
    if std::env::var_os("STRATA_WRITE_DOCS").is_some() {
        folder::write(&docs, &pages).expect("the pages can be written");
    }
    let stale = folder::stale(&docs, &pages).expect("the pages can be read");
    assert!(
        stale.is_empty(),
        "docs/ does not say what the code says; run `make docs`:\n  docs/{}",
        stale.join("\n  docs/")
    );
}

#[test]
fn nothing_is_undocumented() {
    let sources = folder::sources(&project()).expect("examples and guides can be read");
    let missing = registry().undocumented(&sources);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Errors that the pages promise are errors that the code has: each quoted piece stands in a text of the provider, or is put together by
/// `failed("open", "store", ..)` as "Cannot open store".
#[test]
fn documented_errors_exist() {
    let sources = folder::sources(&project()).expect("examples and guides can be read");
    let code = code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut checked = 0;
    let mut invented = Vec::new();
    for (path, page) in registry().pages(&sources) {
        let Some((_, section)) = page.split_once("\n## Errors\n") else {
            continue;
        };
        let section = section.split("\n## ").next().unwrap_or_default();
        let quotes = section.lines().filter_map(|line| line.strip_prefix("- \""));
        for quote in quotes.filter_map(|line| line.split('"').next()) {
            checked += 1;
            let pieces = quote
                .split("...")
                .map(|piece| piece.trim_matches([' ', ':', ',']));
            let is_known = |piece: &str| {
                let composed = piece.strip_prefix("Cannot ").and_then(|rest| {
                    let nouns = rest.match_indices(' ').map(|(at, _)| at);
                    nouns
                        .map(|at| format!("\"{}\", \"{}", &rest[..at], &rest[at + 1..]))
                        .find(|call| code.contains(call.as_str()))
                });
                composed.is_some() || code.contains(piece)
            };
            invented.extend(
                pieces
                    .filter(|piece| !is_known(piece))
                    .map(|piece| format!("{path}: {piece:?}")),
            );
        }
    }
    assert!(invented.is_empty(), "{}", invented.join("\n"));
    assert!(checked > 20, "only {checked} errors are documented");
}

/// The code of a folder on one line, without comments.
fn code(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.push_str(&code(&path));
        } else if path.extension() == Some("rs".as_ref()) {
            let text = std::fs::read_to_string(&path).expect("a source file");
            let lines = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.starts_with("//"));
            for line in lines {
                all.push_str(line.strip_suffix('\\').unwrap_or(line));
                all.push(' ');
            }
        }
    }
    all.replace("  ", " ").replace("( \"", "(\"")
}

/// Rows of a page by their ids, and the tests that it names.
fn rows(page: &str) -> (Vec<String>, std::collections::BTreeSet<String>) {
    let project = project();
    let page = std::fs::read_to_string(project.join("docs").join(page)).expect("the page is there");
    let mut rows = Vec::new();
    let mut named = std::collections::BTreeSet::new();
    let is_row = |line: &&str| {
        let id = line.trim_start_matches("| ");
        id.starts_with(['R', 'T', 'K']) && id[1..].starts_with(|c: char| c.is_ascii_digit())
    };
    for line in page.lines().filter(is_row) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let [ids, _, shown] = cells[..] else {
            panic!("three columns: {line}");
        };
        rows.extend(ids.split(',').map(|id| id.trim().to_owned()));
        let tests = shown.split('`').skip(1).step_by(2);
        let tests: Vec<&str> = tests.filter(|text| !text.contains([' ', '/'])).collect();
        assert!(
            !tests.is_empty() || shown.contains("**open**") || shown.contains("](guides/"),
            "neither a test nor a guide nor open: {line}"
        );
        named.extend(tests.into_iter().map(str::to_owned));
    }
    (rows, named)
}

/// The tables of rows name each row once, and tests that exist.
#[test]
fn every_row_stands_once_and_its_tests_exist() {
    let numbers = |letter: char, ranges: &[std::ops::RangeInclusive<u32>]| {
        let all = ranges.iter().cloned().flatten();
        all.map(|number| format!("{letter}{number}"))
            .collect::<Vec<_>>()
    };
    let (own, mut named) = rows("rows.md");
    assert_eq!(own, numbers('R', &[1..=96]), "each row once, in order");
    let (talos, more) = rows("rows-talos.md");
    let mut wanted = numbers('T', &[1..=5, 12..=23, 41..=48, 72..=72, 74..=74, 76..=76]);
    wanted.extend(numbers('K', &[7..=9, 25..=26]));
    assert_eq!(talos, wanted, "each row once, in order");
    named.extend(more);
    let project = project();
    let mut sources = String::new();
    for folder in ["provider", "cli", "lab"] {
        sources += &code(&project.join(folder));
    }
    named.retain(|test| !sources.contains(&format!("fn {test}(")));
    assert!(named.is_empty(), "no such tests: {named:?}");
}

/// The diagrams speak the code's words: what looks like a verb, a status or a policy in the states of a node is one.
#[test]
fn the_diagrams_use_words_that_the_code_has() {
    let project = project();
    let page = std::fs::read_to_string(project.join("docs/diagrams.md")).expect("the page");
    let diagrams: Vec<&str> = page.split("```mermaid\n").skip(1).collect();
    assert_eq!(diagrams.len(), 3, "states, sequence, rollback");
    let sources = project.join("provider/src");
    let script = std::fs::read_to_string(sources.join("services/flatcar/strata-node.sh"));
    let known = script.expect("the script") + &code(&sources);
    let states = diagrams[0].split("```").next().unwrap_or_default();
    let states = states.trim_start_matches("stateDiagram-v2");
    let words = states.split(|c: char| !(c.is_ascii_lowercase() || c == '-' || c == '_'));
    let mut looked_up = 0;
    for word in words.filter(|word| word.contains(['-', '_']) && !word.starts_with('-')) {
        looked_up += 1;
        assert!(known.contains(word), "`{word}` is no word of the code");
    }
    for word in [
        "confirm)",
        "unlock)",
        "\"locked\"",
        "\"out_of_stock\"",
        "\"keep\"",
    ] {
        assert!(known.contains(word), "{word}");
    }
    assert!(looked_up > 10, "{looked_up}");
}
