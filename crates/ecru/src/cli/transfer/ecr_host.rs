//! The host names of Amazon ECR's registries, and where the API of each is.
//!
//! Source: the expression and the endpoints of amazon-ecr-credential-helper (`ecr-login/api/client.go`), and AWS General Reference
//! "Amazon ECR endpoints and quotas".

use http::Uri;

/// A registry of Amazon ECR, or one that is named in the same way (a second Ecru with a domain).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcrHost {
    pub account: String,
    pub region: String,
    /// The address of ECR's API in the same region, partition and kind (FIPS, dual stack).
    pub api: Uri,
}

impl EcrHost {
    /// Reads `ACCOUNT.dkr.ecr.REGION.amazonaws.com` and its relatives: `ecr-fips`, dual stack (`ACCOUNT.dkr-ecr.REGION.on.aws`), other
    /// partitions, other domains. A port is kept.
    pub fn parse(host: &str) -> Option<EcrHost> {
        let (name, port) = match host.split_once(':') {
            Some((name, port)) => (name, format!(":{}", port.parse::<u16>().ok()?)),
            None => (host, String::new()),
        };
        let name = name.to_ascii_lowercase();
        let (account, rest) = name.split_once('.')?;
        if account.len() != 12 || !account.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let dualstack = rest.starts_with("dkr-");
        let rest = rest.strip_prefix("dkr.").or_else(|| rest.strip_prefix("dkr-"))?;
        let (service, rest) = rest.split_once('.')?;
        let fips = match service {
            "ecr" => false,
            "ecr-fips" => true,
            _ => return None,
        };
        let (region, domain) = rest.split_once('.')?;
        let label = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        if !label(region) || !domain.split('.').all(label) {
            return None;
        }
        let api = match (dualstack, fips) {
            (true, _) => format!("{service}.{region}.{}", dualstack_domain(domain)?),
            (false, true) => format!("ecr-fips.{region}.{domain}"),
            (false, false) => format!("api.ecr.{region}.{domain}"),
        };
        let api = format!("https://{api}{port}").parse().ok()?;
        Some(EcrHost { account: account.to_owned(), region: region.to_owned(), api })
    }
}

/// The domain of the APIs whose registries are in another domain.
fn dualstack_domain(domain: &str) -> Option<&'static str> {
    match domain {
        "on.aws" => Some("api.aws"),
        "on.amazonwebservices.com.cn" => Some("api.amazonwebservices.com.cn"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_registry_has_its_api_in_the_same_partition() {
        for (host, region, api) in [
            ("111122223333.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", "https://api.ecr.eu-west-1.amazonaws.com/"),
            (
                "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn",
                "cn-north-1",
                "https://api.ecr.cn-north-1.amazonaws.com.cn/",
            ),
            (
                "111122223333.dkr.ecr-fips.us-east-1.amazonaws.com",
                "us-east-1",
                "https://ecr-fips.us-east-1.amazonaws.com/",
            ),
            ("111122223333.dkr-ecr.us-west-2.on.aws", "us-west-2", "https://ecr.us-west-2.api.aws/"),
            ("111122223333.dkr-ecr-fips.us-west-2.on.aws", "us-west-2", "https://ecr-fips.us-west-2.api.aws/"),
            (
                "111122223333.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
                "cn-north-1",
                "https://ecr.cn-north-1.api.amazonwebservices.com.cn/",
            ),
            (
                "111122223333.dkr.ecr.us-iso-east-1.c2s.ic.gov",
                "us-iso-east-1",
                "https://api.ecr.us-iso-east-1.c2s.ic.gov/",
            ),
            (
                "111122223333.dkr.ecr.us-east-1.corp.example:5443",
                "us-east-1",
                "https://api.ecr.us-east-1.corp.example:5443/",
            ),
        ] {
            let read = EcrHost::parse(host).unwrap();
            assert_eq!((read.account.as_str(), read.region.as_str()), ("111122223333", region));
            assert_eq!(read.api.to_string(), api);
        }
    }

    #[test]
    fn other_hosts_are_not_amazons() {
        for host in [
            "ghcr.io",
            "11112222333.dkr.ecr.us-east-1.amazonaws.com",
            "a11122223333.dkr.ecr.us-east-1.amazonaws.com",
            "111122223333.dkr.s3.us-east-1.amazonaws.com",
            "111122223333.dkr-ecr.us-east-1.example.com",
            "111122223333.dkr.ecr.us-east-1",
            "111122223333.dkr.ecr.us-east-1.amazonaws.com:port",
            "111122223333.dkr.ecr.us east-1.amazonaws.com",
        ] {
            assert_eq!(EcrHost::parse(host), None, "{host}");
        }
    }
}
