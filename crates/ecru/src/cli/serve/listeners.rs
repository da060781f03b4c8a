//! Binds all addresses of the settings.

use crate::config::{ListenAddress, Settings};
use listen::addresses::Scheme;
use listen::listener::{Listener, Serves};
use listen::tls::Tls;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first port that every user may listen on by default.
const UNPRIVILEGED_PORT: u16 = 1024;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{0} is taken by another process; stop that one, or choose another port: {flag} {scheme}://{host}:PORT", flag = .1, scheme = .0.scheme.name(), host = host(.0))]
    Taken(ListenAddress, &'static str),
    #[error("{address} is --listen's own address; choose another port: {flag} {scheme}://{host}:PORT", scheme = address.scheme.name(), host = host(address))]
    Ours { address: ListenAddress, flag: &'static str },
    #[error("listening at {address} is not allowed: a port below 1024 needs root or CAP_NET_BIND_SERVICE; choose another port: {flag} {scheme}://{host}:PORT", scheme = address.scheme.name(), host = host(address))]
    Privileged { address: ListenAddress, flag: &'static str },
    #[error("no network interface of this machine has the address of {address}; {flag} {scheme}://0.0.0.0:{port} is all of IPv4", scheme = address.scheme.name(), port = address.socket.port())]
    Foreign { address: ListenAddress, flag: &'static str },
    #[error("listening at {address} is not possible")]
    Io { address: ListenAddress, source: io::Error },
}

fn host(address: &ListenAddress) -> String {
    match address.socket {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

/// Binds all listeners in order; a separate metrics listener is the last. Listeners of https:// use `tls`.
pub fn bind(settings: &Settings, tls: Option<&Tls>) -> Result<Vec<Listener>, ListenError> {
    let serves = if settings.metrics_listen.is_some() { Serves::Doors } else { Serves::Everything };
    let bind = |address: &ListenAddress, serves| {
        Listener::bind(address.socket, serves).map(|listener| match tls {
            Some(tls) if address.scheme == Scheme::Https => listener.over(tls.clone()),
            _ => listener,
        })
    };
    let mut listeners: Vec<Listener> = Vec::new();
    for address in &settings.listen {
        match bind(address, serves) {
            Ok(listener) => listeners.push(listener),
            // Many containers have no IPv6, and this address is only a default.
            Err(error)
                if settings.listen_is_default && address.socket.is_ipv6() && error.kind() != ErrorKind::AddrInUse =>
            {
                tracing::warn!(%error, "Not listening at {address}: IPv6 is not available here");
            }
            Err(error) => return Err(refusal(*address, "--listen", error, &listeners)),
        }
    }
    if let Some(address) = settings.metrics_listen {
        match bind(&address, Serves::Metrics) {
            Ok(listener) => listeners.push(listener),
            Err(error) => return Err(refusal(address, "--metrics-listen", error, &listeners)),
        }
    }
    Ok(listeners)
}

/// Returns the address for health checks from this machine without keys or certificates: the last plain HTTP listener, which is
/// the separate metrics listener if there is one.
pub fn health(listeners: &[Listener]) -> Option<String> {
    let plain = listeners.iter().rfind(|listener| listener.scheme() == Scheme::Http)?;
    let mut address = plain.address();
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Some(format!("http://{address}"))
}

/// Explains why an address could not be bound. `bound` are the listeners that this process has bound so far.
fn refusal(address: ListenAddress, flag: &'static str, error: io::Error, bound: &[Listener]) -> ListenError {
    match error.kind() {
        ErrorKind::AddrInUse if bound.iter().any(|listener| overlap(listener.address(), address.socket)) => {
            ListenError::Ours { address, flag }
        }
        ErrorKind::AddrInUse => ListenError::Taken(address, flag),
        ErrorKind::PermissionDenied if address.socket.port() < UNPRIVILEGED_PORT => {
            ListenError::Privileged { address, flag }
        }
        ErrorKind::AddrNotAvailable => ListenError::Foreign { address, flag },
        _ => ListenError::Io { address, source: error },
    }
}

/// Whether two addresses conflict. IPv4 and IPv6 never share a socket here.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let every = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && (every || one.ip() == other.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn health_is_asked_at_the_last_plain_listener_by_an_address_of_this_machine() {
        let bind = |address: &str, serves| Listener::bind(address.parse().unwrap(), serves).unwrap();
        assert_eq!(health(&[]), None);
        let listeners = [bind("127.0.0.1:0", Serves::Doors), bind("0.0.0.0:0", Serves::Metrics)];
        let port = listeners[1].address().port();
        assert_eq!(health(&listeners), Some(format!("http://127.0.0.1:{port}")));
    }
}
