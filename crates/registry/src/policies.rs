//! Finds the policies and the tags for an authorization.

use crate::access::{FoundPolicies, PolicySource, Resource};
use crate::{CommonError, Cx, Error, permission, resource_tags};

/// The policies in the store. There are none until the IAM API and repository policies exist, so only the root principal of the
/// registry's own account is authorized.
pub struct StoredPolicies;

#[async_trait::async_trait]
impl PolicySource for StoredPolicies {
    async fn find(&self, cx: &Cx, resource: &Resource) -> Result<FoundPolicies, CommonError> {
        let policies = policy::Policies::default();
        // Only conditions of policies use tags, so without policies read nothing.
        let resource_tags = if policies.is_empty() { Vec::new() } else { tags(cx, resource).await? };
        Ok(FoundPolicies { policies, resource_tags })
    }
}

/// Returns the tags of a repository. A repository that does not exist has none.
async fn tags(cx: &Cx, resource: &Resource) -> Result<Vec<(String, String)>, CommonError> {
    let Some(name) = permission::repository_of(&cx.registry, resource) else { return Ok(Vec::new()) };
    match resource_tags::list(cx, &name).await {
        Ok(tags) => Ok(tags),
        Err(Error::RepositoryNotFound { .. }) => Ok(Vec::new()),
        Err(Error::Common(error)) => Err(error),
        Err(other) => Err(CommonError::server(other)),
    }
}
