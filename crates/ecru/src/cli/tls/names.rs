//! The names in a server's certificate.

use aws::Region;
use if_addrs::get_if_addrs;
use listen::addresses::Domain;
use listen::tls::issue::Name;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The domain that every registry always answers under.
pub const LOCALHOST: &str = "localhost";

/// The names to add to those that every certificate has.
pub struct Wanted<'a> {
    pub domains: &'a [Domain],
    pub regions: &'a [Region],
    pub names: &'a [Name],
}

impl Wanted<'_> {
    /// Returns all names: this machine's names and addresses, the registries' and services' names in each domain and region, and
    /// the extra names.
    pub fn all(&self) -> Result<Vec<Name>, std::io::Error> {
        let mut all = BTreeSet::from([
            Name::Dns(LOCALHOST.to_owned()),
            Name::Ip(Ipv4Addr::LOCALHOST.into()),
            Name::Ip(Ipv6Addr::LOCALHOST.into()),
        ]);
        // A host name that is not a valid DNS name is left out: no client can use it.
        all.extend(host_name().parse());
        all.extend(get_if_addrs()?.iter().map(|interface| interface.ip()).filter(is_reached).map(Name::Ip));
        for domain in self.domains {
            all.insert(Name::Dns(format!("public.ecr.{domain}")));
            all.extend(self.regions.iter().flat_map(|region| services(region, domain.of(region))));
        }
        all.insert(Name::Dns(format!("public.ecr.{LOCALHOST}")));
        all.extend(self.regions.iter().flat_map(|region| services(region, LOCALHOST)));
        all.extend(self.names.iter().cloned());
        Ok(all.into_iter().collect())
    }
}

/// Returns the names by which docker and the AWS SDKs reach a region's registries, ECR and STS.
fn services(region: &Region, domain: &str) -> [Name; 4] {
    ["*.dkr.ecr", "api.ecr", "ecr", "sts"].map(|service| Name::Dns(format!("{service}.{region}.{domain}")))
}

/// Returns this machine's host name.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether other machines or containers can reach an address without an interface name.
fn is_reached(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local() && !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local() && !address.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(domains: &[&str], regions: &[&str], names: &[&str]) -> Vec<String> {
        let wanted = Wanted {
            domains: &domains.iter().map(|domain| domain.parse().unwrap()).collect::<Vec<_>>(),
            regions: &regions.iter().map(|region| region.parse().unwrap()).collect::<Vec<_>>(),
            names: &names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>(),
        };
        wanted.all().unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_name_that_a_client_may_use_is_there_once() {
        let all = names(
            &["amazonaws.com"],
            &["us-east-1", "eu-west-1", "cn-north-1"],
            &["Registry.corp", "10.1.2.3", "localhost"],
        );
        for name in [
            "localhost",
            "127.0.0.1",
            "::1",
            "registry.corp",
            "10.1.2.3",
            "*.dkr.ecr.us-east-1.localhost",
            "api.ecr.eu-west-1.localhost",
            "*.dkr.ecr.us-east-1.amazonaws.com",
            "*.dkr.ecr.eu-west-1.amazonaws.com",
            "api.ecr.us-east-1.amazonaws.com",
            "ecr.us-east-1.amazonaws.com",
            "sts.eu-west-1.amazonaws.com",
            "*.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "public.ecr.amazonaws.com",
        ] {
            assert_eq!(all.iter().filter(|other| *other == name).count(), 1, "{name} in {all:?}");
        }
        let own = names(&[], &["us-east-1"], &[]);
        assert!(!own.iter().any(|name| name.contains("amazonaws")), "{own:?}");
    }

    #[test]
    fn an_address_that_needs_an_interface_or_means_the_client_itself_is_no_name() {
        for (address, reached) in [
            ("10.0.0.1", true),
            ("172.17.0.1", true),
            ("127.0.0.2", false),
            ("169.254.1.1", false),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("fe80::1", false),
            ("::1", false),
        ] {
            assert_eq!(is_reached(&address.parse().unwrap()), reached, "{address}");
        }
    }
}
