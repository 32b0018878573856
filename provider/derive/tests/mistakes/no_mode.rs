//! Nobody sets the attribute.
use strata_framework::{Attr, Schema};

/// A note.
#[derive(Schema, Clone)]
struct Note {
    /// What is written.
    #[schema(sensitive)]
    text: Attr<String>,
}

fn main() {}
