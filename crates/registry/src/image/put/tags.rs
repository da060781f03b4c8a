//! The tags of a push: which rule decides each, and how they move.

use super::{NeitherNewNorKnown, Put};
use crate::Error;
use crate::clock::Time;
use crate::event::Event;
use crate::image::tag_rules::{CurrentTag, Push, TagOutcome, judge, opening_window};
use crate::image::{digest_of, is_index};
use crate::repository::TagMutability;
use meta::records;
use meta::records::image::ImageRow;
use meta::records::tag::TagRow;
use meta::{ImageId, PendingChange, RepositoryId, Tx};
use oci::{ManifestKind, Tag};

/// A tag that exists, and the image that it holds.
pub(super) struct ExistingTag {
    tag: TagRow,
    image: ImageRow,
}

/// A tag of the push with what becomes of it.
pub(super) struct TagDecision<'a> {
    pub(super) tag: &'a Tag,
    pub(super) event: &'a Event,
    pub(super) held: Option<ExistingTag>,
    pub(super) outcome: TagOutcome,
}

/// A tag that a push has tried to insert.
pub(super) enum TagInsert<'a> {
    /// The insert's result is not known yet, or the tag is new.
    Attempted(PendingChange),
    /// The tag exists, and the push may continue.
    Decided(Box<TagDecision<'a>>),
}

/// The rows contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("a tag holds an image that has no record")]
struct TagWithoutImage;

/// A tag and the image that it holds; `None` if the repository has no such tag.
pub(super) fn existing_tag(tx: &mut Tx<'_>, repository: RepositoryId, tag: &Tag) -> Result<Option<ExistingTag>, Error> {
    let row = tx.ask(records::tag::by_name(repository, tag.as_str()))?;
    let image = tx.look_up(records::image::by_tag(repository, tag.as_str()))?;
    let Some(tag) = tx.answer(row)? else { return Ok(None) };
    Ok(Some(ExistingTag { tag, image: image.ok_or_else(|| Error::server(TagWithoutImage))? }))
}

impl ExistingTag {
    /// The refusal to move this tag.
    pub(super) fn already_exists(&self, tag: &Tag, repository: &str) -> Result<Error, Error> {
        Ok(Error::ImageTagAlreadyExists {
            tag: tag.to_string(),
            name: repository.to_owned(),
            held: Box::new(digest_of(&self.image)?),
            since: Time(self.tag.moved_at),
        })
    }
}

impl Put {
    /// Decides what happens to each tag. A new tag names the pushed image already. The first tag that must not move refuses the push.
    pub(super) fn decide_tags<'a>(
        &'a self,
        tx: &mut Tx<'_>,
        repository: RepositoryId,
        mutability: &TagMutability,
        tried: Vec<TagInsert<'a>>,
    ) -> Result<Vec<TagDecision<'a>>, Error> {
        let mut judged = Vec::with_capacity(self.tags.len());
        for ((tag, event), tried) in self.tags.iter().zip(tried) {
            judged.push(match tried {
                TagInsert::Decided(decision) => *decision,
                TagInsert::Attempted(attempt) => match tx.succeeded(attempt)? {
                    true => {
                        let window = opening_window(mutability, tag.as_str(), &self.push());
                        TagDecision { tag, event, held: None, outcome: TagOutcome::Move(window) }
                    }
                    false => self.decide_existing(tx, repository, mutability, tag, event)?,
                },
            });
        }
        Ok(judged)
    }

    /// Decides what happens to a tag that could not be inserted because it exists.
    pub(super) fn decide_existing<'a>(
        &self,
        tx: &mut Tx<'_>,
        repository: RepositoryId,
        mutability: &TagMutability,
        tag: &'a Tag,
        event: &'a Event,
    ) -> Result<TagDecision<'a>, Error> {
        let held = existing_tag(tx, repository, tag)?.ok_or_else(|| Error::server(NeitherNewNorKnown))?;
        self.decide_held(tx, mutability, tag, event, held)
    }

    /// Decides what happens to a tag that exists. Refuses the push if the tag must not move.
    pub(super) fn decide_held<'a>(
        &self,
        tx: &mut Tx<'_>,
        mutability: &TagMutability,
        tag: &'a Tag,
        event: &'a Event,
        held: ExistingTag,
    ) -> Result<TagDecision<'a>, Error> {
        match judge(mutability, tag.as_str(), &self.push(), &self.facts(tx, &held)?) {
            Some(outcome) => Ok(TagDecision { tag, event, held: Some(held), outcome }),
            None => Err(held.already_exists(tag, &self.name)?),
        }
    }

    pub(super) fn move_tag(
        &self,
        tx: &mut Tx<'_>,
        repository: RepositoryId,
        image: ImageId,
        TagDecision { tag, event, held, outcome }: &TagDecision<'_>,
    ) -> Result<(), Error> {
        let held = held.as_ref().map(|held| &held.image);
        match outcome {
            TagOutcome::Move(window) => {
                // A new tag names the new row already, unless the image existed under another id.
                if held.is_some() || image != self.id {
                    tx.tag_put(repository, tag.as_str(), image, self.now.0, window.as_ref())?;
                }
                if let Some(held) = held {
                    tx.image_add_tags(held.id, -1)?;
                }
                self.record(tx, repository, event, held, false)
            }
            TagOutcome::Unchanged(window) => {
                if let Some(window) = window {
                    tx.tag_set_window(repository, tag.as_str(), window)?;
                }
                Ok(())
            }
            TagOutcome::LeaveInPlace(window) => {
                if let Some(window) = window {
                    tx.tag_set_window(repository, tag.as_str(), window)?;
                }
                self.record(tx, repository, event, held, true)
            }
        }
    }

    pub(super) fn push(&self) -> Push<'_> {
        Push {
            client: self.client,
            principal: &self.principal,
            now: self.now,
            window: self.push_window,
            repush: self.repush,
            is_index: self.manifest.kind == ManifestKind::Index,
            platform: self.platform.as_deref(),
        }
    }

    /// Collects the facts about an existing tag that the rules need.
    fn facts<'a>(&self, tx: &mut Tx<'_>, held: &'a ExistingTag) -> Result<CurrentTag<'a>, Error> {
        let held_digest = digest_of(&held.image)?;
        Ok(CurrentTag {
            same_digest: held_digest == self.digest,
            is_index: is_index(&held.image.media_type),
            platform: held.image.platform.as_deref(),
            window: held.tag.window.as_ref(),
            lists_pushed: tx.image_lists(held.image.id, &self.digest.to_bytes())?,
            listed_by_pushed: self.manifest.manifests.iter().any(|child| child.digest == held_digest),
        })
    }
}
