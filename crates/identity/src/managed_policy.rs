//! Managed policies (IAM API reference). Their versions are in [`policy_version`](crate::policy_version). Those of AWS are in [`aws_managed`](crate::aws_managed).

use crate::aws_managed::{self, ACCOUNT, AwsPolicy};
use crate::entity::{self, Entity, NewEntity, Page, Tags};
use crate::error::Error;
use crate::{Cx, policy_document};
use aws::{AccountId, Arn, Partition};
use meta::Tx;
use meta::records::iam::{self, EntityKind};
use meta::records::iam_policy::{PolicyVersionRow, Purpose};
use std::collections::BTreeMap;

const KIND: EntityKind = EntityKind::Policy;

/// The most characters of a document without whitespace (IAM user guide, "IAM and AWS STS quotas").
pub const MAX_SIZE: usize = 6_144;
/// How many policies [`list`] reads at a time.
const BATCH: u32 = 100;

/// The ARN of a managed policy: `arn:PARTITION:iam::ACCT:policy/PATH/NAME`, where the account may be `aws`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyArn {
    text: String,
    partition: String,
    /// `None` for a policy of AWS.
    owner: Option<AccountId>,
    path: String,
    name: String,
}

impl PolicyArn {
    /// # Errors
    /// [`Error::InvalidInput`] in AWS's words.
    pub fn parse(text: String) -> Result<PolicyArn, Error> {
        PolicyArn::read(&text).ok_or_else(|| Error::InvalidInput(format!("ARN {text} is not valid.")))
    }

    fn read(text: &str) -> Option<PolicyArn> {
        let arn: Arn = text.parse().ok()?;
        let owner = match arn.account.as_str() {
            ACCOUNT => None,
            account => Some(account.parse().ok()?),
        };
        let resource = arn.resource.strip_prefix("policy")?;
        let (path, name) = resource.split_at(resource.rfind('/')? + 1);
        let known = arn.service == "iam" && arn.region.is_empty() && path.starts_with('/') && !name.is_empty();
        let (path, name) = (path.to_owned(), name.to_owned());
        known.then(|| PolicyArn { text: text.to_owned(), partition: arn.partition, owner, path, name })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The account that owns the policy. `None` for a policy of AWS.
    pub fn owner(&self) -> Option<AccountId> {
        self.owner
    }

    pub(crate) fn not_found(&self) -> Error {
        Error::NoSuchEntity(format!("Policy {} was not found.", self.text))
    }

    pub(crate) fn no_version(&self, version: &str) -> Error {
        Error::NoSuchEntity(format!("Policy {} version {version} does not exist or is not attachable.", self.text))
    }

    /// Finds what the ARN can name in the call's account and partition.
    pub(crate) fn target(&self, cx: &Cx) -> PolicyTarget {
        match self.partition == cx.registry.partition().id() {
            true => self.in_account(cx.registry.account),
            false => PolicyTarget::Unknown,
        }
    }

    /// Finds what the ARN can name in an account, in any partition that exists.
    pub(crate) fn in_account(&self, account: AccountId) -> PolicyTarget {
        let known = Partition::ALL.into_iter().any(|partition| partition.id() == self.partition);
        match self.owner {
            _ if !known => PolicyTarget::Unknown,
            None => AwsPolicy::named(&self.path, &self.name).map_or(PolicyTarget::Unknown, PolicyTarget::Aws),
            Some(owner) if owner == account => {
                PolicyTarget::Own { account, path: self.path.clone(), name: self.name.clone() }
            }
            Some(_) => PolicyTarget::Unknown,
        }
    }

    /// The name of the account's own policy, to be changed. Fails for those of AWS.
    pub(crate) async fn own(&self, cx: &Cx) -> Result<&str, Error> {
        if self.owner.is_none() {
            return Err(Error::ForeignPolicy);
        }
        let target = self.target(cx);
        cx.db.read(move |tx| target.find(tx)).await?.ok_or_else(|| self.not_found())?;
        Ok(&self.name)
    }
}

/// What an ARN names in an account.
#[derive(Clone, Debug)]
pub(crate) enum PolicyTarget {
    Aws(&'static AwsPolicy),
    /// A policy of the account, which may not exist.
    Own {
        account: AccountId,
        path: String,
        name: String,
    },
    Unknown,
}

/// A managed policy that exists.
pub(crate) enum KnownPolicy {
    Aws(&'static AwsPolicy),
    Own(Box<Entity>),
}

impl PolicyTarget {
    /// Names are compared with case, as ARNs are.
    pub(crate) fn find(&self, tx: &mut Tx<'_>) -> Result<Option<KnownPolicy>, meta::Error> {
        Ok(match self {
            PolicyTarget::Aws(policy) => Some(KnownPolicy::Aws(policy)),
            PolicyTarget::Own { account, path, name } => {
                let found = tx.look_up(iam::entity_by_name(account.as_str(), KIND, name))?;
                found
                    .filter(|entity| entity.name == *name && entity.path == *path)
                    .map(|own| KnownPolicy::Own(own.into()))
            }
            PolicyTarget::Unknown => None,
        })
    }
}

impl KnownPolicy {
    /// The unique id, by which attachments name the policy.
    pub(crate) fn id(&self) -> &str {
        match self {
            KnownPolicy::Aws(policy) => policy.id,
            KnownPolicy::Own(entity) => &entity.id,
        }
    }

