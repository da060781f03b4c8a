//! `ecru image`: deleted images within their window.

use super::client::{ClientError, ServerArgs};
use super::progress::bytes;
use admin::{DeletedImageOut, ListDeletedImagesOutput, PurgeImageOutput, RestoreImageOutput};
use aws::Timestamp as Moment;
use jiff::Timestamp;
use serde_json::json;

/// Lists deleted images, restores them, and ends their window.
#[derive(Debug, clap::Subcommand)]
pub enum Image {
    ListDeleted(ListDeleted),
    Restore(RestoreOne),
    Purge(Purge),
}

/// Lists the deleted images of a repository that can still be restored.
#[derive(Debug, clap::Args)]
pub struct ListDeleted {
    /// The repository, such as team/app.
    pub repository: String,
    /// The images as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub of: Whose,
}

/// Restores a deleted image, with those of its tags that are free.
#[derive(Debug, clap::Args)]
pub struct RestoreOne {
    /// The image, such as team/app@sha256:0123….
    pub image: String,
    #[command(flatten)]
    pub of: Whose,
}

/// Ends the window of a deleted image: it can't be restored any more.
#[derive(Debug, clap::Args)]
pub struct Purge {
    /// The image, such as team/app@sha256:0123….
    pub image: String,
    #[command(flatten)]
    pub of: Whose,
}

/// Whose registry, on which server.
#[derive(Debug, clap::Args)]
pub struct Whose {
    /// The account whose registry has the repository; the caller's where none is named.
    #[arg(long, value_name = "ACCOUNT")]
    pub registry_id: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}

impl Image {
    /// Calls the server, and returns what a person or a script reads.
    pub async fn run(self) -> Result<String, ClientError> {
        match self {
            Image::ListDeleted(list) => list.run().await,
            Image::Restore(restore) => restore.run().await,
            Image::Purge(purge) => purge.run().await,
        }
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The repository and the digest of `REPOSITORY@DIGEST`.
fn named(image: &str) -> Result<(&str, &str), ClientError> {
    image.split_once('@').ok_or_else(|| ClientError::NotByDigest(image.to_owned()))
}

impl ListDeleted {
    async fn run(self) -> Result<String, ClientError> {
        let client = self.of.server.client(&environment)?;
        let (mut images, mut token): (Vec<DeletedImageOut>, Option<String>) = (Vec::new(), None);
        loop {
            let input = json!({
                "registryId": self.of.registry_id, "repositoryName": self.repository, "nextToken": token,
            });
            let page: ListDeletedImagesOutput = client.call("ListDeletedImages", &input).await?;
            images.extend(page.images);
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        if self.json {
            return Ok(format!("{:#}\n", json!({ "images": images })));
        }
        if images.is_empty() {
            return Ok(format!("No deleted image of {} can be restored.\n", self.repository));
        }
        Ok(table(&images))
    }
}

/// Two lines for each image, since a digest is needed whole.
fn table(images: &[DeletedImageOut]) -> String {
    let mut text = String::new();
    for image in images {
        let tags = if image.image_tags.is_empty() { "no tag".to_owned() } else { image.image_tags.join(", ") };
        text.push_str(&format!(
            "{}\n    {tags}; {}; deleted {}, can be restored until {}\n",
            image.image_digest,
            bytes(image.image_size_in_bytes),
            moment(image.deleted_at),
            moment(image.restorable_until),
        ));
    }
    text
}

fn moment(at: Moment) -> String {
    Timestamp::from_microsecond(at.0).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl RestoreOne {
    async fn run(self) -> Result<String, ClientError> {
        let (repository, digest) = named(&self.image)?;
        let client = self.of.server.client(&environment)?;
        let input = json!({
            "registryId": self.of.registry_id, "repositoryName": repository, "imageDigest": digest,
        });
        let restored: RestoreImageOutput = client.call("RestoreImage", &input).await?;
        let RestoreImageOutput { image_digests, image_tags, taken_image_tags, missing_image_digests } = restored;
        if image_digests.is_empty() {
            return Ok(format!("{} is not deleted: nothing was changed.\n", self.image));
        }
        let mut text =
            image_digests.iter().map(|digest| format!("Restored {repository}@{digest}\n")).collect::<String>();
        if !image_tags.is_empty() {
            text.push_str(&format!("Tags: {}\n", image_tags.join(", ")));
        }
        if !taken_image_tags.is_empty() {
            text.push_str(&format!("These tags name other images now: {}\n", taken_image_tags.join(", ")));
        }
        for digest in missing_image_digests {
            text.push_str(&format!("The index lists {digest}, which can't be restored: push it again.\n"));
        }
        Ok(text)
    }
}

impl Purge {
    async fn run(self) -> Result<String, ClientError> {
        let (repository, digest) = named(&self.image)?;
        let client = self.of.server.client(&environment)?;
        let input = json!({
            "registryId": self.of.registry_id, "repositoryName": repository, "imageDigest": digest,
        });
        let PurgeImageOutput { unreferenced_bytes, shared_layer_digests } = client.call("PurgeImage", &input).await?;
        let mut text = format!(
            "Purged {}: {} of its layers are used by nothing else; `ecru gc --now --grace 0` frees them at once.\n",
            self.image,
            bytes(unreferenced_bytes),
        );
        for digest in shared_layer_digests {
            text.push_str(&format!("Other images still use the layer {digest}\n"));
        }
        Ok(text)
    }
}
