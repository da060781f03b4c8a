//! Authorization: the caller of an operation, the permissions that the operation needs, and the check of one against the other.
//! Nothing is allowed by default.
use crate::{CommonError, Cx};
use aws::{AccountId, Partition};
use policy::{Cause, PolicyKind, ResourceRule};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The principal that makes a call. Ecru has only administrators until it has the IAM API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The account's root principal, `arn:PARTITION:iam::ACCT:root`, UserId = ACCT.
    Administrator {
        account: AccountId,
        access_key_id: String,
    },
    User {
        account: AccountId,
        id: String,
        path_and_name: String,
        access_key_id: String,
    },
    RoleSession {
        account: AccountId,
        id: String,
        /// The role's path, such as `/` or `/team/`. It is a part of the role's ARN but not of its sessions' ARNs (`ECR.md` G.1).
        path: String,
        role: String,
        session: String,
        access_key_id: String,
    },
    FederatedUser {
        account: AccountId,
        id: String,
        name: String,
        /// The ARN of the user or root principal that asked for the session.
        of: String,
        access_key_id: String,
    },
    /// Ecru itself, in a background job. The name is an AWS service's, such as `ecr.amazonaws.com`.
    Service {
        name: &'static str,
    },
    /// A client without credentials.
    Nobody,
}

impl Caller {
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Caller::Administrator { account, .. }
            | Caller::User { account, .. }
            | Caller::RoleSession { account, .. }
            | Caller::FederatedUser { account, .. } => Some(*account),
            Caller::Service { .. } | Caller::Nobody => None,
        }
    }

    /// The ARN, as denials, events and GetCallerIdentity print it. An account is in the partition in which it makes the call.
    pub fn arn(&self, partition: Partition) -> String {
        match self {
            Caller::Administrator { account, .. } => format!("arn:{partition}:iam::{account}:root"),
            Caller::User { account, path_and_name, .. } => {
                format!("arn:{partition}:iam::{account}:user/{path_and_name}")
            }
            Caller::RoleSession { account, role, session, .. } => {
                format!("arn:{partition}:sts::{account}:assumed-role/{role}/{session}")
            }
            Caller::FederatedUser { account, name, .. } => {
                format!("arn:{partition}:sts::{account}:federated-user/{name}")
            }
            Caller::Service { name } => (*name).to_owned(),
            Caller::Nobody => "anonymous".to_owned(),
        }
    }

    /// A key that is equal for two callers if their ARNs are. It costs no allocation.
    pub fn identity(&self) -> impl std::hash::Hash {
        match self {
            Caller::Administrator { account, .. } => ("root", Some(*account), "", ""),
            Caller::User { account, path_and_name, .. } => ("user", Some(*account), path_and_name.as_str(), ""),
            Caller::RoleSession { account, role, session, .. } => {
                ("role", Some(*account), role.as_str(), session.as_str())
            }
            Caller::FederatedUser { account, name, .. } => ("federated", Some(*account), name.as_str(), ""),
            Caller::Service { name } => ("service", None, *name, ""),
            Caller::Nobody => ("nobody", None, "", ""),
        }
    }

    /// The `UserId` of GetCallerIdentity. Tokens contain it.
    pub fn user_id(&self) -> String {
        match self {
            Caller::Administrator { account, .. } => account.to_string(),
            Caller::User { id, .. } => id.clone(),
            Caller::RoleSession { id, session, .. } => format!("{id}:{session}"),
            Caller::FederatedUser { account, name, .. } => format!("{account}:{name}"),
            Caller::Service { name } => (*name).to_owned(),
            Caller::Nobody => String::new(),
        }
    }

    /// The access key id that signed the request. Empty for a caller without one.
    pub fn access_key_id(&self) -> &str {
        match self {
            Caller::Administrator { access_key_id, .. }
            | Caller::User { access_key_id, .. }
            | Caller::RoleSession { access_key_id, .. }
            | Caller::FederatedUser { access_key_id, .. } => access_key_id,
            Caller::Service { .. } | Caller::Nobody => "",
        }
    }
}

/// The resource of an action. It may not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Such as `arn:PARTITION:ecr:REGION:ACCT:repository/NAME`. For a listing of all repositories the name is `*`. The ARN `*` stands for
    /// an account, a registry, or an action without a resource.
    pub arn: String,
    /// The account that owns the resource.
    pub owner: AccountId,
}

