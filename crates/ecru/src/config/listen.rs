//! Addresses to listen on.

use listen::addresses::Scheme;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The default port. Other registries use 5000, which is taken on every Mac.
pub const DEFAULT_PORT: u16 = 5050;

/// The default addresses: this machine only.
pub const DEFAULT_LISTEN: [ListenAddress; 2] =
    [default(IpAddr::V4(Ipv4Addr::LOCALHOST)), default(IpAddr::V6(Ipv6Addr::LOCALHOST))];

const fn default(ip: IpAddr) -> ListenAddress {
    ListenAddress { scheme: Scheme::Http, socket: SocketAddr::new(ip, DEFAULT_PORT) }
}

/// `http://ADDR:PORT`, `https://ADDR:PORT` or `ADDR:PORT`, with a numeric IPv4 or IPv6 address. Port 0 selects a free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    pub scheme: Scheme,
    pub socket: SocketAddr,
}

impl ListenAddress {
    /// Whether only this machine can reach the address.
    pub fn is_loopback(self) -> bool {
        self.socket.ip().to_canonical().is_loopback()
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.socket)
    }
}

impl FromStr for ListenAddress {
    type Err = InvalidListenAddress;

    fn from_str(text: &str) -> Result<ListenAddress, InvalidListenAddress> {
        let (scheme, bare) = match text.split_once("://") {
            Some(("https", bare)) => (Scheme::Https, bare),
            Some(("http", bare)) => (Scheme::Http, bare),
            Some(_) => return Err(InvalidListenAddress),
            None => (Scheme::Http, text),
        };
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let socket = bare.parse().map_err(|_| InvalidListenAddress)?;
        Ok(ListenAddress { scheme, socket })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be http://ADDRESS:PORT or https://ADDRESS:PORT, with the address as a number, such as http://127.0.0.1:5050 or https://[::]:443"
)]
pub struct InvalidListenAddress;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_number_and_a_port() {
        for (text, expected) in [
            ("http://127.0.0.1:5050", Some("http://127.0.0.1:5050")),
            ("http://127.0.0.1:5050/", Some("http://127.0.0.1:5050")),
            ("0.0.0.0:0", Some("http://0.0.0.0:0")),
            ("http://[::1]:5050", Some("http://[::1]:5050")),
            ("[::]:80", Some("http://[::]:80")),
            ("https://127.0.0.1:5050", Some("https://127.0.0.1:5050")),
            ("https://[::]:443/", Some("https://[::]:443")),
            ("localhost:5050", None),
            ("127.0.0.1", None),
            ("127.0.0.1:65536", None),
            (":5050", None),
            ("http://127.0.0.1:5050/v2", None),
            ("ftp://127.0.0.1:1", None),
            ("", None),
        ] {
            let parsed = text.parse().map(|address: ListenAddress| address.to_string());
            assert_eq!(parsed.ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn loopback_is_what_only_this_machine_reaches() {
        for (text, loopback) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
