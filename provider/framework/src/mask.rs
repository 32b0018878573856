//! The mask: what is registered here is in no log line, no diagnostic and no error of this process.
//!
//! A secret is found as it is, and in the forms that libraries print it in: escaped as in JSON, in Rust's debug text and in
//! URLs, in base64 (inside a longer text too) and hexadecimal, as a list of numbers, and line by line. Not found: what was
//! compressed, encrypted or encoded twice.

use std::collections::{BTreeSet, HashSet};
use std::sync::{PoisonError, RwLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

/// Shorter texts occur by chance in any log line.
const SHORTEST: usize = 6;

/// The same for one line of a longer text: manifests and scripts have lines that are no secret.
const SHORTEST_LINE: usize = 17;

/// Lengths at which base64 is wrapped: PEM, MIME.
const WRAPS: [usize; 2] = [64, 76];

static MASK: RwLock<Mask> = RwLock::new(Mask::new());

/// Registers bytes that nothing may show.
pub fn mask(secret: &[u8]) {
    let known = MASK
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .knows(secret);
    if !known {
        MASK.write()
            .unwrap_or_else(PoisonError::into_inner)
            .add(secret);
    }
}

/// The text with every registered secret replaced by stars.
pub fn masked(text: &str) -> String {
    MASK.read()
        .unwrap_or_else(PoisonError::into_inner)
        .apply(text)
}

/// A search for some forms at once, and the forms, to search for them together with others.
struct Search {
    forms: Vec<String>,
    automaton: AhoCorasick,
}

impl Search {
    fn new(forms: Vec<String>) -> Self {
        let automaton = AhoCorasick::builder()
            // Small and quick to make: a new secret is not worth a large table.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&forms)
            .expect("forms of secrets are megabytes at most");
        Self { forms, automaton }
    }
}

/// Everything registered.
struct Mask {
    /// Fingerprints of the secrets themselves: the same one is registered at every decode.
    known: Option<HashSet<Vec<u8>>>,
    /// Each at least twice as large as the next, so that there are few and a secret is searched anew rarely.
    searches: Vec<Search>,
}

impl Mask {
    const fn new() -> Self {
        Self {
            known: None,
            searches: Vec::new(),
        }
    }

    fn knows(&self, secret: &[u8]) -> bool {
        secret.trim_ascii().len() < SHORTEST
            || self
                .known
                .as_ref()
                .is_some_and(|known| known.contains(secret))
    }

    fn add(&mut self, secret: &[u8]) {
        if self.knows(secret) {
            return;
        }
        self.known.get_or_insert_default().insert(secret.to_owned());
        let mut forms: Vec<_> = forms(secret).into_iter().collect();
        while let Some(last) = self
            .searches
            .pop_if(|last| last.forms.len() < 2 * forms.len())
        {
            forms.extend(last.forms);
        }
        if !forms.is_empty() {
            self.searches.push(Search::new(forms));
        }
    }

    fn apply(&self, text: &str) -> String {
        let all = self.searches.iter();
        // Overlapping: where two secrets share letters, neither's rest may stand.
        let mut places: Vec<_> = all
            .flat_map(|search| search.automaton.find_overlapping_iter(text))
            .map(|found| found.range())
            .collect();
        if places.is_empty() {
            return text.to_owned();
        }
        places.sort_by_key(|place| place.start);
        let (mut out, mut shown) = (String::with_capacity(text.len()), 0);
        for place in places {
            if place.start > shown || shown == 0 {
                out.push_str(&text[shown..place.start]);
                out.push_str("***");
            }
            shown = shown.max(place.end);
        }
        out.push_str(&text[shown..]);
        out
    }
}

/// The forms of a secret that are long enough to be looked for.
fn forms(secret: &[u8]) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    binary_forms(secret, &mut forms);
    if let Ok(text) = std::str::from_utf8(secret) {
        for part in parts(text)
            .into_iter()
            .filter(|part| !part.trim().is_empty())
        {
            text_forms(part, &mut forms);
        }
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// The whole text, without the white space around it, and its lines.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = vec![text, text.trim()];
    let mut within_pem = false;
    for line in text.lines().map(str::trim) {
        match line {
            _ if line.starts_with("-----BEGIN") => within_pem = true,
            _ if line.starts_with("-----END") => within_pem = false,
            // Every line of a key is secret, the short last one too.
            _ if within_pem || line.len() >= SHORTEST_LINE => parts.push(line),
            _ => {}
        }
    }
    parts
}

/// A text as it is printed in other texts.
fn text_forms(text: &str, forms: &mut BTreeSet<String>) {
    let quoted = |text: &str| text[1..text.len() - 1].to_owned();
    let json = quoted(&serde_json::Value::from(text).to_string());
    // Go escapes for HTML as well.
    let html = [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026")];
    let go = html
        .iter()
        .fold(json.clone(), |text, (from, to)| text.replace(*from, to));
    forms.extend([
        text.to_owned(),
        json,
        go,
        quoted(&format!("{text:?}")),
        text.escape_default().to_string(),
    ]);
    // RFC 3986, everything but letters and digits, and what user names and paths may hold as it is.
    for left in ["-._~", "", "-._~!$&'()*+,;=", "-._~!$&'()*+,;=:@/"] {
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            let encoded = percent(text, left, digits);
            forms.extend([encoded.replace("%20", "+"), encoded]);
        }
    }
}

/// Percent encoding that leaves letters, digits and these bytes.
fn percent(text: &str, left: &str, digits: &[u8; 16]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || left.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend(['%', char::from(digits[high]), char::from(digits[low])]);
        }
    }
    out
}

/// Bytes as they are printed in texts.
fn binary_forms(secret: &[u8], forms: &mut BTreeSet<String>) {
    let encoded = BASE64.encode(secret);
    for wrap in WRAPS {
        let lines = encoded.as_bytes().chunks(wrap);
        forms.extend(lines.map(|line| String::from_utf8_lossy(line).into_owned()));
    }
    let numbers = |separator: &str| {
        let all: Vec<_> = secret.iter().map(u8::to_string).collect();
        all.join(separator)
    };
    forms.extend([
        encoded,
        HEXLOWER.encode(secret),
        HEXUPPER.encode(secret),
        secret.escape_ascii().to_string(),
        // The debug text and the JSON of bytes.
        numbers(", "),
        numbers(","),
    ]);
    // Inside a longer text each byte can be at any of three places of a group of four letters. Letters that hold bits of a
    // neighbour are left out.
    for before in 0..3 {
        let shifted = [&[0; 3][..before], secret].concat();
        let (first, last) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
        forms.insert(BASE64_NOPAD.encode(&shifted)[first..last].to_owned());
        forms.insert(BASE64URL_NOPAD.encode(&shifted)[first..last].to_owned());
    }
}

#[cfg(test)]
mod tests;
