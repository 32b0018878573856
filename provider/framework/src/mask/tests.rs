//! Whatever a secret is, and however it is printed: it is not in what the mask lets through.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, HEXLOWER};
use proptest::prelude::*;

use super::{Mask, SHORTEST};

fn mask_of(secrets: &[&[u8]]) -> Mask {
    let mut mask = Mask::new();
    for secret in secrets {
        mask.add(secret);
    }
    mask
}

#[test]
fn it_is_masked_in_every_form() {
    let secret = "p\u{e4}ss \"w\u{1}rd\" <&>/+%";
    let mask = mask_of(&[secret.as_bytes()]);
    for printed in [
        secret.to_owned(),
        serde_json::to_string(secret).expect("JSON"),
        "\"p\u{e4}ss \\\"w\\u0001rd\\\" \\u003c\\u0026\\u003e/+%\"".to_owned(),
        format!("{:?}", secret.to_owned()),
        format!("{:?}", secret.as_bytes()),
        format!("{:?}", secret.as_bytes().to_vec()),
        secret.as_bytes().escape_ascii().to_string(),
        "p%C3%A4ss+%22w%01rd%22+%3C%26%3E%2F%2B%25".to_owned(),
        "p%c3%a4ss%20%22w%01rd%22%20%3c%26%3e%2f%2b%25".to_owned(),
        "p%C3%A4ss%20%22w%01rd%22%20%3C&%3E/+%25".to_owned(),
        BASE64.encode(secret.as_bytes()),
        BASE64URL.encode(secret.as_bytes()),
        HEXLOWER.encode(secret.as_bytes()),
        HEXLOWER.encode(secret.as_bytes()).to_uppercase(),
    ] {
        let shown = mask.apply(&format!("before {printed} after"));
        let rest = shown.replace("before ", "").replace(" after", "");
        let rest = rest.trim_matches(['"', '[', ']', '=', '*']);
        // Of base64 at most a letter stays that holds no whole byte.
        assert!(rest.len() <= 1, "{rest:?} is left of {printed:?}");
    }
}

#[test]
fn a_key_is_masked_line_by_line() {
    let body = BASE64.encode(&(0..=255).cycle().take(1000).collect::<Vec<u8>>());
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    );
    let mask = mask_of(&[pem.as_bytes()]);
    for line in &lines {
        let shown = mask.apply(&format!("line: {line}"));
        assert!(shown == "line: ***" || line.len() < SHORTEST, "{shown}");
    }
    assert_eq!(mask.apply(&pem.replace('\n', "\\n")), "***");
    assert_eq!(
        mask.apply("-----BEGIN PRIVATE KEY-----"),
        "-----BEGIN PRIVATE KEY-----"
    );
    // The key as bytes, printed as PEM by somebody else.
    let bytes = BASE64.decode(body.as_bytes()).expect("base64");
    let mask = mask_of(&[&bytes]);
    for line in &lines {
        assert_eq!(mask.apply(line), "***", "{line}");
    }
}

#[test]
fn secrets_that_overlap_leave_nothing() {
    let mask = mask_of(&[b"abcdefgh", b"efghijkl", b"abcdefghijkl-and-more"]);
    assert_eq!(mask.apply("<abcdefghijkl>"), "<***>");
    assert_eq!(mask.apply("abcdefghefghijkl"), "***");
    assert_eq!(mask.apply("abcdefgh abcdefgh"), "*** ***");
}

#[test]
fn short_and_blank_texts_are_not_secrets() {
    let mask = mask_of(&[b"", b"short", b"          ", b"-----\n--\n"]);
    for text in ["", "short", "  indented          text", "--"] {
        assert_eq!(mask.apply(text), text);
    }
}

#[test]
fn many_secrets_are_searched_in_few_passes() {
    let mut mask = Mask::new();
    for number in 0..500 {
        mask.add(format!("secret number {number}").as_bytes());
        mask.add(format!("secret number {number}").as_bytes());
    }
    assert!(mask.searches.len() <= 16, "{}", mask.searches.len());
    assert_eq!(
        mask.apply("secret number 17 and secret number 499"),
        "*** and ***"
    );
}

/// A secret: mostly text as people and machines make it, sometimes bytes.
fn secret() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[!-~]{6,40}".prop_map(String::into_bytes),
        "\\PC{6,20}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 6..80),
    ]
}

proptest! {
    #[test]
    fn nothing_is_left_in_the_middle_of_anything(secret in secret(), before in "\\PC{0,9}", after in "\\PC{0,9}") {
        prop_assume!(String::from_utf8_lossy(&secret).trim().len() >= SHORTEST);
        let mask = mask_of(&[&secret]);
        // base64 of the secret between others' bytes.
        let all = [before.as_bytes(), &secret, after.as_bytes()].concat();
        let own = (before.len() * 8).div_ceil(6)..(before.len() + secret.len()) * 8 / 6;
        for encoding in [&BASE64_NOPAD, &BASE64URL] {
            let printed = encoding.encode(&all);
            prop_assert!(!mask.apply(&printed).contains(&printed[own.clone()]));
        }
        if let Ok(text) = std::str::from_utf8(&secret) {
            let printed = format!("{before}{text}{after}");
            let json = serde_json::to_string(&printed).expect("JSON");
            for printed in [&printed, &json, &format!("{printed:?}")] {
                let shown = mask.apply(printed);
                prop_assert!(!shown.contains(text), "{}", shown);
                prop_assert!(shown.contains("***"), "{}", shown);
            }
        }
    }

    #[test]
    fn what_is_no_secret_stays(text in "[a-m \\\\n]{0,200}", secret in "[n-z]{6,20}") {
        prop_assert_eq!(mask_of(&[secret.as_bytes()]).apply(&text), text);
    }
}
