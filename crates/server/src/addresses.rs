//! Which registry a host name means, and how every URI is spelled (DESIGN "Names, addresses, settings").
use registry::RegistryId;

/// The settings behind all names: the base URL, the domain, the default account and the served regions.
pub struct Addresses;

/// What a `Host` header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// `{account}.dkr.ecr.{region}.{domain}` (also with domain `localhost`).
    Registry(RegistryId),
    /// `api.ecr.{region}.{domain}`
    Api(aws::Region),
    /// Any other: account and region are those of the token or the signature.
    Other,
}

impl Addresses {
    pub fn host(&self, _host_header: &str) -> HostName { todo!() }
    /// The host (and port) of a registry's image URIs: `repositoryUri` is this, a slash, and the name.
    pub fn registry_host(&self, _registry: &RegistryId) -> String { todo!() }
    /// `proxyEndpoint` of GetAuthorizationToken: scheme and host of the registry.
    pub fn proxy_endpoint(&self, _registry: &RegistryId) -> String { todo!() }
    /// The base of signed layer URLs, without a slash at the end.
    pub fn base_url(&self) -> &str { todo!() }
    /// Whether this region is served here.
    pub fn serves(&self, _region: &aws::Region) -> bool { todo!() }
}