impl Resource {
    pub fn new(arn: String, owner: AccountId) -> Resource {
        Resource { arn, owner }
    }
    /// The ARN `*` in an account.
    pub fn any(owner: AccountId) -> Resource {
        Resource { arn: "*".to_owned(), owner }
    }
}

/// One permission that a call needs. The operation declares it and [`authorize`] checks it.
#[derive(Clone, Debug)]
pub struct Need {
    /// Such as `ecr:PutImage`.
    pub action: Cow<'static, str>,
    pub resource: Resource,
    /// Tells whether the resource's own policy must allow the action.
    pub rule: ResourceRule,
    /// The tags in the request (`aws:RequestTag/KEY`).
    pub request_tags: BTreeMap<String, String>,
    /// The keys of the tags that the request removes. `aws:TagKeys` has these keys and those of `request_tags`.
    pub removed_tags: BTreeSet<String>,
    /// Other condition keys of the request, such as `ecr:AccountSetting`.
    pub conditions: BTreeMap<&'static str, String>,
    /// True if the call continues without this permission and does less. A mount without it opens an upload (`ECR.md` B.8).
    pub optional: bool,
}

impl Need {
    pub fn new(action: impl Into<Cow<'static, str>>, resource: Resource) -> Need {
        Need {
            action: action.into(),
            resource,
            rule: ResourceRule::Either,
            request_tags: BTreeMap::new(),
            removed_tags: BTreeSet::new(),
            conditions: BTreeMap::new(),
            optional: false,
        }
    }
    /// Makes the resource's own policy required, as for a role's trust policy or the policy of a KMS key.
    pub fn required_of_resource(self) -> Need {
        Need { rule: ResourceRule::Required, ..self }
    }
    /// Makes the need optional.
    pub fn optional(self) -> Need {
        Need { optional: true, ..self }
    }
    /// The values of `aws:TagKeys`.
    pub fn tag_keys(&self) -> impl Iterator<Item = &str> {
        self.request_tags.keys().chain(&self.removed_tags).map(String::as_str)
    }
}

/// The stored policies and tags by which [`authorize`] evaluates one caller's access to one resource.
#[derive(Clone, Debug, Default)]
pub struct FoundPolicies {
    /// The policies of the caller and of the resource.
    pub policies: policy::Policies,
    /// The resource's tags. May be empty if there are no policies.
    pub resource_tags: Vec<(String, String)>,
}

/// Finds the policies by which [`authorize`] evaluates calls. A process has one.
#[async_trait::async_trait]
pub trait PolicySource: Send + Sync {
    /// The policies that say whether the call's caller is allowed what it needs: the caller's and the resource's. A resource that
    /// does not exist has none.
    async fn find(&self, cx: &Cx, need: &Need) -> Result<FoundPolicies, CommonError>;
}

/// Checks that the caller has every permission that is not optional. Returns true if it has the optional ones too.
///
/// # Errors
/// [`CommonError::AccessDenied`] names the first permission that is denied.
pub async fn authorize(cx: &Cx, needs: &[Need]) -> Result<bool, CommonError> {
    // If the data directory is gone, answer no call from the metadata that is still in memory.
    cx.blobs.present()?;
    let mut optional = true;
    for need in needs {
        let found = cx.policies().find(cx, need).await?;
        match decide(cx, need, &found) {
            policy::Decision::Denied { .. } if need.optional => optional = false,
            policy::Decision::Denied { reason } => {
                return Err(CommonError::AccessDenied(Box::new(shown_to(&cx.caller, need, reason))));
            }
            policy::Decision::Allowed { .. } => {}
        }
    }
    Ok(optional)
}

/// A denial as its caller may read it. A resource that does not exist has no policy, so callers of other accounts are not told that a
/// policy of the resource denies.
fn shown_to(caller: &Caller, need: &Need, denial: policy::Denial) -> policy::Denial {
    let is_of_resource = matches!(denial.cause, Cause::ExplicitDeny(PolicyKind::Resource | PolicyKind::Registry));
    if !is_of_resource || caller.account() == Some(need.resource.owner) {
        return denial;
    }
    policy::Denial { cause: Cause::NoAllow(PolicyKind::Resource), statement: None, ..denial }
}

/// What these policies make of a need of the call's caller.
pub fn decide(cx: &Cx, need: &Need, found: &FoundPolicies) -> policy::Decision {
    let principal = principal(&cx.caller, cx.registry.partition());
    let request = policy::Request {
        principal: &principal,
        action: &need.action,
        resource: &need.resource.arn,
        resource_account: need.resource.owner,
        resource_rule: need.rule,
        context: &|| context(cx, need, &found.resource_tags),
    };
    policy::evaluate(&request, &found.policies)
}

