//! Rust types that no attribute has.
use strata_framework::{Attr, Schema};

/// A note.
#[derive(Schema, Clone)]
struct Note {
    /// When it was written.
    #[schema(computed)]
    written: Attr<std::time::Instant>,
}

fn main() {}
