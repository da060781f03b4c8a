//! IAM policy documents and their evaluation to a decision that explains itself. Pure.
//!
//! [`Document::parse`] turns a policy's text into types and refuses what it does not understand; [`evaluate`] judges one
//! [`Request`] by all [`Policies`] that apply to it. Sources: IAM user guide ("IAM JSON policy reference", "Policy evaluation
//! logic"), `ECR.md` G.

mod condition;
mod decision;
mod document;
mod evaluate;
mod pattern;
mod principal;
mod request;

pub use condition::{InvalidNetwork, Network};
pub use decision::{Cause, Decision, Denial, Grant, PolicyKind};
pub use document::{Document, Grammar, InvalidDocument};
pub use evaluate::{Policies, evaluate};
pub use request::{Keys, Principal, PrincipalKind, Request, ResourceRule};
