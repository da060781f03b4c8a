//! PutImage (`ECR.md` A.3, C).

use super::failure::Ecr;
use super::types::{self, Image, ImageIdentifier};
use call::Operation;
use call::check;
use kernel::access::{NamedImage, Need};
use kernel::{Constraint, Cx, RegistryId};
use listen::app::App;
use oci::{Digest, Manifest, RepositoryName, Tag};
use registry::Error;
use registry::image::{self, ImageChange, NewImage, PushClient};
use registry::push_log::PushAttempt;
use serde::{Deserialize, Serialize};

/// Maximum bytes of a request: the largest manifest as a JSON string, and the other members. JSON at most triples a manifest's
/// bytes (`\u00e9` for two bytes of UTF-8, `\"` for one).
const BODY_BYTES: usize = 3 * Manifest::MAX_BYTES + 64 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutImage {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_manifest: Option<String>,
    image_manifest_media_type: Option<String>,
    image_tag: Option<String>,
    image_digest: Option<String>,
}

/// A manifest, and the repository, tag and digest that it is stored under.
#[derive(Debug)]
pub struct Put {
    name: RepositoryName,
    manifest: String,
    media_type: Option<String>,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

#[derive(Debug, Serialize)]
pub struct Output {
    image: Image,
}

impl Operation for PutImage {
    const NAME: &'static str = "PutImage";
    const BODY_LIMIT: usize = BODY_BYTES;
    type Api = Ecr;
    type Checked = Put;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let image = types::named_image(NamedImage::new, self.image_tag.as_deref(), self.image_digest.as_deref());
        vec![types::need_on("ecr:PutImage", registry, self.repository_name.as_deref()).on_image(image)]
    }

    fn attempt(&self) -> Option<PushAttempt> {
        let tag = self.image_tag.clone().filter(|tag| tag.parse::<Tag>().is_ok());
        let digest = self.image_digest.as_deref().and_then(|digest| digest.parse().ok());
        Some(PushAttempt { tag, digest, ..types::attempt(Self::NAME, self.repository_name.as_deref())? })
    }

    fn check(self) -> Result<Put, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let manifest = check::required("imageManifest", self.image_manifest)?;
        check::size("imageManifest", manifest.len(), 1, Manifest::MAX_BYTES as u64)?;
        let tag = self.image_tag.as_deref().map(check_tag).transpose()?;
        let digest = self.image_digest.as_deref().map(check_digest).transpose()?;
        Ok(Put { name, manifest, media_type: self.image_manifest_media_type, tag, digest })
    }

    async fn handle(put: Put, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let Put { name, manifest, media_type, tag, digest } = put;
        let tags = tag.iter().cloned().collect();
        let new = NewImage { bytes: manifest.clone().into_bytes(), media_type, tags, digest, client: PushClient::Api };
        let pushed = image::put(cx, &name, new).await?;
        match pushed.change {
            ImageChange::Stored | ImageChange::Tagged => Ok(Output {
                image: Image {
                    registry_id: cx.registry.account,
                    repository_name: name.to_string(),
                    image_id: ImageIdentifier {
                        image_digest: Some(pushed.digest.to_string()),
                        image_tag: tag.map(|tag| tag.to_string()),
                    },
                    image_manifest: manifest,
                    image_manifest_media_type: pushed.media_type,
                },
            }),
            ImageChange::Nothing => Err(Error::ImageAlreadyExists {
                digest: pushed.digest.to_string(),
                tag: tag.map_or_else(|| "null".to_owned(), |tag| tag.to_string()),
                name: name.to_string(),
                account: cx.registry.account.to_string(),
            }),
        }
    }
}

/// Checks a tag: it must meet the model's bounds and the grammar of container clients, which could pull no other.
fn check_tag(text: &str) -> Result<Tag, Error> {
    check::length("imageTag", text, 1, types::MAX_TAG_CHARACTERS)?;
    text.parse().map_err(|_| Error::invalid("imageTag", Constraint::Pattern(Tag::PATTERN)))
}

/// Checks `imageDigest`. The model has no constraint for it, but a text that is not a digest can't be compared with the
/// manifest's.
fn check_digest(text: &str) -> Result<Digest, Error> {
    let unsupported =
        || Error::invalid("imageDigest", Constraint::Text("Member must be a sha256 or sha512 digest".into()));
    check::digest("imageDigest", text)?.ok_or_else(unsupported)
}
