//! Books that were scrolls: state of another type, moved here.

use serde_json::Value as Json;
use strata_framework::{Attr, Diagnostics, MoveSource};

use crate::world::{Book, Loans};

/// From `library_scroll` of this provider, with its private state and identity, and from `attic_paper` of another.
pub(crate) fn moved(source: &MoveSource, private: &mut Loans) -> Option<Result<Book, Diagnostics>> {
    let text = |json: &Json, name: &str| json[name].as_str().map(str::to_owned);
    match (source.provider.as_str(), source.resource.as_str()) {
        ("example.org/town/library", "library_scroll") => {
            *private = source.private_as();
            Some(match text(&source.state, "title") {
                Some(title) if title == "torn" => {
                    Err(Diagnostics::error("Cannot move scroll", "It is torn."))
                }
                Some(title) if title == "misread" => Ok(Book::named(&title, Attr::Unknown)),
                _ => {
                    let number = text(&source.identity, "id").or(text(&source.state, "number"));
                    let mut book = Book::named("", number.into());
                    book.place(text(&source.identity, "town"));
                    Ok(book)
                }
            })
        }
        ("example.org/house/attic", "attic_paper") => {
            Some(Ok(Book::named("", text(&source.state, "label").into())))
        }
        _ => None,
    }
}
