//! Conditional requests and ranges (RFC 9110 13 and 14), for every door that serves content by digest.
//!
//! Content under a digest never changes, so only entity tags are compared and dates are ignored.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use oci::{ByteRange, InvalidRange};

/// The result of a request's preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The preconditions hold: send the content.
    Holds,
    /// 304: the client already has the content.
    Known,
    /// 412: the client expects other content.
    Fails,
}

impl Condition {
    /// Evaluates a GET or HEAD of content with this entity tag (RFC 9110 13.2.2).
    pub fn of(headers: &HeaderMap, etag: &str) -> Condition {
        if headers.contains_key(header::IF_MATCH) && !names(headers, header::IF_MATCH, |tag| tag == etag) {
            return Condition::Fails;
        }
        if names(headers, header::IF_NONE_MATCH, |tag| tag.trim_start_matches("W/") == etag) {
            return Condition::Known;
        }
        Condition::Holds
    }
}

/// Whether a header lists this entity tag or `*`.
fn names(headers: &HeaderMap, name: HeaderName, same: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || same(tag))
}

/// The status for a request of several ranges. podman asks for two ranges of a zstd:chunked layer: after 400 it pulls the whole
/// layer, after 416 it gives up.
pub const SEVERAL_RANGES: StatusCode = StatusCode::BAD_REQUEST;

/// Returns the range that a request asks for. `None` for a HEAD (RFC 9110 14.2) and for a range of other content (`If-Range`).
/// Several ranges are an error, to be answered with [`SEVERAL_RANGES`].
pub fn range(method: &Method, headers: &HeaderMap, etag: &str) -> Result<Option<ByteRange>, InvalidRange> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let wanted = *method == Method::GET && text(header::IF_RANGE).is_none_or(|tag| tag == etag);
    match text(header::RANGE).filter(|_| wanted) {
        Some(value) => ByteRange::parse(value),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"sha256:1\"";

    fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn an_entity_tag_is_looked_for_in_every_line_of_a_header() {
        use Condition::{Fails, Holds, Known};
        let (is, not) = (header::IF_MATCH, header::IF_NONE_MATCH);
        for (lines, expected) in [
            (vec![], Holds),
            (vec![(not.clone(), ETAG)], Known),
            (vec![(not.clone(), "\"x\", W/\"sha256:1\"")], Known),
            (vec![(not.clone(), "*")], Known),
            (vec![(not.clone(), "\"x\"")], Holds),
            (vec![(not.clone(), "sha256:1")], Holds),
            (vec![(is.clone(), ETAG)], Holds),
            (vec![(is.clone(), "\"x\" ,\"sha256:1\"")], Holds),
            (vec![(is.clone(), "*")], Holds),
            (vec![(is.clone(), "\"x\"")], Fails),
            (vec![(is.clone(), "W/\"sha256:1\"")], Fails),
            (vec![(is.clone(), "\"x\""), (not.clone(), ETAG)], Fails),
            (vec![(is, ETAG), (not, ETAG)], Known),
        ] {
            assert_eq!(Condition::of(&headers(&lines), ETAG), expected, "{lines:?}");
        }
        let mut two = headers(&[(header::IF_NONE_MATCH, "\"x\"")]);
        two.append(header::IF_NONE_MATCH, HeaderValue::from_static(ETAG));
        assert_eq!(Condition::of(&two, ETAG), Known);
    }

    #[test]
    fn a_range_is_one_of_this_content_and_of_a_get() {
        let (wanted, of) = (header::RANGE, header::IF_RANGE);
        let bytes = ("bytes=1-2", Some(ByteRange::FromTo(1, 2)));
        for (method, lines, expected) in [
            (Method::GET, vec![(wanted.clone(), bytes.0)], bytes.1),
            (Method::GET, vec![(wanted.clone(), bytes.0), (of.clone(), ETAG)], bytes.1),
            (Method::GET, vec![(wanted.clone(), bytes.0), (of.clone(), "\"x\"")], None),
            (Method::GET, vec![(wanted.clone(), bytes.0), (of, "W/\"sha256:1\"")], None),
            (Method::HEAD, vec![(wanted.clone(), bytes.0)], None),
            (Method::HEAD, vec![(wanted.clone(), "bytes=0-1,5-6")], None),
        ] {
            assert_eq!(range(&method, &headers(&lines), ETAG), Ok(expected), "{method} {lines:?}");
        }
        assert!(range(&Method::GET, &headers(&[(wanted, "bytes=0-1,5-6")]), ETAG).is_err());
    }
}
