//! Refuses requests with an ambiguous head before any door sees them (RFC 9112 3.2 and 6.1, RFC 9113 8.3.1).

use crate::body::{Response, plain};
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderValue, Request, StatusCode, Uri, Version};

/// Why a request is refused as malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    NoHost,
    SeveralHosts,
    InvalidHost,
    /// HTTP/2 with different hosts in `:authority` and `Host`.
    OtherHost,
    /// A transfer coding other than `chunked`.
    UnknownCoding,
    ChunkedTwice,
}

impl Malformed {
    /// Returns the response. The connection ends after it.
    pub fn answer(self) -> Response {
        let (status, text) = match self {
            Malformed::NoHost => (StatusCode::BAD_REQUEST, "the request has no Host header"),
            Malformed::SeveralHosts => (StatusCode::BAD_REQUEST, "the request has more than one Host header"),
            Malformed::InvalidHost => (StatusCode::BAD_REQUEST, "the Host header is not a host name or an address"),
            Malformed::OtherHost => (StatusCode::BAD_REQUEST, "the Host header is not the host of ':authority'"),
            Malformed::UnknownCoding => {
                (StatusCode::NOT_IMPLEMENTED, "the only transfer coding that is understood is 'chunked'")
            }
            Malformed::ChunkedTwice => (StatusCode::BAD_REQUEST, "the transfer coding 'chunked' is named twice"),
        };
        let mut response = plain(status, format!("{status}: {text}\n"));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// Checks a request's head. Gives an HTTP/2 head the form of HTTP/1.1: only a path in the target, and the authority in `Host`.
pub fn check<B>(request: &mut Request<B>) -> Result<(), Malformed> {
    check_coding(request)?;
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Malformed::SeveralHosts);
    }
    if host.is_some_and(|host| !is_host(host)) {
        return Err(Malformed::InvalidHost);
    }
    if request.version() == Version::HTTP_2 {
        return in_http1_form(request);
    }
    // HTTP/1.0 has no Host header.
    if host.is_none() && request.version() == Version::HTTP_11 { Err(Malformed::NoHost) } else { Ok(()) }
}

fn check_coding<B>(request: &Request<B>) -> Result<(), Malformed> {
    let mut chunked = 0;
    for line in request.headers().get_all(TRANSFER_ENCODING) {
        for coding in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            match coding {
                b"" => {}
                coding if coding.eq_ignore_ascii_case(b"chunked") => chunked += 1,
                _ => return Err(Malformed::UnknownCoding),
            }
        }
    }
    if chunked > 1 { Err(Malformed::ChunkedTwice) } else { Ok(()) }
}

/// Whether a value is a host with an optional port (RFC 9110 7.2). The host of an http URI must not be empty (RFC 9110 4.2.1).
fn is_host(value: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(value.as_bytes()) else { return false };
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let port_is_number =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    !authority.host().is_empty() && !authority.as_str().contains('@') && port_is_number
}

fn in_http1_form<B>(request: &mut Request<B>) -> Result<(), Malformed> {
    let uri = std::mem::take(request.uri_mut());
    match (uri.authority(), request.headers().get(HOST)) {
        (Some(authority), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            return Err(Malformed::OtherHost);
        }
        (Some(authority), _) => {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Malformed::InvalidHost)?;
            if !is_host(&host) {
                return Err(Malformed::InvalidHost);
            }
            request.headers_mut().insert(HOST, host);
        }
        (None, Some(_)) => {}
        (None, None) => return Err(Malformed::NoHost),
    }
    let path = uri.path_and_query().cloned();
    *request.uri_mut() = path.map_or(uri, Uri::from);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(version: Version, uri: &str, headers: &[(&str, &str)]) -> Result<Request<()>, Malformed> {
        let mut request = Request::builder().version(version).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        check(&mut request).map(|()| request)
    }

    #[test]
    fn a_request_names_one_host_that_is_one() {
        for host in ["localhost", "localhost:5050", "[::1]:5050", "127.0.0.1", "a_b.example.com:1", "localhost:"] {
            assert!(checked(Version::HTTP_11, "/", &[("host", host)]).is_ok(), "{host}");
        }
        for host in ["", "a b", "a/b", "user@host", "a:b", "a:1:2", "[::1", "a,b?"] {
            let found = checked(Version::HTTP_11, "/", &[("host", host)]).map(|_| ());
            assert_eq!(found, Err(Malformed::InvalidHost), "{host}");
        }
        let twice = [("host", "a"), ("host", "a")];
        assert_eq!(checked(Version::HTTP_11, "/", &twice).map(|_| ()), Err(Malformed::SeveralHosts));
        assert_eq!(checked(Version::HTTP_11, "/", &[]).map(|_| ()), Err(Malformed::NoHost));
        assert_eq!(checked(Version::HTTP_11, "http://a/", &[]).map(|_| ()), Err(Malformed::NoHost));
        assert!(checked(Version::HTTP_10, "/", &[]).is_ok());
        assert_eq!(checked(Version::HTTP_10, "/", &twice).map(|_| ()), Err(Malformed::SeveralHosts));
    }

    #[test]
    fn http2_gets_the_form_of_http1_and_names_one_host_too() {
        let request = checked(Version::HTTP_2, "https://a:1/v2/?n=1", &[]).unwrap();
        assert_eq!(
            (request.uri().to_string(), &request.headers()[HOST]),
            ("/v2/?n=1".to_owned(), &"a:1".parse().unwrap())
        );
        assert!(checked(Version::HTTP_2, "https://a:1/", &[("host", "A:1")]).is_ok());
        assert!(checked(Version::HTTP_2, "/", &[("host", "a")]).is_ok());
        assert_eq!(checked(Version::HTTP_2, "https://a:1/", &[("host", "b:1")]).map(|_| ()), Err(Malformed::OtherHost));
        assert_eq!(checked(Version::HTTP_2, "/", &[]).map(|_| ()), Err(Malformed::NoHost));
    }

    #[test]
    fn a_body_that_would_have_to_be_decoded_is_refused() {
        let coded = |values: &[&str]| {
            let mut headers = vec![("host", "a")];
            headers.extend(values.iter().map(|value| ("transfer-encoding", *value)));
            checked(Version::HTTP_11, "/", &headers).map(|_| ())
        };
        assert_eq!((coded(&[]), coded(&["chunked"]), coded(&[" Chunked ,"])), (Ok(()), Ok(()), Ok(())));
        assert_eq!(coded(&["gzip, chunked"]), Err(Malformed::UnknownCoding));
        assert_eq!(coded(&["gzip", "chunked"]), Err(Malformed::UnknownCoding));
        assert_eq!(coded(&["chunked, chunked"]), Err(Malformed::ChunkedTwice));
        assert_eq!(Malformed::UnknownCoding.answer().status(), StatusCode::NOT_IMPLEMENTED);
        assert_eq!(Malformed::NoHost.answer().headers()[CONNECTION], "close");
    }
}
