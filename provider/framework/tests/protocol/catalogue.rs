//! The list of the library's books.

use strata_framework::{Attr, Diagnostics, List, Listed, Listing, Of, Path, Schema};

use crate::world::{Book, BookIdentity};

/// Which books.
#[derive(Schema, Clone)]
#[schema(name = "book")]
pub(crate) struct Filter {
    /// Beginning of the title. `Z` finds nothing and fails, `!` panics.
    #[schema(default = "")]
    prefix: Attr<String>,
    /// Whether the list shows whole books.
    #[schema(default = false)]
    whole: Attr<bool>,
    /// Finds nothing but a warning.
    #[schema(optional)]
    floor: Attr<u16>,
}

impl List for Book {
    type Filter = Filter;

    fn validate_filter(filter: &Filter, found: &mut Diagnostics) {
        if filter.floor == Attr::Known(13) {
            found.merge(Diagnostics::invalid(
                Path::of("floor"),
                "There is no such floor.",
            ));
        }
    }

    async fn list(
        cx: &Of<'_, Self>,
        filter: Filter,
        found: &Listing<Self>,
    ) -> Result<(), Diagnostics> {
        if !filter.floor.is_null() {
            cx.warn(Diagnostics::warning(
                "Nothing found",
                "The floor is closed.",
            ));
            return Ok(());
        }
        let prefix = filter.prefix.text().to_owned();
        for book in cx.provider.titles(if prefix == "!" { "" } else { &prefix }) {
            assert!(
                prefix != "!" || book.number() != "2",
                "the second book is too heavy"
            );
            let name = format!("{} ({})", book.title(), book.number());
            let result = if filter.whole == Attr::Known(true) {
                Listed::whole(&book, name)
            } else {
                Listed::new(
                    BookIdentity {
                        number: book.number().into(),
                        town: cx.provider.town(),
                    },
                    name,
                )
            };
            let result = if result.name().starts_with("Momo") {
                result.warning(Diagnostics::warning("Dusty book", "Momo is dusty."))
            } else {
                result
            };
            if found.send(result).await.is_break() {
                return Ok(());
            }
        }
        if prefix == "Z" {
            return Err(Diagnostics::error(
                "Cannot list books",
                "Z is out of reach.",
            ));
        }
        Ok(())
    }
}
