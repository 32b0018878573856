//! Words that exclude each other.
use strata_framework::{Attr, Schema};

/// A note.
#[derive(Schema, Clone)]
struct Note {
    /// What is written.
    #[schema(required, default = "nothing")]
    text: Attr<String>,
}

/// A place.
#[derive(Schema, Clone)]
struct Place {
    /// Where it is.
    #[schema(required, computed)]
    code: Attr<String>,
}

/// A page.
#[derive(Schema, Clone)]
struct Page {
    /// Its number.
    #[schema(required, replace, replace_if = moves)]
    number: Attr<i64>,
}

fn moves(_: &Attr<i64>, _: &Attr<i64>) -> bool {
    true
}

fn main() {}
