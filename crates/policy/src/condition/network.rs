//! Address blocks.

use std::net::IpAddr;
use std::str::FromStr;

/// An address with the length of its prefix (RFC 4632, RFC 4291).
///
/// Its text is `address/bits`, or an address alone. IPv4 addresses in IPv6's form are refused, since no request shows one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Bits that count.
    prefix: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not an address or a CIDR block")]
pub struct InvalidNetwork;

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Network, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        if address.to_canonical() != address {
            return Err(InvalidNetwork);
        }
        let all = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // The standard parser would take a sign.
            Some(digits) if !digits.bytes().all(|c| c.is_ascii_digit()) => return Err(InvalidNetwork),
            Some(digits) => digits.parse().ok().filter(|bits| *bits <= all).ok_or(InvalidNetwork)?,
            None => all,
        };
        Ok(Network { address, prefix })
    }
}

impl Network {
    /// True when the address is within; an IPv4 address that came in IPv6's form counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}