    pub(crate) fn is_attachable(&self) -> bool {
        matches!(self, KnownPolicy::Own(_)) || matches!(self, KnownPolicy::Aws(policy) if policy.is_attachable())
    }

    /// Finds the policy that an attachment names. `None` for one that is gone.
    pub(crate) fn by_id(tx: &mut Tx<'_>, id: &str) -> Result<Option<KnownPolicy>, meta::Error> {
        if let Some(policy) = AwsPolicy::by_id(id) {
            return Ok(Some(KnownPolicy::Aws(policy)));
        }
        Ok(tx.look_up(iam::entity_by_id(id))?.map(|own| KnownPolicy::Own(own.into())))
    }

    /// The document of the default version.
    pub(crate) fn document(&self, tx: &mut Tx<'_>) -> Result<Option<String>, meta::Error> {
        match self {
            KnownPolicy::Aws(policy) => Ok(Some(policy.document.to_owned())),
            KnownPolicy::Own(own) => {
                let version = tx.policy_version_get(&own.id, own.default_version.unwrap_or_default())?;
                Ok(version.map(|version| version.document))
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            KnownPolicy::Aws(policy) => policy.name,
            KnownPolicy::Own(entity) => &entity.name,
        }
    }

    pub(crate) fn path(&self) -> &str {
        match self {
            KnownPolicy::Aws(policy) => policy.path,
            KnownPolicy::Own(entity) => &entity.path,
        }
    }

    pub(crate) fn arn(&self, partition: Partition) -> String {
        match self {
            KnownPolicy::Aws(aws) => aws.arn(partition),
            KnownPolicy::Own(own) => entity::arn(partition, own),
        }
    }
}

/// A managed policy, as answers show it.
#[derive(Clone, Debug)]
pub struct ManagedPolicy {
    pub name: String,
    pub path: String,
    pub id: String,
    pub arn: String,
    pub description: Option<String>,
    pub default_version: i64,
    /// The users, groups and roles of the account that the policy is attached to.
    pub attachments: i64,
    /// The users and roles of the account whose permissions boundary it is.
    pub boundaries: i64,
    pub is_attachable: bool,
    pub created_at: i64,
    pub updated_at: i64,
    /// Empty in listings.
    pub tags: Vec<(String, String)>,
}

/// How often each policy is attached in an account.
type Counts = BTreeMap<(String, Purpose), i64>;

impl ManagedPolicy {
    fn of(partition: Partition, policy: &KnownPolicy, counts: &Counts) -> ManagedPolicy {
        let count = |purpose| counts.get(&(policy.id().to_owned(), purpose)).copied().unwrap_or_default();
        let (description, default_version, created_at, updated_at) = match policy {
            KnownPolicy::Aws(aws) => {
                let microseconds = |seconds| seconds * 1_000_000;
                (
                    Some(aws.description.to_owned()),
                    aws.version,
                    microseconds(aws.created_at),
                    microseconds(aws.updated_at),
                )
            }
            KnownPolicy::Own(own) => {
                (own.description.clone(), own.default_version.unwrap_or(1), own.created_at, own.updated_at)
            }
        };
        ManagedPolicy {
            name: policy.name().to_owned(),
            path: policy.path().to_owned(),
            id: policy.id().to_owned(),
            arn: policy.arn(partition),
            description,
            default_version,
            attachments: count(Purpose::Permissions),
            boundaries: count(Purpose::Boundary),
            is_attachable: policy.is_attachable(),
            created_at,
            updated_at,
            tags: Vec::new(),
        }
    }
}

fn counts(tx: &mut Tx<'_>, account: AccountId) -> Result<Counts, Error> {
    let counts = tx.attachment_counts(account.as_str())?;
    Ok(counts.into_iter().map(|(id, purpose, count)| ((id, purpose), count)).collect())
}

/// Checks the document of a managed policy.
///
/// # Errors
/// [`Error::MalformedPolicyDocument`]; [`Error::LimitExceeded`] over [`MAX_SIZE`].
pub(crate) fn check(document: &str) -> Result<(), Error> {
    policy_document::check_managed(document)?;
    if policy_document::size(document) > MAX_SIZE {
        return Err(Error::over("PolicySize", MAX_SIZE));
    }
    Ok(())
}

/// Creates a policy with its first version. See [`entity::create`] and [`check`] for the errors.
pub async fn create(cx: &Cx, new: NewEntity, document: String) -> Result<ManagedPolicy, Error> {
    check(&document)?;
    let tags = new.tags.clone().into_iter().collect();
    let created = entity::create(cx, KIND, new, move |tx, policy| {
        (policy.default_version, policy.last_version) = (Some(1), Some(1));
        let first = PolicyVersionRow { number: 1, document: document.clone(), created_at: policy.created_at };
        Ok(tx.policy_version_insert(&policy.id, &first)?)
    });
    let policy = KnownPolicy::Own(created.await?.into());
    Ok(ManagedPolicy { tags, ..ManagedPolicy::of(cx.registry.partition(), &policy, &Counts::new()) })
}

/// Returns a policy with its tags. Fails with [`Error::NoSuchEntity`].
pub async fn get(cx: &Cx, arn: &PolicyArn) -> Result<ManagedPolicy, Error> {
    let (target, account, partition) = (arn.target(cx), cx.registry.account, cx.registry.partition());
    let found = cx.db.read(move |tx| {
        let Some(policy) = target.find(tx)? else { return Ok(None) };
        let tags = tx.iam_tag_list(policy.id())?;
        Ok::<_, Error>(Some(ManagedPolicy { tags, ..ManagedPolicy::of(partition, &policy, &counts(tx, account)?) }))
    });
    found.await?.ok_or_else(|| arn.not_found())
}

/// Whose policies a listing has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyScope {
    All,
    Aws,
    Own,
}

/// What a listing has.
#[derive(Clone, Debug)]
pub struct PolicyFilter {
    pub scope: PolicyScope,
    /// Only those that are attached to a user, group or role.
    pub only_attached: bool,
    /// What the path begins with.
    pub prefix: String,
    /// Only those that are attached for this purpose.
    pub usage: Option<Purpose>,
}

impl PolicyFilter {
    fn has(&self, policy: &ManagedPolicy) -> bool {
        let used = match (self.usage, self.only_attached) {
            (Some(Purpose::Boundary), _) => policy.boundaries > 0,
            (Some(Purpose::Permissions), _) | (None, true) => policy.attachments > 0,
            (None, false) => true,
        };
        used && policy.path.starts_with(&self.prefix)
    }
}

/// Where a listing continues: the account's own policies come first, then those of AWS, each ordered by name.
fn cursor(policy: &ManagedPolicy) -> String {
    let owner = if AwsPolicy::by_id(&policy.id).is_some() { ACCOUNT } else { "own" };
    format!("{owner}:{}", policy.name)
}

/// Lists policies without their tags.
pub async fn list(
    cx: &Cx,
    filter: PolicyFilter,
    after: Option<String>,
    limit: u32,
) -> Result<Page<ManagedPolicy>, Error> {
    let (account, partition, after) = (cx.registry.account, cx.registry.partition(), after.unwrap_or_default());
    let listed = cx.db.read(move |tx| {
        let counts = counts(tx, account)?;
        let shown =
            |policy: KnownPolicy| Some(ManagedPolicy::of(partition, &policy, &counts)).filter(|it| filter.has(it));
        let mut found = Vec::new();
        let (owner, after) = after.split_once(':').unwrap_or_default();
        // The account's own policies, until the page is full. The filter may leave out most of a batch.
        let mut next = Some(after.to_owned()).filter(|_| owner != ACCOUNT && filter.scope != PolicyScope::Aws);
        while let Some(after) = next.filter(|_| found.len() <= limit as usize) {
            let batch = tx.iam_entity_list(account.as_str(), KIND, &after, &filter.prefix, BATCH)?;
            next = batch.last().filter(|_| batch.len() == BATCH as usize).map(|last| last.name.clone());
            found.extend(batch.into_iter().filter_map(|own| shown(KnownPolicy::Own(own.into()))));
        }
        // Those of AWS.
        if filter.scope != PolicyScope::Own {
            let after = if owner == ACCOUNT { after.to_ascii_lowercase() } else { String::new() };
            let rest = aws_managed::ALL.iter().filter(|policy| policy.name.to_ascii_lowercase() > after);
            found.extend(rest.filter_map(|policy| shown(KnownPolicy::Aws(policy))));
        }
        Ok::<_, Error>(found)
    });
    Ok(Page::of(listed.await?, limit, cursor))
}

/// Deletes a policy with its only version.
///
/// # Errors
/// [`Error::NoSuchEntity`]; [`Error::PolicyInUse`] while it is attached or has several versions; [`Error::ForeignPolicy`].
pub async fn delete(cx: &Cx, arn: &PolicyArn) -> Result<(), Error> {
    let account = cx.registry.account;
    let name = arn.own(cx).await?;
    entity::delete(cx, KIND, name, move |tx, policy| {
        for purpose in Purpose::ALL {
            if tx.attachment_count(account.as_str(), &policy.id, purpose)? > 0 {
                return Err(Error::PolicyInUse("Cannot delete a policy attached to entities."));
            }
        }
        let versions = tx.policy_version_list(&policy.id)?;
        if versions.len() > 1 {
            return Err(Error::PolicyInUse(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default \
                 version is deleted with the policy.",
            ));
        }
        for version in versions {
            tx.policy_version_delete(&policy.id, version.number)?;
        }
        Ok(())
    })
    .await
}

/// Adds tags. See [`entity::tag`].
pub async fn tag(cx: &Cx, arn: &PolicyArn, tags: Tags) -> Result<(), Error> {
    entity::tag(cx, KIND, arn.own(cx).await?, tags).await
}

/// Removes tags. See [`entity::untag`].
pub async fn untag(cx: &Cx, arn: &PolicyArn, keys: Vec<String>) -> Result<(), Error> {
    entity::untag(cx, KIND, arn.own(cx).await?, keys).await
}
