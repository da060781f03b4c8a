//! The IAM door (query protocol, version 2010-05-08): users, groups, roles, instance profiles, keys and policies.
//!
//! A capability is a file. `types.rs` has the members that many operations share.

mod access_key;
mod failure;
mod group;
mod not_yet;
mod role;
mod types;
mod user;

pub use failure::Iam;

use call::{Entry, Protocol, Service};

pub const SERVICE: Service = Service {
    signing_name: "iam",
    namesake: None,
    // IAM is one for all regions. Its calls are signed for us-east-1.
    global_region: Some("us-east-1"),
    account: None,
    protocol: Protocol::Query { namespace: "https://iam.amazonaws.com/doc/2010-05-08/", version: "2010-05-08" },
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
    ],
    not_yet: not_yet::NOT_YET,
};
