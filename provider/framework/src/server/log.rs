//! Log lines on stderr, in the form that core reads (contract: tfplugin6, section 1.7), with secrets masked.
//!
//! `@level`, `@message` and `@timestamp` are always strings: anything else crashes Terraform. Other crates log at WARN only:
//! an HTTP library at TRACE prints headers, and headers hold tokens.

use std::fmt::{Debug, Write as _};
use std::io::Write as _;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Core cuts lines at 64 KiB into pieces it cannot read.
const LONGEST_TEXT: usize = 16 * 1024;

/// Starts logging at the level that the environment asks for.
pub(super) fn start(provider: &str, read: impl Fn(&str) -> Option<String>) {
    let own = format!("TF_LOG_PROVIDER_{}", provider.to_uppercase());
    let wanted = read(&own)
        .or_else(|| read("TF_LOG_PROVIDER"))
        .or_else(|| read("TF_LOG"));
    let level = wanted.map_or(LevelFilter::OFF, |text| level(&text));
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("strata", level)
        .with_target("terraform_provider", level);
    // A second start (tests) keeps the first.
    let _ = tracing_subscriber::registry()
        .with(Hclog.with_filter(targets))
        .try_init();
}

fn level(text: &str) -> LevelFilter {
    match text.to_uppercase().as_str() {
        "DEBUG" => LevelFilter::DEBUG,
        "INFO" => LevelFilter::INFO,
        "WARN" => LevelFilter::WARN,
        "ERROR" => LevelFilter::ERROR,
        "OFF" | "" => LevelFilter::OFF,
        // TRACE and JSON; core takes an unknown word for TRACE as well.
        _ => LevelFilter::TRACE,
    }
}

struct Hclog;

/// The fields of a span, kept with it.
struct Fields(Map<String, Json>);

struct Collect<'a>(&'a mut Map<String, Json>);

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = crate::masked(value);
        if text.len() > LONGEST_TEXT {
            let end = (0..=LONGEST_TEXT)
                .rev()
                .find(|end| text.is_char_boundary(*end))
                .unwrap_or(0);
            text.truncate(end);
            text.push_str(" ...");
        }
        self.0.insert(
            field.name().to_owned(),
            Json::String(text.replace('\n', "\\n")),
        );
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

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Hclog {
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
        let mut line = Map::new();
        for span in context
            .event_scope(event)
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.extend(fields.0.clone());
            }
        }
        event.record(&mut Collect(&mut line));
        let message = line
            .remove("message")
            .and_then(|text| text.as_str().map(str::to_owned))
            .unwrap_or_default();
        line.insert("@level".to_owned(), word(*event.metadata().level()).into());
        line.insert("@message".to_owned(), message.into());
        line.insert(
            "@module".to_owned(),
            event.metadata().target().replace("::", ".").into(),
        );
        // Six digits and Z: with any other number of digits core shows the raw line.
        let time = Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
            .to_string();
        line.insert("@timestamp".to_owned(), time.into());
        let text = Json::Object(line).to_string() + "\n";
        // Core may be gone; a log line is no reason to fail.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
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
