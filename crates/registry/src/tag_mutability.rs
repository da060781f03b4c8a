//! Tag mutability: the four modes and their wildcards (`ECR.md` C).

use crate::{Constraint, Error};

/// The four modes of `ECR.md` C with their wildcards (1 to 5 in the two exclusion modes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagMutability {
    Mutable,
    Immutable,
    ImmutableWithExclusion(Vec<String>),
    MutableWithExclusion(Vec<String>),
}

const FILTERS: &str = "imageTagMutabilityExclusionFilters";

impl TagMutability {
    pub const NAMES: &'static [&'static str] =
        &["IMMUTABLE", "MUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"];
    /// The pattern of a wildcard, from the service model.
    pub const FILTER_PATTERN: &'static str = "^[0-9a-zA-Z._*-]{1,128}$";
    pub const MAX_FILTERS: usize = 5;
    /// The most `*` in one wildcard.
    pub const MAX_STARS: usize = 2;

    /// Returns true if a wildcard matches [`TagMutability::FILTER_PATTERN`].
    pub fn is_filter(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._*-".contains(&byte);
        (1..=128).contains(&text.len()) && text.bytes().all(allowed)
    }

    /// Parses the two members of a call, with the errors of `ECR.md` C. Names and patterns must be valid, a wildcard has at most two `*`,
    /// and filters must be present in exactly the two exclusion modes.
    pub fn new(name: &str, filters: Option<Vec<String>>) -> Result<TagMutability, Error> {
        if let Some(filters) = &filters {
            check_filters(filters)?;
        }
        match (name, filters) {
            ("MUTABLE", None) => Ok(TagMutability::Mutable),
            ("IMMUTABLE", None) => Ok(TagMutability::Immutable),
            ("IMMUTABLE_WITH_EXCLUSION", Some(filters)) => Ok(TagMutability::ImmutableWithExclusion(filters)),
            ("MUTABLE_WITH_EXCLUSION", Some(filters)) => Ok(TagMutability::MutableWithExclusion(filters)),
            ("MUTABLE" | "IMMUTABLE", Some(_)) => Err(filters_error(format!(
                "ImageTagMutabilityExclusionFilters must be null when imageTagMutability is set as {name}"
            ))),
            ("IMMUTABLE_WITH_EXCLUSION" | "MUTABLE_WITH_EXCLUSION", None) => Err(filters_error(format!(
                "ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as {name}"
            ))),
            _ => Err(Error::invalid("imageTagMutability", Constraint::Enum(TagMutability::NAMES))),
        }
    }

    /// Reads a row, with one wildcard on each line.
    pub(crate) fn from_row(name: &str, filters: &str) -> Result<TagMutability, Error> {
        let filters: Vec<String> = filters.lines().map(str::to_owned).collect();
        // The row was checked before it was stored, so an error is internal.
        TagMutability::new(name, (!filters.is_empty()).then_some(filters)).map_err(Error::server)
    }

    pub fn name(&self) -> &'static str {
        match self {
            TagMutability::Mutable => "MUTABLE",
            TagMutability::Immutable => "IMMUTABLE",
            TagMutability::ImmutableWithExclusion(_) => "IMMUTABLE_WITH_EXCLUSION",
            TagMutability::MutableWithExclusion(_) => "MUTABLE_WITH_EXCLUSION",
        }
    }

    /// Returns the wildcards. They are empty in the modes without exclusion.
    pub fn filters(&self) -> &[String] {
        match self {
            TagMutability::Mutable | TagMutability::Immutable => &[],
            TagMutability::ImmutableWithExclusion(filters) | TagMutability::MutableWithExclusion(filters) => filters,
        }
    }

    /// Returns true if `tag` may be moved once it exists.
    pub fn allows_move(&self, tag: &str) -> bool {
        let excluded = |filters: &[String]| filters.iter().any(|filter| matches(filter, tag));
        match self {
            TagMutability::Mutable => true,
            TagMutability::Immutable => false,
            TagMutability::ImmutableWithExclusion(filters) => excluded(filters),
            TagMutability::MutableWithExclusion(filters) => !excluded(filters),
        }
    }
}

fn filters_error(text: String) -> Error {
    Error::invalid(FILTERS, Constraint::Text(text.into()))
}

fn check_filters(filters: &[String]) -> Result<(), Error> {
    if filters.is_empty() {
        return Err(Error::invalid(FILTERS, Constraint::MinLength(1)));
    }
    if filters.len() > TagMutability::MAX_FILTERS {
        return Err(Error::invalid(FILTERS, Constraint::MaxLength(TagMutability::MAX_FILTERS as u64)));
    }
    for filter in filters {
        if !TagMutability::is_filter(filter) {
            return Err(Error::invalid(FILTERS, Constraint::Pattern(TagMutability::FILTER_PATTERN)));
        }
        if filter.matches('*').count() > TagMutability::MAX_STARS {
            return Err(filters_error(format!("A filter has at most {} wildcards (*)", TagMutability::MAX_STARS)));
        }
    }
    Ok(())
}

/// Matches the whole text, where `*` is any sequence of characters, also an empty one. Takes linear time for each `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*');
    let Some(tail) = parts.next_back() else { return true };
    for part in parts {
        let Some(found) = text.find(part) else { return false };
        text = &text[found + part.len()..];
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_the_whole_tag() {
        for (pattern, text, expected) in [
            ("latest", "latest", true),
            ("latest", "latest2", false),
            ("dev-*", "dev-", true),
            ("dev-*", "dev", false),
            ("*", "", true),
            ("*-rc*", "v1-rc2", true),
            ("*-rc*", "v1", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("ab*b", "ab", false),
            ("ab*b", "abb", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn each_mode_protects_its_tags() {
        let filters = || vec!["latest".to_owned(), "dev-*".to_owned()];
        for (mode, latest, v1) in [
            (TagMutability::Mutable, true, true),
            (TagMutability::Immutable, false, false),
            (TagMutability::ImmutableWithExclusion(filters()), true, false),
            (TagMutability::MutableWithExclusion(filters()), false, true),
        ] {
            assert_eq!((mode.allows_move("latest"), mode.allows_move("v1")), (latest, v1), "{}", mode.name());
            let stored = TagMutability::from_row(mode.name(), &mode.filters().join("\n")).unwrap();
            assert_eq!(stored, mode);
        }
    }

    #[test]
    fn filters_must_be_present_in_exactly_the_exclusion_modes() {
        let error = |name, filters: Option<&[&str]>| {
            let filters = filters.map(|filters| filters.iter().map(|filter| (*filter).to_owned()).collect());
            TagMutability::new(name, filters).unwrap_err().to_string()
        };
        assert!(error("IMMUTABLE_WITH_EXCLUSION", None).contains("can't be null when imageTagMutability is set as"));
        assert!(error("MUTABLE", Some(&["x"])).contains("must be null"));
        assert!(error("MUTABLE_WITH_EXCLUSION", Some(&["a*b*c*"])).contains("at most 2 wildcards"));
        assert!(error("MUTABLE_WITH_EXCLUSION", Some(&["a b"])).contains(TagMutability::FILTER_PATTERN));
        assert!(error("MUTABLE_WITH_EXCLUSION", Some(&[])).contains("imageTagMutabilityExclusionFilters"));
        assert!(
            error("MUTABLE_WITH_EXCLUSION", Some(&["a", "b", "c", "d", "e", "f"])).contains("less than or equal to 5")
        );
        assert!(error("FROZEN", None).contains("imageTagMutability"));
    }
}
