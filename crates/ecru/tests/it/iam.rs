mod aws_managed;
pub mod cases;
mod constraints;
mod entity_cases;
mod groups;
pub mod keys;
mod operations;
mod policies;
pub mod policy_cases;
mod profiles;
mod rights;
pub mod roles;

use testkit::AwsCaller;

/// The signing name, by which the table of operations is found.
pub const SERVICE: &str = "iam";

/// Replaces the account id `ACCT` in an input by that of the caller.
pub fn in_account(caller: &AwsCaller<'_>, input: &serde_json::Value) -> serde_json::Value {
    serde_json::from_str(&input.to_string().replace("ACCT", caller.account())).unwrap()
}
