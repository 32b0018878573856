//! One line: a JSON object of at most 60 KiB, whatever the fields hold.

use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::io::Write;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::level::Levels;

/// Core cuts lines at 64 KiB into pieces it cannot read.
const LONGEST_LINE: usize = 60 * 1024;
/// How long a text may be, the first of these that makes the line fit.
const LONGEST_TEXT: [usize; 4] = [16 * 1024, 4 * 1024, 512, 64];

/// The layer that writes lines.
pub(super) struct Hclog<O> {
    levels: Levels,
    out: O,
}

impl<O> Hclog<O> {
    pub(super) fn new(levels: Levels, out: O) -> Self {
        Self { levels, out }
    }
}

/// The fields of a span, kept with it.
struct Fields(Map<String, Json>);

/// Collects fields, masked: what is cut later could be the half of a secret.
struct Collect<'a>(&'a mut Map<String, Json>);

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // A broken Debug leaves what it wrote.
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_str(field, &crate::chain(value));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        let text = crate::masked(value);
        self.0.insert(field.name().to_owned(), text.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl<S, O, W> Layer<S> for Hclog<O>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    O: Fn() -> W + 'static,
    W: Write,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut Collect(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Fields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(&mut Collect(&mut fields.0));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Map::new();
        let spans = context.event_scope(event).into_iter();
        for span in spans.flat_map(Scope::from_root) {
            if let Some(Fields(all)) = span.extensions().get() {
                // A secret may have become one after the span began.
                let again = all.iter().map(|(name, value)| match value {
                    Json::String(text) => (name.clone(), crate::masked(text).into()),
                    other => (name.clone(), other.clone()),
                });
                fields.extend(again.filter(|(name, _)| name != "message"));
            }
        }
        event.record(&mut Collect(&mut fields));
        let metadata = event.metadata();
        let module = self.levels.module(metadata.target());
        let text = line(*metadata.level(), &module, Timestamp::now(), fields) + "\n";
        // Core may be gone; a log line is no reason to fail.
        let _ = (self.out)().write_all(text.as_bytes());
    }
}

/// The line without its end.
pub(super) fn line(
    level: Level,
    module: &str,
    time: Timestamp,
    mut fields: Map<String, Json>,
) -> String {
    let message = match fields.remove("message") {
        Some(Json::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    LONGEST_TEXT
        .iter()
        .map(|longest| object(level, module, time, &message, &fields, *longest))
        .find(|line| line.len() < LONGEST_LINE)
        // Thousands of fields: the message alone.
        .unwrap_or_else(|| object(level, module, time, &message, &Map::new(), LONGEST_TEXT[2]))
}

fn object(
    level: Level,
    module: &str,
    time: Timestamp,
    message: &str,
    fields: &Map<String, Json>,
    longest: usize,
) -> String {
    let mut all = Map::new();
    // Six digits and Z: with any other number of digits core shows the raw line.
    let time = time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    for (name, text) in [
        ("@level", word(level)),
        ("@message", &printable(cut(message, longest))),
        ("@module", &printable(cut(module, longest))),
        ("@timestamp", &time),
    ] {
        all.insert(name.to_owned(), text.into());
    }
    for (name, value) in fields {
        // The four above are ours: core dies of a wrong one.
        let mut name = printable(cut(name, longest));
        if name.starts_with('@') {
            name.replace_range(..1, "_");
        }
        let value = match value {
            Json::String(text) => printable(cut(text, longest)).into(),
            other => other.clone(),
        };
        all.insert(name, value);
    }
    Json::Object(all).to_string()
}

/// The beginning of a text that is too long.
fn cut(text: &str, longest: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= longest {
        return text.into();
    }
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end));
    format!("{} ...", &text[..end.unwrap_or(0)]).into()
}

/// The text on one line: core prints control characters as they are, and a terminal obeys them.
pub(in super::super) fn printable(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

fn word(level: Level) -> &'static str {
    match level {
        Level::TRACE => "trace",
        Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warn",
        Level::ERROR => "error",
    }
}
