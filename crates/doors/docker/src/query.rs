//! Query parameters and pages of `/v2/`.

use super::error::Refusal;
use super::{Response, set};
use http::{StatusCode, header};
use kernel::quirks::{Behaviour, Quirks};

/// Entries of a page: the default, and the maximum below (`ECR.md` B.7).
const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1000;

/// A query string.
#[derive(Clone, Copy)]
pub struct Query<'a>(pub &'a str);

impl Query<'_> {
    /// Returns a parameter's first value, decoded. An empty value counts as a value, unlike in [`Query::given`].
    pub fn get(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.0.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// Returns an optional parameter's first value. An empty value counts as absent, because some clients send parameters that
    /// they do not set.
    pub fn given(&self, name: &str) -> Option<String> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Returns the name after which a listing begins. The text is cut at a NUL, which no name contains and no store accepts.
    pub fn last(&self) -> Option<String> {
        self.given("last").map(|last| last.split('\0').next().unwrap_or_default().to_owned())
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        form_urlencoded::parse(self.0.as_bytes())
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the page size `n`. A value over 1,000 is clamped, or refused as AWS does.
    pub fn page(&self, quirks: &Quirks) -> Result<u32, Refusal> {
        let Some(text) = self.given("n") else { return Ok(DEFAULT_PAGE) };
        let invalid = || {
            let message = "Invalid parameter at 'n' failed to satisfy constraint: 'must be a number of 0 or more'";
            Refusal::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", message)
        };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let n = text.parse().unwrap_or(u32::MAX);
        if n > MAX_PAGE && quirks.registry_errors == Behaviour::Faithful {
            let message = "Invalid parameter at 'maxResults' failed to satisfy constraint: \
                'Member must have value less than or equal to 1000'";
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message));
        }
        Ok(n.min(MAX_PAGE))
    }
}

/// Sets the `Link` header to the next page (RFC 8288). `last` is its `last` parameter, `more` are further parameters.
pub fn link(response: &mut Response, path: &str, last: &str, n: u32, more: &[(&str, &str)]) {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("last", last)
        .append_pair("n", &n.to_string())
        .extend_pairs(more)
        .finish();
    set(response, header::LINK, &format!("<{path}?{query}>; rel=\"next\""));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_clamped_or_refused_as_aws_does() {
        let (fixed, faithful) =
            (Quirks::default(), Quirks { registry_errors: Behaviour::Faithful, ..Quirks::default() });
        for (query, expected) in [
            ("", Some(100)),
            ("n=0", Some(0)),
            ("n=7", Some(7)),
            ("n=10000", Some(1000)),
            ("n=99999999999", Some(1000)),
            ("n=-1", None),
            ("n=", Some(100)),
            ("n=&n=7", Some(100)),
            ("n=x", None),
        ] {
            assert_eq!(Query(query).page(&fixed).ok(), expected, "{query}");
        }
        assert_eq!(Query("n=1001").page(&faithful).unwrap_err().status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(Query("n=1000").page(&faithful).ok(), Some(1000));
    }
}
