//! A word that is none, and a format that is none.
use strata_framework::{Attr, Schema};

/// A note.
#[derive(Schema, Clone)]
struct Note {
    /// What is written.
    #[schema(required, force_new)]
    text: Attr<String>,
}

/// A place.
#[derive(Schema, Clone)]
struct Place {
    /// Where it is.
    #[schema(required, format = "postcode")]
    code: Attr<String>,
}

/// A page.
#[derive(Schema, Clone)]
#[schema(title = "page")]
struct Page {}

fn main() {}
