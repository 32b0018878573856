//! Query strings of list calls: paging, repeated keys, and a refusal of what the lab does not know.

use super::error::Refusal;

/// `page_size` above this is clamped.
const LARGEST_PAGE: usize = 100;

/// A parsed query string.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes the pairs in the order sent; keys outside `accepted` and the paging keys are refused.
    pub(super) fn parse(pairs: Vec<(String, String)>, accepted: &[&str]) -> Result<Self, Refusal> {
        for (key, _) in &pairs {
            if !accepted.contains(&key.as_str()) && !["page", "page_size"].contains(&key.as_str()) {
                return Err(Refusal::unknown_to_lab(
                    key,
                    &format!("the query parameter {key:?}"),
                ));
            }
        }
        Ok(Self(pairs))
    }

    /// All values of a repeated key.
    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The last value of a key.
    pub(super) fn one(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// True when the key is absent or has exactly this value.
    pub(super) fn admits(&self, key: &str, value: &str) -> bool {
        self.one(key).is_none_or(|wanted| wanted == value)
    }

    /// Refuses a value outside the accepted ones.
    pub(super) fn one_of(&self, key: &str, accepted: &[&str]) -> Result<Option<&str>, Refusal> {
        match self.one(key) {
            Some(value) if !accepted.contains(&value) => Err(Refusal::invalid(
                key,
                "constraint",
                &format!("one of {}", accepted.join(", ")),
            )),
            other => Ok(other),
        }
    }

    /// The asked page and the number of all items. `default_size` `None` means that the whole list comes without `page_size`.
    pub(super) fn page<T>(
        &self,
        items: Vec<T>,
        default_size: Option<usize>,
    ) -> Result<(Vec<T>, usize), Refusal> {
        let total = items.len();
        let page = self.number("page")?.unwrap_or(1);
        let size = self
            .number("page_size")?
            .or(default_size)
            .map_or(total.max(1), |size| size.min(LARGEST_PAGE));
        let skipped = (page - 1).saturating_mul(size);
        Ok((items.into_iter().skip(skipped).take(size).collect(), total))
    }

    fn number(&self, key: &str) -> Result<Option<usize>, Refusal> {
        let Some(text) = self.one(key) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(0) | Err(_) => Err(Refusal::invalid(key, "constraint", "a whole number from 1")),
            Ok(number) => Ok(Some(number)),
        }
    }
}