fn principal(caller: &Caller, partition: Partition) -> policy::Principal {
    let kind = match caller {
        Caller::Administrator { .. } => policy::PrincipalKind::Root,
        Caller::User { .. } => policy::PrincipalKind::User,
        Caller::RoleSession { account, path, role, .. } => {
            policy::PrincipalKind::RoleSession { role: format!("arn:{partition}:iam::{account}:role{path}{role}") }
        }
        Caller::FederatedUser { of, .. } => policy::PrincipalKind::FederatedUser { of: of.clone() },
        Caller::Service { .. } => policy::PrincipalKind::Service,
        Caller::Nobody => policy::PrincipalKind::Anonymous,
    };
    policy::Principal { account: caller.account(), arn: caller.arn(partition), kind }
}

/// The condition keys of a request (`ECR.md` G.2, and IAM's global keys).
fn context(cx: &Cx, need: &Need, resource_tags: &[(String, String)]) -> policy::Keys {
    let mut context = policy::Keys::new();
    let mut put = |key: String, value: String| {
        context.entry(key).or_default().push(value);
    };
    let now = cx.now();
    if let Some(request) = cx.origin.request() {
        put("aws:SourceIp".to_owned(), request.address.to_string());
        put("aws:SecureTransport".to_owned(), request.tls.to_string());
        put("aws:UserAgent".to_owned(), request.user_agent.clone());
        put("ecru:Listener".to_owned(), request.listener.to_string());
    }
    put("aws:RequestedRegion".to_owned(), cx.registry.api_region().to_owned());
    put("aws:EpochTime".to_owned(), (now.0 / 1_000_000).to_string());
    if let Ok(moment) = jiff::Timestamp::from_microsecond(now.0) {
        put("aws:CurrentTime".to_owned(), moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    for (key, value) in &need.request_tags {
        put(format!("aws:RequestTag/{key}"), value.clone());
    }
    for key in need.tag_keys() {
        put("aws:TagKeys".to_owned(), key.to_owned());
    }
    for (key, value) in &need.conditions {
        put((*key).to_owned(), value.clone());
    }
    // Most services have their own name for the same key.
    let service = need.action.split(':').next().unwrap_or_default();
    for (key, value) in resource_tags {
        put(format!("aws:ResourceTag/{key}"), value.clone());
        put(format!("{service}:ResourceTag/{key}"), value.clone());
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::PrincipalKind;

    #[test]
    fn a_sessions_principal_has_the_sessions_arn_and_the_arn_of_its_role_or_user() {
        let account = AccountId::DEFAULT;
        let session = |path: &str| Caller::RoleSession {
            account,
            id: "AROAEXAMPLE".to_owned(),
            path: path.to_owned(),
            role: "deployer".to_owned(),
            session: "ci".to_owned(),
            access_key_id: "ASIAEXAMPLE".to_owned(),
        };
        let user = "arn:aws:iam::000000000000:user/team/ann";
        let federated = Caller::FederatedUser {
            account,
            id: "000000000000:ann".to_owned(),
            name: "ann".to_owned(),
            of: user.to_owned(),
            access_key_id: "ASIAEXAMPLE".to_owned(),
        };
        let role = |arn: &str| PrincipalKind::RoleSession { role: arn.to_owned() };
        for (caller, arn, kind) in [
            (
                session("/"),
                "arn:aws:sts::000000000000:assumed-role/deployer/ci",
                role("arn:aws:iam::000000000000:role/deployer"),
            ),
            (
                session("/team/build/"),
                "arn:aws:sts::000000000000:assumed-role/deployer/ci",
                role("arn:aws:iam::000000000000:role/team/build/deployer"),
            ),
            (
                federated,
                "arn:aws:sts::000000000000:federated-user/ann",
                PrincipalKind::FederatedUser { of: user.to_owned() },
            ),
        ] {
            let known = principal(&caller, Partition::Aws);
            assert_eq!((known.arn.as_str(), known.kind), (arn, kind));
            // Called in China, everybody is of China.
            let known = principal(&caller, Partition::AwsCn);
            assert_eq!(known.arn, arn.replacen("arn:aws:", "arn:aws-cn:", 1));
        }
    }
}
