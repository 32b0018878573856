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
