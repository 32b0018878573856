//! Words and operators of the small shell language of docs/delivery.md.
//!
//! Tokens carry their quoting, because expansion, patterns and reserved words depend on it. What bash knows and the lab does not
//! (arithmetic, backquotes, background jobs, ...) is `Trouble::Unknown`, never a guess.

use super::Trouble;

/// A piece of a word.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// Text as it stands.
    Literal { text: String, quoted: bool },
    /// `$name`, `${name}`, `${name:-word}`, `${name:+word}`.
    Parameter {
        name: String,
        change: Change,
        quoted: bool,
    },
    /// `$(...)`; parsed when it runs.
    Command { source: String, quoted: bool },
}

/// What `${name...}` does beyond plain expansion.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    None,
    /// `:-`: the word when unset or empty.
    Default(Word),
    /// `:+`: the word when set and not empty.
    Alternate(Word),
}

/// A word: parts side by side.
pub(crate) type Word = Vec<Part>;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Word(Word),
    /// `;`, `;;`, `&&`, `||`, `|`, `(`, `)`, `<`, `>`, `>>`, `>&`.
    Operator(&'static str),
    /// The digit before a redirection.
    Descriptor(u8),
    /// `<<'WORD'` with its text.
    HereDocument(String),
    Newline,
}

/// All tokens up to the first trouble; bash too runs what stands before a syntax error.
pub(crate) fn tokenise(source: &str) -> (Vec<Token>, Option<Trouble>) {
    let mut lexer = Lexer {
        text: source.chars().collect(),
        at: 0,
        tokens: Vec::new(),
        waiting: Vec::new(),
    };
    let trouble = lexer.run().err();
    (lexer.tokens, trouble)
}

struct Lexer {
    text: Vec<char>,
    at: usize,
    tokens: Vec<Token>,
    /// Here-documents whose text follows the current line: index of the token, and the closing word.
    waiting: Vec<(usize, String)>,
}

