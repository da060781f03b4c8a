//! What a call needs: actions on resources.

use aws::AccountId;
use oci::{Digest, Tag};
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
    /// True if the resource is what the ARN says, and nothing that exists under its name: what a call creates, or where it moves
    /// something to.
    pub is_exact: bool,
}

impl Resource {
    pub fn new(arn: String, owner: AccountId) -> Resource {
        Resource { arn, owner, is_exact: false }
    }
    /// A resource that does not exist yet at its ARN.
    pub fn exact(arn: String, owner: AccountId) -> Resource {
        Resource { arn, owner, is_exact: true }
    }
    /// The ARN `*` in an account.
    pub fn any(owner: AccountId) -> Resource {
        Resource { arn: "*".to_owned(), owner, is_exact: false }
    }
}

/// The image that a need is about, as the request names it. Policies test it by `ecru:ImageTag` and `ecru:ImageDigest`.
///
/// A malformed tag or digest names no image, so the request fails after its authorization and the keys are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedImage {
    pub tag: Option<Tag>,
    pub digest: Option<Digest>,
    /// True if the action takes all tags from the image that the digest names. `ecru:ImageTag` has all of them then.
    pub loses_all_tags: bool,
}

impl NamedImage {
    /// The image that a request to read or push names.
    pub fn new(tag: Option<Tag>, digest: Option<Digest>) -> NamedImage {
        NamedImage { tag, digest, loses_all_tags: false }
    }
    /// The image that a request to delete names. A tag in the request is all that the request deletes of an image with more tags.
    pub fn to_delete(tag: Option<Tag>, digest: Option<Digest>) -> NamedImage {
        NamedImage { loses_all_tags: tag.is_none(), ..NamedImage::new(tag, digest) }
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
    /// `None` for an action on a whole repository or on something else. An operation on several images has a need for each.
    pub image: Option<NamedImage>,
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
            image: None,
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
    /// Makes the need one about this image.
    pub fn on_image(self, image: NamedImage) -> Need {
        Need { image: Some(image), ..self }
    }
    /// Makes the need optional.
    pub fn optional(self) -> Need {
        Need { optional: true, ..self }
    }
    /// The digest of an image whose tags the action depends on.
    pub(super) fn digest_to_delete(&self) -> Option<&Digest> {
        self.image.as_ref().filter(|image| image.loses_all_tags)?.digest.as_ref()
    }
    /// The values of `aws:TagKeys`.
    pub fn tag_keys(&self) -> impl Iterator<Item = &str> {
        self.request_tags.keys().chain(&self.removed_tags).map(String::as_str)
    }
}
