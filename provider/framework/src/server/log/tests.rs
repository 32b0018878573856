//! Every line is one that core can read, and no line has a secret, whatever is logged.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value as Json};
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;

use super::level::Levels;
use super::line::{Hclog, line};
use crate::Secret;

/// What core insists on.
fn well_formed(line: &str) -> Result<Map<String, Json>, TestCaseError> {
    prop_assert!(line.len() < 64 * 1024, "{} bytes", line.len());
    prop_assert!(!line.chars().any(char::is_control), "{line:.200}");
    let Ok(Json::Object(all)) = serde_json::from_str(line) else {
        return Err(TestCaseError::fail(format!("no object: {line:.200}")));
    };
    for name in ["@level", "@message", "@module", "@timestamp"] {
        prop_assert!(all[name].is_string(), "{name} in {line:.200}");
    }
    let level = all["@level"].as_str().unwrap_or_default();
    prop_assert!(["trace", "debug", "info", "warn", "error"].contains(&level));
    // YYYY-MM-DDTHH:MM:SS.ffffffZ
    let time = all["@timestamp"].as_str().unwrap_or_default();
    let form: String = time
        .chars()
        .map(|one| if one.is_ascii_digit() { '9' } else { one })
        .collect();
    prop_assert_eq!(form, "9999-99-99T99:99:99.999999Z");
    let escaped = |text: &str| {
        text.chars()
            .any(|one| one.is_control() || one == '\u{2028}')
    };
    for (name, value) in &all {
        prop_assert!(!escaped(name) && !value.as_str().is_some_and(escaped));
    }
    Ok(all)
}

/// Any text: short, strange, long.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => any::<String>(),
        4 => "[\\x00-\\x1f\\x7f\\u{85}\\u{2028}\"\\\\a]{0,40}",
        2 => prop::sample::select(vec!["", "\n", "\r\n", "{\"@level\": 5}", "panic: x", "\u{1b}[31m", "a\\nb"]).prop_map(str::to_owned),
        1 => ("[\\x00\"\\\\a\u{10ffff}]", 0..1_100_000_usize).prop_map(|(letter, count)| letter.repeat(count)),
    ]
}

fn value() -> impl Strategy<Value = Json> {
    prop_oneof![
        6 => text().prop_map(Json::from),
        1 => any::<i64>().prop_map(Json::from),
        1 => any::<u64>().prop_map(Json::from),
        1 => any::<bool>().prop_map(Json::from),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "@level",
            "@message",
            "@timestamp",
            "@module",
            "message",
            "@",
            "tf_rpc"
        ])
        .prop_map(str::to_owned),
        text(),
    ]
}

