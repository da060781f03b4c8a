//! The request that is evaluated: a principal, an action, a resource and condition keys.

use crate::decision::PolicyKind;
use aws::AccountId;
use std::collections::BTreeMap;

/// The principal that makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// `None` for a service and for an anonymous client.
    pub account: Option<AccountId>,
    /// The unique id of the user or role, such as `AIDA…`. For a federated user it is the user's. `None` for everybody else.
    pub unique_id: Option<String>,
    /// As a refusal prints it: `arn:aws:iam::ACCT:user/…`, `arn:aws:sts::ACCT:assumed-role/ROLE/SESSION`; a service's name; `anonymous`.
    pub arn: String,
    pub kind: PrincipalKind,
}

impl Principal {
    /// Whether its ARN is of that partition.
    pub(crate) fn is_of(&self, partition: aws::Partition) -> bool {
        let rest = self.arn.strip_prefix("arn:").and_then(|rest| rest.strip_prefix(partition.id()));
        rest.is_some_and(|rest| rest.starts_with(':'))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// The account's root principal, which needs no identity policy.
    Root,
    User,
    /// `role` is the role's ARN with its path.
    RoleSession {
        role: String,
    },
    /// `of` is the ARN of the user or root principal that asked for the session.
    FederatedUser {
        of: String,
    },
    /// A service such as `ecr.amazonaws.com`.
    Service,
    Anonymous,
}

impl PrincipalKind {
    /// The value of `aws:PrincipalType`. `None` for a service.
    fn name(&self) -> Option<&'static str> {
        match self {
            PrincipalKind::Root => Some("Account"),
            PrincipalKind::User => Some("User"),
            PrincipalKind::RoleSession { .. } => Some("AssumedRole"),
            PrincipalKind::FederatedUser { .. } => Some("FederatedUser"),
            PrincipalKind::Service => None,
            PrincipalKind::Anonymous => Some("Anonymous"),
        }
    }
}

/// The values of condition keys, by name.
pub type Keys = BTreeMap<String, Vec<String>>;

/// The role of the resource's own policy for requests within its account (IAM user guide, "Policy evaluation for requests within a
/// single account").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResourceRule {
    /// Either the resource's policy or the caller's must allow the action. For a repository, a secret, a bucket.
    #[default]
    Either,
    /// The resource's policy must allow the action. For the policy of a KMS key.
    Required,
    /// The resource is a role and its policy the trust policy, which must allow the action. For `sts:AssumeRole`.
    Trust,
}

impl ResourceRule {
    /// The kind of the resource's own policy.
    pub fn kind(self) -> PolicyKind {
        match self {
            ResourceRule::Either | ResourceRule::Required => PolicyKind::Resource,
            ResourceRule::Trust => PolicyKind::Trust,
        }
    }
}

/// One action on one resource.
#[derive(Clone)]
pub struct Request<'a> {
    pub principal: &'a Principal,
    /// Such as `ecr:PutImage`.
    pub action: &'a str,
    /// The resource's ARN, or `*` for an action without a resource.
    pub resource: &'a str,
    /// The account that owns the resource.
    pub resource_account: AccountId,
    pub resource_rule: ResourceRule,
    /// Returns the values of condition keys, such as `aws:SourceIp`, `aws:SecureTransport`, `aws:CurrentTime`, `aws:RequestTag/KEY`.
    /// Names are compared without case. A key without values is absent.
    ///
    /// `aws:PrincipalArn`, `aws:PrincipalAccount`, `aws:PrincipalType`, `aws:PrincipalIsAWSService` and
    /// `aws:ResourceAccount` always come from the members above, whatever is given here.
    ///
    /// Called at most once, and only if a policy has conditions or variables.
    pub context: &'a dyn Fn() -> Keys,
}

/// The condition keys of one request, by lower-case name.
pub(crate) struct Context(Keys);

impl Context {
    pub(crate) fn of(request: &Request<'_>) -> Context {
        let mut keys = Keys::new();
        for (mut name, mut values) in (request.context)() {
            name.make_ascii_lowercase();
            match keys.get_mut(&name) {
                Some(known) => known.append(&mut values),
                None => drop(keys.insert(name, values)),
            }
        }
        let principal = request.principal;
        let arn = match &principal.kind {
            PrincipalKind::RoleSession { role } => Some(role.clone()),
            PrincipalKind::Service | PrincipalKind::Anonymous => None,
            _ => Some(principal.arn.clone()),
        };
        let is_service = principal.kind == PrincipalKind::Service;
        let derived = [
            ("aws:principalarn", arn),
            ("aws:principalaccount", principal.account.map(|a| a.to_string())),
            ("aws:principaltype", principal.kind.name().map(str::to_owned)),
            ("aws:principalisawsservice", Some(is_service.to_string())),
            ("aws:resourceaccount", Some(request.resource_account.to_string())),
        ];
        for (name, value) in derived {
            keys.insert(name.to_owned(), value.into_iter().collect());
        }
        keys.retain(|_, values| !values.is_empty());
        Context(keys)
    }

    /// The values of the key with this lower-case name. `None` if the request lacks the key.
    pub(crate) fn values(&self, name: &str) -> Option<&[String]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The value of a key with exactly one value, for policy variables.
    pub(crate) fn single(&self, name: &str) -> Option<&str> {
        match self.values(name) {
            Some([value]) => Some(value),
            _ => None,
        }
    }
}
