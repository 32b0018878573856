//! How many blocks there may be is written out.
use strata_framework::{Attr, Schema};

/// A page.
#[derive(Schema, Clone)]
struct Page {
    /// Lines of the page.
    #[schema(block, items(1..4))]
    lines: Attr<Vec<Line>>,
}

/// A line.
#[derive(Schema, Clone)]
struct Line {}

fn main() {}
