//! Pushes an image: one transaction stores the image, moves its tags by the repository's rules, and writes the events.

mod contents;
mod tags;

use super::tag_rules::{TagOutcome, opening_window};
use super::{ImageChange, NewImage, PushClient, PushedImage, digest_of, platform};
use crate::clock::Time;
use crate::event::{self, Event};
use crate::quirks::Behaviour;
use crate::quota::{Quota, QuotaSubject, Reservation};
use crate::repository::{TagMutability, read};
use crate::{Cx, Error};
use contents::Children;
use meta::records::image::ImageRow;
use meta::records::{self, RegistryKey};
use meta::{ImageId, LayerId, PendingChange, PendingRow, RepositoryId, Tx};
use oci::{Algorithm, Descriptor, Digest, InvalidManifest, Manifest, ManifestKind, RepositoryName, Tag};
use serde_json::json;
use tags::{TagInsert, existing_tag};

/// Stores an image and moves its tags, by the repository's rules. If one tag must not move, the whole push is refused, and the refusal
/// names that tag.
pub async fn put(cx: &Cx, name: &RepositoryName, new: NewImage) -> Result<PushedImage, Error> {
    // Check everything that needs no transaction: the manifest, its digest, and the limits.
    let manifest = match Manifest::parse(&new.bytes, new.media_type.as_deref()) {
        Ok(manifest) => manifest,
        Err(invalid) => return Err(unstorable(cx, name, &new.tags, invalid).await?),
    };
    let algorithm = new.digest.map_or(Algorithm::Sha256, |digest| digest.algorithm());
    let digest = Digest::of(algorithm, &new.bytes);
    if let Some(given) = new.digest.filter(|given| *given != digest) {
        return Err(Error::ImageDigestDoesNotMatch { given: given.to_string(), computed: digest.to_string() });
    }
    // Needed for API pushes too: a later push under another tag may compare against this image's platform.
    let platform = platform::read_platform(cx, name, &manifest).await?;
    let named = manifest.manifests.len().max(manifest.layers.len());
    if named > cx.limits.manifest_descriptors {
        return Err(Error::limit(
            None,
            format!(
                "The manifest names {named} layers or images; at most {} are allowed",
                cx.limits.manifest_descriptors
            ),
        ));
    }
    let reservation = reserve(cx, name, digest).await?;

    // Run the transaction, with each tag once.
    let mut tags = Vec::with_capacity(new.tags.len());
    for tag in new.tags {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let event = |tag| Event { digest: Some(digest), tag, ..Event::new(cx, "image.push", None) };
    let put = Put {
        registry: cx.registry.key(),
        name: name.to_string(),
        media_type: manifest.media_type.as_str().to_owned(),
        subject: manifest.subject.as_ref().map(|subject| subject.digest),
        id: cx.id(),
        now: cx.now(),
        principal: cx.caller_arn(),
        push_window: cx.limits.push_window,
        repush: cx.quirks.immutable_repush,
        sparse_index: cx.quirks.sparse_index,
        layer_index: cx.quirks.layer_index,
        tags_per_image: i64::try_from(cx.limits.tags_per_image).unwrap_or(i64::MAX),
        untagged: event(None),
        tags: tags.into_iter().map(|tag| (tag.clone(), event(Some(tag.to_string())))).collect(),
        bytes: new.bytes,
        client: new.client,
        manifest,
        digest,
        platform,
    };
    let (media_type, subject) = (put.media_type.clone(), put.subject);
    let result = cx.db.write(move |tx| put.run(tx)).await;
    if !matches!(&result, Ok(done) if done.change == ImageChange::Stored) {
        Quota::of(cx).give_back(reservation);
    }
    let PutResult { change, tags, unmoved } = result?;
    Ok(PushedImage { digest, media_type, subject, change, tags, unmoved })
}

/// Why a manifest that can't be stored is refused.
///
/// podman and skopeo send an image that was refused once more as Docker's schema 1, and show their users this second refusal alone.
/// An immutable tag that exists is the reason for both, so that the second one says so too, as on ECR, which stores schema 1.
async fn unstorable(cx: &Cx, name: &RepositoryName, tags: &[Tag], invalid: InvalidManifest) -> Result<Error, Error> {
    let is_fallback = invalid.is_docker_schema_1();
    let invalid = Error::InvalidManifest(invalid);
    let [tag] = tags else { return Ok(invalid) };
    if !is_fallback {
        return Ok(invalid);
    }
    let (tag, repository) = (tag.clone(), name.to_string());
    let taken = read(cx, name, move |tx, row| {
        let mutability = TagMutability::from_row(&row.tag_mutability, &row.mutability_filters)?;
        if mutability.allows_move(tag.as_str()) {
            return Ok(None);
        }
        match existing_tag(tx, row.id, &tag)? {
            Some(held) => held.already_exists(&tag, &repository).map(Some),
            None => Ok(None),
        }
    });
    Ok(taken.await?.unwrap_or(invalid))
}

/// Takes one from the quota of images. See [`crate::quota`].
async fn reserve(cx: &Cx, name: &RepositoryName, digest: Digest) -> Result<Reservation, Error> {
    let limit = cx.limits.images_per_repository;
    let subject = QuotaSubject::Images { registry: cx.registry.clone(), repository: name.clone() };
    let exists = async || {
        let known = read(cx, name, move |tx, row| Ok(tx.image_by_digest(row.id, &digest.to_bytes())?));
        Ok(known.await?.is_some())
    };
    let count = async || read(cx, name, |tx, row| Ok(tx.image_count(row.id)?)).await;
    if let Some(reservation) = Quota::of(cx).reserve(subject, limit, cx.now(), exists, count).await? {
        return Ok(reservation);
    }
    Err(Error::limit(
        Some("images_per_repository"),
        format!("The repository with name '{name}' has its maximum of {limit} images"),
    ))
}

/// A push that passed all checks that need no transaction. The transaction may run it more than once.
struct Put {
    registry: RegistryKey,
    name: String,
    bytes: Vec<u8>,
    manifest: Manifest,
    media_type: String,
    digest: Digest,
    subject: Option<Digest>,
    /// Each tag with its event.
    tags: Vec<(Tag, Event)>,
    /// The event of a push without tags.
    untagged: Event,
    client: PushClient,
    platform: Option<String>,
    id: ImageId,
    now: Time,
    principal: String,
    push_window: std::time::Duration,
    repush: Behaviour,
    sparse_index: Behaviour,
    layer_index: Behaviour,
    tags_per_image: i64,
}

/// What the transaction did; see [`PushedImage`].
struct PutResult {
    change: ImageChange,
    tags: Vec<Tag>,
    unmoved: Vec<Tag>,
}

/// What a push has tried, before it is known what of it was new.
struct OptimisticInsert<'a> {
    tags: Vec<TagInsert<'a>>,
    children: Children<'a>,
    image: PendingChange,
    /// The layers in the manifest.
    layers: Vec<(&'a Descriptor, PendingRow<LayerId>)>,
}

/// A row could not be inserted because it exists, but it can't be read.
#[derive(Debug, thiserror::Error)]
#[error("a tag or an image could neither be inserted nor found")]
struct NeitherNewNorKnown;

impl Put {
    fn run(&self, tx: &mut Tx<'_>) -> Result<PutResult, Error> {
        let Some(repository) = tx.repository_by_name(&self.registry, &self.name)? else {
            return Err(Error::RepositoryNotFound { name: self.name.clone(), account: self.registry.account.clone() });
        };
        let mutability = TagMutability::from_row(&repository.tag_mutability, &repository.mutability_filters)?;
        let tried = self.insert_optimistically(tx, repository.id, &mutability)?;
        let judged = self.decide_tags(tx, repository.id, &mutability, tried.tags)?;
        let taken = judged.iter().filter(|judged| matches!(judged.outcome, TagOutcome::Move(_))).count();
        let taken = i64::try_from(taken).unwrap_or(i64::MAX);
        let (image, mut change) = if tx.succeeded(tried.image)? {
            self.store(tx, repository.id, tried.children, tried.layers)?;
            self.within_tag_limit(taken)?;
            if taken != self.tag_count() {
                tx.image_add_tags(self.id, taken - self.tag_count())?;
            }
            (self.id, ImageChange::Stored)
        } else {
            // The image existed. If one of its layers was damaged since, the client must push that layer again.
            self.all_found(tx, tried.layers)?;
            (self.add_tags(tx, repository.id, taken)?, ImageChange::Nothing)
        };
        if self.tags.is_empty() && change == ImageChange::Stored {
            self.record(tx, repository.id, &self.untagged, None, false)?;
        }
        if change == ImageChange::Nothing && taken > 0 {
            change = ImageChange::Tagged;
        }
        let mut done = PutResult { change, tags: Vec::new(), unmoved: Vec::new() };
        for judged in judged {
            self.move_tag(tx, repository.id, image, &judged)?;
            match judged.outcome {
                TagOutcome::Move(_) | TagOutcome::Unchanged(_) => done.tags.push(judged.tag.clone()),
                TagOutcome::LeaveInPlace(_) => done.unmoved.push(judged.tag.clone()),
            }
        }
        Ok(done)
    }

    /// Inserts every row optimistically, as if the whole push were new, and looks up its layers, in one round trip. Rows that already
    /// existed are reconciled afterwards.
    ///
    /// On SQLite a push shares its transaction with other writes. If it fails after a change, all of them run again. So on an engine that
    /// answers at once, the push is checked before its first change.
    fn insert_optimistically(
        &self,
        tx: &mut Tx<'_>,
        repository: RepositoryId,
        mutability: &TagMutability,
    ) -> Result<OptimisticInsert<'_>, Error> {
        let children = self.find_children(tx, repository)?;
        let mut layers = Vec::new();
        for blob in self.manifest.required_blobs() {
            layers.push((blob, tx.ask(records::image::layer_named(repository, &blob.digest.to_bytes()))?));
        }
        if tx.answers_at_once() {
            self.refuse_unchanged(tx, repository, mutability, &children, &layers)?;
        }
        let mut tags = Vec::with_capacity(self.tags.len());
        for (tag, event) in &self.tags {
            let window = opening_window(mutability, tag.as_str(), &self.push());
            let insert = records::tag::insert(repository, tag.as_str(), self.id, self.now.0, window.as_ref());
            let attempt = tx.attempt(insert)?;
            tags.push(match attempt.changed_nothing() {
                true => TagInsert::Decided(Box::new(self.decide_existing(tx, repository, mutability, tag, event)?)),
                false => TagInsert::Attempted(attempt),
            });
        }
        let image = tx.attempt(records::image::insert(repository, &self.row(&children)))?;
        Ok(OptimisticInsert { tags, children, image, layers })
    }

    /// Refuses a push before its first change, on an engine that answers at once: if a layer or child is missing, or if one of several
    /// tags must not move. A push of one tag, the usual case, is decided when its insert finds the tag.
    fn refuse_unchanged(
        &self,
        tx: &mut Tx<'_>,
        repository: RepositoryId,
        mutability: &TagMutability,
        children: &Children<'_>,
        layers: &[(&Descriptor, PendingRow<LayerId>)],
    ) -> Result<(), Error> {
        let missing = layers.iter().filter(|(_, asked)| asked.found_nothing());
        let missing: Vec<String> = missing.map(|(blob, _)| blob.digest.to_string()).collect();
        let lacks = match self.none_missing(children) {
            _ if !missing.is_empty() => Some(self.layers_not_found(&missing)),
            // The children of an image that already exists may be missing.
            Err(error) if tx.image_by_digest(repository, &self.digest.to_bytes())?.is_none() => Some(error),
            _ => None,
        };
        // If a tag must not move, that error takes precedence.
        if lacks.is_some() || self.tags.len() > 1 {
            for (tag, event) in &self.tags {
                if let Some(held) = existing_tag(tx, repository, tag)? {
                    self.decide_held(tx, mutability, tag, event, held)?;
                }
            }
        }
        lacks.map_or(Ok(()), Err)
    }

    /// Returns the number of the image's tags if all of the push's tags are created or moved.
    fn tag_count(&self) -> i64 {
        i64::try_from(self.tags.len()).unwrap_or(i64::MAX)
    }

    /// Adds the moved tags to the count of an existing image, and returns its id.
    fn add_tags(&self, tx: &mut Tx<'_>, repository: RepositoryId, taken: i64) -> Result<ImageId, Error> {
        let known = tx.image_by_digest(repository, &self.digest.to_bytes())?;
        let known = known.ok_or_else(|| Error::server(NeitherNewNorKnown))?;
        if taken > 0 {
            self.within_tag_limit(known.tag_count.saturating_add(taken))?;
            tx.image_add_tags(known.id, taken)?;
        }
        Ok(known.id)
    }

    fn within_tag_limit(&self, tag_count: i64) -> Result<(), Error> {
        if tag_count <= self.tags_per_image {
            return Ok(());
        }
        Err(Error::limit(
            None,
            format!("The image with digest '{}' has its maximum of {} tags", self.digest, self.tags_per_image),
        ))
    }

    fn row(&self, children: &Children<'_>) -> ImageRow {
        let size = match self.manifest.kind {
            ManifestKind::Image => i64::try_from(self.manifest.image_size()).unwrap_or(i64::MAX),
            ManifestKind::Index => children.size,
        };
        ImageRow {
            id: self.id,
            digest: self.digest.to_bytes(),
            media_type: self.media_type.clone(),
            artifact_type: self.manifest.referrer_artifact_type().map(str::to_owned),
            subject: self.subject.map(|subject| subject.to_bytes()),
            platform: self.platform.clone(),
            manifest_size: i64::try_from(self.bytes.len()).unwrap_or(i64::MAX),
            image_size: size,
            tag_count: self.tag_count(),
            storage_class: "STANDARD".to_owned(),
            pushed_at: self.now.0,
            archived_at: None,
            activated_at: None,
        }
    }

    /// Inserts the other rows of a new image. All of its layers and children must be in the repository.
    fn store(
        &self,
        tx: &mut Tx<'_>,
        repository: RepositoryId,
        children: Children<'_>,
        layers: Vec<(&Descriptor, PendingRow<LayerId>)>,
    ) -> Result<(), Error> {
        let mut layers = self.all_found(tx, layers)?;
        self.none_missing(&children)?;
        layers.extend(children.layers);
        tx.manifest_insert(self.id, &self.bytes)?;
        let records: Vec<LayerId> = layers.iter().map(|(_, layer)| *layer).collect();
        tx.image_layers_insert(self.id, &records)?;
        for (blob, _) in &layers {
            tx.image_layer_set_type(repository, &blob.digest.to_bytes(), blob.media_type.as_str())?;
        }
        for child in &children.images {
            tx.image_child_insert(self.id, &child.digest.to_bytes(), repository)?;
        }
        Ok(())
    }

    fn record(
        &self,
        tx: &mut Tx<'_>,
        repository: RepositoryId,
        event: &Event,
        held: Option<&ImageRow>,
        kept: bool,
    ) -> Result<(), Error> {
        let before = held.map(digest_of).transpose()?.map(|digest| digest.to_string());
        let detail = json!({ "before": before, "tagKept": kept, "mediaType": self.media_type });
        event::record(tx, Event { repository: Some(repository), detail, ..event.clone() })?;
        Ok(())
    }
}