fn level() -> impl Strategy<Value = Level> {
    prop::sample::select(vec![
        Level::TRACE,
        Level::DEBUG,
        Level::INFO,
        Level::WARN,
        Level::ERROR,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_line_is_well_formed(
        level in level(), module in text(), fields in prop::collection::btree_map(name(), value(), 0..12),
        nanoseconds in -377_705_023_201_000_000_000_i128..253_402_207_200_999_999_999_i128,
    ) {
        // The years that a timestamp can have four digits in.
        let time = Timestamp::from_nanosecond(nanoseconds.max(-62_135_596_800_000_000_000)).expect("a year of four digits");
        well_formed(&line(level, &module, time, fields.into_iter().collect()))?;
    }

    #[test]
    fn what_is_logged_arrives(message in text(), field in text(), number in any::<i64>(), float in any::<f64>()) {
        let all = logged(|| {
            let span = tracing::info_span!("call", tf_rpc = "Read", "@level" = %field, message = "of the span", late = tracing::field::Empty);
            let _guard = span.enter();
            span.record("late", &*field);
            tracing::info!("@timestamp" = number, "@message" = ?field, float, big = u128::MAX, broken = ?Broken, "{message}");
            tracing::warn!(message = number, bytes = ?std::ffi::OsStr::new("x"), error = &Outer(Inner) as &dyn std::error::Error);
            tracing::error!(text = ?field);
        });
        prop_assert_eq!(all.len(), 3);
        let lines: Vec<_> = all.iter().map(|line| well_formed(line)).collect::<Result<_, _>>()?;
        prop_assert_eq!(&lines[0]["tf_rpc"], "Read");
        prop_assert_eq!(&lines[0]["@level"], "info");
        if message.len() < 100 {
            let escaped = super::printable(&message);
            prop_assert_eq!(lines[0]["@message"].as_str(), Some(&*escaped));
        }
        prop_assert_eq!(lines[1]["@message"].as_str(), Some(&*number.to_string()));
        prop_assert_eq!(&lines[1]["error"], "outer: inner");
        prop_assert_eq!(&lines[2]["@message"], "");
    }

    #[test]
    fn a_secret_is_in_no_line(secret in "[ -~]{8,60}|\\PC{6,30}", around in "[a-z]{0,5}", long in 0..40_000_usize) {
        prop_assume!(secret.trim().len() >= 6);
        let secret = Secret::new(format!("{secret}-{}", "unlikely by chance"));
        let shown = secret.expose().as_str();
        let pem = format!("-----BEGIN X-----\n{}\n{shown}\n-----END X-----", "QUJD".repeat(16));
        let pem = Secret::new(pem);
        let error = Hidden(io::Error::other(format!("{around}{shown}")));
        let basic = data_encoding::BASE64.encode(format!("{around}{shown}{around}").as_bytes());
        let at_the_cut = format!("{}{shown}", "x".repeat(long));
        let all = logged(|| {
            let span = tracing::info_span!("call", field = shown, debug = ?shown, late = tracing::field::Empty);
            let _guard = span.enter();
            span.record("late", shown);
            tracing::trace!("{around}{shown}{around}");
            tracing::info!(field = shown, debug = ?Some(shown), error = &error as &dyn std::error::Error, chain = crate::chain(&error), "x");
            tracing::info!(%basic, bytes = ?shown.as_bytes(), url = form(shown), "{at_the_cut}");
            for line in pem.expose().lines() {
                tracing::info!("line {line}");
            }
            tracing::info!(?pem, text = pem.expose(), secret = ?secret);
        });
        let escaped = super::printable(shown);
        let own = (around.len() * 8).div_ceil(6)..(around.len() + shown.len()) * 8 / 6;
        for line in &all {
            let fields = well_formed(line)?;
            for text in fields.values().filter_map(Json::as_str) {
                for hidden in [shown, &escaped, &basic[own.clone()], &"QUJD".repeat(16)] {
                    prop_assert!(!text.contains(hidden), "{hidden} in {text:.300}");
                }
                // Nor its beginning where a text was cut.
                prop_assert!(!text.contains(&escaped[..escaped.char_indices().nth(7).map_or(escaped.len(), |(at, _)| at)]), "{text:.300}");
            }
        }
    }
}

#[test]
fn many_fields_fit_too() -> Result<(), TestCaseError> {
    for (count, length) in [(10, 7_000), (100, 5_000), (1_000, 20), (5_000, 5)] {
        let fields =
            (0..count).map(|number| (format!("field {number}"), "x".repeat(length).into()));
        let fields = fields.chain([("message".to_owned(), "the message".into())]);
        let all = well_formed(&line(Level::INFO, "m", Timestamp::now(), fields.collect()))?;
        assert_eq!(all["@message"], "the message", "{count} fields of {length}");
        assert_eq!(all.len(), if count < 5_000 { count + 4 } else { 4 });
    }
    Ok(())
}

#[test]
fn a_secret_that_becomes_one_later_is_masked_in_the_span() {
    let all = logged(|| {
        let span = tracing::info_span!("call", token = "not a secret yet, but soon");
        let _guard = span.enter();
        let _secret = Secret::new("not a secret yet, but soon".to_owned());
        tracing::info!("x");
    });
    assert!(all[0].contains("\"token\":\"***\""), "{}", all[0]);
}

/// A `Debug` that fails half way.
struct Broken;

impl fmt::Debug for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("half")?;
        Err(fmt::Error)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("inner")]
struct Inner;

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] Inner);

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Hidden(#[source] io::Error);

/// A form field as libraries encode it.
fn form(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crate::cx::lock(&self.0).extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that this writes.
fn logged(work: impl FnOnce()) -> Vec<String> {
    let written = Written::default();
    let levels = Levels::new("test", module_path!(), [("TF_LOG", "TRACE")]);
    let out = written.clone();
    let subscriber = tracing_subscriber::registry().with(Hclog::new(levels, move || out.clone()));
    tracing::subscriber::with_default(subscriber, work);
    let bytes = crate::cx::lock(&written.0).clone();
    let text = String::from_utf8(bytes).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'));
    text.split_terminator('\n').map(str::to_owned).collect()
}
