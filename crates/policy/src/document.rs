//! Policy documents: parsed into types, so that nothing is left to be misread when it matters.

mod raw;
mod read;
mod statement;
#[cfg(test)]
mod tests;

pub(crate) use statement::{Effect, Facts, Statement};

/// A policy document that was understood in all its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub(crate) statements: Vec<Statement>,
}

/// Where a document stands, which decides what its statements must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// Of a user, a role, a group, a boundary or a session: `Resource` or `NotResource`, and no principal.
    Identity,
    /// Of a repository or a registry: `Principal` or `NotPrincipal`; a missing `Resource` means the policy's own resource.
    Resource,
}

impl Document {
    /// The largest document in bytes (IAM's service model, policyDocumentType).
    pub const MAX_BYTES: usize = 131_072;

    /// Reads a document.
    ///
    /// Refuses unknown and duplicate members, unknown operators of conditions, and values that their operator can't use: what
    /// is not understood is never ignored.
    pub fn parse(text: &str, grammar: Grammar) -> Result<Document, InvalidDocument> {
        read::document(text, grammar)
    }
}

/// What in a policy document is not understood. The text names the member.
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
