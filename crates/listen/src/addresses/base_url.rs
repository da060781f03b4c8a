//! Base URLs: a scheme, a host and a port.

use super::without_port;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    pub(super) fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// Returns `:PORT`, or an empty text for the scheme's default port.
pub(super) fn port_suffix(scheme: Scheme, port: u16) -> String {
    if port == scheme.default_port() { String::new() } else { format!(":{port}") }
}

/// A scheme and an authority without a path, such as `https://registry.corp`. A default port is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    pub scheme: Scheme,
    /// Host and port in lower case.
    pub(super) authority: String,
}

impl BaseUrl {
    /// Returns `:PORT`, or an empty text if the URL has no port.
    pub(super) fn port(&self) -> &str {
        &self.authority[without_port(&self.authority).len()..]
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.authority)
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<BaseUrl, InvalidUrl> {
        let uri: http::Uri = text.parse().map_err(|_| InvalidUrl)?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(InvalidUrl),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(InvalidUrl)?;
        let host = authority.host();
        if uri.path() != "/" || uri.query().is_some() || host.is_empty() {
            return Err(InvalidUrl);
        }
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            Some(port) => port_suffix(scheme, port.parse().map_err(|_| InvalidUrl)?),
            None => String::new(),
        };
        Ok(BaseUrl { scheme, authority: format!("{}{port}", host.to_ascii_lowercase()) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be http:// or https://, a host, and perhaps a port, such as https://registry.example.com")]
pub struct InvalidUrl;
