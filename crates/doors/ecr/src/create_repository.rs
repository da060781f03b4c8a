//! CreateRepository (`ECR.md` A.2).

use super::failure::Ecr;
use super::types::{
    self, EncryptionConfiguration, ExclusionFilters, ImageScanningConfiguration, Repository, RepositoryOut, Tags,
};
use call::check;
use call::{Operation, Structure};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use registry::Error;
use registry::repository::{self, NewRepository};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateRepository {
    registry_id: Option<String>,
    repository_name: Option<String>,
    tags: Option<Tags>,
    image_tag_mutability: Option<String>,
    image_tag_mutability_exclusion_filters: Option<ExclusionFilters>,
    image_scanning_configuration: Option<Structure<ImageScanningConfiguration>>,
    encryption_configuration: Option<Structure<EncryptionConfiguration>>,
}

impl Operation for CreateRepository {
    const NAME: &'static str = "CreateRepository";
    type Api = Ecr;
    type Checked = NewRepository;
    type Output = RepositoryOut;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    /// Tagging needs a separate permission (`ECR.md` G.2 "dependent").
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let tags = self.tags.as_ref().map(Tags::kept).unwrap_or_default();
        let need =
            |action| types::with_request_tags(types::need_on(action, registry, self.repository_name.as_deref()), tags);
        let mut needs = vec![need("ecr:CreateRepository")];
        if !tags.is_empty() {
            needs.push(need("ecr:TagResource"));
        }
        needs
    }

    fn check(self) -> Result<NewRepository, Error> {
        Ok(NewRepository {
            name: check::repository_name(self.repository_name.as_deref())?,
            mutability: types::tag_mutability(
                self.image_tag_mutability.as_deref().unwrap_or("MUTABLE"),
                self.image_tag_mutability_exclusion_filters,
            )?,
            scan_on_push: self
                .image_scanning_configuration
                .is_some_and(|Structure(configuration)| configuration.scan_on_push()),
            tags: self.tags.map(types::resource_tags).transpose()?.unwrap_or_default(),
            // Checked last: KMS is refused with another error than a malformed member.
            encryption: EncryptionConfiguration::check(
                self.encryption_configuration.map(|Structure(configuration)| configuration),
            )?,
        })
    }

    async fn handle(new: NewRepository, cx: &Cx, app: &App) -> Result<RepositoryOut, Error> {
        let repository = repository::create(cx, new).await?;
        Ok(RepositoryOut { repository: Repository::new(app, repository) })
    }
}
