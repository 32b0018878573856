//! From nft text to statements.

use std::time::Duration;

use super::Refusal;
use super::set::Kind;
use super::statement::{Declaration, Hook, Raw, Rule, Statement, number_of_priority};
use super::token::{BEYOND, Token, tokenise};

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Vec<(usize, Statement)>, Refusal> {
    let mut parser = Parser {
        tokens: tokenise(text)?,
        at: 0,
        statements: Vec::new(),
    };
    parser.ends();
    while parser.at < parser.tokens.len() {
        parser.statement()?;
        parser.end()?;
    }
    Ok(parser.statements)
}

/// Reads one rule.
pub(super) fn rule(text: &str) -> Result<Rule, Refusal> {
    let mut parser = Parser {
        tokens: tokenise(text)?,
        at: 0,
        statements: Vec::new(),
    };
    parser.rule()
}

/// A cursor over the tokens.
pub(super) struct Parser {
    tokens: Vec<(usize, Token)>,
    pub(super) at: usize,
    statements: Vec<(usize, Statement)>,
}

impl Parser {
    pub(super) fn line(&self) -> usize {
        self.tokens
            .get(self.at)
            .or(self.tokens.last())
            .map_or(1, |(line, _)| *line)
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    pub(super) fn peek_word(&self) -> Option<&str> {
        match self.peek() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    pub(super) fn error<T>(&self, text: impl Into<String>) -> Result<T, Refusal> {
        Err(Refusal::Error {
            line: self.line(),
            text: text.into(),
        })
    }

    pub(super) fn unexpected<T>(&self) -> Result<T, Refusal> {
        if let Some(word) = self.peek_word()
            && BEYOND.contains(&word)
        {
            return Err(Refusal::Unknown(format!("nft's `{word}`")));
        }
        let what = match self.peek() {
            None => "end of file".to_owned(),
            Some(Token::End) => "newline".to_owned(),
            Some(Token::Word(word)) => word.clone(),
            Some(Token::Text(_)) => "quoted string".to_owned(),
            Some(Token::Symbol(symbol)) => format!("'{symbol}'"),
        };
        self.error(format!("syntax error, unexpected {what}"))
    }

    pub(super) fn word(&mut self) -> Result<String, Refusal> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.at += 1;
                Ok(word)
            }
            _ => self.unexpected(),
        }
    }

    fn keyword(&mut self, wanted: &str) -> Result<(), Refusal> {
        if self.peek_word() == Some(wanted) {
            self.at += 1;
            Ok(())
        } else {
            self.unexpected()
        }
    }

    pub(super) fn symbol(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(symbol)) if *symbol == wanted);
        self.at += usize::from(found);
        found
    }

    pub(super) fn must(&mut self, wanted: &str) -> Result<(), Refusal> {
        if self.symbol(wanted) {
            Ok(())
        } else {
            self.unexpected()
        }
    }

    pub(super) fn ends(&mut self) {
        while matches!(self.peek(), Some(Token::End)) {
            self.at += 1;
        }
    }

    /// The end of a statement: newline, `;`, the end of the text, or the brace that closes the block.
    fn end(&mut self) -> Result<(), Refusal> {
        match self.peek() {
            None | Some(Token::Symbol("}")) => Ok(()),
            Some(Token::End) => {
                self.ends();
                Ok(())
            }
            _ => self.unexpected(),
        }
    }

    fn family(&mut self) -> Result<String, Refusal> {
        let word = self.word()?;
        match word.as_str() {
            "inet" | "ip" | "ip6" => Ok(word),
            "arp" | "bridge" | "netdev" => {
                Err(Refusal::Unknown(format!("nft tables of family {word}")))
            }
            _ => Err(Refusal::Unknown("nft statements without a family".into())),
        }
    }

    fn table_name(&mut self) -> Result<(String, String), Refusal> {
        Ok((self.family()?, self.word()?))
    }

    fn statement(&mut self) -> Result<(), Refusal> {
        let line = self.line();
        let verb = match self.peek_word() {
            Some("table") => "table".to_owned(),
            _ => self.word()?,
        };
        let statement = match verb.as_str() {
            "table" => {
                self.at += 1;
                return self.table(line);
            }
            "add" | "create" if self.peek_word() == Some("table") => {
                self.at += 1;
                return self.table(line);
            }
            "add" | "delete" if self.peek_word() == Some("element") => {
                self.at += 1;
                let (family, table) = self.table_name()?;
                let set = self.word()?;
                let elements = self.elements()?;
                if verb == "add" {
                    Statement::AddElements {
                        family,
                        table,
                        set,
                        elements,
                    }
                } else {
                    Statement::DeleteElements {
                        family,
                        table,
                        set,
                        elements,
                    }
                }
            }
            "delete" | "destroy" if self.peek_word() == Some("table") => {
                self.at += 1;
                let (family, table) = self.table_name()?;
                Statement::DeleteTable {
                    family,
                    table,
                    must_exist: verb == "delete",
                }
            }
            "flush" => match self.word()?.as_str() {
                "ruleset" => Statement::FlushRuleset,
                "table" => {
                    let (family, table) = self.table_name()?;
                    Statement::FlushTable(family, table)
                }
                "set" => {
                    let (family, table) = self.table_name()?;
                    Statement::FlushSet {
                        family,
                        table,
                        set: self.word()?,
                    }
                }
                other => return Err(Refusal::Unknown(format!("`nft flush {other}`"))),
            },
            "add" | "delete" | "destroy" | "create" | "insert" | "replace" | "list" | "reset"
            | "rename" | "monitor" => {
                return Err(Refusal::Unknown(format!(
                    "`nft {verb} {}`",
                    self.peek_word().unwrap_or_default()
                )));
            }
            _ => {
                self.at -= 1;
                return self.unexpected();
            }
        };
        self.statements.push((line, statement));
        Ok(())
    }

    fn table(&mut self, line: usize) -> Result<(), Refusal> {
        let (family, table) = self.table_name()?;
        self.statements
            .push((line, Statement::AddTable(family.clone(), table.clone())));
        if !self.symbol("{") {
            return Ok(());
        }
        self.ends();
        while !self.symbol("}") {
            let line = self.line();
            let (family, table) = (family.clone(), table.clone());
            let statement = match self.peek_word() {
                Some("set") => {
                    self.at += 1;
                    let name = self.word()?;
                    Statement::AddSet {
                        family,
                        table,
                        name,
                        set: self.set()?,
                    }
                }
                Some("chain") => {
                    self.at += 1;
                    let name = self.word()?;
                    let (hook, rules) = self.chain()?;
                    Statement::AddChain {
                        family,
                        table,
                        name,
                        hook,
                        rules,
                    }
                }
                Some(
                    word @ ("counter" | "quota" | "ct" | "secmark" | "synproxy" | "flags"
                    | "comment"),
                ) => {
                    return Err(Refusal::Unknown(format!("`{word}` in an nft table")));
                }
                _ => return self.unexpected(),
            };
            self.statements.push((line, statement));
            self.end()?;
        }
        Ok(())
    }

    fn set(&mut self) -> Result<Declaration, Refusal> {
        self.must("{")?;
        self.ends();
        let (mut kind, mut elements, mut timeout) = (None, Vec::new(), None);
        let (mut interval, mut timed, mut auto_merge) = (false, false, false);
        while !self.symbol("}") {
            match self.word()?.as_str() {
                "type" => {
                    let name = self.word()?;
                    kind = Some(match Kind::from_type(&name) {
                        Some(kind) => kind,
                        None if matches!(
                            name.as_str(),
                            "ether_addr"
                                | "mark"
                                | "ifname"
                                | "iface_index"
                                | "icmp_type"
                                | "icmpv6_type"
                        ) =>
                        {
                            return Err(Refusal::Unknown(format!("nft sets of type {name}")));
                        }
                        None => return self.error(format!("unknown datatype {name}")),
                    });
                    if self.peek() == Some(&Token::Word(".".into())) {
                        return Err(Refusal::Unknown("nft sets of several types".into()));
                    }
                }
                "flags" => loop {
                    match self.word()?.as_str() {
                        "interval" => interval = true,
                        "timeout" => timed = true,
                        word @ ("constant" | "dynamic") => {
                            return Err(Refusal::Unknown(format!("the nft set flag `{word}`")));
                        }
                        _ => {
                            self.at -= 1;
                            return self.unexpected();
                        }
                    }
                    if !self.symbol(",") {
                        break;
                    }
                },
                "auto-merge" => auto_merge = true,
                "timeout" => {
                    timeout = Some(self.time()?);
                    timed = true;
                }
                "elements" => {
                    self.must("=")?;
                    elements = self.elements()?;
                }
                word @ ("size" | "policy" | "gc-interval" | "comment" | "counter") => {
                    return Err(Refusal::Unknown(format!("`{word}` in an nft set")));
                }
                _ => {
                    self.at -= 1;
                    return self.unexpected();
                }
            }
            self.end()?;
        }
        let Some(kind) = kind else {
            return self.error("set definition does not specify key");
        };
        Ok(Declaration {
            kind,
            interval,
            timed,
            auto_merge,
            timeout,
            elements,
        })
    }

    fn time(&mut self) -> Result<Duration, Refusal> {
        let text = self.word()?;
        if let Some(seconds) = seconds(&text) {
            Ok(Duration::from_secs(seconds))
        } else {
            self.at -= 1;
            self.error(format!("syntax error, unexpected {text}, expecting a time"))
        }
    }

    fn elements(&mut self) -> Result<Vec<Raw>, Refusal> {
        self.must("{")?;
        let mut elements = Vec::new();
        loop {
            self.ends();
            if !elements.is_empty() && self.symbol("}") {
                return Ok(elements);
            }
            let text = self.word()?;
            let mut timeout = None;
            while let Some(word) = self.peek_word() {
                match word {
                    "timeout" => {
                        self.at += 1;
                        timeout = Some(self.time()?);
                    }
                    "expires" | "comment" | "counter" => {
                        return Err(Refusal::Unknown(format!("`{word}` of an nft element")));
                    }
                    _ => return self.unexpected(),
                }
            }
            elements.push((text, timeout));
            self.ends();
            if self.symbol("}") {
                return Ok(elements);
            }
            self.must(",")?;
        }
    }

    fn chain(&mut self) -> Result<(Option<Hook>, Vec<Rule>), Refusal> {
        self.must("{")?;
        self.ends();
        let (mut hook, mut rules) = (None, Vec::new());
        while !self.symbol("}") {
            match self.peek_word() {
                Some("type") => {
                    self.at += 1;
                    match self.word()?.as_str() {
                        "filter" => {}
                        word @ ("nat" | "route") => {
                            return Err(Refusal::Unknown(format!("nft chains of type {word}")));
                        }
                        word => return self.error(format!("unknown chain type {word}")),
                    }
                    self.keyword("hook")?;
                    let name = self.word()?;
                    if !matches!(
                        name.as_str(),
                        "input" | "output" | "forward" | "prerouting" | "postrouting"
                    ) {
                        return self.error(format!("unknown chain hook {name}"));
                    }
                    self.keyword("priority")?;
                    let priority = self.priority()?;
                    hook = Some(Hook {
                        place: name,
                        priority,
                        drops: false,
                    });
                }
                Some("policy") => {
                    self.at += 1;
                    let drops = match self.word()?.as_str() {
                        "accept" => false,
                        "drop" => true,
                        _ => {
                            self.at -= 1;
                            return self.unexpected();
                        }
                    };
                    match &mut hook {
                        Some(hook) => hook.drops = drops,
                        None => {
                            return self.error("Could not process rule: Operation not supported");
                        }
                    }
                }
                _ => {
                    let rule = self.rule()?;
                    rules.push(rule);
                }
            }
            self.end()?;
        }
        Ok((hook, rules))
    }

    fn priority(&mut self) -> Result<String, Refusal> {
        let mut text = self.word()?;
        while let Some(word) = self.peek_word() {
            text = format!("{text} {word}");
            self.at += 1;
        }
        if number_of_priority(&text).is_none() {
            return self.error(format!("invalid priority expression {text}"));
        }
        Ok(text)
    }
}

/// `4h30m`, `90s`, `300` (seconds).
fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let (mut total, mut digits) = (0_u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total += digits.parse::<u64>().ok()?.checked_mul(unit)?;
        digits.clear();
    }
    digits.is_empty().then_some(total)
}
