//! Reads what a proxy says about the client behind it. Only proxies named in the settings are trusted.
//!
//! It reads `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`, but not `Forwarded` (RFC 7239): proxies that write the
//! first three pass on a client's own `Forwarded` unchanged, so a client could choose its address.

use crate::body::Request;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Uri};
use kernel::RequestOrigin;
use policy::Network;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const NAME: &str = "x-forwarded-host";

/// The setting `trusted_proxies`: the peers whose forwarded headers are trusted.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<ProxyNetwork>);

impl From<Vec<ProxyNetwork>> for TrustedProxies {
    fn from(networks: Vec<ProxyNetwork>) -> TrustedProxies {
        TrustedProxies(networks)
    }
}

/// The address of a proxy, or a network of proxies in CIDR form (RFC 4632).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyNetwork(Network);

impl FromStr for ProxyNetwork {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<ProxyNetwork, InvalidProxy> {
        text.parse().map(ProxyNetwork).map_err(|_| InvalidProxy)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be the address of a proxy, or a network of proxies, such as 10.0.0.2, 10.0.0.0/24 or 2001:db8::/64")]
pub struct InvalidProxy;

impl TrustedProxies {
    /// Whether forwarded headers from this address are trusted.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.0.contains(address))
    }

    /// Replaces what the connection shows with what a trusted proxy says. Headers from any other peer are ignored.
    ///
    /// `address` becomes the client's; `tls` says whether the client spoke TLS to its proxy; the Host header becomes the one that
    /// the client sent and signed.
    pub fn apply(&self, origin: &mut RequestOrigin, request: &mut Request) {
        if !self.trusts(origin.address) {
            return;
        }
        let headers = request.headers();
        origin.address = self.client(origin.address, headers);
        match last(headers, PROTO) {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => origin.tls = true,
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => origin.tls = false,
            _ => {}
        }
        if let Some(host) = host(headers) {
            request.headers_mut().insert(HOST, host);
            // A host in the request's target would take precedence over the header, so it is removed.
            if let (Some(_), Some(path)) = (request.uri().authority(), request.uri().path_and_query().cloned()) {
                *request.uri_mut() = Uri::from(path);
            }
        }
    }

    /// Returns the nearest hop that is not a trusted proxy. Each hop is recorded by the next one, so everything beyond an
    /// untrusted or unreadable hop may be forged.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        for hop in hops(headers) {
            let Some(address) = hop.and_then(address) else { return client };
            client = address;
            if !self.trusts(client) {
                return client;
            }
        }
        client
    }
}

/// Returns the hops of `X-Forwarded-For`, the nearest first; `None` for a value that is not text.
fn hops(headers: &HeaderMap) -> impl Iterator<Item = Option<&str>> {
    let lines: Vec<&HeaderValue> = headers.get_all(FOR).iter().collect();
    lines
        .into_iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(|hop| std::str::from_utf8(hop).ok().map(str::trim))
}

/// Parses an address as proxies write it: bare, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// Returns the host that the client named; `None` if the Host header already has it. A Host header with the same name and a port
/// counts, because some proxies omit the port from `X-Forwarded-Host`, and the client signed it.
fn host(headers: &HeaderMap) -> Option<HeaderValue> {
    let named = last(headers, NAME)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if named.is_empty() || !named.bytes().all(plain) {
        return None;
    }
    let kept = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let with_port = kept.strip_prefix(named).and_then(|rest| rest.strip_prefix(':'));
    if with_port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    HeaderValue::from_str(named).ok()
}

/// Returns the last value of a header that proxies append to: the nearest proxy's.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_client_is_the_first_hop_from_the_right_that_is_not_trusted() {
        let proxies = proxies(&["10.0.0.0/8", "2001:db8:1::/48"]);
        for (lines, expected) in [
            (vec![], "10.0.0.1"),
            (vec!["203.0.113.7"], "203.0.113.7"),
            (vec!["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            (vec!["198.51.100.1,203.0.113.7,10.1.1.1 , 10.2.2.2"], "203.0.113.7"),
            (vec!["198.51.100.1", "203.0.113.7", "10.1.1.1"], "203.0.113.7"),
            // Everybody is trusted: the farthest.
            (vec!["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            (vec!["2001:db8::7, 2001:db8:1::1"], "2001:db8::7"),
            (vec!["[2001:db8::7]"], "2001:db8::7"),
            (vec!["[2001:db8::7]:4711"], "2001:db8::7"),
            (vec!["203.0.113.7:4711"], "203.0.113.7"),
            (vec!["::ffff:203.0.113.7, ::ffff:10.1.1.1"], "203.0.113.7"),
            // Nobody can say what is behind a hop that can't be read.
            (vec!["203.0.113.7, unknown, 10.2.2.2"], "10.2.2.2"),
            (vec!["203.0.113.7, "], "10.0.0.1"),
            (vec![""], "10.0.0.1"),
            (vec!["203.0.113.7/8"], "10.0.0.1"),
            (vec!["fe80::1%eth0"], "10.0.0.1"),
            (vec!["for=203.0.113.7"], "10.0.0.1"),
            (vec!["203.0.113.7, \u{fc}"], "10.0.0.1"),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| (FOR, line.as_bytes())).collect();
            let client = proxies.client("10.0.0.1".parse().unwrap(), &headers(&lines));
            assert_eq!(client.to_string(), expected, "{lines:?}");
        }
        let broken = headers(&[(FOR, b"203.0.113.7"), (FOR, b"\xff\xfe")]);
        assert_eq!(proxies.client("10.0.0.1".parse().unwrap(), &broken).to_string(), "10.0.0.1");
    }

    #[test]
    fn the_host_that_was_forwarded_stands_for_the_host_unless_it_is_the_same_without_its_port() {
        for (kept, named, expected) in [
            ("upstream:5050", "registry.example.com", Some("registry.example.com")),
            ("upstream:5050", "first.example.com, registry.example.com:8443", Some("registry.example.com:8443")),
            ("registry.example.com", "registry.example.com:8443", Some("registry.example.com:8443")),
            ("registry.example.com:8443", "registry.example.com", None),
            ("registry.example.com.evil", "registry.example.com", Some("registry.example.com")),
            ("upstream", "[2001:db8::1]:443", Some("[2001:db8::1]:443")),
            ("upstream", "", None),
            ("upstream", "registry.example.com,", None),
            ("upstream", "a\"b", None),
            ("upstream", "a/b", None),
            ("upstream", "a@b", None),
            ("upstream", "a b", None),
            ("upstream", "\u{fc}", None),
        ] {
            let headers = headers(&[("host", kept.as_bytes()), (NAME, named.as_bytes())]);
            assert_eq!(host(&headers), expected.map(HeaderValue::from_static), "{kept} {named}");
        }
    }

    #[test]
    fn trusted_is_who_is_named() {
        let none = TrustedProxies::default();
        let some = proxies(&["127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"]);
        for (address, trusted) in [
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("10.9.9.9", true),
            ("11.0.0.1", false),
            ("::ffff:10.9.9.9", true),
            ("::1", true),
            ("::2", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(some.trusts(address.parse().unwrap()), trusted, "{address}");
            assert!(!none.trusts(address.parse().unwrap()), "{address}");
        }
        for bad in ["", "nginx", "10.0.0.0/33", "::/129", "10.0.0", "*", "http://10.0.0.1", "10.0.0.1:80", "unix:"] {
            assert!(bad.parse::<ProxyNetwork>().is_err(), "{bad}");
        }
    }
}
