//! From nft text to statements.

use std::time::Duration;

use super::Refusal;
use super::set::Kind;

/// An element as written: text and timeout.
pub(super) type Raw = (String, Option<Duration>);

/// One statement of a transaction.
#[derive(Debug, Clone)]
pub(super) enum Statement {
    AddTable(String, String),
    DeleteTable {
        family: String,
        table: String,
        must_exist: bool,
    },
    FlushTable(String, String),
    FlushRuleset,
    AddSet {
        family: String,
        table: String,
        name: String,
        set: Declaration,
    },
    AddChain {
        family: String,
        table: String,
        name: String,
        hook: Option<Hook>,
        rules: Vec<Rule>,
    },
    AddElements {
        family: String,
        table: String,
        set: String,
        elements: Vec<Raw>,
    },
    DeleteElements {
        family: String,
        table: String,
        set: String,
        elements: Vec<Raw>,
    },
    FlushSet {
        family: String,
        table: String,
        set: String,
    },
}

/// A set's declaration.
#[derive(Debug, Clone)]
pub(super) struct Declaration {
    pub(super) kind: Kind,
    pub(super) interval: bool,
    pub(super) timed: bool,
    pub(super) auto_merge: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) elements: Vec<Raw>,
}

/// `type filter hook input priority filter; policy drop;`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hook {
    pub(super) hook: String,
    pub(super) priority: String,
    pub(super) drops: bool,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selector {
    Interface,
    InterfaceName,
    State,
    Protocol,
    IpProtocol,
    NextHeader,
    Family,
    Port { udp: bool, source: bool },
    Address { v6: bool, source: bool },
    Icmp,
    Icmpv6,
}

/// What it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// Intervals; true when written in braces.
    Intervals(Vec<(u128, u128)>, bool),
    /// Words: interface names, connection states.
    Words(Vec<String>, bool),
    Set(String),
}

/// A part of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Match {
        selector: Selector,
        negated: bool,
        values: Values,
    },
    Counter,
    Log(Option<String>),
    Accept,
    Drop,
    Reject(String),
    Return,
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    pub(super) expressions: Vec<Expression>,
    pub(super) comment: Option<String>,
}

/// Words that nft knows and this model does not.
const BEYOND: [&str; 44] = [
    "limit",
    "jump",
    "goto",
    "map",
    "vmap",
    "dnat",
    "snat",
    "masquerade",
    "redirect",
    "notrack",
    "quota",
    "meter",
    "queue",
    "fib",
    "rt",
    "socket",
    "osf",
    "numgen",
    "ether",
    "vlan",
    "arp",
    "sctp",
    "dccp",
    "ah",
    "esp",
    "comp",
    "th",
    "mark",
    "skuid",
    "skgid",
    "cgroup",
    "oif",
    "oifname",
    "pkttype",
    "define",
    "include",
    "typeof",
    "flowtable",
    "fwd",
    "dup",
    "tproxy",
    "synproxy",
    "update",
    "counters",
];

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Symbol(&'static str),
    /// Newline or `;`; true for the semicolon.
    End,
}

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

fn tokenise(text: &str) -> Result<Vec<(usize, Token)>, Refusal> {
    let characters: Vec<char> = text.chars().collect();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < characters.len() {
        let c = characters[at];
        match c {
            '\n' => {
                tokens.push((line, Token::End));
                line += 1;
                at += 1;
            }
            '\\' if characters.get(at + 1) == Some(&'\n') => {
                line += 1;
                at += 2;
            }
            ';' => {
                tokens.push((line, Token::End));
                at += 1;
            }
            c if c.is_whitespace() => at += 1,
            '#' => {
                while at < characters.len() && characters[at] != '\n' {
                    at += 1;
                }
            }
            '"' => {
                let start = at + 1;
                at = start;
                while at < characters.len() && characters[at] != '"' {
                    at += 1;
                }
                if at == characters.len() {
                    return Err(Refusal::Error {
                        line,
                        text: "syntax error, unexpected junk".into(),
                    });
                }
                tokens.push((line, Token::Text(characters[start..at].iter().collect())));
                at += 1;
            }
            '{' | '}' | ',' | '=' | '!' => {
                let symbol = match (c, characters.get(at + 1)) {
                    ('{', _) => "{",
                    ('}', _) => "}",
                    (',', _) => ",",
                    ('=', Some('=')) => "==",
                    ('=', _) => "=",
                    ('!', Some('=')) => "!=",
                    _ => return Err(Refusal::Unknown("the nft operator `!`".into())),
                };
                at += symbol.len();
                tokens.push((line, Token::Symbol(symbol)));
            }
            '<' | '>' | '&' | '|' | '^' | '(' | ')' | '$' => {
                return Err(Refusal::Unknown(format!("the nft operator `{c}`")));
            }
            c if word(c) => {
                let start = at;
                while at < characters.len() && word(characters[at]) {
                    at += 1;
                }
                tokens.push((line, Token::Word(characters[start..at].iter().collect())));
            }
            c => {
                return Err(Refusal::Error {
                    line,
                    text: format!("syntax error, unexpected junk `{c}'"),
                });
            }
        }
    }
    Ok(tokens)
}

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | ':' | '-' | '@' | '*' | '+')
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    statements: Vec<(usize, Statement)>,
}

