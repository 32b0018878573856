//! Rules about attributes that do not exist, or about one alone.
use strata_framework::{Attr, Schema};

/// A note.
#[derive(Schema, Clone)]
#[schema(name = "note", exclusive("text", "picture"))]
struct Note {
    /// What is written.
    #[schema(optional)]
    text: Attr<String>,
}

/// A place.
#[derive(Schema, Clone)]
#[schema(together("code"))]
struct Place {
    /// Where it is.
    #[schema(optional)]
    code: Attr<String>,
}

fn main() {}
