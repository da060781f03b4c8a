//! The domain below which registries have AWS-shaped names.

use aws::{AccountId, Partition, Region};
use std::str::FromStr;

/// A domain below which registries have AWS-shaped names, in lower case. AWS's own domains are equivalent: each region's names
/// end in the domain of its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(pub(super) String);

impl Domain {
    /// Returns the domain that a region's names end in: this domain, or the region's partition's domain if this is one of AWS's.
    pub fn of(&self, region: &Region) -> &str {
        if self.is_of_aws() { region.partition().dns_suffix() } else { &self.0 }
    }

    /// Returns every domain that [`Domain::of`] may return.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        let all: Vec<&str> = match self.is_of_aws() {
            true => Partition::ALL.map(Partition::dns_suffix).into(),
            false => vec![&self.0],
        };
        all.into_iter()
    }

    fn is_of_aws(&self) -> bool {
        Partition::ALL.iter().any(|partition| partition.dns_suffix() == self.0)
    }
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Domain {
    type Err = InvalidDomain;

    fn from_str(text: &str) -> Result<Domain, InvalidDomain> {
        let text = text.trim_matches('.').to_ascii_lowercase();
        let label = |label: &str| {
            let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
            (1..=63).contains(&label.len())
                && label.bytes().all(allowed)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() > 200 || !text.split('.').all(label) {
            return Err(InvalidDomain::Form);
        }
        match below_region(&text) {
            Some(domain) => Err(InvalidDomain::Region { domain: domain.to_owned() }),
            None => Ok(Domain(text)),
        }
    }
}

/// Returns the domain part of a registry's or API's name, also of one without its account.
fn below_region(text: &str) -> Option<&str> {
    let labels = match text.split_once('.') {
        Some((account, rest)) if account.parse::<AccountId>().is_ok() => rest,
        _ => text,
    };
    let rest = labels.strip_prefix("dkr.ecr.").or_else(|| labels.strip_prefix("api.ecr."))?;
    let (region, domain) = rest.split_once('.')?;
    region.parse::<Region>().is_ok().then_some(domain)
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDomain {
    #[error("it must be a domain name without scheme and port, such as registry.example.com")]
    Form,
    #[error("it is what follows dkr.ecr.REGION: did you mean {domain}?")]
    Region { domain: String },
}
