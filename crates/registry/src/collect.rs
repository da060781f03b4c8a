//! Removes for good what nothing needs any more, beside pushes and pulls (DESIGN "Deletion").
//!
//! Deleted images and repositories stay for [`Limits::undelete_window`](kernel::limits::Limits), and so do their references to layers. When
//! they go, the grace of layers without another reference begins. A layer past its grace loses its record first, in a transaction that
//! checks again that no image references it, and then its bytes. A crash in between leaves bytes without a record, which [`sweep`]
//! removes. Everything is done in pages, and no lock is held across I/O.

use crate::clock::{SharedClock, Time};
use crate::jobs::{self, JobError, JobKind, JobOutcome, JobQueue, JobRun, Lane};
use crate::{Capability, Error, System};
use blob::Location;
use meta::records::collect;
use meta::{EventId, HoldId, LayerId, LocationId, RepositoryId, UploadId};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The time between two collections.
const EVERY: Duration = Duration::from_secs(3600);
/// Images that one transaction removes. Each has up to 4,200 references.
const IMAGES_AT_ONCE: u32 = 10;
/// Rows of other kinds that one transaction removes.
const ROWS_AT_ONCE: u32 = 500;
/// Layers that one page looks at.
const LAYERS_AT_ONCE: u32 = 1000;
/// Layers whose records one transaction removes.
const RECORDS_AT_ONCE: usize = 50;
/// Locations that one page of the sweep looks at.
const LOCATIONS_AT_ONCE: usize = 1000;
/// How long a hold is valid if its holder does not prolong it.
pub const HOLD: Duration = Duration::from_secs(600);

/// What a collection removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Images and repositories that were deleted at this time or earlier.
    pub deleted: Time,
    /// Layers that are unreferenced since this time or earlier.
    pub unreferenced: Time,
    /// Bytes without a record whose location was made at this time or earlier.
    pub made: Time,
    /// Events that happened before this time.
    pub happened: Time,
}

impl Due {
    /// What is due if neither the window of what is deleted nor the grace of layers is waited for. Bytes without a record and events
    /// still have their age, which protects requests that run.
    pub fn at_once(system: &System) -> Due {
        let now = system.now();
        Due { deleted: now, unreferenced: now, ..Due::now(system) }
    }

    /// What is due now by the limits.
    pub fn now(system: &System) -> Due {
        let (now, limits) = (system.now(), &system.limits);
        Due {
            deleted: now.minus(limits.undelete_window),
            unreferenced: now.minus(limits.grace),
            // Longer than an upload and its last request together, whatever is configured.
            made: now.minus(limits.sweep_age.max(limits.upload_life + limits.request_time)),
            happened: now.minus(limits.event_age),
        }
    }
}

/// What a collection has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub images: u64,
    pub repositories: u64,
    pub layers: u64,
    /// The bytes of those layers.
    pub layer_bytes: u64,
    /// Locations that no record named.
    pub strays: u64,
    pub events: u64,
    /// True if a backup was running, so that no layers were collected.
    pub held: bool,
}

/// Makes sure that the periodic job exists.
pub(crate) const CAPABILITY: Capability = Capability::of_run(|system, _stop| {
    Box::pin(async move {
        if let Err(error) = begin(&system).await {
            tracing::warn!(error = %error, "The collection of unused layers can't be scheduled");
        }
    })
});

/// Enqueues the periodic job, unless it waits already.
async fn begin(system: &Arc<System>) -> Result<(), Error> {
    let due = system.now().plus(EVERY);
    let kind: &dyn JobKind = &Collect;
    let begun: Result<(), meta::Error> = system
        .db
        .write(move |tx| match tx.job_get(kind.name(), "")? {
            Some(_) => Ok(()),
            None => jobs::enqueue(tx, kind, "", due),
        })
        .await;
    begun?;
    JobQueue::of(system).ring();
    Ok(())
}

