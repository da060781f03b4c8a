//! Every query of Ecru, a file per record. Methods of [`crate::Tx`], noun first, verb last; what is also found without a
//! transaction is a function that makes a [`crate::Lookup`].

/// Statements as named constants, and `ALL` of a file, so that one test prepares every statement on both engines.
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
pub mod push_refusal;
pub mod repository;
pub mod store;
pub mod tag;
pub mod upload;

#[cfg(test)]
mod every_statement;

/// A registry: one account in one region, the first half of every natural key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryKey {
    pub account: String,
    pub region: String,
}