impl Parser {
    fn line(&self) -> usize {
        self.tokens
            .get(self.at)
            .or(self.tokens.last())
            .map_or(1, |(line, _)| *line)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn peek_word(&self) -> Option<&str> {
        match self.peek() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn error<T>(&self, text: impl Into<String>) -> Result<T, Refusal> {
        Err(Refusal::Error {
            line: self.line(),
            text: text.into(),
        })
    }

    fn unexpected<T>(&self) -> Result<T, Refusal> {
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

    fn word(&mut self) -> Result<String, Refusal> {
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

    fn symbol(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(symbol)) if *symbol == wanted);
        self.at += usize::from(found);
        found
    }

    fn must(&mut self, wanted: &str) -> Result<(), Refusal> {
        if self.symbol(wanted) {
            Ok(())
        } else {
            self.unexpected()
        }
    }

    fn ends(&mut self) {
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
        match seconds(&text) {
            Some(seconds) => Ok(Duration::from_secs(seconds)),
            None => {
                self.at -= 1;
                self.error(format!("syntax error, unexpected {text}, expecting a time"))
            }
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
                        hook: name,
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

    fn rule(&mut self) -> Result<Rule, Refusal> {
        let (mut expressions, mut comment) = (Vec::new(), None);
        while let Some(Token::Word(_)) = self.peek() {
            if matches!(
                expressions.last(),
                Some(
                    Expression::Accept
                        | Expression::Drop
                        | Expression::Reject(_)
                        | Expression::Return
                )
            ) && self.peek_word() != Some("comment")
            {
                return self.unexpected();
            }
            let word = self.word()?;
            let expression = match word.as_str() {
                "accept" => Expression::Accept,
                "drop" => Expression::Drop,
                "return" => Expression::Return,
                "counter" => Expression::Counter,
                "log" => {
                    let mut prefix = None;
                    while let Some(word @ ("prefix" | "level" | "flags" | "group")) =
                        self.peek_word()
                    {
                        if word != "prefix" {
                            return Err(Refusal::Unknown(format!("`log {word}` of nft")));
                        }
                        self.at += 1;
                        match self.peek().cloned() {
                            Some(Token::Text(text)) => prefix = Some(text),
                            _ => return self.unexpected(),
                        }
                        self.at += 1;
                    }
                    Expression::Log(prefix)
                }
                "reject" => {
                    let mut with = String::new();
                    if self.peek_word() == Some("with") {
                        while let Some(Token::Word(word)) = self.peek() {
                            with = format!("{with} {word}");
                            self.at += 1;
                        }
                    }
                    Expression::Reject(with)
                }
                "comment" => {
                    match self.peek().cloned() {
                        Some(Token::Text(text) | Token::Word(text)) => comment = Some(text),
                        _ => return self.unexpected(),
                    }
                    self.at += 1;
                    continue;
                }
                _ => {
                    self.at -= 1;
                    self.comparison()?
                }
            };
            expressions.push(expression);
        }
        if expressions.is_empty() {
            return self.unexpected();
        }
        Ok(Rule {
            expressions,
            comment,
        })
    }

    fn comparison(&mut self) -> Result<Expression, Refusal> {
        let first = self.word()?;
        let second = |parser: &mut Self| parser.word();
        let selector = match first.as_str() {
            "iif" => Selector::Interface,
            "iifname" => Selector::InterfaceName,
            "ct" => match second(self)?.as_str() {
                "state" => Selector::State,
                word => return Err(Refusal::Unknown(format!("nft's `ct {word}`"))),
            },
            "meta" => match second(self)?.as_str() {
                "l4proto" => Selector::Protocol,
                "nfproto" => Selector::Family,
                "iif" => Selector::Interface,
                "iifname" => Selector::InterfaceName,
                word => return Err(Refusal::Unknown(format!("nft's `meta {word}`"))),
            },
            "tcp" | "udp" => match second(self)?.as_str() {
                "dport" => Selector::Port {
                    udp: first == "udp",
                    source: false,
                },
                "sport" => Selector::Port {
                    udp: first == "udp",
                    source: true,
                },
                word @ ("flags" | "option" | "sequence" | "length" | "checksum") => {
                    return Err(Refusal::Unknown(format!("nft's `{first} {word}`")));
                }
                _ => {
                    self.at -= 1;
                    return self.unexpected();
                }
            },
            "ip" | "ip6" => match second(self)?.as_str() {
                "saddr" => Selector::Address {
                    v6: first == "ip6",
                    source: true,
                },
                "daddr" => Selector::Address {
                    v6: first == "ip6",
                    source: false,
                },
                "protocol" if first == "ip" => Selector::IpProtocol,
                "nexthdr" if first == "ip6" => Selector::NextHeader,
                word @ ("dscp" | "ttl" | "length" | "hoplimit" | "flowlabel" | "version" | "id"
                | "frag-off") => {
                    return Err(Refusal::Unknown(format!("nft's `{first} {word}`")));
                }
                _ => {
                    self.at -= 1;
                    return self.unexpected();
                }
            },
            "icmp" | "icmpv6" => match second(self)?.as_str() {
                "type" if first == "icmp" => Selector::Icmp,
                "type" => Selector::Icmpv6,
                word => return Err(Refusal::Unknown(format!("nft's `{first} {word}`"))),
            },
            _ => {
                self.at -= 1;
                return self.unexpected();
            }
        };
        let negated = self.symbol("!=");
        if !negated {
            let _ = self.symbol("==");
        }
        let values = self.values(selector)?;
        Ok(Expression::Match {
            selector,
            negated,
            values,
        })
    }

    fn values(&mut self, selector: Selector) -> Result<Values, Refusal> {
        if let Some(name) = self
            .peek_word()
            .and_then(|word| word.strip_prefix('@'))
            .map(str::to_owned)
        {
            self.at += 1;
            return match selector.kind() {
                Some(_) => Ok(Values::Set(name)),
                None => Err(Refusal::Unknown("nft sets of interfaces or states".into())),
            };
        }
        let (braces, mut texts) = (self.symbol("{"), Vec::new());
        loop {
            if braces {
                self.ends();
            }
            match self.peek().cloned() {
                Some(Token::Word(text) | Token::Text(text)) => texts.push(text),
                _ => return self.unexpected(),
            }
            self.at += 1;
            if braces {
                self.ends();
                if self.symbol("}") {
                    break;
                }
                self.must(",")?;
                self.ends();
                if self.symbol("}") {
                    break;
                }
            } else if selector != Selector::State || !self.symbol(",") {
                break;
            }
        }
        let Some(kind) = selector.kind() else {
            return self.words(selector, texts, braces);
        };
        let mut intervals = Vec::new();
        for text in texts {
            match kind.interval(&text) {
                Ok(interval) => intervals.push(interval),
                Err(error) => return self.error(error),
            }
        }
        intervals.sort_unstable();
        if braces {
            // nft sets auto-merge for sets without a name.
            let mut merged: Vec<(u128, u128)> = Vec::new();
            for (low, high) in intervals {
                match merged.last_mut() {
                    Some(last) if low <= last.1 => last.1 = last.1.max(high),
                    _ => merged.push((low, high)),
                }
            }
            intervals = merged;
        }
        Ok(Values::Intervals(intervals, braces))
    }

    fn words(
        &self,
        selector: Selector,
        texts: Vec<String>,
        braces: bool,
    ) -> Result<Values, Refusal> {
        for text in &texts {
            if selector == Selector::State {
                if !matches!(
                    text.as_str(),
                    "new" | "established" | "related" | "invalid" | "untracked"
                ) {
                    return self.error(format!("Could not parse conntrack state {text}"));
                }
            } else if text != "lo"
                && !(selector == Selector::InterfaceName
                    && (text.starts_with("cilium") || text.starts_with("lxc")))
            {
                return Err(Refusal::Unknown(format!(
                    "rules for the interface {text} (the lab's machines have only lo and one uplink without a name)"
                )));
            }
        }
        Ok(Values::Words(texts, braces))
    }
}

impl Selector {
    /// The type of its values, where they are numbers.
    pub(super) fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::Interface | Self::InterfaceName | Self::State => return None,
            Self::Protocol | Self::IpProtocol | Self::NextHeader => Kind::Protocol,
            Self::Family => Kind::Family,
            Self::Port { .. } => Kind::Port,
            Self::Address { v6: false, .. } => Kind::Ipv4,
            Self::Address { v6: true, .. } => Kind::Ipv6,
            Self::Icmp => Kind::IcmpType,
            Self::Icmpv6 => Kind::Icmpv6Type,
        })
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

/// The place of a base chain: smaller runs earlier.
pub(super) fn number_of_priority(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let first = words.next()?;
    let base = match first {
        "raw" => -300,
        "mangle" => -150,
        "filter" => 0,
        "security" => 50,
        number => number.parse().ok()?,
    };
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Some(base),
        (Some("+"), Some(number), None) => Some(base + number.parse::<i64>().ok()?),
        (Some("-"), Some(number), None) => Some(base - number.parse::<i64>().ok()?),
        _ => None,
    }
}
