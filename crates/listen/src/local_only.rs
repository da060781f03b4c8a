//! Refuses, with `--dev`, requests that a web page can make.
//!
//! The keys of `--dev` are public, so the script of any page in a browser on this machine could use them. A script can't read
//! responses of another origin, but by DNS rebinding a page can resolve its own name to 127.0.0.1 and so have the same origin.
//! Such a request carries the page's name as its host, and browsers send the origin of a request. A server with the keys of
//! `--dev` therefore answers only to names of this machine ([`Addresses::is_own_name`]), and to no page of another origin.

use crate::addresses::Addresses;
use http::request::Parts;
use http::{HeaderMap, Uri, header};

/// Which clients the server answers. `--dev` sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// All clients, by whatever name they reach the server.
    #[default]
    Everybody,
    /// Only clients that address this machine by its own names, and no page of another origin.
    LocalOnly,
}

/// Why `--dev` refuses a request. Its Display text is sent to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLocal {
    #[error(
        "Ecru runs with --dev, whose keys everybody knows, and does not answer as '{0}': call it localhost or 127.0.0.1, or start \
         it with --url http://{0}"
    )]
    Host(String),
    #[error(
        "Ecru runs with --dev, whose keys everybody knows, and does not answer web pages of another origin ({0}): start it without \
         --dev, with keys of your own"
    )]
    Page(String),
}

static FETCH_SITE: &str = "sec-fetch-site";

/// Checks a request's head for a reason to refuse it with `--dev`. Called after a trusted proxy's headers were applied.
pub fn find(addresses: &Addresses, head: &Parts) -> Option<NotLocal> {
    // Some doors use the target's host and some the header, so both must be names of this machine.
    let named = head.uri.authority().map(http::uri::Authority::as_str);
    let hosts = head.headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or("?"));
    for host in named.into_iter().chain(hosts) {
        if !addresses.is_own_name(host) {
            return Some(NotLocal::Host(shown(host)));
        }
    }
    page(&head.headers).map(|page| NotLocal::Page(shown(page)))
}

/// Returns the origin of the page that makes a request, if it differs from the server's.
fn page(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("?");
        let uri = origin.parse::<Uri>().ok();
        let authority = uri.as_ref().and_then(Uri::authority).map(http::uri::Authority::as_str);
        if !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
            return Some(origin);
        }
    }
    for site in headers.get_all(FETCH_SITE) {
        let site = site.to_str().unwrap_or("?");
        if !["same-origin", "none"].contains(&site) {
            return Some(site);
        }
    }
    None
}

/// Makes a client's text safe to repeat in a message.
fn shown(text: &str) -> String {
    const MAX: usize = 64;
    text.chars().take(MAX).map(|c| if c.is_ascii_graphic() && c != '\'' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::{Names, Regions, Scheme};
    use http::Request;

    fn addresses() -> Addresses {
        Addresses::new(Names {
            url: None,
            domain: None,
            regions: Regions::Any("us-east-1".parse().unwrap()),
            scheme: Scheme::Http,
            port: 5050,
        })
    }

    fn found(target: &str, headers: &[(&str, &str)]) -> Option<NotLocal> {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        find(&addresses(), &request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_host_of_this_machine_is_answered_and_no_other() {
        let host = |host: &str| Some(NotLocal::Host(host.to_owned()));
        for (target, headers, expected) in [
            ("/", &[("host", "localhost:5050")][..], None),
            ("/", &[("host", "evil.com")], host("evil.com")),
            ("/", &[("host", "localhost"), ("host", "evil.com")], host("evil.com")),
            ("http://evil.com/", &[("host", "localhost")], host("evil.com")),
            ("http://localhost/", &[("host", "evil.com")], host("evil.com")),
            ("http://user@localhost/", &[("host", "localhost")], host("user@localhost")),
            ("/", &[("host", "a'b")], host("a?b")),
            ("/", &[("host", "")], host("")),
            // HTTP/1.0, which no browser speaks.
            ("/", &[], None),
        ] {
            assert_eq!(found(target, headers), expected, "{target} {headers:?}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_not_answered() {
        let page = |page: &str| Some(NotLocal::Page(page.to_owned()));
        for (name, value, expected) in [
            ("origin", "http://evil.com", page("http://evil.com")),
            ("origin", "http://localhost:5050", None),
            ("origin", "http://LOCALHOST:5050", None),
            ("origin", "http://localhost:3000", page("http://localhost:3000")),
            ("origin", "http://localhost:5050.evil.com", page("http://localhost:5050.evil.com")),
            ("origin", "null", page("null")),
            ("origin", "", page("")),
            ("sec-fetch-site", "cross-site", page("cross-site")),
            ("sec-fetch-site", "same-site", page("same-site")),
            ("sec-fetch-site", "same-origin", None),
            ("sec-fetch-site", "none", None),
        ] {
            assert_eq!(found("/", &[("host", "localhost:5050"), (name, value)]), expected, "{name}: {value}");
        }
    }
}
