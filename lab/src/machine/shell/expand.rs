//! Expansion: from words to the text commands see, with bash's word splitting, and patterns of `case`.

use super::parse::bare;
use super::run::{Flow, Shell};
use super::token::{Change, Part, Word};

/// One piece of a `case` pattern.
#[derive(Debug, PartialEq)]
enum Glob {
    One(char),
    Any,
    Single,
}

impl Shell<'_> {
    /// Expands to fields, as the words of a command are.
    pub(super) async fn fields(&mut self, words: &[Word]) -> Result<Vec<String>, Flow> {
        let mut fields = Vec::new();
        for word in words {
            self.field(word, &mut fields).await?;
        }
        Ok(fields)
    }

    async fn field(&mut self, word: &Word, fields: &mut Vec<String>) -> Result<(), Flow> {
        let mut current: Option<String> = None;
        for part in word {
            if let Part::Parameter {
                name,
                change: Change::None,
                quoted: true,
            } = part
                && name == "@"
            {
                let parameters = self.parameters.clone();
                for (index, parameter) in parameters.into_iter().enumerate() {
                    if index > 0 {
                        fields.extend(current.take());
                    }
                    current.get_or_insert_default().push_str(&parameter);
                }
                continue;
            }
            match part {
                Part::Literal { text, quoted } => {
                    if !quoted && text.contains(['*', '?', '[']) && bare(word) != Some("[") {
                        return Err(self.unknown(&format!("the file pattern `{text}`")));
                    }
                    if !quoted
                        && (text.starts_with('~')
                            || (text.contains('{')
                                && text.contains([',', '.'])
                                && text.contains('}')))
                    {
                        return Err(self.unknown(&format!("the expansion of `{text}`")));
                    }
                    current.get_or_insert_default().push_str(text);
                }
                Part::Parameter { quoted: true, .. } | Part::Command { quoted: true, .. } => {
                    let value = self.value(part).await?;
                    current.get_or_insert_default().push_str(&value);
                }
                Part::Parameter { .. } | Part::Command { .. } => {
                    let value = self.value(part).await?;
                    if value.starts_with(char::is_whitespace) {
                        fields.extend(current.take());
                    }
                    let mut words = value.split_whitespace().peekable();
                    while let Some(text) = words.next() {
                        current.get_or_insert_default().push_str(text);
                        if words.peek().is_some() || value.ends_with(char::is_whitespace) {
                            fields.extend(current.take());
                        }
                    }
                }
            }
        }
        fields.extend(current);
        Ok(())
    }

    /// Expands to one text without splitting, as assignments, redirections and `case` subjects are.
    pub(super) async fn text(&mut self, word: &Word) -> Result<String, Flow> {
        let mut text = String::new();
        for part in word {
            text.push_str(&self.value(part).await?);
        }
        Ok(text)
    }

    async fn value(&mut self, part: &Part) -> Result<String, Flow> {
        match part {
            Part::Literal { text, .. } => Ok(text.clone()),
            Part::Command { source, .. } => self.substitute(source).await,
            Part::Parameter { name, change, .. } => {
                let value = self.lookup(name);
                match change {
                    Change::None => value.ok_or_else(|| self.unbound(name)),
                    Change::Default(word) => match value.filter(|value| !value.is_empty()) {
                        Some(value) => Ok(value),
                        None => Box::pin(self.text(word)).await,
                    },
                    Change::Alternate(word) => match value.filter(|value| !value.is_empty()) {
                        Some(_) => Box::pin(self.text(word)).await,
                        None => Ok(String::new()),
                    },
                }
            }
        }
    }

    /// Whether a `case` pattern covers the subject.
    pub(super) async fn covers(&mut self, pattern: &Word, subject: &str) -> Result<bool, Flow> {
        let mut globs = Vec::new();
        for part in pattern {
            match part {
                Part::Literal {
                    text,
                    quoted: false,
                } => {
                    for c in text.chars() {
                        globs.push(match c {
                            '*' => Glob::Any,
                            '?' => Glob::Single,
                            '[' => return Err(self.unknown("`[...]` in a pattern")),
                            c => Glob::One(c),
                        });
                    }
                }
                _ => globs.extend(self.value(part).await?.chars().map(Glob::One)),
            }
        }
        Ok(matches(&globs, &subject.chars().collect::<Vec<_>>()))
    }
}

fn matches(globs: &[Glob], text: &[char]) -> bool {
    match globs.split_first() {
        None => text.is_empty(),
        Some((Glob::Any, rest)) => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
        Some((Glob::Single, rest)) => !text.is_empty() && matches(rest, &text[1..]),
        Some((Glob::One(c), rest)) => text.first() == Some(c) && matches(rest, &text[1..]),
    }
}
