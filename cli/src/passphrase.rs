//! The passphrase of a recovery kit: typed on the terminal, or read from a file. Never an argument, never the value of a variable.

use std::io::IsTerminal as _;

use age::secrecy::{ExposeSecret as _, SecretString};
use anyhow::Context as _;

/// Names a file that holds the passphrase; `/dev/fd/3` is a descriptor.
pub(crate) const FILE: &str = "STRATA_KIT_PASSPHRASE_FILE";

/// A kit leaves the house, and whoever finds it may try for ever.
const SHORTEST: usize = 12;

/// What the passphrase is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A new kit: typed twice, and not too short.
    Seal,
    /// A kit that exists.
    Open,
}

/// Reads it. `None`: there is nobody to ask and no file is named.
pub(crate) fn read(purpose: Purpose) -> anyhow::Result<Option<SecretString>> {
    let passphrase = match std::env::var_os(FILE).filter(|path| !path.is_empty()) {
        Some(path) => {
            let shown = std::path::Path::new(&path).display().to_string();
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("reading the passphrase from {shown} ({FILE})"))?;
            SecretString::from(line(&text).to_owned())
        }
        None if !std::io::stdin().is_terminal() => return Ok(None),
        None => ask(purpose)?,
    };
    if purpose == Purpose::Seal {
        let length = passphrase.expose_secret().chars().count();
        anyhow::ensure!(
            length >= SHORTEST,
            "the passphrase has {length} characters; a kit wants {SHORTEST} or more, for example five words. Nothing was written"
        );
    }
    Ok(Some(passphrase))
}

fn ask(purpose: Purpose) -> anyhow::Result<SecretString> {
    let prompt = |text: &str| {
        rpassword::prompt_password(text)
            .map(SecretString::from)
            .context("reading the passphrase from the terminal")
    };
    let first = prompt("Passphrase of the kit: ")?;
    if purpose == Purpose::Seal {
        let second = prompt("The same again: ")?;
        anyhow::ensure!(
            first.expose_secret() == second.expose_secret(),
            "the two differ; nothing was written"
        );
    }
    Ok(first)
}

/// Editors end a file with a line end, which nobody means.
fn line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn only_the_line_end_of_the_file_is_dropped() {
        assert_eq!(line("five words \n"), "five words ");
        assert_eq!(line("a\r\n"), "a");
        assert_eq!(line("a\n\n"), "a\n");
        assert_eq!(line("a"), "a");
    }
}
