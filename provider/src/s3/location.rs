//! `s3://bucket/prefix`.

use std::fmt;

/// A place in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    bucket: String,
    /// Without slashes at its ends; empty for the whole bucket.
    prefix: String,
}

impl Location {
    /// Reads `s3://bucket` or `s3://bucket/some/prefix`.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
        let fits = !bucket.is_empty() && (prefix.is_empty() || prefix.split('/').all(is_part));
        fits.then(|| Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// Reads `s3://bucket/some/prefix/name`: the place and the name.
    pub fn parse_object(text: &str) -> Option<(Self, String)> {
        let whole = Self::parse(text).filter(|_| !text.ends_with('/'))?;
        let (prefix, name) = whole.prefix.rsplit_once('/').unwrap_or(("", &whole.prefix));
        let name = (!name.is_empty()).then(|| name.to_owned())?;
        let place = Self {
            prefix: prefix.to_owned(),
            bucket: whole.bucket,
        };
        Some((place, name))
    }

    /// Name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key of an object of this name.
    pub(super) fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.prefix)
        }
    }

    /// The address of an object of this name.
    pub fn below(&self, name: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.key(name))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() {
            return Ok(());
        }
        write!(out, "/{}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_and_an_object_are_read_and_written_alike() {
        for text in ["s3://bucket", "s3://bucket/prod", "s3://bucket/a/b"] {
            assert_eq!(Location::parse(text).unwrap().to_string(), text);
        }
        let place = Location::parse("s3://bucket/a/").unwrap();
        assert_eq!(
            (place.key("x"), place.below("x")),
            ("a/x".into(), "s3://bucket/a/x".into())
        );
        assert_eq!(Location::parse("s3://bucket").unwrap().key("x"), "x");
        for text in [
            "bucket",
            "s3://",
            "s3:///a",
            "s3://b//a",
            "s3://b/../a",
            "https://b/a",
        ] {
            assert_eq!(Location::parse(text), None, "{text}");
        }
        let (place, name) = Location::parse_object("s3://bucket/a/b/x.age").unwrap();
        assert_eq!(
            (place.to_string().as_str(), name.as_str()),
            ("s3://bucket/a/b", "x.age")
        );
        let (place, name) = Location::parse_object("s3://bucket/x.age").unwrap();
        assert_eq!(
            (place.to_string().as_str(), name.as_str()),
            ("s3://bucket", "x.age")
        );
        assert_eq!(Location::parse_object("s3://bucket"), None);
        assert_eq!(Location::parse_object("s3://bucket/a/"), None);
    }
}
