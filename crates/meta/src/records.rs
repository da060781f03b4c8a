//! Every query of Ecru, a file for each record.
//!
//! Queries are methods of [`crate::Tx`], noun first, verb last. A query that also runs without a transaction is a function that returns
//! a [`crate::Lookup`].

/// Defines statements as constants, and `ALL` as their list, so that one test can prepare every statement on both engines.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

pub mod access_key;
pub mod account;
pub mod collect;
pub mod deleted;
pub mod event;
pub mod iam;
pub mod iam_policy;
pub mod image;
pub mod job;
pub mod layer;
pub mod policy;
pub mod push_refusal;
pub mod repository;
pub mod session;
pub mod store;
pub mod tag;
pub mod upload;

#[cfg(test)]
mod every_statement;

/// A registry, as the columns `account` and `region` hold it: the first half of every natural key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryKey {
    pub account: String,
    region: String,
}

impl RegistryKey {
    /// What the column `region` holds of a public registry, which is in no region. No region can be spelled so.
    pub const PUBLIC: &str = "@public";

    /// The private registry of an account in a region.
    pub fn private(account: &str, region: &str) -> RegistryKey {
        RegistryKey { account: account.to_owned(), region: region.to_owned() }
    }

    /// The public registry of an account.
    pub fn public(account: &str) -> RegistryKey {
        RegistryKey::private(account, RegistryKey::PUBLIC)
    }

    /// The region of a private registry, or [`RegistryKey::PUBLIC`].
    pub fn region(&self) -> &str {
        &self.region
    }
}