/// The kind of job that collects what is due. Key: empty. It runs every hour.
pub struct Collect;

#[async_trait::async_trait]
impl JobKind for Collect {
    fn name(&self) -> &'static str {
        "collect"
    }

    fn lane(&self) -> Lane {
        Lane::LONG
    }

    /// Some weeks of attempts: space must come back after an outage without anybody's help.
    fn attempts(&self) -> u32 {
        5_000
    }

    async fn run(&self, system: &System, _job: &JobRun) -> Result<JobOutcome, JobError> {
        let collected = run(system, Due::now(system)).await?;
        if collected != Collected::default() {
            let Collected { images, repositories, layers, layer_bytes, strays, events, held } = collected;
            tracing::info!(images, repositories, layers, layer_bytes, strays, events, held, "Collected what was due");
        }
        Ok(JobOutcome::Again(system.now().plus(EVERY)))
    }
}

/// Removes what is due. Safe to run twice, beside itself, and to be cancelled at any point.
pub async fn run(system: &System, due: Due) -> Result<Collected, Error> {
    let mut collected = Collected {
        images: images(system, due.deleted).await?,
        repositories: repositories(system, due.deleted).await?,
        ..Collected::default()
    };
    collected.events = events(system, due.happened).await?;
    layers(system, due.unreferenced, &mut collected).await?;
    collected.strays = sweep(system, due.made).await?;
    Ok(collected)
}

/// What there is to collect, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Deleted images and repositories that are not due: they can still be restored.
    pub recoverable_images: u64,
    pub recoverable_repositories: u64,
    /// Deleted images and repositories that are due.
    pub due_images: u64,
    pub due_repositories: u64,
    /// Layers that no image references, and their bytes, due or not.
    pub unreferenced_layers: u64,
    pub unreferenced_bytes: u64,
    /// Those of them that are due.
    pub due_layers: u64,
    pub due_bytes: u64,
}

/// Counts what [`run`] would remove, and what waits for its time. Reads the records of all layers, in pages.
pub async fn survey(system: &System, due: Due) -> Result<Survey, Error> {
    let counted: Result<_, Error> = system
        .db
        .read(move |tx| Ok((tx.deleted_image_counts(due.deleted.0)?, tx.deleted_repository_counts(due.deleted.0)?)))
        .await;
    let ((recoverable_images, due_images), (recoverable_repositories, due_repositories)) = counted?;
    let mut found =
        Survey { recoverable_images, recoverable_repositories, due_images, due_repositories, ..Survey::default() };
    let mut after = LayerId::MIN;
    loop {
        let page: Result<_, Error> = system.db.read(move |tx| Ok(tx.collect_layers(after, LAYERS_AT_ONCE)?)).await;
        let page = page?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.id;
        for layer in page {
            let (Some(since), bytes) = (layer.unreferenced_since, u64::try_from(layer.size).unwrap_or(0)) else {
                continue;
            };
            found.unreferenced_layers += 1;
            found.unreferenced_bytes += bytes;
            if since <= due.unreferenced.0 {
                found.due_layers += 1;
                found.due_bytes += bytes;
            }
        }
    }
}

/// Removes the images that were deleted at `before` or earlier.
async fn images(system: &System, before: Time) -> Result<u64, Error> {
    let mut total = 0;
    loop {
        let now = system.now().0;
        let gone = system.db.write_to_free(move |tx| {
            let images = tx.collect_deleted_images(before.0, IMAGES_AT_ONCE)?;
            images.iter().try_for_each(|id| tx.collect_image(*id, now))?;
            Ok::<_, Error>(images.len())
        });
        let gone = gone.await?;
        total += gone as u64;
        if gone < IMAGES_AT_ONCE as usize {
            return Ok(total);
        }
    }
}

