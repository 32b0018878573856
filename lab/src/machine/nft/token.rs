//! Words and symbols of nft's language.

use super::Refusal;

/// Words that nft knows and this model does not.
pub(super) const BEYOND: [&str; 44] = [
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

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Text(String),
    Symbol(&'static str),
    /// Newline or `;`; true for the semicolon.
    End,
}

/// Splits a text, with the line of each token.
pub(super) fn tokenise(text: &str) -> Result<Vec<(usize, Token)>, Refusal> {
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
