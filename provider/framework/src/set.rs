//! `Set<T>`: elements without order, kept in the order they came in.
//!
//! A `BTreeSet` will do for texts and numbers. Nested objects need this one: two elements that are not known yet look alike
//! and must stay two, since core counts them.

use crate::field::{Field, Source, elements, mismatch};
use crate::path::Step;
use crate::schema::Shape;
use crate::{Attr, Diagnostics, Value};

/// A set of nested objects: `Attr<Set<Part>>`.
#[derive(Clone, Debug, Default)]
pub struct Set<T>(Vec<T>);

impl<T> Set<T> {
    /// The elements, in no particular order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: PartialEq> PartialEq for Set<T> {
    fn eq(&self, other: &Self) -> bool {
        let mut rest: Vec<&T> = other.0.iter().collect();
        self.0.len() == other.0.len()
            && self.0.iter().all(
                |element| match rest.iter().position(|other| *other == element) {
                    Some(at) => {
                        rest.swap_remove(at);
                        true
                    }
                    None => false,
                },
            )
    }
}

impl<T> From<Vec<T>> for Set<T> {
    fn from(elements: Vec<T>) -> Self {
        Self(elements)
    }
}

impl<T> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

impl<T> IntoIterator for Set<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Set<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Field> Field for Set<T> {
    const SECRET: bool = T::SECRET;
    fn shape() -> Shape {
        T::shape().set_of()
    }
    fn decode(value: &Value, source: Source) -> Result<Attr<Self>, Diagnostics> {
        match value {
            Value::Null => Ok(Attr::Null),
            Value::Unknown(_) => Ok(Attr::Unknown),
            Value::List(values) => elements((0..).map(Step::Index).zip(values), source)
                .map(|all| all.map(Self))
                // A set element has no address: the path ends at the set.
                .map_err(Diagnostics::without_path),
            other => Err(mismatch("a set", other)),
        }
    }
    fn encode(&self) -> Value {
        Value::List(self.0.iter().map(Field::encode).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Set;
    use crate::Attr;

    #[test]
    fn order_means_nothing_and_unknowns_stay_apart() {
        let set = |elements: &[Attr<i64>]| elements.iter().cloned().collect::<Set<_>>();
        let (one, two) = (Attr::Known(1), Attr::Known(2));
        assert_eq!(
            set(&[one.clone(), two.clone()]),
            set(&[two.clone(), one.clone()])
        );
        assert_ne!(set(&[one.clone(), one.clone()]), set(&[one.clone(), two]));
        assert_eq!(set(&[Attr::Unknown, Attr::Unknown]).len(), 2);
        assert_ne!(
            set(&[Attr::Unknown, one.clone()]),
            set(&[Attr::Unknown, Attr::Unknown])
        );
    }
}
