//! Images into our registry.

use super::BlobOutcome;
use crate::cli::client::Client;
use crate::cli::transfer::TransferError;
use crate::cli::transfer::content::Content;
use crate::cli::transfer::progress::Progress;
use crate::cli::transfer::registry::Registry;
use crate::cli::transfer::source::Source;
use crate::cli::transfer::upload_notes::UploadNotes;
use futures_util::StreamExt as _;
use http::{StatusCode, Uri};
use kernel::lock;
use oci::{Descriptor, Digest};
use serde::Deserialize;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The times that one blob is sent before its failure counts; each goes on where the last one stopped.
const MAX_TRIES: u32 = 5;
/// The wait before the second try; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Blobs of this size or more, in bytes, are noted, so that the next run goes on with them.
const NOTED_BYTES: u64 = 16 * 1024 * 1024;
/// Repositories at most that are asked whether they have a layer: one page of DescribeRepositories.
const MOUNT_REPOSITORIES: u32 = 100;
/// Digests of one BatchCheckLayerAvailability (`ECR.md` M.1 "batch sizes").
const CHECK_DIGESTS: usize = 100;

/// A repository of ours.
pub struct OurSink {
    pub registry: Registry,
    notes: UploadNotes,
    /// Other repositories of the registry, with those first that had a layer.
    others: Mutex<Vec<String>>,
    /// Which repository has a blob.
    mounts: Mutex<HashMap<Digest, String>>,
}

#[derive(Deserialize)]
struct Repositories {
    repositories: Vec<Repository>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repository {
    repository_name: String,
}

#[derive(Deserialize)]
struct Availability {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    layer_digest: String,
    layer_availability: String,
}

impl OurSink {
    pub async fn new(registry: Registry, notes: UploadNotes, progress: &Progress) -> Result<OurSink, TransferError> {
        let mut others = Vec::new();
        if let Some(client) = registry.login().client() {
            let input = serde_json::json!({ "maxResults": MOUNT_REPOSITORIES });
            let listed: Result<Repositories, _> = client.call_ecr("DescribeRepositories", &input).await;
            match listed {
                Ok(listed) => others.extend(listed.repositories.into_iter().map(|one| one.repository_name)),
                // Someone who may push to one repository need not be allowed to see all.
                Err(error) => progress.warn(&format!("layers of other repositories are not looked for: {error}")),
            }
        }
        others.retain(|name| name != registry.repository());
        Ok(OurSink { registry, notes, others: Mutex::new(others), mounts: Mutex::default() })
    }

    /// Looks for blobs that this repository has not in the other ones.
    pub async fn prepare(&self, blobs: &[&Descriptor]) -> Result<(), TransferError> {
        let Some(client) = self.registry.login().client() else { return Ok(()) };
        let own = available(client, self.registry.repository(), blobs.iter().map(|blob| blob.digest).collect()).await?;
        let mut missing: Vec<Digest> =
            blobs.iter().map(|blob| blob.digest).filter(|digest| !own.contains(digest)).collect();
        let others = lock(&self.others).clone();
        for name in others {
            if missing.is_empty() {
                break;
            }
            // One that the caller must not read is passed over: mounting from it would be refused too.
            let Ok(found) = available(client, &name, missing.clone()).await else {
                lock(&self.others).retain(|other| *other != name);
                continue;
            };
            if found.is_empty() {
                continue;
            }
            missing.retain(|digest| !found.contains(digest));
            lock(&self.mounts).extend(found.into_iter().map(|digest| (digest, name.clone())));
            let mut others = lock(&self.others);
            if let Some(at) = others.iter().position(|other| *other == name) {
                others[..=at].rotate_right(1);
            }
        }
        Ok(())
    }

