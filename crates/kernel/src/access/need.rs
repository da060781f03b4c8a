//! What a call needs: actions on resources.

use aws::AccountId;
use policy::ResourceRule;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

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
    /// Other condition keys of the request with their values: those of the action, such as `ecr:AccountSetting`, `sts:ExternalId`,
    /// `sts:RoleSessionName` and `iam:PassedToService`, and `aws:SourceArn` and `aws:SourceAccount` if a service acts for a resource.
    pub conditions: BTreeMap<&'static str, Vec<String>>,
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
    /// Makes the resource's own policy required, as for a KMS key.
    pub fn required_of_resource(self) -> Need {
        Need { rule: ResourceRule::Required, ..self }
    }
    /// Makes the trust policy of the role that is the resource required. A [`PolicySource`](super::PolicySource) adds it to
    /// [`Policies::resource`](policy::Policies::resource).
    pub fn required_of_trust_policy(self) -> Need {
        Need { rule: ResourceRule::Trust, ..self }
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
