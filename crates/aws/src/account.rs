//! Account ids and region names.

/// A 12-digit AWS account id; leading zeros count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; 12]);

impl AccountId {
    pub const PATTERN: &'static str = "[0-9]{12}";
    /// The account of a new installation: 000000000000.
    pub const DEFAULT: AccountId = AccountId(*b"000000000000");
    pub fn as_str(&self) -> &str { todo!() }
}
// Also: Display, Debug, FromStr<Err = InvalidAccountId>, Serialize as a string.

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account id has 12 digits")]
pub struct InvalidAccountId;

/// A region's name: `[a-z0-9-]{2,25}`, as in a host name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(std::sync::Arc<str>);

impl Region {
    pub const PATTERN: &'static str = "[0-9a-z-]{2,25}";
    pub fn as_str(&self) -> &str { &self.0 }
}
// Also: Display, Debug, FromStr<Err = InvalidRegion>, Serialize as a string.

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region's name has 2 to 25 characters of a-z, 0-9 and -")]
pub struct InvalidRegion;

macro_rules! skeleton { ($($t:ty, $e:ty;)*) => { $(
impl std::fmt::Display for $t { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::fmt::Debug for $t { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl serde::Serialize for $t { fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> { todo!() } }
impl std::str::FromStr for $t { type Err = $e; fn from_str(_: &str) -> Result<Self, $e> { todo!() } }
)* } }
skeleton! { AccountId, InvalidAccountId; Region, InvalidRegion; }
