//! The policies that apply to a request.

use crate::document::Document;
use std::sync::Arc;

/// A policy that applies to a request, with the name by which a decision calls it.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachedPolicy {
    /// The ARN of a managed policy, or words such as `repository policy` and `inline policy NAME of user ann`.
    pub name: Arc<str>,
    pub document: Arc<Document>,
}

impl AttachedPolicy {
    pub fn new(name: impl Into<Arc<str>>, document: impl Into<Arc<Document>>) -> AttachedPolicy {
        AttachedPolicy { name: name.into(), document: document.into() }
    }
}

/// The policies that apply to a request.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// The service control policies of the caller's account, parsed by [`Grammar::Identity`](crate::Grammar::Identity). Empty if the
    /// account has none. The policies of the account that owns the resource are not among them: they do not bind other accounts'
    /// principals (`ECR.md` G.1).
    pub control: Vec<AttachedPolicy>,
    /// The policies of the caller and of the caller's groups.
    pub identity: Vec<AttachedPolicy>,
    /// The resource's own policy, parsed by [`Grammar::Resource`](crate::Grammar::Resource). Empty for an action that such policies
    /// can't grant, such as `ecr:GetAuthorizationToken`.
    pub resource: Vec<AttachedPolicy>,
    /// The policy of the registry that contains the resource, parsed in the same way. An allow in either of the two is enough.
    pub registry: Vec<AttachedPolicy>,
    /// The caller's permissions boundary. Empty if the caller has none.
    pub boundary: Vec<AttachedPolicy>,
    /// The session policies. Empty if the session has none. A federated user without session policies is allowed nothing by identity
    /// policies.
    pub session: Vec<AttachedPolicy>,
}

impl Policies {
    /// True if there is no policy of any kind.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// True if a policy depends on a condition key, by a condition or by a variable.
    pub fn mention(&self, key: &str) -> bool {
        let key = key.to_ascii_lowercase();
        self.all().any(|policy| policy.document.statements.iter().any(|statement| statement.mentions(&key)))
    }

    fn all(&self) -> impl Iterator<Item = &AttachedPolicy> {
        let kinds = [&self.control, &self.identity, &self.resource, &self.registry, &self.boundary, &self.session];
        kinds.into_iter().flatten()
    }
}
