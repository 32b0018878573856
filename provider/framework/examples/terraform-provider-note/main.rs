//! A provider of notes: what `docs/guides/provider-author.md` builds, line by line.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use strata_framework::{
    Attr, Diagnostics, Found, Of, Path, Provider, Registry, Resource, Schema, serve,
};

/// Settings of the provider.
#[derive(Schema, Clone)]
struct Settings {
    /// Folder that holds the notes. It must exist.
    #[schema(required)]
    folder: Attr<String>,
}

struct Cupboard {
    folder: Attr<String>,
}

impl Provider for Cupboard {
    type Config = Settings;

    fn new(settings: Settings) -> Result<Self, Diagnostics> {
        Ok(Self {
            folder: settings.folder,
        })
    }
}

impl Cupboard {
    fn file(&self, name: &str) -> Result<PathBuf, Diagnostics> {
        let folder = self.folder.require("folder")?;
        Ok(PathBuf::from(folder).join(format!("{name}.note")))
    }
}

/// A note.
///
/// One file in the cupboard.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "note", version = 0)]
struct Note {
    /// Name of the note, and of its file. Another name replaces the note.
    #[schema(required, replace, pattern("[a-z]+"))]
    name: Attr<String>,
    /// What is written on it.
    #[schema(required, length(1..=500))]
    text: Attr<String>,
    /// How the text is signed.
    #[schema(default = "anonymous")]
    author: Attr<String>,
    /// Size of the file, in bytes.
    #[schema(computed)]
    size: Attr<i64>,
    /// Name of the note, the import id.
    #[schema(computed, keep_prior, never_null)]
    id: Attr<String>,
}

impl Note {
    fn write(cx: &Of<'_, Self>, mut note: Self) -> Result<Self, Diagnostics> {
        let name = note.name.require("name")?.clone();
        let content = format!("{}\n{}", note.author.text(), note.text.text());
        fs::write(cx.provider.file(&name)?, &content).map_err(|error| {
            Diagnostics::failed("write", "note", &name, &error)
                .left("The note is as it was.")
                .hint("Check that `folder` exists and may be written to.")
        })?;
        note.size
            .fill(i64::try_from(content.len()).unwrap_or(i64::MAX));
        note.id.fill(name);
        Ok(note)
    }
}

impl Resource for Note {
    type Provider = Cupboard;
    type Model = Self;
    type Private = ();

    fn validate(config: &Self, found: &mut Diagnostics) {
        if config.text.known() == config.author.known() && config.text.known().is_some() {
            let sentence = "Say something that is not the author's name.";
            found.merge(Diagnostics::invalid(Path::of("text"), sentence));
        }
    }

    async fn create(cx: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        Self::write(cx, planned)
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        let name = prior.id.require("id")?.clone();
        match fs::read_to_string(cx.provider.file(&name)?) {
            Ok(content) => {
                let (author, text) = content.split_once('\n').unwrap_or(("", &content));
                (prior.author, prior.text) = (author.into(), text.into());
                prior.size = i64::try_from(content.len()).unwrap_or(i64::MAX).into();
                Ok(Found::Present(prior))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Gone),
            Err(error) => Ok(Found::Unknown(Diagnostics::failed(
                "read", "note", &name, &error,
            ))),
        }
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        _: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        Self::write(cx, planned)
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let name = prior.id.require("id")?;
        match fs::remove_file(cx.provider.file(name)?) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Diagnostics::failed("delete", "note", name, &error))
            }
            _ => Ok(()),
        }
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        Ok(Self {
            name: id.into(),
            text: Attr::Null,
            author: Attr::Null,
            size: Attr::Null,
            id: id.into(),
        })
    }
}

fn registry() -> Registry<Cupboard> {
    Registry::new("cupboard").resource::<Note>()
}

fn main() -> ExitCode {
    serve(registry())
}

#[cfg(test)]
mod tests {
    use strata_framework::{Attr, Found, Harness, Resource};

    use super::{Cupboard, Note, registry};

    #[test]
    fn terraform_takes_the_schemas() {
        assert_eq!(registry().faults(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_string_lossy().into_owned();
        let harness = Harness::<_, ()>::new(Cupboard {
            folder: path.into(),
        });
        let planned = Note {
            name: "milk".into(),
            text: "Buy some.".into(),
            author: "me".into(),
            size: Attr::Unknown,
            id: Attr::Unknown,
        };
        let made = Note::create(&harness.cx(), planned.clone(), planned)
            .await
            .expect("it is written");
        assert_eq!(made.size, Attr::Known(12));
        let found = Note::read(&harness.cx(), made.clone()).await;
        assert!(matches!(found, Ok(Found::Present(seen)) if seen == made));
        Note::delete(&harness.cx(), made.clone())
            .await
            .expect("it goes");
        let found = Note::read(&harness.cx(), made).await;
        assert!(matches!(found, Ok(Found::Gone)));
    }
}
