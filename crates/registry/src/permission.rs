//! The resources of a registry in permissions.

use crate::RegistryId;
use kernel::access::{Need, Resource};
use kernel::excerpt;
use oci::RepositoryName;
use std::borrow::Cow;

/// The largest number of characters of a client's name in a permission. A repository name has at most as many.
const MAX_NAME: usize = 256;

/// A repository of a registry.
pub fn repository(registry: &RegistryId, name: &RepositoryName) -> Resource {
    Resource::new(registry.repository_arn(name.as_str()), registry.account)
}

/// All repositories of a registry, for listings without a name.
pub fn every_repository(registry: &RegistryId) -> Resource {
    Resource::new(registry.repository_arn("*"), registry.account)
}

/// The registry itself.
pub fn registry(registry: &RegistryId) -> Resource {
    Resource::any(registry.account)
}

/// The permission for `action` on the repository that a client names, also if the name is invalid. Authorization comes before the check
/// of the name. So only a caller who is allowed for such a name reads that it is invalid.
pub fn need_on(action: impl Into<Cow<'static, str>>, registry: &RegistryId, name: Option<&str>) -> Need {
    let name = excerpt(name.unwrap_or_default(), MAX_NAME);
    Need::new(action, Resource::new(registry.repository_arn(&name), registry.account))
}

/// The repository's name, if the resource is a repository of this registry.
pub(crate) fn repository_of(registry: &RegistryId, resource: &Resource) -> Option<RepositoryName> {
    resource.arn.strip_prefix(&registry.repository_arn(""))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{AttachedPolicy, Document, Grammar, Policies, Principal, PrincipalKind, ResourceRule, evaluate};

    fn here() -> RegistryId {
        RegistryId::private(aws::AccountId::DEFAULT, "us-east-1".parse().unwrap())
    }

    /// True if a user who is allowed everything on these repositories is allowed this.
    fn allows(pattern: &str, need: &Need) -> bool {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"ecr:*","Resource":"{}"}}}}"#,
            here().repository_arn(pattern)
        );
        let identity = vec![AttachedPolicy::new("of ann", Document::parse(&text, Grammar::Identity).unwrap())];
        let arn = "arn:aws:iam::000000000000:user/ann".to_owned();
        let request = policy::Request {
            principal: &Principal { account: Some(here().account), unique_id: None, arn, kind: PrincipalKind::User },
            action: &need.action,
            resource: &need.resource.arn,
            resource_account: need.resource.owner,
            resource_rule: ResourceRule::Either,
            context: &policy::Keys::new,
        };
        evaluate(&request, &Policies { identity, ..Policies::default() }).is_allowed()
    }

    #[test]
    fn a_malformed_name_is_judged_as_it_is_written_so_that_who_may_use_all_reads_what_is_wrong() {
        for name in [None, Some(""), Some("UPPER"), Some("a b"), Some("a\nb"), Some("*"), Some("team/app")] {
            let need = need_on("ecr:PutImage", &here(), name);
            assert!(allows("*", &need), "{name:?}");
            assert_eq!(allows("team/*", &need), name == Some("team/app"), "{name:?}");
            assert!(!need.resource.arn.contains(char::is_control), "{name:?}");
        }
        let long = "a/".repeat(10_000);
        let arn = need_on("ecr:PutImage", &here(), Some(&long)).resource.arn;
        assert_eq!(arn.len(), here().repository_arn("").len() + MAX_NAME);
    }

    #[test]
    fn only_a_repository_of_the_same_registry_is_one() {
        let name: RepositoryName = "team/app".parse().unwrap();
        assert_eq!(repository_of(&here(), &repository(&here(), &name)), Some(name.clone()));
        for there in
            [RegistryId::private(here().account, "eu-west-1".parse().unwrap()), RegistryId::public(here().account)]
        {
            assert_eq!(repository_of(&here(), &repository(&there, &name)), None);
        }
        for other in [every_repository(&here()), registry(&here())] {
            assert_eq!(repository_of(&here(), &other), None);
        }
    }
}
