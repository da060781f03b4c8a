//! Amazon Resource Names.

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`; region and account may be empty, the resource may hold colons.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arn {
    pub partition: String,
    pub service: String,
    pub region: String,
    pub account: String,
    pub resource: String,
}
impl std::fmt::Display for Arn { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::str::FromStr for Arn { type Err = InvalidArn; fn from_str(_: &str) -> Result<Self, InvalidArn> { todo!() } }

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ARN: arn:partition:service:region:account:resource")]
pub struct InvalidArn;
