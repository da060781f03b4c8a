//! The constraints of the service models as small checks that compose. Each checks one rule of one member, and fails with the
//! text of `ECR.md` 0.
//!
//! A nested member is named by its full path, as AWS's own validation does: names joined by dots, and a list's element as its
//! 1-based number and `member`, such as `imageIds.2.member.imageTag` and `filter.tagStatus`.

use aws::AccountId;
use kernel::{CommonError, Constraint};
use oci::{Digest, InvalidName, RepositoryName};
use std::borrow::Cow;

type Name = Cow<'static, str>;

/// The model's pattern for a layer's digest. It also matches digests that can't be stored.
pub const DIGEST_PATTERN: &str = Digest::LOOSE_PATTERN;
pub const UPLOAD_ID_PATTERN: &str = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";

/// Returns the name of a member in the list's element `index` (from 0); `member` is empty for the element itself.
pub fn element(list: &str, index: usize, member: &str) -> Name {
    let dot = if member.is_empty() { "" } else { "." };
    Name::Owned(format!("{list}.{}.member{dot}{member}", index + 1))
}

pub fn required<T>(member: impl Into<Name>, value: Option<T>) -> Result<T, CommonError> {
    value.ok_or_else(|| CommonError::invalid(member, Constraint::Null))
}

/// The text of a failure as IAM and STS write it: a broken constraint is a validation error.
pub fn validation_message(error: &CommonError) -> String {
    match error {
        CommonError::InvalidParameter { constraint: Constraint::Text(text), .. } => text.to_string(),
        CommonError::InvalidParameter { member, constraint } => {
            let null = if *constraint == Constraint::Null { "null " } else { "" };
            format!("1 validation error detected: Value {null}at '{member}' failed to satisfy constraint: {constraint}")
        }
        other => other.to_string(),
    }
}

/// Checks a text's length in characters.
pub fn length(member: impl Into<Name>, value: &str, min: u64, max: u64) -> Result<(), CommonError> {
    size(member, value.chars().count(), min, max)
}

/// Checks the number of a list's elements, or any other length.
pub fn size(member: impl Into<Name>, count: usize, min: u64, max: u64) -> Result<(), CommonError> {
    let count = count as u64;
    if count < min {
        return Err(CommonError::invalid(member, Constraint::MinLength(min)));
    }
    if count > max {
        return Err(CommonError::invalid(member, Constraint::MaxLength(max)));
    }
    Ok(())
}

pub fn range(member: impl Into<Name>, value: i64, min: i64, max: i64) -> Result<(), CommonError> {
    if value < min {
        return Err(CommonError::invalid(member, Constraint::MinValue(min)));
    }
    if value > max {
        return Err(CommonError::invalid(member, Constraint::MaxValue(max)));
    }
    Ok(())
}

/// Looks a value up in `table`; `names` are the model's names, for the message.
pub fn one_of<T: Copy>(
    member: impl Into<Name>,
    value: &str,
    names: &'static [&'static str],
    table: &[(&str, T)],
) -> Result<T, CommonError> {
    let known = table.iter().find(|(name, _)| *name == value);
    known.map(|(_, meaning)| *meaning).ok_or_else(|| CommonError::invalid(member, Constraint::Enum(names)))
}

/// Returns the value as one of the model's names.
pub fn name_of(
    member: impl Into<Name>,
    value: &str,
    names: &'static [&'static str],
) -> Result<&'static str, CommonError> {
    names
        .iter()
        .find(|name| **name == value)
        .copied()
        .ok_or_else(|| CommonError::invalid(member, Constraint::Enum(names)))
}

pub fn pattern(member: impl Into<Name>, matches: bool, pattern: &'static str) -> Result<(), CommonError> {
    if matches { Ok(()) } else { Err(CommonError::invalid(member, Constraint::Pattern(pattern))) }
}

/// Checks `registryId`, which is optional.
pub fn registry_id(value: Option<&str>) -> Result<Option<AccountId>, CommonError> {
    value.map(|value| account("registryId", value)).transpose()
}

pub fn account(member: impl Into<Name>, value: &str) -> Result<AccountId, CommonError> {
    value.parse().map_err(|_| CommonError::invalid(member, Constraint::Pattern(AccountId::PATTERN)))
}

/// Checks `repositoryName`, which is required in every operation that has it.
pub fn repository_name(value: Option<&str>) -> Result<RepositoryName, CommonError> {
    named_repository("repositoryName", required("repositoryName", value)?)
}

pub fn named_repository(member: impl Into<Name>, value: &str) -> Result<RepositoryName, CommonError> {
    value.parse().map_err(|broken| {
        let constraint = match broken {
            InvalidName::TooShort => Constraint::MinLength(RepositoryName::MIN_LENGTH as u64),
            InvalidName::TooLong => Constraint::MaxLength(RepositoryName::MAX_LENGTH as u64),
            InvalidName::Grammar => Constraint::Pattern(RepositoryName::PATTERN),
        };
        CommonError::invalid(member, constraint)
    })
}

/// Checks a digest against the model's pattern, which allows upper case. Returns `None` for one that can't be stored, such as
/// `md5:ab`.
pub fn digest(member: impl Into<Name>, value: &str) -> Result<Option<Digest>, CommonError> {
    pattern(member, Digest::is_loosely(value), DIGEST_PATTERN)?;
    Ok(value.to_ascii_lowercase().parse().ok())
}

