//! Which registry a call is about: a private one of `ECR.md` A.1, or an account's public one (A.11).

use aws::{AccountId, Partition, Region};
use meta::records::RegistryKey;
use std::fmt;

/// A registry: an account, and which of its registries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryId {
    pub account: AccountId,
    pub realm: Realm,
}

/// An action that both kinds of registries have. Made by [`action!`](crate::action).
#[derive(Clone, Copy, Debug)]
pub struct Action {
    pub private: &'static str,
    pub public: &'static str,
}

/// The action that a policy names for an operation: `ecr:PutImage` on a private registry, `ecr-public:PutImage` on a public one. Every
/// request has one, so it costs no allocation.
#[macro_export]
macro_rules! action {
    ($operation:literal) => {
        $crate::Action { private: concat!("ecr:", $operation), public: concat!("ecr-public:", $operation) }
    };
}

/// Which of an account's registries. Displayed for messages: `us-east-1`, or with `#` in the format `the region us-east-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Realm {
    /// The account's private registry in a region: actions of `ecr:`, all of which need a permission.
    Private(Region),
    /// The account's public registry, one for all regions: actions of `ecr-public:`, and reading needs no permission.
    Public,
}

/// The region of ECR Public's API, and of its tokens and condition keys: those of a global service are in this one.
const PUBLIC_API_REGION: &str = "us-east-1";

impl RegistryId {
    /// The private registry of an account in a region.
    pub fn private(account: AccountId, region: Region) -> RegistryId {
        RegistryId { account, realm: Realm::Private(region) }
    }

    /// The public registry of an account.
    pub fn public(account: AccountId) -> RegistryId {
        RegistryId { account, realm: Realm::Public }
    }

    /// The region of a private registry.
    pub fn region(&self) -> Option<&Region> {
        match &self.realm {
            Realm::Private(region) => Some(region),
            Realm::Public => None,
        }
    }

    /// The partition of its region; ECR Public is in the first one.
    pub fn partition(&self) -> Partition {
        self.region().map_or(Partition::Aws, Region::partition)
    }

    pub fn is_public(&self) -> bool {
        self.realm == Realm::Public
    }

    /// The region whose API is called about the registry.
    pub fn api_region(&self) -> &str {
        self.region().map_or(PUBLIC_API_REGION, Region::as_str)
    }

    /// The prefix of its actions, the service of its ARNs, and the command of the AWS CLI: `ecr` or `ecr-public`.
    pub fn service(&self) -> &'static str {
        match self.realm {
            Realm::Private(_) => "ecr",
            Realm::Public => "ecr-public",
        }
    }

    /// The action of an operation that both kinds of registries have.
    pub fn action(&self, action: Action) -> &'static str {
        match self.realm {
            Realm::Private(_) => action.private,
            Realm::Public => action.public,
        }
    }

    /// `arn:PARTITION:ecr:REGION:ACCT:repository/NAME`, or `arn:aws:ecr-public::ACCT:repository/NAME`.
    pub fn repository_arn(&self, name: &str) -> String {
        let region = self.region().map_or("", Region::as_str);
        format!("arn:{}:{}:{region}:{}:repository/{name}", self.partition(), self.service(), self.account)
    }

    /// What stands in the registry's rows.
    pub fn key(&self) -> RegistryKey {
        match &self.realm {
            Realm::Private(region) => RegistryKey::private(self.account.as_str(), region.as_str()),
            Realm::Public => RegistryKey::public(self.account.as_str()),
        }
    }
}

impl Realm {
    /// Reads what [`RegistryKey::region`] gives.
    pub fn from_key(region: &str) -> Option<Realm> {
        match region {
            RegistryKey::PUBLIC => Some(Realm::Public),
            region => region.parse().ok().map(Realm::Private),
        }
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Realm::Private(region) if f.alternate() => write!(f, "the region {}", region.as_str()),
            Realm::Private(region) => f.write_str(region.as_str()),
            Realm::Public => f.write_str("ECR Public"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_and_actions_are_those_of_the_registrys_service() {
        let private = RegistryId::private(AccountId::DEFAULT, "eu-west-1".parse().unwrap());
        let public = RegistryId::public(AccountId::DEFAULT);
        assert_eq!(private.repository_arn("app"), "arn:aws:ecr:eu-west-1:000000000000:repository/app");
        assert_eq!(public.repository_arn("app"), "arn:aws:ecr-public::000000000000:repository/app");
        assert_eq!(
            (private.action(action!("PutImage")), public.action(action!("PutImage"))),
            ("ecr:PutImage", "ecr-public:PutImage")
        );
        assert_eq!((private.api_region(), public.api_region()), ("eu-west-1", "us-east-1"));
    }

    #[test]
    fn no_region_can_be_spelled_as_the_public_registrys_rows_are() {
        assert!(RegistryKey::PUBLIC.parse::<Region>().is_err());
        for registry in [
            RegistryId::public(AccountId::DEFAULT),
            RegistryId::private(AccountId::DEFAULT, "us-east-1".parse().unwrap()),
            RegistryId::private(AccountId::DEFAULT, "public".parse().unwrap()),
        ] {
            assert_eq!(Realm::from_key(registry.key().region()), Some(registry.realm));
        }
    }
}
