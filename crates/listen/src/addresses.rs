//! Maps host names to registries, and builds every URI (DESIGN "Names, addresses, settings").

mod base_url;
mod domain;

pub use base_url::{BaseUrl, InvalidUrl, Scheme};
pub use domain::{Domain, InvalidDomain};

use aws::{AccountId, Region};
use base_url::port_suffix;
use http::header;
use http::request::Parts;
use kernel::{Realm, RegistryId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The domain that registries always answer under, in addition to the configured one.
const LOCALHOST: &str = "localhost";

/// The names that the server answers to and hands out: base URL, domain, default registry and served regions.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The default registry's base URL: the setting `url`, or made from the first listener.
    base: BaseUrl,
    /// The text of [`Addresses::base_url`].
    base_text: String,
    /// The first listener's scheme.
    local_scheme: Scheme,
    /// The first listener's port as `:PORT`, empty for its scheme's default. It follows `.localhost` in other registries' names.
    local_port: String,
    domain: Option<Domain>,
    default: RegistryId,
    regions: Regions,
}

/// The settings that [`Addresses`] is made from.
#[derive(Clone, Debug)]
pub struct Names {
    /// The setting `url`.
    pub url: Option<BaseUrl>,
    /// The setting `domain`.
    pub domain: Option<Domain>,
    pub regions: Regions,
    /// The first listener's scheme.
    pub scheme: Scheme,
    /// The port that the first listener is bound to.
    pub port: u16,
}

/// The regions that are served; the first is the default registry's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regions {
    /// `--dev`: every region; this one is the default.
    Any(Region),
    /// Only these regions; there is at least one.
    Only(Region, Vec<Region>),
}

impl Regions {
    /// The default registry's region.
    pub fn first(&self) -> &Region {
        match self {
            Regions::Any(first) | Regions::Only(first, _) => first,
        }
    }

    /// The regions that the settings name.
    pub fn named(&self) -> impl Iterator<Item = &Region> {
        let more: &[Region] = match self {
            Regions::Any(_) => &[],
            Regions::Only(_, more) => more,
        };
        std::iter::once(self.first()).chain(more)
    }
}

/// What a host name addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// `{account}.dkr.ecr.{region}.{domain}` (also with domain `localhost`).
    Registry(RegistryId),
    /// `api.ecr.{region}.{domain}`
    Api(aws::Region),
    /// Any other name. The token or the signature determines account and region.
    Other,
}

impl HostName {
    fn region(&self) -> Option<&Region> {
        match self {
            HostName::Registry(registry) => registry.region(),
            HostName::Api(region) => Some(region),
            HostName::Other => None,
        }
    }
}

impl Addresses {
    pub fn new(names: Names) -> Addresses {
        let default = RegistryId::private(AccountId::DEFAULT, names.regions.first().clone());
        let local_scheme = names.scheme;
        let local_port = port_suffix(local_scheme, names.port);
        let set = names.url.is_some();
        let local = BaseUrl { scheme: local_scheme, authority: format!("{LOCALHOST}{local_port}") };
        let base = names.url.unwrap_or(local);
        let mut addresses = Addresses {
            base_text: base.to_string(),
            base,
            local_scheme,
            local_port,
            domain: names.domain,
            default,
            regions: names.regions,
        };
        if !set && addresses.domain.is_some() {
            // With a domain, clients on other machines need the domain's name: localhost works on this machine only.
            addresses.base_text = addresses.proxy_endpoint(&addresses.default);
        }
        addresses
    }

    pub fn host(&self, host_header: &str) -> HostName {
        let host = without_port(host_header.trim()).trim_end_matches('.').to_ascii_lowercase();
        let below = |domain: &str| named(host.strip_suffix(domain)?.strip_suffix('.')?);
        let of_domain = |domain: &Domain, suffix: &str| {
            // The region determines which of AWS's domains the name must end in.
            below(suffix).filter(|name| name.region().is_some_and(|region| domain.of(region) == suffix))
        };
        let found = self.domain.as_ref().and_then(|domain| domain.all().find_map(|suffix| of_domain(domain, suffix)));
        found.or_else(|| below(LOCALHOST)).unwrap_or(HostName::Other)
    }

    /// Whether a `Host` header names this machine or this server: a loopback address, `localhost` or a name below it, the host of
    /// `url`, the domain, or a registry's or API's name below the domain. The port does not matter.
    pub fn is_own_name(&self, host_header: &str) -> bool {
        let host = without_port(host_header.trim()).trim_end_matches('.').to_ascii_lowercase();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address: Option<IpAddr> = match bare {
            Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        };
        address.is_some_and(|address| address.to_canonical().is_loopback())
            || host == LOCALHOST
            || host.strip_suffix(LOCALHOST).is_some_and(|below| below.ends_with('.'))
            || host == without_port(&self.base.authority)
            || self.domain.as_ref().is_some_and(|domain| domain.0 == host)
            || self.host(&host) != HostName::Other
    }

