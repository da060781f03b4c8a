//! ListImageReferrers: the artifacts that point at an image (`ECR.md` A.3, K.4).

use super::failure::Ecr;
use super::page::{Listing, PageRequest};
use super::types::{self, Bounded};
use call::check;
use call::{Operation, Structure};
use kernel::access::{NamedImage, Need};
use kernel::{Constraint, Cx, RegistryId};
use listen::app::App;
use oci::{Digest, Manifest, RepositoryName};
use registry::image::StatusFilter;
use registry::referrers::{self, Referrer};
use registry::{Error, repository};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Maximum artifact types of one filter (`ECR.md` M.1 "batch sizes").
const MAX_TYPES: usize = 5;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListImageReferrers {
    registry_id: Option<String>,
    repository_name: Option<String>,
    subject_id: Option<Structure<SubjectIdentifier>>,
    filter: Option<Structure<Filter>>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubjectIdentifier {
    image_digest: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    artifact_types: Option<Bounded<String, MAX_TYPES>>,
    artifact_status: Option<String>,
}

#[derive(Debug)]
pub struct Checked {
    name: RepositoryName,
    subject: Digest,
    artifact_types: Vec<String>,
    status: StatusFilter,
    asked: PageRequest,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    referrers: Vec<ImageReferrer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageReferrer {
    digest: String,
    media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    artifact_status: &'static str,
}

impl From<Referrer> for ImageReferrer {
    fn from(found: Referrer) -> ImageReferrer {
        ImageReferrer {
            digest: found.digest.to_string(),
            media_type: found.media_type,
            artifact_type: found.artifact_type,
            size: found.size,
            annotations: found.annotations,
            artifact_status: "ACTIVE",
        }
    }
}

impl Operation for ListImageReferrers {
    const NAME: &'static str = "ListImageReferrers";
    type Api = Ecr;
    type Checked = Checked;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    /// The operation has no IAM action of its own (`ECR.md` G.2).
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let subject = self.subject_id.as_ref().and_then(|Structure(subject)| subject.image_digest.as_deref());
        let image = types::named_image(NamedImage::new, None, subject);
        vec![types::need_on("ecr:BatchGetImage", registry, self.repository_name.as_deref()).on_image(image)]
    }

    fn check(self) -> Result<Checked, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let Structure(subject) = check::required("subjectId", self.subject_id)?;
        let subject = check_subject(&check::required("subjectId.imageDigest", subject.image_digest)?)?;
        let filter = self.filter.map_or_else(Filter::default, |Structure(filter)| filter);
        let artifact_types = filter.artifact_types.map(|types| types.check("filter.artifactTypes", 0)).transpose()?;
        let artifact_types = artifact_types.unwrap_or_default();
        for (index, artifact_type) in artifact_types.iter().enumerate() {
            check::length(check::element("filter.artifactTypes", index, ""), artifact_type, 1, 255)?;
        }
        let status = types::status_filter("filter.artifactStatus", filter.artifact_status)?;
        let limit = check::max_results(self.max_results, 20, 50)?;
        Ok(Checked { name, subject, artifact_types, status, asked: PageRequest { token: self.next_token, limit } })
    }

    /// One page may carry annotations of a whole manifest's size.
    fn output_bytes(_checked: &Checked) -> usize {
        Manifest::MAX_BYTES
    }

    async fn handle(checked: Checked, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let Checked { name, subject, artifact_types, status, asked } = checked;
        let listing = Listing::new(
            cx,
            Self::NAME,
            &[name.as_str(), &subject.to_string(), status.name(), &artifact_types.join("\n")],
        );
        let after = listing.decode_cursor(asked.token.as_deref())?;
        match status {
            StatusFilter::Active | StatusFilter::Any => {
                let page = referrers::list(cx, &name, &subject, artifact_types, after, asked.limit).await?;
                Ok(Output {
                    referrers: page.items.into_iter().map(ImageReferrer::from).collect(),
                    next_token: listing.encode_cursor(page.next),
                })
            }
            // Images can't be archived yet, so the page is empty.
            StatusFilter::Archived | StatusFilter::Activating => {
                repository::get(cx, &name).await?;
                Ok(Output { referrers: Vec::new(), next_token: None })
            }
        }
    }
}

/// Checks the subject's digest. The model has no constraint for it; a text that is not a storable digest is refused.
fn check_subject(text: &str) -> Result<Digest, Error> {
    const MEMBER: &str = "subjectId.imageDigest";
    let unsupported = || Error::invalid(MEMBER, Constraint::Text("Member must be a sha256 or sha512 digest".into()));
    check::digest(MEMBER, text)?.ok_or_else(unsupported)
}
