//! IAM policy documents and their evaluation. This crate does no I/O.
//!
//! [`Document::parse`] reads a policy and refuses unknown elements. [`evaluate`] decides one [`Request`] by all [`Policies`] that apply
//! to it and explains the decision. Sources: IAM user guide ("IAM JSON policy reference", "Policy evaluation logic"), `ECR.md` G.

mod condition;
mod decision;
mod document;
mod evaluate;
mod pattern;
mod policies;
mod principal;
mod request;

pub use condition::{InvalidNetwork, Network};
pub use decision::{Cause, DecidingStatement, Decision, Denial, Grant, GrantBasis, PolicyKind};
pub use document::{Document, Grammar, InvalidDocument, PolicyRules, ResourceMember, readable, with_principals};
pub use evaluate::evaluate;
pub use policies::{AttachedPolicy, Policies};
pub use principal::is_unique_id;
pub use request::{Keys, Principal, PrincipalKind, Request, ResourceRule};