    /// The host (and port) of a registry's image URIs: `repositoryUri` is this, a slash, and the name.
    pub fn registry_host(&self, registry: &RegistryId) -> String {
        let labels = match &registry.realm {
            Realm::Private(region) => format!("{}.dkr.ecr.{region}", registry.account),
            // As public.ecr.aws: one for all accounts.
            Realm::Public => "public.ecr".to_owned(),
        };
        match &self.domain {
            Some(domain) => {
                let domain = registry.region().map_or(&*domain.0, |region| domain.of(region));
                format!("{labels}.{domain}{}", self.base.port())
            }
            None if *registry == self.default => self.base.authority.clone(),
            None => format!("{labels}.{LOCALHOST}{}", self.local_port),
        }
    }

    /// `proxyEndpoint` of GetAuthorizationToken: scheme and host of the registry.
    pub fn proxy_endpoint(&self, registry: &RegistryId) -> String {
        let local = self.domain.is_none() && *registry != self.default;
        let scheme = if local { self.local_scheme } else { self.base.scheme };
        format!("{}://{}", scheme.name(), self.registry_host(registry))
    }

    /// The base of signed layer URLs, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_text
    }

    /// Whether this region is served here.
    pub fn serves(&self, region: &aws::Region) -> bool {
        match &self.regions {
            Regions::Any(_) => true,
            Regions::Only(first, more) => first == region || more.contains(region),
        }
    }

    /// The region that is used where a client names none.
    pub fn default_region(&self) -> &aws::Region {
        self.regions.first()
    }

    /// The private registry that the base URL belongs to.
    pub fn default_registry(&self) -> &RegistryId {
        &self.default
    }

    /// Returns the scheme and host by which a client reached this server. If the `Host` header is not a plain host, returns the
    /// base URL.
    pub fn reached_at(&self, host_header: Option<&str>, tls: bool) -> String {
        let plain =
            |host: &&str| !host.is_empty() && host.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_:[]".contains(&c));
        match host_header.filter(plain) {
            Some(host) if host.eq_ignore_ascii_case(&self.base.authority) => self.base.to_string(),
            Some(host) => format!("{}://{host}", if tls { Scheme::Https } else { Scheme::Http }.name()),
            None => self.base.to_string(),
        }
    }
}

/// Parses the labels before the domain: `{account}.dkr.ecr.{region}` or `api.ecr.{region}`.
fn named(labels: &str) -> Option<HostName> {
    if let Some(region) = labels.strip_prefix("api.ecr.") {
        return Some(HostName::Api(region.parse().ok()?));
    }
    let (account, rest) = labels.split_once('.')?;
    let region = rest.strip_prefix("dkr.ecr.")?.parse().ok()?;
    Some(HostName::Registry(RegistryId::private(account.parse().ok()?, region)))
}

