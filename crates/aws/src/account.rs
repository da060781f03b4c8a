//! Account ids and region names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// An AWS account id of 12 digits. Leading zeros are significant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; 12]);

impl AccountId {
    pub const PATTERN: &'static str = "[0-9]{12}";
    /// The account of a new installation: 000000000000.
    pub const DEFAULT: AccountId = AccountId(*b"000000000000");

    pub fn as_str(&self) -> &str {
        // The bytes are always ASCII digits.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for AccountId {
    type Err = InvalidAccountId;

    fn from_str(text: &str) -> Result<Self, InvalidAccountId> {
        let digits: [u8; 12] = text.as_bytes().try_into().map_err(|_| InvalidAccountId)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(AccountId(digits)) } else { Err(InvalidAccountId) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account id has 12 digits")]
pub struct InvalidAccountId;

/// A region's name, which is a part of host names: `[a-z0-9-]{2,25}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(Arc<str>);

impl Region {
    pub const PATTERN: &'static str = "[0-9a-z-]{2,25}";

    /// The region's partition.
    pub fn partition(&self) -> crate::Partition {
        crate::Partition::of(self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for a name of the form of AWS's own: words of letters, then a number, such as `us-gov-west-1`.
    pub fn has_form_of_aws(&self) -> bool {
        let Some((words, number)) = self.0.rsplit_once('-') else { return false };
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        words.contains('-')
            && words.split('-').all(is_word)
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && !number.is_empty()
    }
}

impl FromStr for Region {
    type Err = InvalidRegion;

    fn from_str(text: &str) -> Result<Self, InvalidRegion> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (2..=25).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Region(text.into()))
        } else {
            Err(InvalidRegion)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region's name has 2 to 25 characters of a-z, 0-9 and -")]
pub struct InvalidRegion;

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({self})")
    }
}

impl serde::Serialize for AccountId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({self})")
    }
}

impl serde::Serialize for Region {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_aws_have_a_form_of_their_own() {
        let has = |name: &str| name.parse::<Region>().unwrap().has_form_of_aws();
        for name in
            ["us-east-1", "us-gov-west-1", "us-isob-east-1", "eusc-de-east-1", "ap-southeast-10", "il-central-1"]
        {
            assert!(has(name), "{name}");
        }
        for name in ["mars", "us-east", "east-1", "us-east-1a", "us-east-", "us--1", "eu-west1", "1-2-3"] {
            assert!(!has(name), "{name}");
        }
    }
}
