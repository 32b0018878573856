//! How deep Terraform can point into a configuration.
//!
//! It follows a path through blocks, to an attribute and one element of it. Of a longer path it takes the last name for an
//! attribute of the block, and points at another attribute of that name, or at nothing. So paths end where it can follow.

use crate::Path;
use crate::path::Step;
use crate::schema::{Attribute, Schema};

impl Schema {
    /// The beginning of a path that Terraform finds in the configuration.
    pub(crate) fn reach(&self, path: &Path) -> Path {
        let mut reached = Path::root();
        let mut schema = Some(self);
        let mut steps = path.steps().iter().peekable();
        while let (Some(within), Some(Step::Attribute(name))) = (schema, steps.next()) {
            reached = reached.with(Step::Attribute(name.clone()));
            let attribute = within.attribute(name);
            if let Some(element) =
                steps.next_if(|step| matches!(step, Step::Index(_) | Step::Key(_)))
            {
                reached = reached.with(element.clone());
            }
            schema = attribute
                .filter(|one| one.block)
                .and_then(Attribute::nested);
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::{Attr, Diagnostics, Model, Path, Schema};

    /// Outer.
    #[derive(Schema, Clone)]
    struct Outer {
        /// Blocks.
        #[schema(block)]
        rows: Attr<Vec<Inner>>,
        /// Objects.
        #[schema(optional)]
        cells: Attr<BTreeMap<String, Inner>>,
    }

    /// Inner.
    #[derive(Schema, Clone)]
    struct Inner {
        /// Texts.
        #[schema(optional)]
        texts: Attr<Vec<String>>,
    }

    #[test]
    fn paths_end_where_terraform_can_follow() {
        let block = Path::of("rows").index(1);
        let object = Path::of("cells").key("a");
        for (path, expected) in [
            (Path::of("rows"), Path::of("rows")),
            (
                block.clone().attribute("texts").index(2),
                block.attribute("texts").index(2),
            ),
            (object.clone(), object.clone()),
            (object.clone().attribute("texts").index(2), object),
            (Path::of("nobody").attribute("texts"), Path::of("nobody")),
        ] {
            assert_eq!(Outer::schema().reach(&path), expected, "{path}");
        }
    }

    #[test]
    fn what_the_place_no_longer_says_the_text_does() {
        let path = Path::of("cells").key("a").attribute("texts");
        let found = Diagnostics::error("Invalid value", "Must be so.").at(path.clone());
        let found = found.placed(Outer::schema());
        let one = found.iter().next().expect("one");
        assert_eq!(one.detail, "At cells[\"a\"].texts: Must be so.");
        let named = Diagnostics::invalid(path, "Must be so.").placed(Outer::schema());
        let one = named.iter().next().expect("one");
        assert_eq!(one.detail, "Must be so.");
        assert_eq!(one.attribute, Some(Path::of("cells").key("a")));
    }
}
