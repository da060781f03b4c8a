//! Checks the documents of the policies of identities.

use crate::error::Error;
use policy::{Document, Grammar, InvalidDocument};

/// The version that a managed policy must have (IAM user guide, "IAM JSON policy elements: Version").
const MANAGED_VERSION: &str = "2012-10-17";

/// AWS's texts. The reason that follows the first one is Ecru's.
const SYNTAX: &str = "Syntax errors in policy.";
const VERSION: &str = "Policy document must be version 2012-10-17 or greater.";

/// Checks the document of an inline policy.
///
/// # Errors
/// [`Error::MalformedPolicyDocument`] names the statement and the member.
pub(crate) fn check(document: &str) -> Result<(), Error> {
    Document::parse(document, Grammar::Identity).map(drop).map_err(malformed)
}

/// The error for an invalid document.
pub(crate) fn malformed(invalid: InvalidDocument) -> Error {
    Error::MalformedPolicyDocument(match invalid {
        InvalidDocument::Version => VERSION.to_owned(),
        invalid => format!("{SYNTAX} {invalid}"),
    })
}

/// Checks the document of a managed policy, which must state the version 2012-10-17. Fails as [`check`] does.
pub(crate) fn check_managed(document: &str) -> Result<(), Error> {
    check(document)?;
    let parsed: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    match parsed["Version"].as_str() {
        Some(MANAGED_VERSION) => Ok(()),
        _ => Err(Error::MalformedPolicyDocument(VERSION.to_owned())),
    }
}

/// The size of a document, as IAM's quotas count it: characters, without the whitespace between members and values.
pub(crate) fn size(document: &str) -> usize {
    let (mut in_text, mut escaped) = (false, false);
    let counts = |character: &char| {
        let counts = in_text || !character.is_ascii_whitespace();
        // A quote ends a text, unless a backslash escapes it.
        in_text ^= *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        counts
    };
    document.chars().filter(counts).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitespace_outside_texts_does_not_count() {
        for (document, counted) in
            [("{ \"a\":\n\t\"é b\" }\r\n", 11), (r#"{ "a\" b": " \\" , "c" : 1 }"#, r#"{"a\" b":" \\","c":1}"#.len())]
        {
            assert_eq!(size(document), counted, "{document}");
        }
    }

    #[test]
    fn a_refusal_has_the_text_of_aws_and_the_reason() {
        let statement = r#""Statement": {"Effect": "Allow", "Action": "ecr:ListImages", "Resource": "*"}"#;
        let with = |version: &str| format!("{{{version}{statement}}}");
        let (new, old) = (with(r#""Version": "2012-10-17", "#), with(r#""Version": "2008-10-17", "#));
        check_managed(&new).unwrap();
        check(&old).unwrap();
        check(&with("")).unwrap();
        for refused in [check_managed(&old), check_managed(&with("")), check(&with(r#""Version": "2013", "#))] {
            assert_eq!(refused.unwrap_err().to_string(), VERSION);
        }
        let text = check(&new.replace(r#", "Resource": "*""#, "")).unwrap_err().to_string();
        assert!(text.starts_with("Syntax errors in policy. Statement[0].Resource"), "{text}");
    }
}