/// Removes the port from a host; keeps the brackets of an IPv6 address.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Returns the host that a request addresses: the one in its target if present, or the Host header.
pub fn host(head: &Parts) -> Option<&str> {
    let header = || head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    head.uri.authority().map(http::uri::Authority::as_str).or_else(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(url: Option<&str>, domain: Option<&str>, port: u16) -> Addresses {
        Addresses::new(Names {
            url: url.map(|url| url.parse().unwrap()),
            domain: domain.map(|domain| domain.parse().unwrap()),
            regions: Regions::Only("us-east-1".parse().unwrap(), vec!["eu-west-1".parse().unwrap()]),
            scheme: Scheme::Http,
            port,
        })
    }

    fn registry(account: &str, region: &str) -> RegistryId {
        RegistryId::private(account.parse().unwrap(), region.parse().unwrap())
    }

    #[test]
    fn every_uri_is_one_that_a_client_can_push_to() {
        let (home, other) = (registry("000000000000", "us-east-1"), registry("111122223333", "eu-west-1"));
        for (url, domain, port, host, elsewhere, base) in [
            (
                None,
                None,
                5050,
                "localhost:5050",
                "http://111122223333.dkr.ecr.eu-west-1.localhost:5050",
                "http://localhost:5050",
            ),
            (None, None, 80, "localhost", "http://111122223333.dkr.ecr.eu-west-1.localhost", "http://localhost"),
            (
                Some("https://registry.corp"),
                None,
                5050,
                "registry.corp",
                "http://111122223333.dkr.ecr.eu-west-1.localhost:5050",
                "https://registry.corp",
            ),
            (
                Some("https://Registry.corp:443/"),
                None,
                80,
                "registry.corp",
                "http://111122223333.dkr.ecr.eu-west-1.localhost",
                "https://registry.corp",
            ),
            (
                Some("http://10.0.0.1:8080"),
                None,
                80,
                "10.0.0.1:8080",
                "http://111122223333.dkr.ecr.eu-west-1.localhost",
                "http://10.0.0.1:8080",
            ),
            (
                None,
                Some("corp"),
                5050,
                "000000000000.dkr.ecr.us-east-1.corp:5050",
                "http://111122223333.dkr.ecr.eu-west-1.corp:5050",
                "http://000000000000.dkr.ecr.us-east-1.corp:5050",
            ),
            (
                Some("https://registry.corp"),
                Some("Registry.Corp."),
                5050,
                "000000000000.dkr.ecr.us-east-1.registry.corp",
                "https://111122223333.dkr.ecr.eu-west-1.registry.corp",
                "https://registry.corp",
            ),
        ] {
            let addresses = addresses(url, domain, port);
            assert_eq!(addresses.registry_host(&home), host);
            assert!(
                addresses.proxy_endpoint(&home).ends_with(&format!("://{host}")),
                "{}",
                addresses.proxy_endpoint(&home)
            );
            assert_eq!(addresses.proxy_endpoint(&other), elsewhere);
            assert_eq!(addresses.base_url(), base);
        }
    }

    #[test]
    fn over_tls_every_name_is_https_and_its_port_443_is_left_out() {
        let other = registry("111122223333", "eu-west-1");
        for (domain, port, base, elsewhere) in [
            (None, 5050, "https://localhost:5050", "https://111122223333.dkr.ecr.eu-west-1.localhost:5050"),
            (None, 443, "https://localhost", "https://111122223333.dkr.ecr.eu-west-1.localhost"),
            (None, 80, "https://localhost:80", "https://111122223333.dkr.ecr.eu-west-1.localhost:80"),
            (
                Some("amazonaws.com"),
                443,
                "https://000000000000.dkr.ecr.us-east-1.amazonaws.com",
                "https://111122223333.dkr.ecr.eu-west-1.amazonaws.com",
            ),
        ] {
            let addresses = Addresses::new(Names {
                url: None,
                domain: domain.map(|domain| domain.parse().unwrap()),
                regions: Regions::Any("us-east-1".parse().unwrap()),
                scheme: Scheme::Https,
                port,
            });
            assert_eq!((addresses.base_url(), addresses.proxy_endpoint(&other).as_str()), (base, elsewhere));
        }
    }

    #[test]
    fn a_host_names_a_registry_an_endpoint_or_nothing() {
        let addresses = addresses(None, Some("corp.example"), 5050);
        let account = |account, region| HostName::Registry(registry(account, region));
        for (host, expected) in [
            ("111122223333.dkr.ecr.us-east-1.localhost:5050", account("111122223333", "us-east-1")),
            ("111122223333.DKR.ecr.EU-west-1.LocalHost", account("111122223333", "eu-west-1")),
            ("111122223333.dkr.ecr.us-east-1.corp.example", account("111122223333", "us-east-1")),
            ("111122223333.dkr.ecr.us-east-1.corp.example.:80", account("111122223333", "us-east-1")),
            ("api.ecr.eu-west-1.corp.example:443", HostName::Api("eu-west-1".parse().unwrap())),
            ("api.ecr.eu-west-1.localhost", HostName::Api("eu-west-1".parse().unwrap())),
            ("111122223333.dkr.ecr.us-east-1.other.example", HostName::Other),
            ("111122223333.dkr.ecr.us-east-1.notcorp.example", HostName::Other),
            ("11112222333.dkr.ecr.us-east-1.localhost", HostName::Other),
            ("x.111122223333.dkr.ecr.us-east-1.localhost", HostName::Other),
            ("111122223333.dkr.ecr.us.east-1.localhost", HostName::Other),
            ("111122223333.dkr.ecr..localhost", HostName::Other),
            ("localhost:5050", HostName::Other),
            ("127.0.0.1:5050", HostName::Other),
            ("[::1]:5050", HostName::Other),
            ("corp.example", HostName::Other),
            ("", HostName::Other),
            (":", HostName::Other),
        ] {
            assert_eq!(addresses.host(host), expected, "{host}");
        }
    }

    #[test]
    fn under_awss_domains_each_region_has_the_names_of_its_partition() {
        for domain in ["amazonaws.com", "amazonaws.com.cn", "sc2s.sgov.gov"] {
            let addresses = addresses(None, Some(domain), 443);
            for (region, suffix) in [
                ("us-east-1", "amazonaws.com"),
                ("us-gov-west-1", "amazonaws.com"),
                ("cn-north-1", "amazonaws.com.cn"),
                ("us-iso-east-1", "c2s.ic.gov"),
                ("us-isob-east-1", "sc2s.sgov.gov"),
                ("eusc-de-east-1", "amazonaws.eu"),
            ] {
                let registry = registry("111122223333", region);
                let host = format!("111122223333.dkr.ecr.{region}.{suffix}");
                assert_eq!(addresses.registry_host(&registry), format!("{host}:443"));
                assert_eq!(addresses.host(&host), HostName::Registry(registry), "{domain}");
                let api = HostName::Api(region.parse().unwrap());
                assert_eq!(addresses.host(&format!("api.ecr.{region}.{suffix}")), api, "{domain}");
            }
            for other in ["us-east-1.amazonaws.com.cn", "cn-north-1.amazonaws.com", "us-east-1.corp.example"] {
                assert_eq!(addresses.host(&format!("api.ecr.{other}")), HostName::Other, "{domain}");
            }
        }
    }

    #[test]
    fn the_servers_own_names_are_those_of_this_machine_and_those_that_it_was_given() {
        let local = addresses(None, None, 5050);
        let given = addresses(Some("http://172.17.0.1:5050"), Some("corp.example"), 5050);
        for (host, own, own_if_given) in [
            ("localhost", true, true),
            ("LocalHost:80", true, true),
            ("localhost.", true, true),
            ("any.thing.localhost:1", true, true),
            ("000000000000.dkr.ecr.us-east-1.localhost:5050", true, true),
            ("127.0.0.1:5050", true, true),
            ("127.9.8.7", true, true),
            ("[::1]:5050", true, true),
            ("[::ffff:127.0.0.1]", true, true),
            ("evil.com", false, false),
            ("evil.com:5050", false, false),
            ("127.0.0.1.evil.com", false, false),
            ("localhost.evil.com", false, false),
            ("notlocalhost", false, false),
            ("0.0.0.0", false, false),
            ("127.1", false, false),
            ("2130706433", false, false),
            ("[::]", false, false),
            ("::1", false, false),
            ("10.0.0.1", false, false),
            ("", false, false),
            ("172.17.0.1:5050", false, true),
            ("172.17.0.1", false, true),
            ("172.17.0.2", false, false),
            ("corp.example:443", false, true),
            ("111122223333.dkr.ecr.us-east-1.corp.example", false, true),
            ("api.ecr.eu-west-1.corp.example", false, true),
            ("other.corp.example", false, false),
            ("notcorp.example", false, false),
        ] {
            assert_eq!((local.is_own_name(host), given.is_own_name(host)), (own, own_if_given), "{host}");
        }
    }

    #[test]
    fn only_regions_that_are_set_are_served() {
        let listed = addresses(None, None, 5050);
        for (region, served) in [("us-east-1", true), ("eu-west-1", true), ("us-west-2", false)] {
            assert_eq!(listed.serves(&region.parse().unwrap()), served, "{region}");
        }
        let any = Addresses::new(Names {
            url: None,
            domain: None,
            regions: Regions::Any("us-east-1".parse().unwrap()),
            scheme: Scheme::Http,
            port: 1,
        });
        assert!(any.serves(&"us-west-2".parse().unwrap()));
    }

    #[test]
    fn the_realm_names_the_host_that_the_client_used() {
        let addresses = addresses(Some("https://registry.corp"), None, 5050);
        for (host, expected) in [
            (Some("127.0.0.1:5050"), "http://127.0.0.1:5050"),
            (Some("Registry.corp"), "https://registry.corp"),
            (Some("a\"b"), "https://registry.corp"),
            (Some(""), "https://registry.corp"),
            (None, "https://registry.corp"),
        ] {
            assert_eq!(addresses.reached_at(host, false), expected, "{host:?}");
        }
    }

    #[test]
    fn a_url_or_domain_with_more_than_its_parts_is_refused() {
        for bad in [
            "registry.corp",
            "ftp://x",
            "https://",
            "https://x/v2",
            "https://x?y",
            "https://a@x",
            "https://x:99999",
            "",
        ] {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
        for bad in ["", ".", "a..b", "a b", "https://x", "x:80", "-a", "a_b"] {
            assert_eq!(bad.parse::<Domain>(), Err(InvalidDomain::Form), "{bad}");
        }
        for (name, expected) in [
            ("dkr.ecr.us-east-1.amazonaws.com", Some("amazonaws.com")),
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com", Some("amazonaws.com")),
            ("api.ecr.eu-west-1.corp", Some("corp")),
            ("amazonaws.com", None),
            ("ecr.corp", None),
            ("dkr.ecr.corp", None),
        ] {
            let meant = name.parse::<Domain>().err();
            let expected = expected.map(|domain| InvalidDomain::Region { domain: domain.to_owned() });
            assert_eq!(meant, expected, "{name}");
        }
    }
}
