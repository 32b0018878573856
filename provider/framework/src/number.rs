//! Numbers of any size, kept as text.
//!
//! Terraform's numbers have 512 bits; a trip through f64 or i64 changes them and core calls that an inconsistent
//! result. So the text is the value, and equality is that of the canonical decimal text.

use std::fmt;
use std::hash::{Hash, Hasher};

/// Exponents beyond this are refused: writing them out would fill memory.
const LARGEST_EXPONENT: i64 = 4096;

/// A decimal number of any size.
#[derive(Clone, Debug, Eq, PartialOrd, Ord)]
pub struct Number(String);

impl Number {
    /// Parses decimal text, with or without an exponent. `None` when it is not a number.
    pub fn parse(text: &str) -> Option<Self> {
        canonical(text).map(Self)
    }

    /// Canonical decimal text without exponent: `-0.5`, `300`.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The number as an integer, if it is one and fits.
    pub fn to_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The number as an unsigned integer, if it is one and fits.
    pub fn to_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// Which of the two is larger. `Ord` compares the text, which is enough to sort sets.
    pub fn compare(&self, other: &Self) -> std::cmp::Ordering {
        use std::cmp::Ordering;
        let split = |number: &'_ Self| {
            let (negative, digits) = match number.0.strip_prefix('-') {
                Some(rest) => (true, rest.to_owned()),
                None => (false, number.0.clone()),
            };
            let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
            (negative, whole.to_owned(), fraction.to_owned())
        };
        let ((left, left_whole, left_rest), (right, right_whole, right_rest)) =
            (split(self), split(other));
        // Canonical text has no leading zeros, so the longer whole part is the larger one.
        let size = left_whole
            .len()
            .cmp(&right_whole.len())
            .then_with(|| left_whole.cmp(&right_whole))
            .then_with(|| left_rest.cmp(&right_rest));
        match (left, right) {
            (false, false) => size,
            (true, true) => size.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }

    /// From a float; not-a-number and infinity have no decimal text.
    pub fn from_f64(value: f64) -> Option<Self> {
        // Display of f64 is the shortest decimal text that reads back as the same float.
        value
            .is_finite()
            .then(|| Self::parse(&value.to_string()))
            .flatten()
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for Number {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

macro_rules! from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Number {
            fn from(value: $integer) -> Self {
                Self(value.to_string())
            }
        }
    )*};
}
from_integer!(i8, i16, i32, i64, u8, u16, u32, u64, usize);

/// Sign, digits, optional fraction, optional exponent -> text without exponent, leading or trailing zeros.
fn canonical(text: &str) -> Option<String> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], rest[at + 1..].parse::<i64>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty()
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
        || exponent.abs() > LARGEST_EXPONENT
    {
        return None;
    }
    let point = i64::try_from(whole.len()).ok()? + exponent;
    let length = i64::try_from(digits.len()).ok()?;
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let (whole, fraction) = if point <= 0 {
        (String::new(), zeros(-point) + &digits)
    } else if point >= length {
        (digits + &zeros(point - length), String::new())
    } else {
        let at = usize::try_from(point).ok()?;
        (digits[..at].to_owned(), digits[at..].to_owned())
    };
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let mut out = String::new();
    if negative && !(whole.is_empty() && fraction.is_empty()) {
        out.push('-');
    }
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn text_is_canonical() {
        for (given, expected) in [
            ("0.10", "0.1"),
            ("1e3", "1000"),
            ("-0", "0"),
            ("-0.0e5", "0"),
            ("00012", "12"),
            ("1.5E-2", "0.015"),
            ("3.14159265358979323846", "3.14159265358979323846"),
            ("12345678901234567890", "12345678901234567890"),
        ] {
            assert_eq!(
                Number::parse(given)
                    .map(|number| number.to_string())
                    .as_deref(),
                Some(expected),
                "{given}"
            );
        }
    }

    #[test]
    fn size_is_that_of_the_number_not_of_the_text() {
        let sorted = [
            "-300", "-20.5", "-20.25", "0", "0.05", "0.5", "9", "10", "10.001",
        ];
        for pair in sorted.windows(2) {
            let [low, high] = pair else { unreachable!() };
            let (low, high) = (
                Number::parse(low).expect("low"),
                Number::parse(high).expect("high"),
            );
            assert!(
                low.compare(&high).is_lt() && high.compare(&low).is_gt(),
                "{low} {high}"
            );
            assert!(low.compare(&low).is_eq());
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for given in ["", "-", ".", "1e", "1e99999", "0x10", "1 ", "NaN", "1.2.3"] {
            assert_eq!(Number::parse(given), None, "{given}");
        }
    }
}
