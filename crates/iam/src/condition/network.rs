//! Address blocks.

use std::net::IpAddr;

/// An address with the length of its prefix (RFC 4632, RFC 4291).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    /// Bits that count.
    prefix: u32,
}

impl Network {
    /// Reads `address/bits`, or an address alone. IPv4 addresses in IPv6's form are refused, since no request shows one.
    pub(super) fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        if address.to_canonical() != address {
            return None;
        }
        let all = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // The standard parser would take a sign.
            Some(digits) if !digits.bytes().all(|c| c.is_ascii_digit()) => return None,
            Some(digits) => digits.parse().ok().filter(|bits| *bits <= all)?,
            None => all,
        };
        Some(Network { address, prefix })
    }

    /// True when the address is within; an IPv4 address that came in IPv6's form counts as IPv4.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
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
