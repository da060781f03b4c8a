//! Lists that are bounded while they are deserialized.

use call::check;
use registry::Error;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::marker::PhantomData;

/// A list from the wire that stores at most `MAX` elements. A body of 4 MiB can hold a million empty elements, which would take
/// many times its size in memory. Further elements are parsed and counted, so that `check` can refuse the list for its length.
#[derive(Debug)]
pub struct Bounded<T, const MAX: usize> {
    kept: Vec<T>,
    count: usize,
}

impl<T, const MAX: usize> Bounded<T, MAX> {
    /// Returns the stored elements, for use before the list is checked.
    pub fn kept(&self) -> &[T] {
        &self.kept
    }

    /// Returns how many elements the wire had.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the elements if there are between `min` and `MAX`.
    pub fn check(self, member: &'static str, min: u64) -> Result<Vec<T>, Error> {
        check::size(member, self.count, min, MAX as u64)?;
        Ok(self.kept)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = Bounded<T, MAX>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a sequence")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut bounded = Bounded { kept: Vec::new(), count: 0 };
                while let Some(element) = list.next_element()? {
                    if bounded.count < MAX {
                        bounded.kept.push(element);
                    }
                    bounded.count += 1;
                }
                Ok(bounded)
            }
        }
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_the_bound_and_everything_is_counted() {
        for (count, kept, refused) in
            [(0, 0, "or equal to 1'"), (2, 2, ""), (3, 3, ""), (4, 3, "or equal to 3'"), (100_000, 3, "or equal to 3'")]
        {
            let text = format!("[{}]", vec!["\"a\""; count].join(","));
            let list: Bounded<String, 3> = serde_json::from_str(&text).unwrap();
            assert_eq!((list.kept().len(), list.count()), (kept, count));
            assert!(list.kept.capacity() < 8, "{count}");
            match list.check("names", 1) {
                Ok(whole) => assert_eq!((whole.len(), refused), (count, "")),
                Err(error) => assert!(error.to_string().contains(refused) && !refused.is_empty(), "{error}"),
            }
        }
    }

    #[test]
    fn an_element_of_a_wrong_type_is_refused_wherever_it_stands() {
        for text in [r#"[1,"a","a","a"]"#, r#"["a","a","a","a",1]"#] {
            assert!(serde_json::from_str::<Bounded<String, 3>>(text).is_err(), "{text}");
        }
    }
}
