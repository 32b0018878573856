//! From tokens to commands: simple commands, pipelines, `&&`/`||`, `if`, `for`, `case`, groups and functions.

use std::sync::Arc;

use super::Trouble;
use super::token::{Part, Token, Word, tokenise};

/// Commands one after the other.
pub(crate) type List = Vec<AndOr>;

/// Pipelines joined by `&&` (true) and `||` (false).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AndOr {
    pub(crate) first: Pipeline,
    pub(crate) rest: Vec<(bool, Pipeline)>,
}

/// Commands joined by `|`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pipeline {
    pub(crate) negated: bool,
    pub(crate) commands: Vec<Command>,
}

/// One command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    Simple {
        assignments: Vec<(String, Word)>,
        words: Vec<Word>,
        redirections: Vec<Redirection>,
    },
    If {
        branches: Vec<(List, List)>,
        otherwise: Option<List>,
    },
    For {
        name: String,
        words: Vec<Word>,
        body: List,
    },
    Case {
        subject: Word,
        arms: Vec<(Vec<Word>, List)>,
    },
    Group(List),
    Function {
        name: String,
        body: Arc<List>,
    },
}

impl Command {
    /// `if`, `for`, `case` and groups.
    pub(super) fn is_compound(&self) -> bool {
        matches!(
            self,
            Self::If { .. } | Self::For { .. } | Self::Case { .. } | Self::Group(_)
        )
    }
}

/// Where a stream of a simple command goes or comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Redirection {
    Read(Word),
    Text(String),
    Write {
        descriptor: u8,
        target: Word,
        append: bool,
    },
    /// `2>&1`, `>&2`.
    Copy {
        descriptor: u8,
        from: u8,
    },
}

/// Hands out complete commands one by one, so that what stands before a syntax error runs, as in bash.
pub(crate) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    trouble: Option<Trouble>,
}

const RESERVED: [&str; 13] = [
    "if", "then", "elif", "else", "fi", "for", "in", "do", "done", "case", "esac", "{", "}",
];

impl Parser {
    pub(crate) fn new(source: &str) -> Self {
        let (tokens, trouble) = tokenise(source);
        Self {
            tokens,
            at: 0,
            trouble,
        }
    }

