//! Addresses and ranges in the headers of a registry's answers.

use http::header::CONTENT_RANGE;
use http::{HeaderMap, Uri};

/// The target of a `Link` with `rel="next"`.
pub fn next_page(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    parameters.contains("next").then_some(target)
}

/// True where `Content-Range` begins at an offset.
pub fn starts_at(headers: &HeaderMap, offset: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
    first == Some(offset)
}

/// Bytes of an upload whose state has this `Range`. `0-0` is none: a byte that is sent again costs nothing.
pub fn received(range: &str) -> Option<u64> {
    let last: u64 = range.strip_prefix("bytes=").unwrap_or(range).strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last.checked_add(1)? })
}

/// An address as it stands in a header of the answer from `base`.
pub fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    if location.starts_with("http://") || location.starts_with("https://") {
        return location.parse().ok();
    }
    if location.starts_with("//") {
        return format!("{scheme}:{location}").parse().ok();
    }
    if location.starts_with('/') {
        return format!("{scheme}://{authority}{location}").parse().ok();
    }
    let directory = base.path().rsplit_once('/').map_or("", |(directory, _)| directory);
    format!("{scheme}://{authority}{directory}/{location}").parse().ok()
}

pub fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().or(if uri.scheme_str() == Some("https") { Some(443) } else { Some(80) });
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme_str() == b.scheme_str() && host(a) == host(b) && port(a) == port(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_resolved_against_the_one_that_named_it() {
        let base = uri("https://r.example:5000/v2/app/tags/list?n=5");
        for (location, resolved) in [
            ("/v2/x?y=1", "https://r.example:5000/v2/x?y=1"),
            ("https://cdn.example/a", "https://cdn.example/a"),
            ("//cdn.example/a", "https://cdn.example/a"),
            ("list?n=5&last=b", "https://r.example:5000/v2/app/tags/list?n=5&last=b"),
        ] {
            assert_eq!(resolve(&base, location), Some(uri(resolved)));
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let base = uri("https://r.example/v2/");
        assert!(same_origin(&uri("https://R.example:443/x"), &base));
        for other in
            ["http://r.example/", "https://r.example:8443/", "https://r.example.evil/", "https://evil/r.example"]
        {
            assert!(!same_origin(&uri(other), &base), "{other}");
        }
    }

    #[test]
    fn a_range_says_how_much_there_is() {
        for (text, bytes) in [("0-0", Some(0)), ("0-9", Some(10)), ("bytes=0-9", Some(10)), ("5-9", None), ("", None)] {
            assert_eq!(received(text), bytes);
        }
    }

    #[test]
    fn the_next_page_is_where_the_link_says() {
        assert_eq!(next_page(r#"</v2/a/tags/list?n=1&last=b>; rel="next""#), Some("/v2/a/tags/list?n=1&last=b"));
        assert_eq!(next_page(r#"</x>; rel="prev""#), None);
    }
}
