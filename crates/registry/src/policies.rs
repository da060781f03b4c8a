//! The one look-up of the policies and tags that decide who may do what.
use crate::access::{FoundPolicies, PolicySource, Resource};
use crate::{CommonError, Cx, Error, permission, resource_tags};

/// The policies in the store. There are none until the IAM API and repository policies exist, so that only the root principal of
/// the registry's own account passes.
pub struct StoredPolicies;

#[async_trait::async_trait]
impl PolicySource for StoredPolicies {
    async fn find(&self, cx: &Cx, resource: &Resource) -> Result<FoundPolicies, CommonError> {
        let policies = policy::Policies::default();
        // Tags matter to conditions only, so without policies nothing is read.
        let resource_tags = if policies.is_empty() { Vec::new() } else { tags(cx, resource).await? };
        Ok(FoundPolicies { policies, resource_tags })
    }
}

/// The tags of a repository; none if it does not exist.
async fn tags(cx: &Cx, resource: &Resource) -> Result<Vec<(String, String)>, CommonError> {
    let Some(name) = permission::repository_of(&cx.registry, resource) else { return Ok(Vec::new()) };
    match resource_tags::list(cx, &name).await {
        Ok(tags) => Ok(tags),
        Err(Error::RepositoryNotFound { .. }) => Ok(Vec::new()),
        Err(Error::Common(error)) => Err(error),
        Err(other) => Err(CommonError::server(other)),
    }
}
