//! Rules: what a packet is compared with, and what happens to it.

use super::Refusal;
use super::parse::Parser;
use super::statement::{Expression, Rule, Selector, Values};
use super::token::Token;

impl Parser {
    pub(super) fn rule(&mut self) -> Result<Rule, Refusal> {
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