/// Removes the repositories that were deleted at `before` or earlier, with all that they hold.
async fn repositories(system: &System, before: Time) -> Result<u64, Error> {
    let mut total = 0;
    loop {
        // Claimed before anything of it goes, so that it can't be restored meanwhile.
        let claimed: Result<_, Error> =
            system.db.write_to_free(move |tx| Ok(tx.collect_claim_repository(before.0)?)).await;
        let Some(id) = claimed? else { return Ok(total) };
        repository(system, id).await?;
        total += 1;
    }
}

async fn repository(system: &System, id: RepositoryId) -> Result<(), Error> {
    // The images, which reference layers, then the layers that it shows, then its own row.
    loop {
        let now = system.now().0;
        let gone = system.db.write_to_free(move |tx| {
            let images = tx.collect_repository_images(id, IMAGES_AT_ONCE)?;
            images.iter().try_for_each(|image| tx.collect_image(*image, now))?;
            Ok::<_, Error>(images.len())
        });
        if gone.await? == 0 {
            break;
        }
    }
    loop {
        let hidden: Result<_, Error> =
            system.db.write_to_free(move |tx| Ok(tx.collect_repository_layers(id, ROWS_AT_ONCE)?)).await;
        if hidden? == 0 {
            break;
        }
    }
    let removed: Result<_, Error> = system.db.write_to_free(move |tx| Ok(tx.collect_repository(id)?)).await;
    removed
}

/// Removes the layers that are unreferenced since `before` or earlier, unless somebody holds all layers.
async fn layers(system: &System, before: Time, collected: &mut Collected) -> Result<(), Error> {
    let mut after = LayerId::MIN;
    loop {
        let page: Result<_, Error> = system.db.read(move |tx| Ok(tx.collect_layers(after, LAYERS_AT_ONCE)?)).await;
        let page = page?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        let due: Vec<_> =
            page.into_iter().filter(|layer| layer.unreferenced_since.is_some_and(|since| since <= before.0)).collect();
        for part in due.chunks(RECORDS_AT_ONCE) {
            let ids: Vec<LayerId> = part.iter().map(|layer| layer.id).collect();
            let Some(gone) = records(system, ids, before).await? else {
                collected.held = true;
                return Ok(());
            };
            // The records are gone, and with them every way to the bytes.
            for (id, location) in gone {
                collected.layers += 1;
                let size = part.iter().find(|layer| layer.id == id).map_or(0, |layer| layer.size);
                collected.layer_bytes += u64::try_from(size).unwrap_or(0);
                if let Some(location) = location {
                    // What can't be removed now is without a record, and the sweep tries again.
                    remove(system, location).await;
                }
            }
        }
    }
}

/// Removes the bytes at a location. A failure is logged, and stops nothing else. Returns whether they are gone.
async fn remove(system: &System, location: LocationId) -> bool {
    let removed = system.blobs.remove(Location(location.0), None).await;
    if let Err(error) = &removed {
        tracing::warn!(location = %Location(location.0), error = %error, "Bytes that nothing names can't be removed");
    }
    removed.is_ok()
}

/// Removes the records of layers that may still be collected, and returns them with their locations. `None` if somebody holds all layers.
async fn records(
    system: &System,
    ids: Vec<LayerId>,
    before: Time,
) -> Result<Option<Vec<(LayerId, Option<LocationId>)>>, Error> {
    let now = system.now().0;
    let removed = system.db.write_to_free(move |tx| {
        // A hold that is committed before this transaction protects all that its holder can have read. On PostgreSQL a transaction that
        // runs beside the hold may still remove unreferenced layers; a backup then reports them as missing.
        if tx.look_up(collect::hold_at(now))?.is_some() {
            return Ok(None);
        }
        let mut gone = Vec::new();
        for id in &ids {
            if let Some(location) = tx.look_up(collect::collectable(*id, before.0))? {
                tx.collect_layer(*id)?;
                gone.push((*id, location));
            }
        }
        Ok::<_, Error>(Some(gone))
    });
    removed.await
}

