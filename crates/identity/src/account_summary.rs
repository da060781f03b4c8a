//! The numbers of GetAccountSummary (IAM API reference).

use crate::access_key::MAX_KEYS;
use crate::entity::quota;
use crate::group::MAX_GROUPS_OF_USER;
use crate::role::MAX_TRUST_POLICY;
use crate::{Cx, Error};
use meta::records::iam::EntityKind;
use std::collections::BTreeMap;

/// IAM's quotas that do not depend on the account, by their names in the summary.
const QUOTAS: [(&str, usize); 8] = [
    ("AttachedPoliciesPerGroupQuota", 10),
    ("AttachedPoliciesPerRoleQuota", 10),
    ("AttachedPoliciesPerUserQuota", 10),
    ("UserPolicySizeQuota", 2_048),
    ("GroupPolicySizeQuota", 5_120),
    ("RolePolicySizeQuota", 10_240),
    ("PolicySizeQuota", 6_144),
    ("VersionsPerPolicyQuota", 5),
];

/// What no account of Ecru has: passwords, second factors, certificates and identity providers.
const NEVER: [&str; 7] = [
    "AccountMFAEnabled",
    "AccountPasswordPresent",
    "AccountSigningCertificatesPresent",
    "MFADevices",
    "MFADevicesInUse",
    "Providers",
    "ServerCertificates",
];

/// Counts what the account has, and tells its quotas, each by the name that the wire has for it.
pub async fn read(cx: &Cx) -> Result<BTreeMap<&'static str, i64>, Error> {
    let account = cx.registry.account;
    let counted: Result<_, Error> = cx
        .db
        .read(move |tx| {
            let mut count = |kind| tx.iam_entity_count(account.as_str(), kind);
            let entities = [
                ("Users", "UsersQuota", EntityKind::User, count(EntityKind::User)?),
                ("Groups", "GroupsQuota", EntityKind::Group, count(EntityKind::Group)?),
                ("Roles", "RolesQuota", EntityKind::Role, count(EntityKind::Role)?),
                (
                    "InstanceProfiles",
                    "InstanceProfilesQuota",
                    EntityKind::InstanceProfile,
                    count(EntityKind::InstanceProfile)?,
                ),
                ("Policies", "PoliciesQuota", EntityKind::Policy, count(EntityKind::Policy)?),
            ];
            Ok((entities, tx.access_key_count(account.as_str(), account.as_str())?))
        })
        .await;
    let (entities, root_keys) = counted?;
    let number = |quota: usize| i64::try_from(quota).unwrap_or(i64::MAX);
    let mut summary = BTreeMap::new();
    for (name, quota_name, kind, count) in entities {
        summary.insert(name, count);
        summary.insert(quota_name, number(quota(kind).1));
    }
    summary.insert("AccountAccessKeysPresent", i64::from(root_keys > 0));
    summary.insert("AccessKeysPerUserQuota", number(MAX_KEYS));
    summary.insert("GroupsPerUserQuota", number(MAX_GROUPS_OF_USER));
    summary.insert("AssumeRolePolicySizeQuota", number(MAX_TRUST_POLICY));
    summary.extend(QUOTAS.map(|(name, quota)| (name, number(quota))));
    summary.extend(NEVER.map(|name| (name, 0)));
    Ok(summary)
}
