//! Users, groups and roles as holders of policies. Their operations differ in their names and in the member that names the holder.

use crate::types;
use call::check;
use identity::{EntityKind, Error};
use kernel::RegistryId;
use kernel::access::Need;

/// A kind of entity that has policies.
pub trait Holder: Send + 'static {
    const KIND: EntityKind;
    /// The member that names the holder, as refusals name it.
    const MEMBER: &'static str;
    /// The most characters of the member in operations about inline policies.
    const MAX_NAME: u64;
    /// The most characters of the member in operations about attached policies.
    const MAX_ATTACHED_NAME: u64;
    const OPERATIONS: Operations;
}

/// The names of the operations on one kind.
pub struct Operations {
    pub put: &'static str,
    pub get: &'static str,
    pub list: &'static str,
    pub delete: &'static str,
    pub attach: &'static str,
    pub detach: &'static str,
    pub list_attached: &'static str,
    pub put_boundary: &'static str,
    pub delete_boundary: &'static str,
}

macro_rules! holder {
    ($kind:ident, $word:literal, $member:literal, $max_name:literal, $max_attached:literal) => {
        #[derive(Debug)]
        pub struct $kind;

        impl Holder for $kind {
            const KIND: EntityKind = EntityKind::$kind;
            const MEMBER: &'static str = $member;
            const MAX_NAME: u64 = $max_name;
            const MAX_ATTACHED_NAME: u64 = $max_attached;
            const OPERATIONS: Operations = Operations {
                put: concat!("Put", $word, "Policy"),
                get: concat!("Get", $word, "Policy"),
                list: concat!("List", $word, "Policies"),
                delete: concat!("Delete", $word, "Policy"),
                attach: concat!("Attach", $word, "Policy"),
                detach: concat!("Detach", $word, "Policy"),
                list_attached: concat!("ListAttached", $word, "Policies"),
                put_boundary: concat!("Put", $word, "PermissionsBoundary"),
                delete_boundary: concat!("Delete", $word, "PermissionsBoundary"),
            };
        }
    };
}

holder!(User, "User", "userName", 128, 64);
holder!(Group, "Group", "groupName", 128, 128);
holder!(Role, "Role", "roleName", 64, 64);

/// Defines the input of an operation that exists for each kind of holder. Only the member of its own kind is read.
macro_rules! holder_input {
    ($(#[$attribute:meta])* $input:ident { $($member:ident: $type:ty),* $(,)? }) => {
        $(#[$attribute])*
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "PascalCase", bound = "")]
        pub struct $input<K> {
            user_name: Option<String>,
            group_name: Option<String>,
            role_name: Option<String>,
            $($member: $type,)*
            #[serde(skip)]
            kind: std::marker::PhantomData<K>,
        }

        impl<K: $crate::holder::Holder> $input<K> {
            /// The name of the holder.
            fn holder(&self) -> Option<&str> {
                $crate::holder::named::<K>([&self.user_name, &self.group_name, &self.role_name])
            }
        }
    };
}
pub(crate) use holder_input;

/// Picks the name of a holder out of the members `UserName`, `GroupName` and `RoleName`.
pub fn named<K: Holder>([user, group, role]: [&Option<String>; 3]) -> Option<&str> {
    match K::KIND {
        EntityKind::User => user.as_deref(),
        EntityKind::Group => group.as_deref(),
        EntityKind::Role | EntityKind::InstanceProfile | EntityKind::Policy => role.as_deref(),
    }
}

/// The permission for an operation on its holder.
pub fn need<K: Holder>(operation: &str, registry: &RegistryId, holder: Option<&str>) -> Need {
    types::need_on(format!("iam:{operation}"), registry, K::KIND, holder)
}

/// Checks the name of a holder.
pub fn name<K: Holder>(name: Option<&str>, max: u64) -> Result<String, Error> {
    types::name(K::MEMBER, Some(check::required(K::MEMBER, name)?.to_owned()), max)
}