/// Removes the bytes that no record and no upload names, and whose location was made at `before` or earlier. A younger location may belong
/// to a request that still runs.
pub async fn sweep(system: &System, before: Time) -> Result<u64, Error> {
    let before_ms = u64::try_from(before.0 / 1000).unwrap_or(0);
    // Before the records: a session that completes meanwhile is either among these, or its layer is recorded when its location is looked at.
    let uploads = upload_locations(system).await?;
    let (mut after, mut total) = (None, 0);
    loop {
        let page = system.blobs.list(after, LOCATIONS_AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(total) };
        after = Some(*last);
        let old: Vec<LocationId> =
            page.iter().filter(|location| location.made_at_ms() <= before_ms).map(|l| LocationId(l.0)).collect();
        let unnamed = system.db.read(move |tx| {
            let mut unnamed = Vec::new();
            for location in &old {
                if tx.store_location(*location)?.is_none() {
                    unnamed.push(*location);
                }
            }
            Ok::<_, Error>(unnamed)
        });
        for location in unnamed.await? {
            if !uploads.contains(&location) {
                total += u64::from(remove(system, location).await);
            }
        }
    }
}

/// The locations of all upload sessions. A session that begins later has a young location.
async fn upload_locations(system: &System) -> Result<HashSet<LocationId>, Error> {
    let (mut after, mut locations) = (UploadId::MIN, HashSet::new());
    loop {
        let page: Result<_, Error> = system.db.read(move |tx| Ok(tx.upload_list(after, ROWS_AT_ONCE)?)).await;
        let page = page?;
        let Some(last) = page.last() else { return Ok(locations) };
        after = last.id;
        locations.extend(page.iter().filter_map(|upload| upload.location));
    }
}

/// Removes the events that happened before a time.
async fn events(system: &System, before: Time) -> Result<u64, Error> {
    // The first 48 bits of an event's id are its time.
    let millis = u64::try_from(before.0.max(0) / 1000).unwrap_or(0);
    let mut first = [0; 16];
    first[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    let mut total = 0;
    loop {
        let gone: Result<_, Error> =
            system.db.write_to_free(move |tx| Ok(tx.event_delete_old(EventId(first), ROWS_AT_ONCE)?)).await;
        let gone = gone?;
        total += gone;
        if gone < u64::from(ROWS_AT_ONCE) {
            return Ok(total);
        }
    }
}

/// A hold of all layers: while it lasts, no layer is collected. It is prolonged in the background until it ends. If its process dies, it
/// ends after [`HOLD`].
pub struct Hold {
    db: meta::Db,
    id: HoldId,
    prolonging: JoinHandle<()>,
}

impl Hold {
    /// Begins a hold. Call this before the records are read.
    pub async fn begin(db: &meta::Db, clock: SharedClock, id: HoldId) -> Result<Hold, meta::Error> {
        hold(db, id, clock.now()).await?;
        let prolonged = db.clone();
        let prolonging = tokio::spawn(async move {
            loop {
                clock.sleep_until(clock.now().plus(HOLD / 4)).await;
                if let Err(error) = hold(&prolonged, id, clock.now()).await {
                    tracing::warn!(error = %error, "The hold of all layers can't be prolonged");
                }
            }
        });
        Ok(Hold { db: db.clone(), id, prolonging })
    }

    pub async fn end(self) -> Result<(), meta::Error> {
        self.prolonging.abort();
        release(&self.db, self.id).await
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.prolonging.abort();
    }
}

/// Begins or prolongs a hold for [`HOLD`].
pub async fn hold(db: &meta::Db, id: HoldId, now: Time) -> Result<(), meta::Error> {
    let until = now.plus(HOLD).0;
    db.write_to_free(move |tx| {
        tx.hold_delete_ended(now.0)?;
        tx.hold_put(id, until)
    })
    .await
}

/// Ends a hold.
pub async fn release(db: &meta::Db, id: HoldId) -> Result<(), meta::Error> {
    db.write_to_free(move |tx| tx.hold_delete(id)).await
}
