//! AWS's partitions, with their regions and domain names.

use crate::Region;
use std::fmt;
use std::str::FromStr;

/// A group of regions that has its own accounts, ARNs and domain names (botocore's `partitions.json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Partition {
    Aws,
    AwsCn,
    AwsUsGov,
    AwsIso,
    AwsIsoB,
    AwsIsoE,
    AwsIsoF,
    AwsEusc,
}

/// The documented properties of a partition.
struct Known {
    id: &'static str,
    /// The first parts of its regions' names, before `-AREA-NUMBER`.
    regions: &'static [&'static str],
    dns_suffix: &'static str,
    dual_stack_dns_suffix: &'static str,
}

impl Partition {
    pub const ALL: [Partition; 8] = [
        Partition::Aws,
        Partition::AwsCn,
        Partition::AwsUsGov,
        Partition::AwsIso,
        Partition::AwsIsoB,
        Partition::AwsIsoE,
        Partition::AwsIsoF,
        Partition::AwsEusc,
    ];

    /// The partition of a region, by the form of its name. It also works for future regions. A name of an unknown form, such as an
    /// operator's own region, belongs to `aws`.
    pub fn of(region: &Region) -> Partition {
        let has = |partition: &Partition| {
            let known = partition.known();
            let named = format!("{}-global", known.id) == region.as_str();
            named || known.regions.iter().any(|prefix| is_region(region.as_str(), prefix))
        };
        Partition::ALL.into_iter().find(has).unwrap_or(Partition::Aws)
    }

    /// The id, which is the second part of ARNs: `aws`, `aws-cn`, …
    pub fn id(self) -> &'static str {
        self.known().id
    }

    /// The domain of the services' host names: `amazonaws.com`, `amazonaws.com.cn`, …
    pub fn dns_suffix(self) -> &'static str {
        self.known().dns_suffix
    }

    /// The domain of the services' host names that also have IPv6 addresses: `api.aws`, …
    pub fn dual_stack_dns_suffix(self) -> &'static str {
        self.known().dual_stack_dns_suffix
    }

    const fn known(self) -> Known {
        let (id, regions, dns_suffix, dual_stack_dns_suffix): (_, &[&str], _, _) = match self {
            Partition::Aws => {
                ("aws", &["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"], "amazonaws.com", "api.aws")
            }
            Partition::AwsCn => ("aws-cn", &["cn"], "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
            Partition::AwsUsGov => ("aws-us-gov", &["us-gov"], "amazonaws.com", "api.aws"),
            Partition::AwsIso => ("aws-iso", &["us-iso"], "c2s.ic.gov", "api.aws.ic.gov"),
            Partition::AwsIsoB => ("aws-iso-b", &["us-isob"], "sc2s.sgov.gov", "api.aws.scloud"),
            Partition::AwsIsoE => ("aws-iso-e", &["eu-isoe"], "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
            Partition::AwsIsoF => ("aws-iso-f", &["us-isof"], "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
            Partition::AwsEusc => ("aws-eusc", &["eusc-de"], "amazonaws.eu", "api.amazonwebservices.eu"),
        };
        Known { id, regions, dns_suffix, dual_stack_dns_suffix }
    }
}

/// Whether a name is `PREFIX-AREA-NUMBER`; an area is one word.
fn is_region(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let Some((area, number)) = rest.and_then(|rest| rest.split_once('-')) else { return false };
    !area.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for Partition {
    type Err = InvalidPartition;

    fn from_str(text: &str) -> Result<Partition, InvalidPartition> {
        Partition::ALL.into_iter().find(|partition| partition.id() == text).ok_or(InvalidPartition)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown partition; the partitions are aws, aws-cn, aws-us-gov, aws-iso, aws-iso-b, aws-iso-e, aws-iso-f and aws-eusc"
)]
pub struct InvalidPartition;
