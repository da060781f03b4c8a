//! Repository names, tags, and references to an image.
use crate::Digest;

/// A repository name that follows the ECR grammar (`ECR.md` 0), 2 to 256 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(std::sync::Arc<str>);

impl RepositoryName {
    /// The grammar as ECR's service model writes it.
    pub const PATTERN: &'static str = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*";
    pub const MIN_LENGTH: usize = 2;
    pub const MAX_LENGTH: usize = 256;
    pub fn as_str(&self) -> &str { &self.0 }
}
// Also: Display, Debug, FromStr<Err = InvalidName>.
impl std::fmt::Display for RepositoryName { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::fmt::Debug for RepositoryName { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::str::FromStr for RepositoryName { type Err = InvalidName; fn from_str(_: &str) -> Result<Self, InvalidName> { todo!() } }

/// Which rule a repository name breaks.
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
pub struct Tag(std::sync::Arc<str>);

impl Tag {
    pub const PATTERN: &'static str = "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}";
    pub fn as_str(&self) -> &str { &self.0 }
}
// Also: Display, Debug, FromStr<Err = InvalidTag>.
impl std::fmt::Display for Tag { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::fmt::Debug for Tag { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::str::FromStr for Tag { type Err = InvalidTag; fn from_str(_: &str) -> Result<Self, InvalidTag> { todo!() } }

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag has 1 to 128 characters: a letter, a digit or _, then letters, digits, . _ and -")]
pub struct InvalidTag;

/// What a manifest path names: a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    Tag(Tag),
    Digest(Digest),
}
// Also: Display, FromStr<Err = InvalidTag> (anything with a ':' is read as a digest).
impl std::fmt::Display for Reference { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::str::FromStr for Reference { type Err = InvalidTag; fn from_str(_: &str) -> Result<Self, InvalidTag> { todo!() } }
