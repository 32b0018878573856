//! Only structs with named fields are objects.
use strata_framework::Schema;

/// A note, or none.
#[derive(Schema, Clone)]
enum Note {
    None,
}

/// A pair.
#[derive(Schema, Clone)]
struct Pair(String, String);

fn main() {}