    /// The next command of the top level, `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<AndOr>, Trouble> {
        self.separators();
        if self.at >= self.tokens.len() {
            return self.trouble.take().map_or(Ok(None), Err);
        }
        let command = self.and_or()?;
        match self.tokens.get(self.at) {
            None if self.trouble.is_some() => Err(self.trouble.take().expect("just seen")),
            None | Some(Token::Newline | Token::Operator(";")) => Ok(Some(command)),
            Some(_) => Err(self.unexpected()),
        }
    }

    fn unexpected(&mut self) -> Trouble {
        let near = match self.tokens.get(self.at) {
            None => {
                return self.trouble.take().unwrap_or_else(|| {
                    Trouble::Syntax("syntax error: unexpected end of file".into())
                });
            }
            Some(Token::Newline) => "newline".to_owned(),
            Some(Token::Operator(operator)) => (*operator).to_owned(),
            Some(Token::Word(_)) => self.reserved().unwrap_or("a word").to_owned(),
            Some(Token::Descriptor(digit)) => digit.to_string(),
            Some(Token::HereDocument(_)) => "<<".to_owned(),
        };
        Trouble::Syntax(format!("syntax error near unexpected token `{near}'"))
    }

    fn separators(&mut self) {
        while matches!(
            self.tokens.get(self.at),
            Some(Token::Newline | Token::Operator(";"))
        ) {
            self.at += 1;
        }
    }

    fn newlines(&mut self) {
        while matches!(self.tokens.get(self.at), Some(Token::Newline)) {
            self.at += 1;
        }
    }

    fn operator(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Operator(operator)) if *operator == wanted);
        self.at += usize::from(found);
        found
    }

    /// The bare literal at the cursor, when the whole word is one.
    fn bare(&self) -> Option<&str> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => bare(word),
            _ => None,
        }
    }

    fn reserved(&self) -> Option<&'static str> {
        let text = self.bare()?;
        RESERVED.into_iter().find(|word| *word == text)
    }

    fn expect(&mut self, word: &str) -> Result<(), Trouble> {
        if self.bare() == Some(word) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// Commands up to one of the reserved words or `;;`, which stays.
    fn list(&mut self, ends: &[&str]) -> Result<List, Trouble> {
        let mut list = Vec::new();
        loop {
            self.separators();
            let ended = match self.tokens.get(self.at) {
                Some(Token::Operator(operator)) => ends.contains(operator),
                _ => self.bare().is_some_and(|word| ends.contains(&word)),
            };
            if ended {
                return if list.is_empty() && !ends.contains(&";;") {
                    Err(self.unexpected())
                } else {
                    Ok(list)
                };
            }
            if self.at >= self.tokens.len() {
                return Err(self.unexpected());
            }
            list.push(self.and_or()?);
            if !matches!(
                self.tokens.get(self.at),
                Some(Token::Newline | Token::Operator(";" | ";;"))
            ) {
                return Err(self.unexpected());
            }
        }
    }

    fn and_or(&mut self) -> Result<AndOr, Trouble> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            let and = if self.operator("&&") {
                true
            } else if self.operator("||") {
                false
            } else {
                return Ok(AndOr { first, rest });
            };
            self.newlines();
            rest.push((and, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, Trouble> {
        let negated = self.bare() == Some("!");
        self.at += usize::from(negated);
        let mut commands = vec![self.command()?];
        while self.operator("|") {
            self.newlines();
            commands.push(self.command()?);
        }
        Ok(Pipeline { negated, commands })
    }

    fn command(&mut self) -> Result<Command, Trouble> {
        if let Some(Token::Operator("(")) = self.tokens.get(self.at) {
            return Err(Trouble::Unknown("subshells".into()));
        }
        let compound = match self.bare() {
            Some("if") => self.conditional()?,
            Some("for") => self.repeated()?,
            Some("case") => self.case()?,
            Some("{") => {
                self.at += 1;
                let body = self.list(&["}"])?;
                self.expect("}")?;
                Command::Group(body)
            }
            Some(word @ ("while" | "until" | "select" | "function" | "[[" | "time" | "coproc")) => {
                return Err(Trouble::Unknown(format!("`{word}`")));
            }
            Some("then" | "elif" | "else" | "fi" | "do" | "done" | "esac" | "}") => {
                return Err(self.unexpected());
            }
            _ => return self.simple(),
        };
        if matches!(
            self.tokens.get(self.at),
            Some(
                Token::Operator("<" | ">" | ">>" | ">&")
                    | Token::Descriptor(_)
                    | Token::HereDocument(_)
            )
        ) {
            return Err(Trouble::Unknown(
                "a redirection of a compound command".into(),
            ));
        }
        Ok(compound)
    }

    fn conditional(&mut self) -> Result<Command, Trouble> {
        let mut branches = Vec::new();
        loop {
            self.at += 1;
            let condition = self.list(&["then"])?;
            self.expect("then")?;
            let body = self.list(&["elif", "else", "fi"])?;
            branches.push((condition, body));
            match self.bare() {
                Some("elif") => {}
                Some("else") => {
                    self.at += 1;
                    let otherwise = self.list(&["fi"])?;
                    self.expect("fi")?;
                    return Ok(Command::If {
                        branches,
                        otherwise: Some(otherwise),
                    });
                }
                _ => {
                    self.expect("fi")?;
                    return Ok(Command::If {
                        branches,
                        otherwise: None,
                    });
                }
            }
        }
    }

    fn repeated(&mut self) -> Result<Command, Trouble> {
        self.at += 1;
        let Some(name) = self.bare().filter(|name| is_name(name)).map(str::to_owned) else {
            return Err(self.unexpected());
        };
        self.at += 1;
        self.newlines();
        if self.bare() != Some("in") {
            return Err(Trouble::Unknown("`for` without `in`".into()));
        }
        self.at += 1;
        let mut words = Vec::new();
        while let Some(Token::Word(word)) = self.tokens.get(self.at) {
            words.push(word.clone());
            self.at += 1;
        }
        if !matches!(
            self.tokens.get(self.at),
            Some(Token::Newline | Token::Operator(";"))
        ) {
            return Err(self.unexpected());
        }
        self.separators();
        self.expect("do")?;
        let body = self.list(&["done"])?;
        self.expect("done")?;
        Ok(Command::For { name, words, body })
    }

    fn case(&mut self) -> Result<Command, Trouble> {
        self.at += 1;
        let Some(Token::Word(subject)) = self.tokens.get(self.at).cloned() else {
            return Err(self.unexpected());
        };
        self.at += 1;
        self.newlines();
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            self.newlines();
            if self.bare() == Some("esac") {
                self.at += 1;
                return Ok(Command::Case { subject, arms });
            }
            let _ = self.operator("(");
            let mut patterns = Vec::new();
            loop {
                let Some(Token::Word(pattern)) = self.tokens.get(self.at).cloned() else {
                    return Err(self.unexpected());
                };
                patterns.push(pattern);
                self.at += 1;
                if self.operator(")") {
                    break;
                }
                if !self.operator("|") {
                    return Err(self.unexpected());
                }
            }
            let body = self.list(&[";;", "esac"])?;
            let _ = self.operator(";;");
            arms.push((patterns, body));
        }
    }

    fn simple(&mut self) -> Result<Command, Trouble> {
        let (mut assignments, mut words, mut redirections) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            match self.tokens.get(self.at).cloned() {
                Some(Token::Word(word)) => {
                    self.at += 1;
                    match assignment(&word) {
                        Some(pair) if words.is_empty() => assignments.push(pair),
                        _ => words.push(word),
                    }
                }
                Some(Token::HereDocument(text)) => {
                    self.at += 1;
                    redirections.push(Redirection::Text(text));
                }
                Some(Token::Descriptor(descriptor)) => {
                    self.at += 1;
                    redirections.push(self.redirection(Some(descriptor))?);
                }
                Some(Token::Operator("<" | ">" | ">>" | ">&")) => {
                    redirections.push(self.redirection(None)?);
                }
                Some(Token::Operator("("))
                    if words.len() == 1 && assignments.is_empty() && redirections.is_empty() =>
                {
                    return self.function(&words[0]);
                }
                _ if words.is_empty() && assignments.is_empty() && redirections.is_empty() => {
                    return Err(self.unexpected());
                }
                _ => {
                    return Ok(Command::Simple {
                        assignments,
                        words,
                        redirections,
                    });
                }
            }
        }
    }

    fn redirection(&mut self, descriptor: Option<u8>) -> Result<Redirection, Trouble> {
        let Some(Token::Operator(operator)) = self.tokens.get(self.at).cloned() else {
            return Err(self.unexpected());
        };
        self.at += 1;
        let Some(Token::Word(target)) = self.tokens.get(self.at).cloned() else {
            return Err(self.unexpected());
        };
        self.at += 1;
        let wanted = descriptor.unwrap_or(u8::from(operator != "<"));
        if wanted != u8::from(operator != "<") && wanted != 2 {
            return Err(Trouble::Unknown(format!("redirecting descriptor {wanted}")));
        }
        match operator {
            "<" => Ok(Redirection::Read(target)),
            ">&" => match bare(&target) {
                Some("1") => Ok(Redirection::Copy {
                    descriptor: wanted,
                    from: 1,
                }),
                Some("2") => Ok(Redirection::Copy {
                    descriptor: wanted,
                    from: 2,
                }),
                _ => Err(Trouble::Unknown("this form of `>&`".into())),
            },
            _ => Ok(Redirection::Write {
                descriptor: wanted,
                target,
                append: operator == ">>",
            }),
        }
    }

    fn function(&mut self, name: &Word) -> Result<Command, Trouble> {
        let Some(name) = bare(name)
            .filter(|name| is_function_name(name))
            .map(str::to_owned)
        else {
            return Err(self.unexpected());
        };
        self.at += 1;
        if !self.operator(")") {
            return Err(self.unexpected());
        }
        self.newlines();
        match self.command()? {
            Command::Group(body) => Ok(Command::Function {
                name,
                body: Arc::new(body),
            }),
            _ => Err(Trouble::Unknown(
                "a function whose body is not in braces".into(),
            )),
        }
    }
}

