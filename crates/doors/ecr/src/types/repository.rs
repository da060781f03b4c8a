//! Repositories and the parts of their configuration.

use super::Bounded;
use aws::{AccountId, Timestamp};
use call::Structure;
use call::check;
use listen::app::App;
use registry::Error;
use registry::repository::{Encryption, TagMutability};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    repository_arn: String,
    registry_id: AccountId,
    repository_name: String,
    repository_uri: String,
    created_at: Timestamp,
    image_tag_mutability: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_tag_mutability_exclusion_filters: Vec<ExclusionFilterOut>,
    image_scanning_configuration: ImageScanningConfigurationOut,
    encryption_configuration: EncryptionConfigurationOut,
}

impl Repository {
    pub fn new(app: &App, repository: registry::repository::Repository) -> Repository {
        let registry = &repository.registry;
        Repository {
            repository_arn: registry.repository_arn(repository.name.as_str()),
            registry_id: registry.account,
            repository_uri: format!("{}/{}", app.addresses.registry_host(registry), repository.name),
            repository_name: repository.name.to_string(),
            created_at: Timestamp(repository.created_at.0),
            image_tag_mutability: repository.mutability.name(),
            image_tag_mutability_exclusion_filters: ExclusionFilterOut::all(&repository.mutability),
            image_scanning_configuration: ImageScanningConfigurationOut { scan_on_push: repository.scan_on_push },
            encryption_configuration: EncryptionConfigurationOut { encryption_type: repository.encryption.name() },
        }
    }
}

/// The output of operations that return one repository.
#[derive(Debug, Serialize)]
pub struct RepositoryOut {
    pub repository: Repository,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExclusionFilterOut {
    filter_type: &'static str,
    filter: String,
}

impl ExclusionFilterOut {
    pub fn all(mutability: &TagMutability) -> Vec<ExclusionFilterOut> {
        mutability
            .filters()
            .iter()
            .map(|filter| ExclusionFilterOut { filter_type: "WILDCARD", filter: filter.clone() })
            .collect()
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageScanningConfigurationOut {
    pub scan_on_push: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EncryptionConfigurationOut {
    encryption_type: &'static str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageScanningConfiguration {
    scan_on_push: Option<bool>,
}

impl ImageScanningConfiguration {
    /// Returns `scanOnPush`, or false if it is absent (`ECR.md` A.2).
    pub fn scan_on_push(&self) -> bool {
        self.scan_on_push.unwrap_or(false)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncryptionConfiguration {
    encryption_type: Option<String>,
    kms_key: Option<String>,
}

impl EncryptionConfiguration {
    /// Checks a repository's encryption; the default is AES256.
    pub fn check(given: Option<EncryptionConfiguration>) -> Result<Encryption, Error> {
        const NAMES: &[&str] = &["AES256", "KMS", "KMS_DSSE"];
        const TYPE: &str = "encryptionConfiguration.encryptionType";
        let Some(EncryptionConfiguration { encryption_type, kms_key }) = given else { return Ok(Encryption::Aes256) };
        let encryption_type = check::required(TYPE, encryption_type)?;
        let encryption_type = check::name_of(TYPE, &encryption_type, NAMES)?;
        if let Some(key) = &kms_key {
            check::length("encryptionConfiguration.kmsKey", key, 1, 2048)?;
        }
        Encryption::new(encryption_type, kms_key.as_deref())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExclusionFilter {
    filter_type: Option<String>,
    filter: Option<String>,
}

/// `imageTagMutabilityExclusionFilters` on the wire.
pub type ExclusionFilters = Bounded<Structure<ExclusionFilter>, 5>;

/// Checks `imageTagMutability` and its exclusion filters (`ECR.md` C).
pub fn tag_mutability(name: &str, filters: Option<ExclusionFilters>) -> Result<TagMutability, Error> {
    const LIST: &str = "imageTagMutabilityExclusionFilters";
    let name = check::name_of("imageTagMutability", name, TagMutability::NAMES)?;
    let Some(filters) = filters else { return TagMutability::new(name, None) };
    let filters = filters.check(LIST, 1)?;
    let mut wildcards = Vec::with_capacity(filters.len());
    for (index, Structure(ExclusionFilter { filter_type, filter })) in filters.into_iter().enumerate() {
        let (type_member, member) = (check::element(LIST, index, "filterType"), check::element(LIST, index, "filter"));
        let filter_type = check::required(type_member.clone(), filter_type)?;
        check::name_of(type_member, &filter_type, &["WILDCARD"])?;
        let filter = check::required(member.clone(), filter)?;
        check::length(member.clone(), &filter, 1, 128)?;
        check::pattern(member, TagMutability::is_filter(&filter), TagMutability::FILTER_PATTERN)?;
        wildcards.push(filter);
    }
    TagMutability::new(name, Some(wildcards))
}
