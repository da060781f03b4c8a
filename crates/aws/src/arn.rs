//! Amazon Resource Names.

use crate::Partition;
use std::fmt;
use std::str::FromStr;

/// The length limit of an ARN in bytes (IAM user guide, "IAM and AWS STS quotas").
const MAX_LENGTH: usize = 2048;

/// An ARN: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`. The region and account may be empty. The resource may contain colons.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arn {
    pub partition: String,
    pub service: String,
    pub region: String,
    pub account: String,
    pub resource: String,
}

impl Arn {
    /// Checks the ARN's partition against the partition of its region, or of the call's region if the ARN has none.
    ///
    /// # Errors
    /// The ARN has another partition.
    pub fn check_partition(&self, partition: Partition) -> Result<(), WrongPartition> {
        if self.partition == partition.id() { Ok(()) } else { Err(WrongPartition { partition }) }
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arn { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

impl FromStr for Arn {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, InvalidArn> {
        if text.len() > MAX_LENGTH || text.chars().any(char::is_control) {
            return Err(InvalidArn);
        }
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next().map(str::to_owned).ok_or(InvalidArn);
        let prefix = part()?;
        let arn = Arn { partition: part()?, service: part()?, region: part()?, account: part()?, resource: part()? };
        if prefix != "arn" || arn.partition.is_empty() || arn.service.is_empty() || arn.resource.is_empty() {
            return Err(InvalidArn);
        }
        Ok(arn)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ARN: arn:partition:service:region:account:resource")]
pub struct InvalidArn;

/// An ARN that has another partition than its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ARN of this region begins with arn:{partition}:, since the region is one of the partition {partition}")]
pub struct WrongPartition {
    pub partition: Partition,
}
