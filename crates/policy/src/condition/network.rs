//! Address blocks in CIDR notation.

use std::net::IpAddr;
use std::str::FromStr;

/// An address block: an address and the length of its prefix (RFC 4632, RFC 4291).
///
/// Its text is `address/bits` or a single address. IPv4-mapped IPv6 addresses are refused, because requests never contain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// The number of leading bits that are compared.
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
            // The standard library's parser accepts a sign.
            Some(digits) if !digits.bytes().all(|c| c.is_ascii_digit()) => return Err(InvalidNetwork),
            Some(digits) => digits.parse().ok().filter(|bits| *bits <= all).ok_or(InvalidNetwork)?,
            None => all,
        };
        Ok(Network { address, prefix })
    }
}

impl Network {
    /// True if the block contains the address. An IPv4-mapped IPv6 address is treated as IPv4.
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
