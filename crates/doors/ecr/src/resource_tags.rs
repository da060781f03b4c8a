//! TagResource, UntagResource, ListTagsForResource: resource tags of repositories (`ECR.md` A.2).

use super::failure::Ecr;
use super::types::{self, Bounded, MAX_TAGS, Tag};
use aws::{Arn, WrongPartition};
use call::Operation;
use call::check;
use kernel::access::Need;
use kernel::{Constraint, Cx, RegistryId};
use listen::app::App;
use oci::RepositoryName;
use registry::{Error, permission, resource_tags};
use serde::{Deserialize, Serialize};

/// The repository that an ARN names. The ARN's account selects the registry, as `registryId` does in other operations. An ARN of
/// another region finds nothing (`ECR.md` A.2 TagResource).
#[derive(Debug)]
pub struct Target {
    account: String,
    region: String,
    name: RepositoryName,
}

impl Target {
    /// Checks `resourceArn`: `arn:PARTITION:ecr:REGION:ACCT:repository/NAME`.
    fn check(arn: Option<&str>) -> Result<Target, Error> {
        let invalid = |why: String| Error::invalid("resourceArn", Constraint::Text(why.into()));
        let arn = check::required("resourceArn", arn)?;
        let malformed = || invalid("Invalid ARN".to_owned());
        let (target, partition) = Target::parse(arn).ok_or_else(malformed)?;
        partition.map_err(|why| invalid(format!("Invalid ARN: {why}")))?;
        Ok(target)
    }

    fn read(arn: &str) -> Option<Target> {
        Target::parse(arn).filter(|(_, partition)| partition.is_ok()).map(|(target, _)| target)
    }

    /// Parses a well-formed ARN; the inner error says that its partition is not its region's.
    fn parse(arn: &str) -> Option<(Target, Result<(), WrongPartition>)> {
        let arn: Arn = arn.parse().ok()?;
        let name = arn.resource.strip_prefix("repository/")?.parse().ok()?;
        let account: aws::AccountId = arn.account.parse().ok()?;
        let region: aws::Region = arn.region.parse().ok()?;
        let partition = arn.check_partition(region.partition());
        let target = Target { account: account.to_string(), region: region.to_string(), name };
        (arn.service == "ecr").then_some((target, partition))
    }

    fn is_of(&self, registry: &RegistryId) -> bool {
        self.account == registry.account.as_str()
            && registry.region().is_some_and(|region| region.as_str() == self.region)
    }

    /// Returns the repository's name if the repository belongs to the call's registry.
    fn find(self, cx: &Cx) -> Result<RepositoryName, Error> {
        if self.is_of(&cx.registry) {
            Ok(self.name)
        } else {
            Err(Error::RepositoryNotFound { name: self.name.to_string(), account: self.account })
        }
    }
}

/// Returns the account in a repository's ARN.
fn account(arn: Option<&str>) -> Option<&str> {
    let arn = arn?;
    Target::read(arn)?;
    arn.split(':').nth(4)
}

/// Returns a need on the repository that the ARN names in the call's registry, or on every resource if it names none.
fn need(action: &'static str, arn: Option<&str>, registry: &RegistryId) -> Need {
    match arn.and_then(Target::read).filter(|target| target.is_of(registry)) {
        Some(target) => Need::new(action, permission::repository(registry, &target.name)),
        None => Need::new(action, permission::registry(registry)),
    }
}

/// The output of TagResource and UntagResource: `{}`.
#[derive(Debug, Serialize)]
pub struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagResource {
    resource_arn: Option<String>,
    tags: Option<types::Tags>,
}

impl Operation for TagResource {
    const NAME: &'static str = "TagResource";
    type Api = Ecr;
    type Checked = (Target, Vec<(String, String)>);
    type Output = Nothing;

