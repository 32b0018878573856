//! Values that look like secrets. A cluster file is committed and mailed around: it names secrets, it never holds them.
//!
//! Two kinds of evidence. Known forms (PEM blocks, prefixes that issuers chose so that scanners find them) are refused
//! wherever they stand. Long random-looking tokens and UUIDs (a Scaleway secret key is one) are refused in free text and in
//! values that do not fit their field; a value that fits a strict field (name, CIDR, version) is what it says.

use std::{collections::HashMap, sync::LazyLock};

use regex::Regex;

static KNOWN: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"-----BEGIN [A-Z ]*PRIVATE KEY", "a private key"),
        (r"-----BEGIN PGP", "a PGP block"),
        (r"(?i)AGE-SECRET-KEY-", "an age identity"),
        (
            r"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{10,}|\bgithub_pat_[A-Za-z0-9_]{10,}",
            "a GitHub token",
        ),
        (r"\bglpat-[A-Za-z0-9_-]{10,}", "a GitLab token"),
        (r"\bhv[sbr]\.[A-Za-z0-9_-]{10,}", "a Vault token"),
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", "an AWS access key"),
        (r"\bSCW[A-Z0-9]{17}\b", "a Scaleway access key"),
        (
            r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}",
            "a signed token (JWT)",
        ),
        (r"\bxox[abprs]-[A-Za-z0-9-]{10,}", "a Slack token"),
        (r"\btskey-[a-z]+-[A-Za-z0-9]{6,}", "a Tailscale key"),
        // A capital letter is in every real one, and in no name of a node.
        (
            r"\bsk-[a-z0-9_-]{0,30}[A-Z][A-Za-z0-9_-]{15,}",
            "an API key",
        ),
        (r"\bst\.[0-9a-f-]{8,}\.[0-9a-f]{16,}", "an Infisical token"),
        (r"://[^/\s:@]+:[^/\s@]+@", "a password in a URL"),
        (r"\$ANSIBLE_VAULT;", "an Ansible vault"),
    ]
    .into_iter()
    .map(|(pattern, what)| (Regex::new(pattern).expect("written above"), what))
    .collect()
});

static UUID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
        .expect("written above")
});
static JOIN_TOKEN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[a-z0-9]{6}\.[a-z0-9]{16}$").expect("written above"));
static HEX: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)\b[0-9a-f]{32,}\b").expect("written above"));
static RUN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9_-]{32,}").expect("written above"));
static LETTERS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9]{32,}").expect("written above"));
static BASE64: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[A-Za-z0-9+][A-Za-z0-9+/]{38,}={0,2}$").expect("written above"));
static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^(?:.*[_-])?(?:password|passwd|passphrase|secret|secret[_-]?key|token|api[_-]?key|private[_-]?key|credentials?)$").expect("written above")
});

/// A form whose issuer is known.
pub(crate) fn known(text: &str) -> Option<&'static str> {
    KNOWN
        .iter()
        .find(|(pattern, _)| pattern.is_match(text))
        .map(|(_, what)| *what)
}

/// Anything that looks like a secret: known forms, UUIDs, long random tokens.
pub(crate) fn suspected(text: &str) -> Option<&'static str> {
    if let Some(what) = known(text) {
        return Some(what);
    }
    if UUID.is_match(text) {
        return Some("a secret key (a UUID in a field that takes none)");
    }
    if JOIN_TOKEN.is_match(text) {
        return Some("a bootstrap token");
    }
    let random = HEX
        .find_iter(text)
        .any(|hit| has_digit_and_letter(hit.as_str()) && entropy(hit.as_str()) >= 3.0)
        || RUN
            .find_iter(text)
            .any(|hit| has_all_classes(hit.as_str()) && entropy(hit.as_str()) >= 4.0)
        || LETTERS.find_iter(text).any(|hit| {
            hit.as_str().bytes().filter(u8::is_ascii_digit).count() >= 5
                && has_digit_and_letter(hit.as_str())
                && entropy(hit.as_str()) >= 3.7
        })
        || text
            .split_whitespace()
            .any(|word| BASE64.is_match(word) && has_all_classes(word) && entropy(word) >= 4.2);
    random.then_some("a key or token (long and random)")
}

/// A field name that asks for a secret.
pub(crate) fn names_a_secret(key: &str) -> bool {
    NAMES.is_match(key)
}

/// The text in quotes, shortened; or the words that it looks like a secret.
pub(crate) fn shown(text: &str) -> String {
    if suspected(text).is_some() {
        return "(not shown: it looks like a secret)".to_owned();
    }
    let line: String = text
        .chars()
        .take(60)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    if text.chars().count() > 60 {
        format!("`{line}…`")
    } else {
        format!("`{line}`")
    }
}

fn has_digit_and_letter(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn has_all_classes(text: &str) -> bool {
    has_digit_and_letter(text)
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Shannon entropy in bits per character.
#[allow(clippy::cast_precision_loss)] // texts are at most a megabyte
fn entropy(text: &str) -> f64 {
    let mut counts: HashMap<u8, usize> = HashMap::new();
    for byte in text.bytes() {
        *counts.entry(byte).or_default() += 1;
    }
    let length = text.len() as f64;
    counts
        .values()
        .map(|&count| count as f64 / length)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_recognised_and_ordinary_values_are_not() {
        let secrets = [
            "-----BEGIN OPENSSH PRIVATE KEY-----\nabc",
            "AGE-SECRET-KEY-1QQQQQQ",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "hvs.CAESIJlU02LQZq",
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "11111111-2222-4333-8444-555555555555",
            "abcdef.0123456789abcdef",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "https://user:hunter2@example.org/",
            "postgres://admin:pw@db/x",
            "mZ4uT8qLx0RvB2nWk7yHs3pDf6gJc9aE",
            "sk-proj-4dKx9QmT2vLwZr7NcY1pBhG5",
        ];
        for text in secrets {
            assert!(suspected(text).is_some(), "{text}");
            assert!(!shown(text).contains(text), "{text}");
        }
        let ordinary = [
            "clusters/production-europe/store",
            "/home/user/clusters/a-rather-long-folder-name/manifests",
            "ssh://git@github.com/example/fleet",
            "https://eu.infisical.com",
            "Sun 03:00 2h Europe/Paris",
            "/clusters/home",
            "example-tfstate",
            "9f0e3f3f",
            "http://127.0.0.1:43117",
            "sk-bratislava-rack-3-board-12",
        ];
        for text in ordinary {
            assert_eq!(suspected(text), None, "{text}");
        }
    }
}