/// The text of a word that is one unquoted literal.
pub(crate) fn bare(word: &Word) -> Option<&str> {
    match word.as_slice() {
        [
            Part::Literal {
                text,
                quoted: false,
            },
        ] => Some(text),
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    text.chars()
        .enumerate()
        .all(|(index, c)| c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit()))
        && !text.is_empty()
}

fn is_function_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// Splits `name=value` when the word is an assignment.
pub(crate) fn assignment(word: &Word) -> Option<(String, Word)> {
    let Some(Part::Literal {
        text,
        quoted: false,
    }) = word.first()
    else {
        return None;
    };
    let (name, value) = text.split_once('=')?;
    if !is_name(name) {
        return None;
    }
    let mut rest = Vec::new();
    if !value.is_empty() {
        rest.push(Part::Literal {
            text: value.to_owned(),
            quoted: false,
        });
    }
    rest.extend(word[1..].iter().cloned());
    Some((name.to_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(source: &str) -> Result<Vec<AndOr>, Trouble> {
        let mut parser = Parser::new(source);
        let mut commands = Vec::new();
        while let Some(command) = parser.next()? {
            commands.push(command);
        }
        Ok(commands)
    }

    #[test]
    fn the_delivered_script_parses() {
        let script = include_str!("../../../../provider/src/services/flatcar/strata-node.sh");
        let commands = all(script).expect("parses");
        assert!(commands.len() > 5, "functions and a case: {commands:?}");
    }

    #[test]
    fn what_stands_before_an_error_is_handed_out() {
        let mut parser = Parser::new("true\nif x; fi\n");
        assert!(parser.next().expect("first").is_some());
        assert!(matches!(parser.next(), Err(Trouble::Syntax(_))));
    }

    #[test]
    fn broken_structure_is_a_syntax_error() {
        for source in [
            "fi",
            "case x in a) true",
            "if true; then true",
            "for x in a; done",
            "a | ",
            "f() {",
            ") x",
            "true )",
        ] {
            assert!(
                matches!(all(source), Err(Trouble::Syntax(_))),
                "{source}: {:?}",
                all(source)
            );
        }
        for source in [
            "while true; do true; done",
            "[[ a ]]",
            "(true)",
            "if true; then true; fi > /x",
        ] {
            assert!(matches!(all(source), Err(Trouble::Unknown(_))), "{source}");
        }
    }
}
