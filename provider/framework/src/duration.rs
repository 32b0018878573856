//! `DurationText`: a length of time that keeps the text it was written as ("120m", "1h30m", "90s").

use std::fmt;
use std::time::Duration;

use crate::field::{Source, mismatch};
use crate::schema::Shape;
use crate::{Attr, Diagnostics, Field, Type, Value};

/// A duration as written. Text from old state may be malformed; [`DurationText::get`] then gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationText(String);

impl DurationText {
    /// Parses `1h30m`, `90s`, `500ms`.
    pub fn parse(text: &str) -> Option<Self> {
        duration(text).map(|_| Self(text.to_owned()))
    }

    /// The duration.
    pub fn get(&self) -> Option<Duration> {
        duration(&self.0)
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for DurationText {
    /// For literals: defaults in schemas.
    fn from(text: &'static str) -> Self {
        Self::parse(text).expect("a literal duration is well formed")
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Field for DurationText {
    fn shape() -> Shape {
        Shape::Plain(Type::String)
    }
    fn decode(value: &Value, source: Source) -> Result<Attr<Self>, Diagnostics> {
        match value {
            Value::Null => Ok(Attr::Null),
            Value::Unknown(_) => Ok(Attr::Unknown),
            Value::String(text) if source == Source::State || duration(text).is_some() => {
                Ok(Attr::Known(Self(text.clone())))
            }
            Value::String(_) => {
                let sentence = "Must be a duration such as \"90s\", \"120m\" or \"1h30m\".";
                Err(Diagnostics::error("Invalid value", sentence))
            }
            other => Err(mismatch("a string", other)),
        }
    }
    fn encode(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// Numbers with units h, m, s, ms, in any order; nothing else.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|one: char| !one.is_ascii_digit())?;
        let count: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|one: char| one.is_ascii_digit())
            .unwrap_or(rest.len());
        let each = match &rest[..unit] {
            "h" => Duration::from_hours(1),
            "m" => Duration::from_mins(1),
            "s" => Duration::from_secs(1),
            "ms" => Duration::from_millis(1),
            _ => return None,
        };
        total = total.checked_add(each.checked_mul(u32::try_from(count).ok()?)?)?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::DurationText;

    #[test]
    fn units_add_up_and_the_text_stays() {
        let parsed = DurationText::parse("1h30m").expect("well formed");
        assert_eq!(
            (parsed.get(), parsed.text()),
            (Some(Duration::from_mins(90)), "1h30m")
        );
        for wrong in ["", "5", "5d", "m", "-5m", "1.5h", "5 m"] {
            assert_eq!(DurationText::parse(wrong), None, "{wrong}");
        }
    }
}
