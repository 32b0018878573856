//! What is known of an unknown value: that it is not null, how it begins, its bounds (contract: tfplugin6, section 3.2).
//!
//! Core sends refinements in configurations and keeps them; what we plan with one must hold after apply. Authors ask for
//! them with the words `never_null` and `begins = ".."` on a computed attribute.

use rmp::decode::{self, Bytes};
use rmp::encode;

use crate::value::distinct;
use crate::{Number, Type, Value};

/// Core cuts longer prefixes, and refuses a body of more than 1 KiB.
const LONGEST_PREFIX: usize = 256;

/// A bound of a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    /// The bound.
    pub at: Number,
    /// Whether the bound itself is possible.
    pub inclusive: bool,
}

/// What is known of an unknown value. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refinement {
    /// Whether it is known to be null, or known not to be.
    pub null: Option<bool>,
    /// How the text begins.
    pub prefix: Option<String>,
    /// The number is at least this.
    pub lower: Option<Bound>,
    /// The number is at most this.
    pub upper: Option<Bound>,
    /// The collection has at least so many elements.
    pub shortest: Option<u64>,
    /// The collection has at most so many elements.
    pub longest: Option<u64>,
}

impl Refinement {
    /// Known not to be null.
    pub fn never_null() -> Self {
        Self {
            null: Some(false),
            ..Self::default()
        }
    }

    /// A text that begins like this, so it is not null either.
    pub fn begins(prefix: &str) -> Self {
        let end = (0..=prefix.len().min(LONGEST_PREFIX))
            .rev()
            .find(|end| prefix.is_char_boundary(*end))
            .unwrap_or(0);
        Self {
            prefix: Some(prefix[..end].to_owned()),
            ..Self::never_null()
        }
    }

    /// Whether a value of this type is one that this refinement allows. An unknown value may turn out to be.
    pub fn admits(&self, value: &Value, of: &Type) -> bool {
        let within = |least: usize, most: usize| {
            let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
            self.shortest.is_none_or(|shortest| count(most) >= shortest)
                && self.longest.is_none_or(|longest| count(least) <= longest)
        };
        match value {
            Value::Unknown(_) => true,
            Value::Null => self.null != Some(false),
            _ if self.null == Some(true) => false,
            Value::String(text) => self
                .prefix
                .as_ref()
                .is_none_or(|prefix| text.starts_with(prefix.as_str())),
            Value::Number(number) => {
                let above =
                    self.lower
                        .as_ref()
                        .is_none_or(|bound| match number.compare(&bound.at) {
                            std::cmp::Ordering::Less => false,
                            std::cmp::Ordering::Equal => bound.inclusive,
                            std::cmp::Ordering::Greater => true,
                        });
                let below =
                    self.upper
                        .as_ref()
                        .is_none_or(|bound| match number.compare(&bound.at) {
                            std::cmp::Ordering::Greater => false,
                            std::cmp::Ordering::Equal => bound.inclusive,
                            std::cmp::Ordering::Less => true,
                        });
                above && below
            }
            Value::List(elements) => {
                let (least, most) = count(elements, of);
                within(least, most)
            }
            Value::Map(elements) => within(elements.len(), elements.len()),
            Value::Dynamic(dynamic) => self.admits(&dynamic.value, &dynamic.of),
            Value::Bool(_) => true,
        }
    }

    /// From the body of the extension. Keys of a newer core are skipped; a body that makes no sense refines nothing.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let mut input = Bytes::new(body);
        let mut found = Self::default();
        let count = decode::read_map_len(&mut input).ok()?;
        for _ in 0..count {
            let key: u64 = decode::read_int(&mut input).ok()?;
            match key {
                1 => found.null = Some(decode::read_bool(&mut input).ok()?),
                2 => found.prefix = Some(crate::msgpack::text(&mut input).ok()?),
                3 => found.lower = Some(bound(&mut input)?),
                4 => found.upper = Some(bound(&mut input)?),
                5 => found.shortest = Some(decode::read_int(&mut input).ok()?),
                6 => found.longest = Some(decode::read_int(&mut input).ok()?),
                // Without a schema for it, what follows an unknown key cannot be delimited safely.
                _ => break,
            }
        }
        (found != Self::default()).then_some(found)
    }

    /// To the body of the extension.
    pub(crate) fn body(&self) -> Vec<u8> {
        const INFALLIBLE: &str = "writing to a Vec does not fail";
        let mut fields: Vec<Vec<u8>> = Vec::new();
        let mut field = |key: u8, write: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = vec![key];
            write(&mut bytes);
            fields.push(bytes);
        };
        if let Some(null) = self.null {
            field(1, &|out| encode::write_bool(out, null).expect(INFALLIBLE));
        }
        if let Some(prefix) = &self.prefix {
            field(2, &|out| encode::write_str(out, prefix).expect(INFALLIBLE));
        }
        for (key, bound) in [(3, &self.lower), (4, &self.upper)] {
            if let Some(bound) = bound {
                field(key, &|out| {
                    encode::write_array_len(out, 2).expect(INFALLIBLE);
                    crate::msgpack::write_number(out, &bound.at);
                    encode::write_bool(out, bound.inclusive).expect(INFALLIBLE);
                });
            }
        }
        for (key, count) in [(5, self.shortest), (6, self.longest)] {
            if let Some(count) = count {
                field(key, &|out| {
                    encode::write_uint(out, count).expect(INFALLIBLE);
                });
            }
        }
        let mut out = Vec::new();
        encode::write_map_len(&mut out, u32::try_from(fields.len()).expect("six at most"))
            .expect(INFALLIBLE);
        out.extend(fields.into_iter().flatten());
        out
    }
}

