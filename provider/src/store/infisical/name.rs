//! Where an entry stands in Infisical, both ways: the last word of its name is the key, the words before it are folders.
//!
//! Keys take every character that a word of a name has. Folders take letters, digits, `-` and `_` only, so a dot is written `_2E` there, and
//! the `_` of a text that looks like that is written `_5F`.

use super::super::Name;

/// Folder and key of an entry below the folder `base`.
pub(super) fn place(base: &str, name: &Name) -> (String, String) {
    let (folders, key) = name
        .as_str()
        .rsplit_once('/')
        .unwrap_or(("", name.as_str()));
    let mut folder = base.trim_matches('/').to_owned();
    for word in folders.split('/').filter(|word| !word.is_empty()) {
        if !folder.is_empty() {
            folder.push('/');
        }
        folder.push_str(&escape(word));
    }
    (format!("/{folder}"), key.to_owned())
}

/// The entry of a key in a folder; `None`: it is not below `base`, or nothing that a store writes.
pub(super) fn name(base: &str, folder: &str, key: &str) -> Option<Name> {
    let below = format!("{}/", folder.trim_matches('/'));
    let base = match base.trim_matches('/') {
        "" => String::new(),
        base => format!("{base}/"),
    };
    let words = below.strip_prefix(&base)?;
    let mut text: String = words
        .split('/')
        .filter(|word| !word.is_empty())
        .map(|word| unescape(word) + "/")
        .collect();
    text.push_str(key);
    Name::parse(&text).ok()
}

fn escape(word: &str) -> String {
    let mut escaped = String::new();
    for (index, character) in word.char_indices() {
        let rest = &word[index..];
        match character {
            '.' => escaped.push_str("_2E"),
            '_' if rest.starts_with("_2E") || rest.starts_with("_5F") => escaped.push_str("_5F"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn unescape(word: &str) -> String {
    let (mut text, mut rest) = (String::new(), word);
    while let Some(character) = rest.chars().next() {
        let (plain, length) = match rest.get(..3) {
            Some("_2E") => ('.', 3),
            Some("_5F") => ('_', 3),
            _ => (character, character.len_utf8()),
        };
        text.push(plain);
        rest = &rest[length..];
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_find_entries_where_they_expect_them() {
        let place = |base: &str, text: &str| place(base, &Name::parse(text).unwrap());
        let pair = |folder: &str, key: &str| (folder.to_owned(), key.to_owned());
        assert_eq!(
            place("/clusters/home", "nodes/cp-1/host-key"),
            pair("/clusters/home/nodes/cp-1", "host-key")
        );
        assert_eq!(
            place("/clusters/home/", "join/K8S_JOIN_TOKEN"),
            pair("/clusters/home/join", "K8S_JOIN_TOKEN")
        );
        assert_eq!(place("/", "pki"), pair("/", "pki"));
        assert_eq!(place("/c", "nodes/n.1/a.b"), pair("/c/nodes/n_2E1", "a.b"));
        assert_eq!(name("/clusters/home", "/clusters/homely", "x"), None);
        assert_eq!(name("/clusters/home", "/clusters", "x"), None);
    }

    proptest! {
        #[test]
        fn every_name_comes_back_and_no_two_share_a_place(
            words in proptest::collection::vec("[A-Za-z0-9_-][A-Z0-9._-]{0,9}", 1..5),
            base in "(/[a-z]{1,5}){0,2}",
        ) {
            let parsed = Name::parse(&words.join("/")).unwrap();
            let (folder, key) = place(&base, &parsed);
            prop_assert!(folder.chars().all(|c| c.is_ascii_alphanumeric() || "/-_".contains(c)));
            prop_assert_eq!(name(&base, &folder, &key), Some(parsed));
        }
    }
}