/// Whether a text matches [`UPLOAD_ID_PATTERN`].
pub fn is_upload_id(value: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let mut groups = value.split('-');
    let all = GROUPS.iter().all(|length| {
        groups.next().is_some_and(|group| group.len() == *length && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    all && groups.next().is_none()
}

/// Checks `maxResults`, or returns the operation's default.
pub fn max_results(value: Option<i64>, default: u32, max: u32) -> Result<u32, CommonError> {
    let Some(value) = value else { return Ok(default) };
    range("maxResults", value, 1, i64::from(max))?;
    Ok(u32::try_from(value).unwrap_or(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_member_is_named_with_the_rule_it_breaks() {
        let long = "a".repeat(257);
        let name_pattern = format!("must satisfy regular expression '{}'", RepositoryName::PATTERN);
        let cases: Vec<(CommonError, &str, &str)> = vec![
            (required::<()>("name", None).unwrap_err(), "name", "Member must not be null"),
            (length("name", "", 1, 64).unwrap_err(), "name", "Member must have length greater than or equal to 1"),
            (length("name", &long, 1, 64).unwrap_err(), "name", "Member must have length less than or equal to 64"),
            (
                size("imageIds", 101, 1, 100).unwrap_err(),
                "imageIds",
                "Member must have length less than or equal to 100",
            ),
            (
                range("partFirstByte", -1, 0, 9).unwrap_err(),
                "partFirstByte",
                "Member must have value greater than or equal to 0",
            ),
            (
                max_results(Some(1001), 100, 1000).unwrap_err(),
                "maxResults",
                "Member must have value less than or equal to 1000",
            ),
            (
                max_results(Some(0), 100, 1000).unwrap_err(),
                "maxResults",
                "Member must have value greater than or equal to 1",
            ),
            (
                one_of("filter.tagStatus", "tagged", &["TAGGED", "ANY"], &[("TAGGED", 1)]).unwrap_err(),
                "filter.tagStatus",
                "Member must satisfy enum value set: [TAGGED, ANY]",
            ),
            (
                registry_id(Some("12345678901")).unwrap_err(),
                "registryId",
                "must satisfy regular expression '[0-9]{12}'",
            ),
            (repository_name(None).unwrap_err(), "repositoryName", "Member must not be null"),
            (
                repository_name(Some("a")).unwrap_err(),
                "repositoryName",
                "Member must have length greater than or equal to 2",
            ),
            (
                repository_name(Some(&long)).unwrap_err(),
                "repositoryName",
                "Member must have length less than or equal to 256",
            ),
            (repository_name(Some("Team/App")).unwrap_err(), "repositoryName", &name_pattern),
            (
                digest(element("layerDigests", 0, ""), "sha256-ab").unwrap_err(),
                "layerDigests.1.member",
                "must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
            ),
        ];
        for (error, member, constraint) in cases {
            assert_eq!(
                error.to_string(),
                format!("Invalid parameter at '{member}' failed to satisfy constraint: '{constraint}'")
            );
        }
    }

    #[test]
    fn what_is_at_a_limit_passes() {
        length("name", "é", 1, 1).unwrap();
        size("imageIds", 100, 1, 100).unwrap();
        range("maxResults", 1000, 1, 1000).unwrap();
        assert_eq!(max_results(None, 20, 50).unwrap(), 20);
        assert_eq!(registry_id(Some("012345678901")).unwrap().unwrap().as_str(), "012345678901");
        assert_eq!(repository_name(Some("a0")).unwrap().as_str(), "a0");
    }

    #[test]
    fn digests_and_upload_ids_follow_the_models_patterns() {
        for (text, follows) in [
            ("sha256:ab", true),
            ("md5:AB", true),
            ("a+b.c_d-e:0", true),
            ("sha256:", false),
            (":ab", false),
            ("sha256:xyz", false),
            ("sha256:ab:cd", false),
            ("", false),
        ] {
            assert_eq!(Digest::is_loosely(text), follows, "{text}");
        }
        for (text, follows) in [
            ("01234567-89ab-cdef-ABCD-0123456789ab", true),
            ("01234567-89ab-cdef-abcd-0123456789a", false),
            ("01234567-89ab-cdef-abcd-0123456789abc", false),
            ("0123456789abcdefabcd0123456789ab", false),
            ("01234567-89ab-cdef-abcd-0123456789ab-", false),
            ("g1234567-89ab-cdef-abcd-0123456789ab", false),
        ] {
            assert_eq!(is_upload_id(text), follows, "{text}");
        }
    }

    #[test]
    fn a_digest_that_no_store_could_hold_is_well_formed_all_the_same() {
        assert_eq!(digest("layerDigest", "md5:ab").unwrap(), None);
        let stored = format!("sha256:{}", "a".repeat(64));
        for spelled in [stored.clone(), stored.to_uppercase()] {
            assert_eq!(digest("layerDigest", &spelled).unwrap().unwrap().to_string(), stored);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_text_of_the_models_patterns_is_taken_and_none_with_another_character(
            digest in "[a-zA-Z0-9\\-_+.]{1,12}:[a-fA-F0-9]{1,70}",
            id in "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
            foreign in "[!/ \n\u{e9}]",
            at in 0usize..36,
        ) {
            assert!(Digest::is_loosely(&digest) && is_upload_id(&id));
            let spoil = |text: &str| {
                let at = at.min(text.len());
                format!("{}{foreign}{}", &text[..at], &text[at..])
            };
            assert!(!Digest::is_loosely(&spoil(&digest)) && !is_upload_id(&spoil(&id)));
        }
    }
}