/// How many elements core will count: those of a set that are equal are one, and unknown ones may turn out to be.
fn count(elements: &[Value], of: &Type) -> (usize, usize) {
    let Type::Set(of) = of else {
        return (elements.len(), elements.len());
    };
    let distinct = distinct(elements, of);
    let known = distinct.iter().all(|element| element.is_wholly_known());
    let least = if known { distinct.len() } else { 1 };
    (least, distinct.len())
}

fn bound(input: &mut Bytes<'_>) -> Option<Bound> {
    if decode::read_array_len(input).ok()? != 2 {
        return None;
    }
    let at = crate::msgpack::number(input).ok()?;
    let inclusive = decode::read_bool(input).ok()?;
    Some(Bound { at, inclusive })
}

#[cfg(test)]
mod tests {
    use super::{Bound, Refinement};
    use crate::{Number, Type, Value};

    fn number(text: &str) -> Number {
        Number::parse(text).expect("decimal")
    }

    #[test]
    fn what_core_sends_is_read_and_written_alike() {
        // "pre-${unknown}", as seen on the wire: {1: false, 2: "pre-"}.
        let body = b"\x82\x01\xc2\x02\xa4pre-";
        let refinement = Refinement::read(body).expect("a refinement");
        assert_eq!(refinement, Refinement::begins("pre-"));
        assert_eq!(refinement.body(), body);
        let full = Refinement {
            null: Some(false),
            prefix: None,
            lower: Some(Bound {
                at: number("-1.5"),
                inclusive: true,
            }),
            upper: Some(Bound {
                at: number("300"),
                inclusive: false,
            }),
            shortest: Some(1),
            longest: Some(70_000),
        };
        assert_eq!(Refinement::read(&full.body()), Some(full));
    }

    #[test]
    fn nonsense_refines_nothing() {
        for body in [&b""[..], b"\xc0", b"\x81", b"\x81\x01\xa1x", b"\x80"] {
            assert_eq!(Refinement::read(body), None, "{body:?}");
        }
        // A key of a newer core ends the reading; what came before it holds.
        assert_eq!(
            Refinement::read(b"\x82\x01\xc2\x63\xc0"),
            Some(Refinement::never_null())
        );
    }

    #[test]
    fn a_value_keeps_what_was_promised() {
        let bounds = Refinement {
            lower: Some(Bound {
                at: number("2"),
                inclusive: false,
            }),
            upper: Some(Bound {
                at: number("10"),
                inclusive: true,
            }),
            ..Refinement::default()
        };
        for (text, fits) in [
            ("2", false),
            ("2.5", true),
            ("10", true),
            ("10.1", false),
            ("-3", false),
        ] {
            let value = Value::Number(number(text));
            assert_eq!(bounds.admits(&value, &Type::Number), fits, "{text}");
        }
        let begins = Refinement::begins("id-");
        let word = |word: &str| Value::String(word.to_owned());
        assert!(begins.admits(&word("id-1"), &Type::String));
        assert!(!begins.admits(&word("x"), &Type::String));
        assert!(!begins.admits(&Value::Null, &Type::String));
        assert!(begins.admits(&Value::UNKNOWN, &Type::String));
    }

    #[test]
    fn elements_are_counted_as_core_counts_them() {
        let two = Refinement {
            shortest: Some(2),
            longest: Some(2),
            ..Refinement::default()
        };
        let (list, set) = (
            Type::List(Box::new(Type::String)),
            Type::Set(Box::new(Type::String)),
        );
        let admits = |words: &[&str], of: &Type| {
            let word = |word: &&str| match *word {
                "?" => Value::UNKNOWN,
                word => Value::String(word.to_owned()),
            };
            two.admits(&Value::List(words.iter().map(word).collect()), of)
        };
        for (words, in_list, in_set) in [
            (&[][..], false, false),
            (&["a"], false, false),
            (&["a", "b"], true, true),
            (&["a", "a"], true, false),
            (&["a", "b", "a"], false, true),
            (&["a", "b", "c"], false, false),
            (&["?", "a", "b"], false, true),
            (&["?"], false, false),
        ] {
            assert_eq!(admits(words, &list), in_list, "a list of {words:?}");
            assert_eq!(admits(words, &set), in_set, "a set of {words:?}");
        }
    }

    #[test]
    fn a_prefix_is_cut_at_a_letter() {
        let long = "ä".repeat(200);
        let refinement = Refinement::begins(&long);
        assert_eq!(refinement.prefix.expect("a prefix").len(), 256);
    }
}
