//! What people write besides the code: examples and guides; and how a page shows them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Texts that the pages need, by their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Files of `examples/`, by path below it: `resources/strata_secret/resource.tf`.
    pub examples: BTreeMap<String, String>,
    /// Hand-written guides, text by path below `docs/`: `guides/cluster-file.md`.
    pub guides: BTreeMap<String, String>,
}

impl Sources {
    /// The files of one example by name: first the one that carries the name of the thing, then the others.
    fn files(&self, folder: &str, first: &str) -> Vec<(&str, &str)> {
        let inside = format!("{folder}/");
        let mut files: Vec<(&str, &str)> = self
            .examples
            .range(inside.clone()..)
            .take_while(|(path, _)| path.starts_with(&inside))
            .map(|(path, text)| (&path[inside.len()..], text.trim_end()))
            .filter(|(name, _)| !name.starts_with("import"))
            .collect();
        files.sort_by_key(|(name, _)| (*name != first, *name));
        files
    }

    /// The code blocks of one example, or nothing.
    pub(super) fn example(&self, folder: &str, first: &str) -> Option<String> {
        let files = self.files(folder, first);
        if !files.iter().any(|(name, _)| *name == first) {
            return None;
        }
        let mut out = String::new();
        for (name, text) in files {
            if name != first {
                let _ = write!(out, "\n\n`{name}`:\n\n");
            }
            let _ = write!(out, "```{}\n{text}\n```", language(name));
        }
        Some(out)
    }

    /// Address and id of every `import.sh`, by type: `strata_secret` to `strata_secret.operator` and `ssh/operator`.
    pub fn imports(&self) -> BTreeMap<&str, (String, String)> {
        let all = self.examples.iter().filter_map(|(path, text)| {
            let name = path
                .strip_prefix("resources/")?
                .strip_suffix("/import.sh")?;
            Some((name, imported(text)?))
        });
        all.collect()
    }

    /// The script that imports.
    pub(super) fn import(&self, name: &str) -> Option<&str> {
        let script = self.examples.get(&format!("resources/{name}/import.sh"))?;
        Some(script.trim_end())
    }

    /// The block that imports by identity.
    pub(super) fn import_by_identity(&self, name: &str) -> Option<&str> {
        let block = self
            .examples
            .get(&format!("resources/{name}/import-by-identity.tf"))?;
        Some(block.trim_end())
    }

    /// Guides with their titles.
    pub(super) fn guides(&self) -> impl Iterator<Item = (&str, &str)> {
        self.guides.iter().map(|(path, text)| {
            let title = text.lines().find_map(|line| line.strip_prefix("# "));
            (path.as_str(), title.unwrap_or(path))
        })
    }
}

fn language(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("tf" | "tfvars" | "hcl") => "terraform",
        Some("yaml" | "yml") => "yaml",
        Some("sh") => "shell",
        Some("json") => "json",
        _ => "text",
    }
}

/// Address and id of the last `terraform import ADDRESS ID` in a script.
pub(super) fn imported(script: &str) -> Option<(String, String)> {
    let line = script.lines().rev().find_map(|line| {
        line.trim()
            .strip_prefix("terraform import ")
            .map(str::to_owned)
    })?;
    let mut words = shell_words(&line).into_iter();
    Some((words.next()?, words.next()?))
}

/// Words of a line, with the quotes of a shell; nothing is expanded.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.chars() {
        match (quote, letter) {
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), close) if open == close => quote = None,
            (None, space) if space.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::imported;

    #[test]
    fn the_last_import_of_a_script_is_read() {
        let script = "# By name.\nterraform import example_thing.a a\nterraform import 'example_thing.b[\"x\"]' \"one two\"\n";
        assert_eq!(
            imported(script),
            Some(("example_thing.b[\"x\"]".to_owned(), "one two".to_owned()))
        );
        assert_eq!(imported("echo no"), None);
    }
}
