//! Policies: which paths a token may use, and how.
//!
//! Patterns end in `*` for anything behind, `+` stands for one segment; the most specific pattern decides alone, `deny` beats everything in it.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::answer::Refusal;

/// Capabilities that a rule may give.
const CAPABILITIES: [&str; 8] = [
    "create", "read", "update", "delete", "list", "patch", "sudo", "deny",
];

/// What every token may do unless it was made without.
const DEFAULT: &str = r#"
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
"#;

/// The right to some paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pattern: String,
    capabilities: BTreeSet<String>,
}

/// A named policy.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) text: String,
    pub(super) rules: Vec<Rule>,
}

impl Policy {
    /// Reads a policy in HCL or JSON. What is neither a path block nor a comment is refused: a right that the lab overlooks is a test that lies.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let rules = match serde_json::from_str::<Value>(text) {
            Ok(json) => from_json(&json)?,
            Err(_) => from_hcl(text)?,
        };
        Ok(Self {
            text: text.to_owned(),
            rules,
        })
    }

    /// The policy `default`.
    pub(super) fn usual() -> Self {
        Self::parse(DEFAULT).expect("a fixed text")
    }
}

fn rule(pattern: &str, capabilities: BTreeSet<String>) -> Result<Rule, Refusal> {
    match capabilities
        .iter()
        .find(|name| !CAPABILITIES.contains(&name.as_str()))
    {
        None => Ok(Rule {
            pattern: pattern.trim_start_matches('/').to_owned(),
            capabilities,
        }),
        Some(other) => Err(Refusal::bad(format!(
            "failed to parse policy: path {pattern:?}: invalid capability {other:?}"
        ))),
    }
}

fn from_json(json: &Value) -> Result<Vec<Rule>, Refusal> {
    let unknown = || Refusal::unknown_to_lab("this policy: only path and capabilities");
    let paths = json["path"].as_object().ok_or_else(unknown)?;
    let one = |(pattern, block): (&String, &Value)| {
        let names = block["capabilities"].as_array().ok_or_else(unknown)?;
        let names = names.iter().filter_map(Value::as_str).map(str::to_owned);
        rule(pattern, names.collect())
    };
    paths.iter().map(one).collect()
}

fn from_hcl(text: &str) -> Result<Vec<Rule>, Refusal> {
    let comment = Regex::new(r"(?m)(#|//).*$").expect("a fixed pattern");
    let block = Regex::new(r#"path\s+"([^"]*)"\s*\{\s*capabilities\s*=\s*\[([^\]]*)\]\s*,?\s*\}"#)
        .expect("a fixed pattern");
    let text = comment.replace_all(text, "");
    let rest = block.replace_all(&text, "");
    if !rest.trim().is_empty() {
        let what = format!("this part of a policy: {}", rest.trim());
        return Err(Refusal::unknown_to_lab(&what));
    }
    let one = |found: regex::Captures<'_>| {
        let names = found[2]
            .split(',')
            .map(|name| name.trim().trim_matches('"'));
        let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
        rule(&found[1], names.collect())
    };
    block.captures_iter(&text).map(one).collect()
}

impl Rule {
    fn covers(&self, path: &str) -> bool {
        let (fixed, open) = match self.pattern.strip_suffix('*') {
            Some(fixed) => (fixed, true),
            None => (self.pattern.as_str(), false),
        };
        let wanted: Vec<&str> = fixed.split('/').collect();
        let given: Vec<&str> = path.split('/').collect();
        if given.len() < wanted.len() || (!open && given.len() != wanted.len()) {
            return false;
        }
        let last = wanted.len() - 1;
        wanted
            .iter()
            .zip(&given)
            .enumerate()
            .all(|(index, (w, g))| {
                *w == "+" || w == g || (open && index == last && g.starts_with(w))
            })
    }

    /// Larger is more specific: no wildcard at all, then the longer text in front of the first one.
    fn weight(&self) -> (bool, usize, usize) {
        let first = self.pattern.find(['*', '+']);
        (
            first.is_none(),
            first.unwrap_or(self.pattern.len()),
            self.pattern.len(),
        )
    }
}

/// The capabilities that rules give on a path; empty for none or `deny`.
pub(super) fn capabilities<'a>(
    rules: impl Iterator<Item = &'a Rule>,
    path: &str,
) -> BTreeSet<String> {
    let mut best: Option<(&Rule, BTreeSet<String>)> = None;
    for rule in rules.filter(|rule| rule.covers(path)) {
        match &mut best {
            Some((chosen, names)) if chosen.pattern == rule.pattern => {
                names.extend(rule.capabilities.iter().cloned());
            }
            Some((chosen, _)) if chosen.weight() > rule.weight() => {}
            _ => best = Some((rule, rule.capabilities.clone())),
        }
    }
    let names = best.map(|(_, names)| names).unwrap_or_default();
    if names.contains("deny") {
        BTreeSet::new()
    } else {
        names
    }
}

/// Whether rules touch anything at or below a mount; `mount` ends in a slash.
pub(super) fn reach<'a>(mut rules: impl Iterator<Item = &'a Rule>, mount: &str) -> bool {
    rules.any(|rule| {
        let fixed = rule.pattern.split(['*', '+']).next().unwrap_or_default();
        !rule.capabilities.contains("deny")
            && (fixed.starts_with(mount) || mount.starts_with(fixed))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_pattern_decides() {
        let text = r#"
            # the cluster's own
            path "secret/data/clusters/home/*" { capabilities = ["create", "update", "read"] }
            path "secret/data/clusters/home/claim" { capabilities = ["read"] }
            path "secret/data/clusters/+/public" { capabilities = ["read"] }
            path "secret/data/clusters/home/root*" { capabilities = ["deny"] }
            path "secret/metadata/*" { capabilities = ["list"], }
        "#;
        let policy = Policy::parse(text).unwrap();
        let may = |path: &str, capability: &str| {
            capabilities(policy.rules.iter(), path).contains(capability)
        };
        for (path, capability, expected) in [
            ("secret/data/clusters/home/ca", "create", true),
            ("secret/data/clusters/home/claim", "update", false),
            ("secret/data/clusters/home/claim", "read", true),
            ("secret/data/clusters/away/public", "read", true),
            ("secret/data/clusters/away/public/x", "read", false),
            ("secret/data/clusters/home/root-ca", "read", false),
            ("secret/metadata/clusters/", "list", true),
            ("secret/data/other", "read", false),
        ] {
            assert_eq!(may(path, capability), expected, "{capability} {path}");
        }
        assert!(reach(policy.rules.iter(), "secret/"));
        assert!(!reach(policy.rules.iter(), "legacy/"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let json = r#"{"path": {"a/*": {"capabilities": ["read"]}}}"#;
        assert_eq!(Policy::parse(json).unwrap().rules.len(), 1);
        for text in [
            r#"path "a" { policy = "write" }"#,
            r#"path "a" { capabilities = ["fly"] }"#,
            "nonsense",
        ] {
            assert!(Policy::parse(text).is_err(), "{text}");
        }
    }
}