    /// Stores a blob: as it is there, from another repository, or from the source; in several goes where it is cut.
    pub async fn blob(
        &self,
        source: &Source,
        blob: &Descriptor,
        progress: &Progress,
    ) -> Result<BlobOutcome, TransferError> {
        // Nothing to do if the blob is there.
        if self.registry.has_blob(&blob.digest).await? {
            progress.skipped(blob.size);
            return Ok(BlobOutcome::Here);
        }
        // Go on with the upload of an earlier run, or begin one, which may mount the blob instead.
        let mut state = match self.noted(blob).await? {
            Some(state) => state,
            None => {
                let from = lock(&self.mounts).get(&blob.digest).cloned();
                match self.registry.start_upload(&blob.digest, from.as_deref()).await? {
                    None => {
                        progress.skipped(blob.size);
                        return Ok(BlobOutcome::Mounted);
                    }
                    Some(upload) => (upload, 0),
                }
            }
        };
        // Send the rest, and try again from where the upload stands.
        progress.skipped(state.1);
        let noted = blob.size >= NOTED_BYTES;
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            if noted {
                self.notes.write(&blob.digest, &state.0)?;
            }
            let error = match self.send(source, blob, &state, progress).await {
                Ok(()) => {
                    if noted {
                        self.notes.remove(&blob.digest)?;
                    }
                    return Ok(BlobOutcome::Copied);
                }
                Err(error) => error,
            };
            // A login ends after some hours; asking where the upload stands renews it.
            let again = error.is_passing() || matches!(error, TransferError::Login { .. });
            if !again || attempt >= MAX_TRIES {
                if noted && !again {
                    self.notes.remove(&blob.digest)?;
                }
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
            // Ask where the upload stands. If the registry has forgotten it, begin another.
            state = match self.registry.upload_status(&state.0).await? {
                Some(state) => state,
                None if self.registry.has_blob(&blob.digest).await? => return Ok(BlobOutcome::Copied),
                None => match self.registry.start_upload(&blob.digest, None).await? {
                    Some(upload) => (upload, 0),
                    None => return Ok(BlobOutcome::Mounted),
                },
            };
        }
        Err(TransferError::Usage("a layer was tried too often".to_owned()))
    }

    /// The upload that an earlier run left, and its bytes.
    async fn noted(&self, blob: &Descriptor) -> Result<Option<(Uri, u64)>, TransferError> {
        if blob.size < NOTED_BYTES {
            return Ok(None);
        }
        let Some(upload) = self.notes.read(&blob.digest)?.and_then(|path| self.registry.noted(&path)) else {
            return Ok(None);
        };
        let state = self.registry.upload_status(&upload).await?;
        if state.as_ref().is_none_or(|(_, received)| *received > blob.size) {
            self.notes.remove(&blob.digest)?;
            return Ok(None);
        }
        Ok(state)
    }

    /// Sends what an upload has not yet, and ends it.
    async fn send(
        &self,
        source: &Source,
        blob: &Descriptor,
        (upload, offset): &(Uri, u64),
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let mut upload = upload.clone();
        if *offset < blob.size || blob.size == 0 {
            let content = source.blob(blob, *offset).await?;
            let (content, failure) = watched(content, progress);
            let appended = self.registry.append(&upload, content, blob.size - offset).await;
            // What failed at the source broke the request off, and is the reason.
            let failed = lock(&failure).take();
            upload = match (appended, failed) {
                (_, Some(error)) => return Err(error),
                (appended, None) => appended?,
            };
        }
        match self.registry.finish_upload(&upload, &blob.digest).await {
            // The answer to an earlier try was lost.
            Err(TransferError::Refused { status: StatusCode::NOT_FOUND, .. })
                if self.registry.has_blob(&blob.digest).await? =>
            {
                Ok(())
            }
            finished => finished,
        }
    }
}

type Failure = Arc<Mutex<Option<TransferError>>>;

/// Content that keeps its error for its reader's caller. The bytes are counted by the returned stream's owner.
fn watched(content: Content, progress: &Progress) -> (Content, Failure) {
    let failure = Failure::default();
    let (kept, progress) = (failure.clone(), progress.clone());
    let content = content.map(move |piece| match piece {
        Ok(piece) => {
            progress.moved(piece.len() as u64);
            Ok(piece)
        }
        Err(error) => {
            *lock(&kept) = Some(error);
            let cut = io::Error::other("the source failed");
            Err(TransferError::Io { path: Default::default(), source: cut })
        }
    });
    (content.boxed(), failure)
}

/// Which of some blobs a repository shows.
async fn available(client: &Client, repository: &str, digests: Vec<Digest>) -> Result<Vec<Digest>, TransferError> {
    let mut found = Vec::new();
    for batch in digests.chunks(CHECK_DIGESTS) {
        let texts: Vec<String> = batch.iter().map(ToString::to_string).collect();
        let input = serde_json::json!({ "repositoryName": repository, "layerDigests": texts });
        let answer: Availability = client.call_ecr("BatchCheckLayerAvailability", &input).await?;
        let there = answer.layers.iter().filter(|layer| layer.layer_availability == "AVAILABLE");
        found.extend(there.filter_map(|layer| layer.layer_digest.parse::<Digest>().ok()));
    }
    Ok(found)
}
