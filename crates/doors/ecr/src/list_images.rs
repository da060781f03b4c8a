//! ListImages: one element per digest and tag (`ECR.md` A.3).

use super::failure::Ecr;
use super::page::{Listing, PageRequest};
use super::types::{self, ImageIdentifier, ImagesFilter};
use call::check;
use call::{Operation, Structure};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::RepositoryName;
use registry::Error;
use registry::image::{self, StatusFilter, TagStatus};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListImages {
    registry_id: Option<String>,
    repository_name: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
    filter: Option<Structure<ImagesFilter>>,
}

#[derive(Debug)]
pub struct Checked {
    name: RepositoryName,
    filter: (TagStatus, StatusFilter),
    asked: PageRequest,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    image_ids: Vec<ImageIdentifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Operation for ListImages {
    const NAME: &'static str = "ListImages";
    type Api = Ecr;
    type Checked = Checked;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:ListImages", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<Checked, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let limit = check::max_results(self.max_results, 100, 1000)?;
        let filter = self.filter.map_or_else(ImagesFilter::default, |Structure(filter)| filter).check()?;
        Ok(Checked { name, filter, asked: PageRequest { token: self.next_token, limit } })
    }

    async fn handle(
        Checked { name, filter: (tags, status), asked }: Checked,
        cx: &Cx,
        _app: &App,
    ) -> Result<Output, Error> {
        let listing = Listing::new(cx, Self::NAME, &[name.as_str(), tags.name(), status.name()]);
        let after = listing.decode_cursor(asked.token.as_deref())?;
        let page = image::list(cx, &name, tags, status, after, asked.limit).await?;
        let id = |(digest, tag): (oci::Digest, Option<String>)| ImageIdentifier {
            image_digest: Some(digest.to_string()),
            image_tag: tag,
        };
        Ok(Output { image_ids: page.items.into_iter().map(id).collect(), next_token: listing.encode_cursor(page.next) })
    }
}
