//! Policy documents. They are parsed and checked completely before any evaluation.

mod raw;
mod read;
mod rules;
mod statement;
#[cfg(test)]
mod tests;
mod text;

pub use rules::{PolicyRules, ResourceMember};
pub(crate) use statement::{Effect, Facts, Statement};
pub use text::{readable, with_principals};

use std::sync::Arc;

/// A valid policy document. It has no unknown elements. Clones share the statements.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub(crate) statements: Arc<[Statement]>,
}

/// The kind of a document, which decides the elements that its statements must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// The policy of a user, role or group, a permissions boundary, or a session policy. It must have `Resource` or `NotResource`, and
    /// no principal.
    Identity,
    /// The policy of a repository or registry. It must have `Principal` or `NotPrincipal`. Without `Resource` it is about the resource
    /// that it is attached to.
    Resource,
}

impl Document {
    /// The size limit of a document in bytes (IAM's service model, policyDocumentType).
    pub const MAX_BYTES: usize = 131_072;

    /// Parses a document.
    ///
    /// Refuses unknown and duplicate members, unknown condition operators, and values that their operator can't use. No part of a
    /// document is ignored.
    pub fn parse(text: &str, grammar: Grammar) -> Result<Document, InvalidDocument> {
        read::document(text, grammar)
    }
}

/// The reason why a policy document is invalid. The text names the member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDocument {
    #[error("the policy document is larger than 131072 bytes")]
    TooLarge,
    #[error("the policy document can't be read: {0}")]
    Json(String),
    #[error("Version: it is neither 2012-10-17 nor 2008-10-17")]
    Version,
    #[error("Statement: there is none")]
    NoStatement,
    /// `member` is a path in the statement, such as `Condition.StringLike`; `index` counts from 0.
    #[error("Statement[{index}].{member}: {reason}")]
    Statement { index: usize, member: String, reason: String },
}
