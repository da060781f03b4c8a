//! The IAM door (query protocol, version 2010-05-08): users, groups, roles, instance profiles, keys and policies.
//!
//! A capability is a file. `types.rs` has the members that many operations share.

mod absent;
mod access_key;
mod account;
mod attachment;
mod boundary;
mod failure;
mod group;
mod holder;
mod inline_policy;
mod instance_profile;
mod not_yet;
mod policy;
mod policy_version;
mod role;
mod service_role;
mod types;
mod user;

pub use failure::Iam;

use holder::{Group, Role, User};

use call::{Entry, Protocol, Service};

/// The service in the credential scope of a signature.
pub const SIGNING_NAME: &str = "iam";
/// The region that calls are signed for. IAM is one for all regions.
pub const REGION: &str = "us-east-1";
/// The version of the API, which every call names.
pub const VERSION: &str = "2010-05-08";

pub const SERVICE: Service = Service {
    signing_name: SIGNING_NAME,
    namesake: None,
    global_region: Some(REGION),
    account: None,
    protocol: Protocol::Query { namespace: "https://iam.amazonaws.com/doc/2010-05-08/", version: VERSION },
    stated_life: false,
    operations: &[
        Entry::query::<access_key::CreateAccessKey>(),
        Entry::query::<access_key::UpdateAccessKey>(),
        Entry::query::<access_key::ListAccessKeys>(),
        Entry::query::<access_key::DeleteAccessKey>(),
        Entry::query::<access_key::GetAccessKeyLastUsed>(),
        Entry::query::<user::CreateUser>(),
        Entry::query::<user::GetUser>(),
        Entry::query::<user::ListUsers>(),
        Entry::query::<user::UpdateUser>(),
        Entry::query::<user::DeleteUser>(),
        Entry::query::<user::TagUser>(),
        Entry::query::<user::UntagUser>(),
        Entry::query::<user::ListUserTags>(),
        Entry::query::<group::CreateGroup>(),
        Entry::query::<group::GetGroup>(),
        Entry::query::<group::ListGroups>(),
        Entry::query::<group::UpdateGroup>(),
        Entry::query::<group::DeleteGroup>(),
        Entry::query::<group::AddUserToGroup>(),
        Entry::query::<group::RemoveUserFromGroup>(),
        Entry::query::<group::ListGroupsForUser>(),
        Entry::query::<role::CreateRole>(),
        Entry::query::<role::GetRole>(),
        Entry::query::<role::ListRoles>(),
        Entry::query::<role::UpdateRole>(),
        Entry::query::<role::UpdateRoleDescription>(),
        Entry::query::<role::DeleteRole>(),
        Entry::query::<role::UpdateAssumeRolePolicy>(),
        Entry::query::<role::TagRole>(),
        Entry::query::<role::UntagRole>(),
        Entry::query::<role::ListRoleTags>(),
        Entry::query::<instance_profile::CreateInstanceProfile>(),
        Entry::query::<instance_profile::GetInstanceProfile>(),
        Entry::query::<instance_profile::ListInstanceProfiles>(),
        Entry::query::<instance_profile::DeleteInstanceProfile>(),
        Entry::query::<instance_profile::AddRoleToInstanceProfile>(),
        Entry::query::<instance_profile::RemoveRoleFromInstanceProfile>(),
        Entry::query::<instance_profile::ListInstanceProfilesForRole>(),
        Entry::query::<instance_profile::TagInstanceProfile>(),
        Entry::query::<instance_profile::UntagInstanceProfile>(),
        Entry::query::<instance_profile::ListInstanceProfileTags>(),
        Entry::query::<service_role::CreateServiceLinkedRole>(),
        Entry::query::<service_role::DeleteServiceLinkedRole>(),
        Entry::query::<service_role::GetServiceLinkedRoleDeletionStatus>(),
        Entry::query::<account::GetAccountSummary>(),
        Entry::query::<account::ListAccountAliases>(),
        Entry::query::<absent::ListSigningCertificates>(),
        Entry::query::<absent::ListMFADevices>(),
        Entry::query::<absent::ListSSHPublicKeys>(),
        Entry::query::<absent::ListServiceSpecificCredentials>(),
        Entry::query::<absent::ListVirtualMFADevices>(),
        Entry::query::<absent::GetLoginProfile>(),
        Entry::query::<absent::DeleteLoginProfile>(),
        Entry::query::<policy::CreatePolicy>(),
        Entry::query::<policy::GetPolicy>(),
        Entry::query::<policy::ListPolicies>(),
        Entry::query::<policy::DeletePolicy>(),
        Entry::query::<policy::TagPolicy>(),
        Entry::query::<policy::UntagPolicy>(),
        Entry::query::<policy::ListPolicyTags>(),
        Entry::query::<policy_version::CreatePolicyVersion>(),
        Entry::query::<policy_version::GetPolicyVersion>(),
        Entry::query::<policy_version::ListPolicyVersions>(),
        Entry::query::<policy_version::DeletePolicyVersion>(),
        Entry::query::<policy_version::SetDefaultPolicyVersion>(),
        Entry::query::<inline_policy::Put<User>>(),
        Entry::query::<inline_policy::Get<User>>(),
        Entry::query::<inline_policy::List<User>>(),
        Entry::query::<inline_policy::Delete<User>>(),
        Entry::query::<attachment::Attach<User>>(),
        Entry::query::<attachment::Detach<User>>(),
        Entry::query::<attachment::ListAttached<User>>(),
        Entry::query::<inline_policy::Put<Group>>(),
        Entry::query::<inline_policy::Get<Group>>(),
        Entry::query::<inline_policy::List<Group>>(),
        Entry::query::<inline_policy::Delete<Group>>(),
        Entry::query::<attachment::Attach<Group>>(),
        Entry::query::<attachment::Detach<Group>>(),
        Entry::query::<attachment::ListAttached<Group>>(),
        Entry::query::<inline_policy::Put<Role>>(),
        Entry::query::<inline_policy::Get<Role>>(),
        Entry::query::<inline_policy::List<Role>>(),
        Entry::query::<inline_policy::Delete<Role>>(),
        Entry::query::<attachment::Attach<Role>>(),
        Entry::query::<attachment::Detach<Role>>(),
        Entry::query::<attachment::ListAttached<Role>>(),
        Entry::query::<boundary::Put<User>>(),
        Entry::query::<boundary::Delete<User>>(),
        Entry::query::<boundary::Put<Role>>(),
        Entry::query::<boundary::Delete<Role>>(),
        Entry::query::<attachment::ListEntitiesForPolicy>(),
    ],
    not_yet: not_yet::NOT_YET,
};
