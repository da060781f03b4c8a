//! Repository names, tags, and references to images.

#[cfg(test)]
mod tests;

use crate::Digest;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A repository name that follows the ECR grammar (`ECR.md` 0), 2 to 256 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Arc<str>);

impl RepositoryName {
    /// The grammar, as a regular expression from ECR's service model.
    pub const PATTERN: &'static str = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*";
    /// In characters.
    pub const MIN_LENGTH: usize = 2;
    /// In characters.
    pub const MAX_LENGTH: usize = 256;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if a text follows the grammar. The length is not checked.
    pub fn is_well_formed(text: &str) -> bool {
        text.split('/').all(is_component)
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<RepositoryName, InvalidName> {
        let length = text.chars().count();
        if length < RepositoryName::MIN_LENGTH {
            return Err(InvalidName::TooShort);
        }
        if length > RepositoryName::MAX_LENGTH {
            return Err(InvalidName::TooLong);
        }
        if !RepositoryName::is_well_formed(text) {
            return Err(InvalidName::Grammar);
        }
        Ok(RepositoryName(text.into()))
    }
}

/// Returns true for words of `[a-z0-9]` that are joined by separators: `.`, `_`, `__`, or any number of `-`.
fn is_component(component: &str) -> bool {
    let mut rest = component.as_bytes();
    loop {
        let word = run(rest, |c| matches!(c, b'a'..=b'z' | b'0'..=b'9'));
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        let Some(&first) = rest.first() else {
            return true;
        };
        let separator = run(rest, |c| c == first);
        let longest = match first {
            b'.' => 1,
            b'_' => 2,
            b'-' => usize::MAX,
            _ => return false,
        };
        if separator > longest {
            return false;
        }
        rest = &rest[separator..];
    }
}

/// Counts the leading bytes that `accepted` accepts.
fn run(bytes: &[u8], accepted: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|c| accepted(**c)).count()
}

/// The rule that a repository name breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("the repository name has fewer than 2 characters")]
    TooShort,
    #[error("the repository name has more than 256 characters")]
    TooLong,
    #[error("the repository name does not follow the grammar [a-z0-9] with separators . _ __ - and /")]
    Grammar,
}

/// A tag that container clients accept: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (OCI distribution-spec "Pulling manifests").
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The grammar, as a regular expression from the OCI distribution-spec.
    pub const PATTERN: &'static str = "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}";
    /// In characters.
    pub const MAX_LENGTH: usize = 128;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Tag, InvalidTag> {
        let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        let (first, rest) = text.as_bytes().split_first().ok_or(InvalidTag)?;
        let follows = rest.iter().all(|c| word(*c) || matches!(c, b'.' | b'-'));
        if text.len() <= Tag::MAX_LENGTH && word(*first) && follows { Ok(Tag(text.into())) } else { Err(InvalidTag) }
    }
}

/// The text is not a tag, or a reference that is neither a tag nor a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag has 1 to 128 characters: a letter, a digit or _, then letters, digits, . _ and -")]
pub struct InvalidTag;

/// The reference in a manifest's path: a tag or a digest.
///
/// A text with a `:` parses as a digest, because a tag can't contain one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    Tag(Tag),
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => fmt::Display::fmt(tag, f),
            Reference::Digest(digest) => fmt::Display::fmt(digest, f),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Reference, InvalidTag> {
        if text.contains(':') {
            text.parse().map(Reference::Digest).map_err(|_| InvalidTag)
        } else {
            text.parse().map(Reference::Tag)
        }
    }
}
