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

pub mod account;
pub mod event;
pub mod image;
pub mod job;
pub mod layer;
pub mod policy;
pub mod push_refusal;
pub mod repository;
pub mod store;
pub mod tag;
pub mod upload;

#[cfg(test)]
mod every_statement;

/// A registry: one account in one region. It is the first half of every natural key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryKey {
    pub account: String,
    pub region: String,
}
