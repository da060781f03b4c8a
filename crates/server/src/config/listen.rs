//! An address to listen at.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The port of the default addresses; 5000, as other registries have it, is taken on every Mac.
pub const DEFAULT_PORT: u16 = 5050;

/// Where the server listens when nothing else is set: this machine alone.
pub const DEFAULT_LISTEN: [ListenAddress; 2] = [
    ListenAddress(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT)),
    ListenAddress(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), DEFAULT_PORT)),
];

/// `http://ADDR:PORT` or `ADDR:PORT`, by number, IPv4 or IPv6; port 0 takes a free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

impl ListenAddress {
    /// Whether only this machine can reach it.
    pub fn is_loopback(self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

impl FromStr for ListenAddress {
    type Err = InvalidListenAddress;

    fn from_str(text: &str) -> Result<ListenAddress, InvalidListenAddress> {
        if text.starts_with("https://") {
            return Err(InvalidListenAddress::Tls);
        }
        let bare = text.strip_prefix("http://").unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        bare.parse().map(ListenAddress).map_err(|_| InvalidListenAddress::Form)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidListenAddress {
    #[error("https:// is not available yet: listen at http:// and put a proxy that ends TLS before it")]
    Tls,
    #[error(
        "it must be http://ADDRESS:PORT, with the address as a number, such as http://127.0.0.1:5050 or http://[::]:5050"
    )]
    Form,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_number_and_a_port() {
        for (text, expected) in [
            ("http://127.0.0.1:5050", Ok("127.0.0.1:5050")),
            ("http://127.0.0.1:5050/", Ok("127.0.0.1:5050")),
            ("0.0.0.0:0", Ok("0.0.0.0:0")),
            ("http://[::1]:5050", Ok("[::1]:5050")),
            ("[::]:80", Ok("[::]:80")),
            ("https://127.0.0.1:5050", Err(InvalidListenAddress::Tls)),
            ("localhost:5050", Err(InvalidListenAddress::Form)),
            ("127.0.0.1", Err(InvalidListenAddress::Form)),
            ("127.0.0.1:65536", Err(InvalidListenAddress::Form)),
            (":5050", Err(InvalidListenAddress::Form)),
            ("http://127.0.0.1:5050/v2", Err(InvalidListenAddress::Form)),
            ("ftp://127.0.0.1:1", Err(InvalidListenAddress::Form)),
            ("", Err(InvalidListenAddress::Form)),
        ] {
            let parsed = text.parse().map(|address: ListenAddress| address.0);
            assert_eq!(parsed, expected.map(|address| address.parse().unwrap()), "{text}");
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