fn unknown<T>(what: &str) -> Result<T, Trouble> {
    Err(Trouble::Unknown(what.to_owned()))
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars()
            .enumerate()
            .all(|(index, c)| self.peek(index) == Some(c))
    }

    fn run(&mut self) -> Result<(), Trouble> {
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' => self.at += 1,
                '\\' if self.peek(1) == Some('\n') => self.at += 2,
                '\n' => {
                    self.at += 1;
                    self.tokens.push(Token::Newline);
                    self.here_documents()?;
                }
                '#' => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                ';' | '&' | '|' | '(' | ')' | '<' | '>' => self.operator()?,
                '0'..='9' if matches!(self.peek(1), Some('<' | '>')) => {
                    self.tokens.push(Token::Descriptor(c as u8 - b'0'));
                    self.at += 1;
                }
                _ => {
                    let word = self.word()?;
                    self.tokens.push(Token::Word(word));
                }
            }
        }
        if self.waiting.is_empty() {
            Ok(())
        } else {
            // Bash warns and takes everything; a delivered script that ends like that was cut off.
            Err(Trouble::Syntax(
                "here-document delimited by end-of-file".into(),
            ))
        }
    }

    fn operator(&mut self) -> Result<(), Trouble> {
        for (text, what) in [
            ("<<<", "here-strings (`<<<`)"),
            ("<<-", "`<<-`"),
            ("<(", "process substitution"),
            (">(", "process substitution"),
            ("&>", "`&>`"),
            ("<&", "`<&`"),
            ("<>", "`<>`"),
            (">|", "`>|`"),
            ("|&", "`|&`"),
            (";&", "`;&`"),
            (";;&", "`;;&`"),
            ("((", "arithmetic"),
        ] {
            if self.starts_with(text) {
                return unknown(what);
            }
        }
        if self.starts_with("<<") {
            self.at += 2;
            return self.here_document();
        }
        for operator in ["&&", "||", ";;", ">>", ">&", ";", "|", "(", ")", "<", ">"] {
            if self.starts_with(operator) {
                self.at += operator.len();
                self.tokens.push(Token::Operator(operator));
                return Ok(());
            }
        }
        unknown("background jobs (`&`)")
    }

    fn here_document(&mut self) -> Result<(), Trouble> {
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.at += 1;
        }
        let word = self.word()?;
        match word.as_slice() {
            [Part::Literal { text, quoted: true }] => {
                self.waiting.push((self.tokens.len(), text.clone()));
                self.tokens.push(Token::HereDocument(String::new()));
                Ok(())
            }
            _ => unknown("a here-document without quotes around its word"),
        }
    }

    fn here_documents(&mut self) -> Result<(), Trouble> {
        for (index, end) in std::mem::take(&mut self.waiting) {
            let mut body = String::new();
            loop {
                if self.at >= self.text.len() {
                    return Err(Trouble::Syntax(format!(
                        "here-document delimited by end-of-file (wanted `{end}')"
                    )));
                }
                let start = self.at;
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
                let line: String = self.text[start..self.at].iter().collect();
                self.at += 1;
                if line == end {
                    break;
                }
                body.push_str(&line);
                body.push('\n');
            }
            self.tokens[index] = Token::HereDocument(body);
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Word, Trouble> {
        let mut parts = Vec::new();
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                _ => self.part(&mut parts, None)?,
            }
        }
        Ok(parts)
    }

    /// Takes one part; `inside` is the character that ends the surrounding `${...}`, if any.
    fn part(&mut self, parts: &mut Word, inside: Option<char>) -> Result<(), Trouble> {
        match self.peek(0) {
            Some('\'') => {
                self.at += 1;
                let start = self.at;
                while self.peek(0).is_some_and(|c| c != '\'') {
                    self.at += 1;
                }
                if self.peek(0).is_none() {
                    return Err(Trouble::Syntax(
                        "unexpected EOF while looking for matching `''".into(),
                    ));
                }
                let text = self.text[start..self.at].iter().collect();
                self.at += 1;
                push(parts, text, true);
            }
            Some('"') => {
                self.at += 1;
                let before = parts.len();
                loop {
                    match self.peek(0) {
                        None => {
                            return Err(Trouble::Syntax(
                                "unexpected EOF while looking for matching `\"'".into(),
                            ));
                        }
                        Some('"') => {
                            self.at += 1;
                            // `""` is an empty word, but `"$@"` without parameters is none.
                            if parts.len() == before {
                                push(parts, String::new(), true);
                            }
                            break;
                        }
                        Some('$') => self.dollar(parts, true)?,
                        Some('`') => return unknown("backquotes"),
                        Some('\\') => {
                            let next = self.peek(1);
                            match next {
                                Some('\n') => {}
                                Some(c @ ('$' | '`' | '"' | '\\')) => {
                                    push(parts, c.to_string(), true);
                                }
                                Some(c) => push(parts, format!("\\{c}"), true),
                                None => {
                                    return Err(Trouble::Syntax(
                                        "unexpected EOF after `\\'".into(),
                                    ));
                                }
                            }
                            self.at += 2;
                        }
                        Some(c) => {
                            push(parts, c.to_string(), true);
                            self.at += 1;
                        }
                    }
                }
            }
            Some('\\') => {
                match self.peek(1) {
                    Some('\n') | None => {}
                    Some(c) => push(parts, c.to_string(), true),
                }
                self.at += 2;
            }
            Some('`') => return unknown("backquotes"),
            Some('$') => self.dollar(parts, false)?,
            Some(c) if Some(c) != inside => {
                push(parts, c.to_string(), false);
                self.at += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn dollar(&mut self, parts: &mut Word, quoted: bool) -> Result<(), Trouble> {
        self.at += 1;
        match self.peek(0) {
            Some('(') if self.peek(1) == Some('(') => unknown("arithmetic"),
            Some('(') => {
                self.at += 1;
                let source = self.balanced()?;
                parts.push(Part::Command { source, quoted });
                Ok(())
            }
            Some('{') => {
                self.at += 1;
                self.braced(parts, quoted)
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.name();
                parts.push(Part::Parameter {
                    name,
                    change: Change::None,
                    quoted,
                });
                Ok(())
            }
            Some(c @ ('0'..='9' | '@' | '*' | '#' | '?')) => {
                self.at += 1;
                parts.push(Part::Parameter {
                    name: c.to_string(),
                    change: Change::None,
                    quoted,
                });
                Ok(())
            }
            Some('\'') if !quoted => unknown("`$'...'`"),
            Some('"') if !quoted => unknown("`$\"...\"`"),
            Some(c @ ('$' | '!' | '-')) => unknown(&format!("the parameter `${c}`")),
            _ => {
                push(parts, "$".into(), quoted);
                Ok(())
            }
        }
    }

    fn name(&mut self) -> String {
        let start = self.at;
        while self
            .peek(0)
            .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            self.at += 1;
        }
        self.text[start..self.at].iter().collect()
    }

    fn braced(&mut self, parts: &mut Word, quoted: bool) -> Result<(), Trouble> {
        let mut name = self.name();
        if name.is_empty()
            && let Some(c @ ('@' | '*' | '#' | '?')) = self.peek(0)
            && self.peek(1) == Some('}')
        {
            name = c.to_string();
            self.at += 1;
        }
        if name.is_empty() {
            return unknown("this form of `${...}`");
        }
        let make: Option<fn(Word) -> Change> = if self.starts_with("}") {
            None
        } else if self.starts_with(":-") {
            Some(Change::Default)
        } else if self.starts_with(":+") {
            Some(Change::Alternate)
        } else {
            return unknown(&format!("this form of `${{{name}...}}`"));
        };
        let change = if let Some(make) = make {
            self.at += 2;
            let mut word = Vec::new();
            while self.peek(0).is_some_and(|c| c != '}') {
                if quoted && self.peek(0) == Some('\'') {
                    return unknown("a single quote inside \"${...}\"");
                }
                self.part(&mut word, Some('}'))?;
            }
            make(word)
        } else {
            Change::None
        };
        if self.peek(0) != Some('}') {
            return Err(Trouble::Syntax(
                "unexpected EOF while looking for matching `}'".into(),
            ));
        }
        self.at += 1;
        parts.push(Part::Parameter {
            name,
            change,
            quoted,
        });
        Ok(())
    }

    /// The text up to the parenthesis that closes `$(`, minding quotes and nesting.
    fn balanced(&mut self) -> Result<String, Trouble> {
        let (start, mut depth, mut quote) = (self.at, 1, None);
        while let Some(c) = self.peek(0) {
            match (quote, c) {
                (Some('\''), '\'') => quote = None,
                (Some('\''), _) => {}
                (_, '\\') => self.at += 1,
                (Some(_), '"') => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                (_, '(')
                    if quote.is_none() || self.text.get(self.at.wrapping_sub(1)) == Some(&'$') =>
                {
                    depth += 1;
                }
                (_, ')') if quote.is_none() || depth > 1 => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(self.text[start..self.at - 1].iter().collect());
            }
        }
        Err(Trouble::Syntax(
            "unexpected EOF while looking for matching `)'".into(),
        ))
    }
}

/// Adds text, merging it with a literal of the same quoting.
fn push(parts: &mut Word, text: String, quoted: bool) {
    if let Some(Part::Literal {
        text: last,
        quoted: same,
    }) = parts.last_mut()
        && *same == quoted
    {
        last.push_str(&text);
        return;
    }
    parts.push(Part::Literal { text, quoted });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str, quoted: bool) -> Part {
        Part::Literal {
            text: text.into(),
            quoted,
        }
    }

    #[test]
    fn quoting_is_kept_apart() {
        let (tokens, trouble) = tokenise("a'b c'\"d\" # comment\n");
        assert_eq!(trouble, None);
        assert_eq!(
            tokens,
            [
                Token::Word(vec![literal("a", false), literal("b cd", true)]),
                Token::Newline
            ]
        );
    }

    #[test]
    fn here_documents_are_taken_byte_for_byte() {
        let (tokens, trouble) = tokenise("cat > /x <<'END'\n$a `b`\nEND\ntrue");
        assert_eq!(trouble, None);
        assert!(
            tokens.contains(&Token::HereDocument("$a `b`\n".into())),
            "{tokens:?}"
        );
    }

    #[test]
    fn what_the_lab_does_not_know_is_trouble() {
        for source in [
            "x=`date`",
            "a &",
            "echo $((1+1))",
            "cat <<END\nEND\n",
            "echo ${x#y}",
            "a <<< b",
        ] {
            assert!(
                matches!(tokenise(source).1, Some(Trouble::Unknown(_))),
                "{source}"
            );
        }
        for source in ["echo 'a", "echo \"a", "cat <<'E'\nx", "echo $(a"] {
            assert!(
                matches!(tokenise(source).1, Some(Trouble::Syntax(_))),
                "{source}"
            );
        }
    }
}
