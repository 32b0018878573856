//! Functions whose type is not the attribute's.
use strata_framework::{Attr, Schema};

/// A note.
#[derive(Schema, Clone)]
struct Note {
    /// What is written.
    #[schema(required, replace_if = grows)]
    text: Attr<String>,
}

fn grows(prior: &Attr<i64>, planned: &Attr<i64>) -> bool {
    planned > prior
}

fn main() {}