    fn registry_id(&self) -> Option<&str> {
        account(self.resource_arn.as_deref())
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let need = need("ecr:TagResource", self.resource_arn.as_deref(), registry);
        vec![types::with_request_tags(need, self.tags.as_ref().map(types::Tags::kept).unwrap_or_default())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let target = Target::check(self.resource_arn.as_deref())?;
        Ok((target, types::resource_tags(check::required("tags", self.tags)?)?))
    }

    async fn handle((target, tags): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        resource_tags::tag(cx, &target.find(cx)?, tags).await?;
        Ok(Nothing {})
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UntagResource {
    resource_arn: Option<String>,
    tag_keys: Option<Bounded<String, MAX_TAGS>>,
}

impl Operation for UntagResource {
    const NAME: &'static str = "UntagResource";
    type Api = Ecr;
    type Checked = (Target, Vec<String>);
    type Output = Nothing;

    fn registry_id(&self) -> Option<&str> {
        account(self.resource_arn.as_deref())
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let mut need = need("ecr:UntagResource", self.resource_arn.as_deref(), registry);
        need.removed_tags.extend(self.tag_keys.iter().flat_map(Bounded::kept).cloned());
        vec![need]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let target = Target::check(self.resource_arn.as_deref())?;
        Ok((target, check::required("tagKeys", self.tag_keys)?.check("tagKeys", 0)?))
    }

    async fn handle((target, keys): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        resource_tags::untag(cx, &target.find(cx)?, keys).await?;
        Ok(Nothing {})
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListTagsForResource {
    resource_arn: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Tags {
    tags: Vec<Tag>,
}

impl Operation for ListTagsForResource {
    const NAME: &'static str = "ListTagsForResource";
    type Api = Ecr;
    type Checked = Target;
    type Output = Tags;

    fn registry_id(&self) -> Option<&str> {
        account(self.resource_arn.as_deref())
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![need("ecr:ListTagsForResource", self.resource_arn.as_deref(), registry)]
    }

    fn check(self) -> Result<Target, Error> {
        Target::check(self.resource_arn.as_deref())
    }

    async fn handle(target: Target, cx: &Cx, _app: &App) -> Result<Tags, Error> {
        let tags = resource_tags::list(cx, &target.find(cx)?).await?;
        Ok(Tags { tags: tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_repositorys_arn_is_one() {
        let target = Target::check(Some("arn:aws:ecr:eu-west-1:012345678901:repository/team/app")).unwrap();
        assert_eq!(
            (target.account.as_str(), target.region.as_str(), target.name.as_str()),
            ("012345678901", "eu-west-1", "team/app")
        );
        for arn in [
            "",
            "app",
            "arn:aws:ecr:eu-west-1:012345678901:repository/",
            "arn:aws:ecr:eu-west-1:012345678901:repository/App",
            "arn:aws:ecr:eu-west-1:12345:repository/app",
            "arn:aws:ecr::012345678901:repository/app",
            "arn:aws:s3:eu-west-1:012345678901:repository/app",
            "arn:aws:ecr:eu-west-1:012345678901:registry",
        ] {
            let text = Target::check(Some(arn)).unwrap_err().to_string();
            assert_eq!(text, "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'", "{arn}");
        }
    }

    #[test]
    fn an_arn_is_of_its_regions_partition() {
        Target::check(Some("arn:aws-cn:ecr:cn-north-1:012345678901:repository/app")).unwrap();
        for (arn, partition) in [
            ("arn:aws:ecr:cn-north-1:012345678901:repository/app", "aws-cn"),
            ("arn:aws-cn:ecr:us-east-1:012345678901:repository/app", "aws"),
            ("arn:awsome:ecr:us-gov-east-1:012345678901:repository/app", "aws-us-gov"),
        ] {
            let text = Target::check(Some(arn)).unwrap_err().to_string();
            let cure = format!("'Invalid ARN: an ARN of this region begins with arn:{partition}:,");
            assert!(text.contains(&cure), "{text}");
            assert_eq!(account(Some(arn)), None, "{arn}");
        }
    }
}
