//! The provider that the transcripts talk to: books in a library, all in memory, every answer the same each time.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use strata_framework::{
    Attr, Change, Diagnostics, Found, Identified, MoveSource, Of, Planned, Provider, Registry,
    Resource, Schema,
};

use crate::card::Card;
use crate::module::{Module, Stamp, notice};
use crate::words::{FirstKnown, Join};

/// A library.
#[derive(Schema, Clone)]
pub(crate) struct Settings {
    /// Name of the town.
    #[schema(required)]
    town: Attr<String>,
}

/// The library of a town.
pub(crate) struct Library {
    town: Attr<String>,
    books: Mutex<BTreeMap<String, Book>>,
}

impl Library {
    fn books(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Book>> {
        self.books.lock().unwrap()
    }
}

impl Library {
    pub(crate) fn town(&self) -> Attr<String> {
        self.town.clone()
    }

    pub(crate) fn titles(&self, prefix: &str) -> Vec<Book> {
        let books = self.books();
        let found = books
            .values()
            .filter(|book| book.title().starts_with(prefix));
        found.cloned().collect()
    }
}

impl Provider for Library {
    type Config = Settings;
    fn new(config: Settings) -> Result<Self, Diagnostics> {
        let town = config.town.clone();
        let book = |number: &str, title: &str| {
            let book = Book {
                title: title.into(),
                shelf: "a".into(),
                note_wo: Attr::Null,
                author: Attr::Null,
                town: town.clone(),
                number: number.into(),
            };
            (number.to_owned(), book)
        };
        let books = [book("1", "Emma"), book("2", "Faust"), book("3", "Momo")];
        Ok(Self {
            town: config.town,
            books: Mutex::new(books.into()),
        })
    }
}

/// A book.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "book", version = 1)]
pub(crate) struct Book {
    /// Title. `misfiled` gets the number 99 in every later answer.
    #[schema(required)]
    title: Attr<String>,
    /// Shelf it stands on. A change replaces it.
    #[schema(default = "a", replace)]
    shelf: Attr<String>,
    /// A note that nobody keeps.
    #[schema(optional, write_only)]
    note_wo: Attr<String>,
    /// Author.
    #[schema(optional, deprecated = "The catalogue knows.")]
    author: Attr<String>,
    /// Town of the library.
    #[schema(computed, keep_prior)]
    town: Attr<String>,
    /// Number in the library, the import id.
    #[schema(computed, keep_prior)]
    number: Attr<String>,
}

/// Kept beside the state.
#[derive(Serialize, Deserialize, Clone, Default)]
pub(crate) struct Loans {
    loans: u32,
}

/// Which book, anywhere.
#[derive(Schema, Clone, Debug)]
#[schema(name = "book", version = 1)]
pub(crate) struct BookIdentity {
    /// Number in the library.
    #[schema(required_for_import, pattern("[0-9]+"))]
    pub(crate) number: Attr<String>,
    /// Town of the library; the provider's own when left out.
    #[schema(optional_for_import)]
    pub(crate) town: Attr<String>,
}

impl Resource for Book {
    type Provider = Library;
    type Model = Self;
    type Private = Loans;

    fn validate(config: &Self, _: &mut Diagnostics) {
        assert!(config.title() != "cursed", "as told");
    }

    async fn plan(
        cx: &Of<'_, Self>,
        _: Change<'_, Self>,
        planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        notice(cx);
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        notice(cx);
        cx.private().loans += 1;
        planned.town.fill(cx.provider.town.clone());
        let mut books = cx.provider.books();
        planned.number.fill((books.len() + 1).to_string());
        books.insert(planned.number.text().to_owned(), planned.clone());
        if planned.title.text() == "torn" {
            planned.number = Attr::Null;
            cx.save(&planned);
            return Err(Diagnostics::error("Cannot create book", "It is torn."));
        }
        Ok(planned)
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        notice(cx);
        if prior.title.text() == "misfiled" {
            prior.number = "99".into();
            return Ok(Found::Present(prior));
        }
        let books = cx.provider.books();
        Ok(books
            .get(prior.number.text())
            .map_or(Found::Gone, |book| Found::Present(book.clone())))
    }

    async fn update(
        _: &Of<'_, Self>,
        _: Self,
        _: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        Ok(planned)
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        cx.provider.books().remove(prior.number.text());
        Ok(())
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        Ok(Self::named(
            "",
            if id == "nothing" {
                Attr::Null
            } else {
                id.into()
            },
        ))
    }

    fn upgrade(_: i64, mut raw: Json) -> Result<Json, Diagnostics> {
        // Version 0 called the title `name`.
        if let Some(object) = raw.as_object_mut()
            && let Some(name) = object.remove("name")
        {
            object.insert("title".to_owned(), name);
        }
        Ok(raw)
    }

    fn moved(source: &MoveSource, private: &mut Loans) -> Option<Result<Self, Diagnostics>> {
        crate::scroll::moved(source, private)
    }
}

impl Book {
    pub(crate) fn title(&self) -> &str {
        self.title.text()
    }

    pub(crate) fn number(&self) -> &str {
        self.number.text()
    }

    /// A book of which only this is known.
    pub(crate) fn named(title: &str, number: Attr<String>) -> Self {
        Self {
            title: Attr::from((!title.is_empty()).then(|| title.to_owned())),
            shelf: Attr::Null,
            note_wo: Attr::Null,
            author: Attr::Null,
            town: Attr::Null,
            number,
        }
    }

    pub(crate) fn place(&mut self, town: Option<String>) {
        self.town = town.into();
    }
}

impl Identified for Book {
    type Identity = BookIdentity;

    fn identity(book: &Self) -> BookIdentity {
        let (number, town) = (book.number.clone(), book.town.clone());
        BookIdentity { number, town }
    }

    async fn from_identity(cx: &Of<'_, Self>, identity: BookIdentity) -> Result<Self, Diagnostics> {
        let number = identity.number.text();
        // A clerk who always brings the same book.
        let number = if number == "7" { "1" } else { number };
        let town = identity.town.known().cloned().into();
        let town = if town == Attr::Null {
            cx.provider.town.clone()
        } else {
            town
        };
        Ok(Self {
            town,
            ..Self::named("", number.into())
        })
    }

    fn upgrade_identity(_: i64, mut raw: Json) -> Result<Json, Diagnostics> {
        // Version 0 called the number `id`.
        if let Some(object) = raw.as_object_mut()
            && let Some(number) = object.remove("id")
        {
            object.insert("number".to_owned(), number);
        }
        Ok(raw)
    }
}

pub(crate) fn registry() -> Registry<Library> {
    Registry::new("library")
        .resource::<Book>()
        .identity::<Book>()
        .list::<Book>()
        .ephemeral::<Card>()
        .meta::<Module>()
        .data_source::<Stamp>()
        .function::<Join>()
        .function::<FirstKnown>()
}
