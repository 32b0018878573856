//! Users would read nothing about the attribute.
use strata_framework::{Attr, Schema};

/// A note.
#[derive(Schema, Clone)]
struct Note {
    #[schema(required)]
    text: Attr<String>,
}

fn main() {}
