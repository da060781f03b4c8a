//! Verifies all layers of a store while servers use it: whether the bytes in the records exist and are the pushed ones, and which bytes no
//! record names. It never removes anything.

use super::damage::{self, Damage};
use super::open::record_bytes;
use crate::Error;
use crate::clock::Time;
use blob::checksum::Checksummer;
use blob::{Engine, Location};
use meta::records::layer::{self, LayerRow};
use meta::{LayerId, LocationId, UploadId};
use oci::{Digest, Hasher};
use std::collections::BTreeSet;
use std::time::Duration;

/// The number of records or locations that are read at once.
const PAGE: u32 = 500;
/// The age after which no request can still record a location: the longest request, plus the lifetime of a session that it may complete.
const UNDER_WAY: Duration = Duration::from_secs(48 * 3600);

/// The options of a verification.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyOptions {
    /// Read every byte, compare digests and checksums, and add checksums to layers without any.
    pub bytes: bool,
    /// Mark damaged layers, so that they count as missing and are pushed again. With `bytes`, remove the mark from intact layers.
    pub mark: bool,
}

/// The stores to verify.
pub struct VerifyStores<'a> {
    pub db: &'a meta::Db,
    pub blobs: &'a dyn Engine,
    pub now: Time,
}

/// An event during a verification.
#[derive(Debug)]
pub enum VerifyEvent {
    /// This many more bytes of layers are done.
    Done(u64),
    Found(VerifyFinding),
}

/// A problem that a verification found.
#[derive(Debug)]
pub enum VerifyFinding {
    Damaged {
        layer: NamedLayer,
        damage: Damage,
        /// True if the layer counts as missing now.
        marked: bool,
    },
    /// The layer was marked before, and its bytes were not read now.
    Marked { layer: NamedLayer },
    /// The layer was marked, but its bytes are intact. `unmarked` is true if the mark was removed.
    RightAgain { layer: NamedLayer, unmarked: bool },
    /// The layer's bytes can't be read now, so their state is unknown.
    Unreadable { layer: NamedLayer, error: blob::Error },
    /// Bytes that no record names. `under_way` is true if they are so young that an upload in progress may record them.
    Unrecorded { location: Location, size: u64, under_way: bool },
}

/// A layer in a report.
#[derive(Clone, Debug)]
pub struct NamedLayer {
    pub digest: Digest,
    /// `None` if the bytes are in the record.
    pub location: Option<Location>,
}

/// The summary of a verification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifySummary {
    pub layers: u64,
    /// Bytes.
    pub size: u64,
    /// The number of layers that got checksums.
    pub checksums_added: u64,
    /// True if there is no problem, except for bytes of uploads in progress.
    pub well: bool,
}

/// Returns the number and the total bytes of all layers, from their records.
pub async fn total(db: &meta::Db) -> Result<(u64, u64), Error> {
    let total: (i64, i64) = db.read(|tx| tx.layer_total()).await?;
    Ok((total.0.unsigned_abs(), total.1.unsigned_abs()))
}

/// Verifies every layer of every registry, then every location. Memory is bounded by one page of them.
pub async fn all(
    stores: &VerifyStores<'_>,
    look: VerifyOptions,
    tell: &mut (dyn FnMut(VerifyEvent) + Send),
) -> Result<VerifySummary, Error> {
    let mut verifier =
        Verifier { stores, look, tell, summary: VerifySummary { well: true, ..VerifySummary::default() }, done: 0 };
    let mut after = LayerId::MIN;
    loop {
        let page: Vec<LayerRow> = stores.db.read(move |tx| tx.layer_list(after, PAGE)).await?;
        let Some(last) = page.last().map(|row| row.id) else { break };
        for row in page {
            verifier.layer(row).await?;
        }
        after = last;
    }
    verifier.locations().await?;
    Ok(verifier.summary)
}

struct Verifier<'a> {
    stores: &'a VerifyStores<'a>,
    look: VerifyOptions,
    tell: &'a mut (dyn FnMut(VerifyEvent) + Send),
    summary: VerifySummary,
    /// The bytes of the current layer that were reported as done.
    done: u64,
}

/// The state of a layer's bytes.
enum Seen {
    /// Intact, as far as the bytes were checked. Contains their checksums if all bytes were read.
    Right(Option<Vec<u8>>),
    Wrong(Damage),
    Unreadable(blob::Error),
}

impl Verifier<'_> {
    fn found(&mut self, finding: VerifyFinding) {
        self.summary.well &= matches!(
            finding,
            VerifyFinding::Unrecorded { under_way: true, .. } | VerifyFinding::RightAgain { unmarked: true, .. }
        );
        (self.tell)(VerifyEvent::Found(finding));
    }

    /// Reports the progress of the current layer, up to the byte `to`.
    fn done(&mut self, to: u64) {
        if let Some(more) = to.checked_sub(self.done).filter(|more| *more > 0) {
            self.done = to;
            (self.tell)(VerifyEvent::Done(more));
        }
    }

    async fn layer(&mut self, row: LayerRow) -> Result<(), Error> {
        let size = super::size(&row);
        self.summary.layers += 1;
        self.summary.size = self.summary.size.saturating_add(size);
        let mut row = row;
        let mut seen = self.see(&row).await?;
        // Check a damaged layer again at the location in its current record, because a push may have moved it.
        if !matches!(seen, Seen::Right(_)) {
            let Some(again) = self.stores.db.look_up(layer::by_id(row.id)).await? else { return Ok(()) };
            row = again;
            seen = self.see(&row).await?;
        }
        self.done(size);
        self.done = 0;
        let layer = NamedLayer {
            digest: Digest::from_bytes(&row.digest).map_err(Error::server)?,
            location: row.location.map(|location| Location(location.0)),
        };
        match seen {
            Seen::Unreadable(error) => self.found(VerifyFinding::Unreadable { layer, error }),
            Seen::Wrong(damage) => {
                let marked = row.damaged_at.is_some()
                    || self.look.mark && damage::mark(self.stores.db, self.stores.now, &row).await?;
                self.found(VerifyFinding::Damaged { layer, damage, marked });
            }
            Seen::Right(checksums) => self.right(&row, layer, checksums).await?,
        }
        Ok(())
    }

    /// Adds missing checksums to an intact layer, and removes its mark.
    async fn right(&mut self, row: &LayerRow, layer: NamedLayer, checksums: Option<Vec<u8>>) -> Result<(), Error> {
        let (id, location) = (row.id, row.location);
        let Some(checksums) = checksums else {
            if row.damaged_at.is_some() {
                self.found(VerifyFinding::Marked { layer });
            }
            return Ok(());
        };
        if self.stores.db.look_up(layer::checksums(id, 0, 1)).await?.is_none() {
            let add = move |tx: &mut meta::Tx<'_>| tx.change(layer::add_checksums(id, location, &checksums));
            self.summary.checksums_added += u64::from(self.stores.db.write(add).await?);
        }
        if row.damaged_at.is_some() {
            let unmarked = self.look.mark && damage::unmark(self.stores.db, row).await?;
            self.found(VerifyFinding::RightAgain { layer, unmarked });
        }
        Ok(())
    }

    async fn see(&mut self, row: &LayerRow) -> Result<Seen, Error> {
        let Some(location) = row.location.map(|location| Location(location.0)) else {
            return self.see_record(row).await;
        };
        let blobs = self.stores.blobs;
        let size = super::size(row);
        match blobs.stat(location).await {
            Ok(None) => return Ok(Seen::Wrong(Damage::Missing)),
            Ok(Some(stat)) if stat.size < size => return Ok(Seen::Wrong(Damage::Short)),
            Ok(Some(stat)) if stat.size > size => return Ok(Seen::Wrong(Damage::Long)),
            Ok(Some(_)) if !self.look.bytes => return Ok(Seen::Right(None)),
            Ok(Some(_)) => {}
            Err(error) => return Ok(Seen::Unreadable(error)),
        }
        let digest = Digest::from_bytes(&row.digest).map_err(Error::server)?;
        let (computed, checksums) = match self.read(location, size, &digest).await {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(Seen::Wrong(Damage::Missing)),
            Err(error) if error.is_short() => return Ok(Seen::Wrong(Damage::Short)),
            Err(error) => return Ok(Seen::Unreadable(error)),
        };
        if computed != digest {
            return Ok(Seen::Wrong(Damage::Altered));
        }
        Ok(match self.stores.db.look_up(layer::checksums(row.id, 0, i64::from(i32::MAX))).await? {
            Some(stored) if stored != checksums => Seen::Wrong(Damage::Checksums),
            _ => Seen::Right(Some(checksums)),
        })
    }

    /// Checks a small layer in its record. Its bytes are always read whole.
    async fn see_record(&self, row: &LayerRow) -> Result<Seen, Error> {
        let Some((row, content)) = self.stores.db.look_up(layer::by_id_to_read(row.id)).await? else {
            return Ok(Seen::Right(None));
        };
        let digest = Digest::from_bytes(&row.digest).map_err(Error::server)?;
        Ok(match record_bytes(&row, content) {
            Ok(bytes) if Digest::of(digest.algorithm(), &bytes) == digest => {
                Seen::Right(Some(blob::checksum::of(&bytes)))
            }
            Ok(_) => Seen::Wrong(Damage::Altered),
            Err(damage) => Seen::Wrong(damage),
        })
    }

    /// Finds bytes that neither a layer nor a session names.
    async fn locations(&mut self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self.stores.blobs.list(after, PAGE as usize).await?;
            let Some(last) = page.last().copied() else { return Ok(()) };
            for location in self.unnamed(page).await? {
                self.unrecorded(location).await?;
            }
            after = Some(last);
        }
    }

    async fn unrecorded(&mut self, location: Location) -> Result<(), Error> {
        // Its request may have removed it meanwhile.
        let Some(stat) = self.stores.blobs.stat(location).await? else { return Ok(()) };
        let made_at = i64::try_from(location.made_at_ms().saturating_mul(1000)).unwrap_or(i64::MAX);
        let under_way = Time(made_at).plus(UNDER_WAY) > self.stores.now;
        self.found(VerifyFinding::Unrecorded { location, size: stat.size, under_way });
        Ok(())
    }

    /// Returns the locations of a page that no record names.
    async fn unnamed(&self, page: Vec<Location>) -> Result<BTreeSet<Location>, Error> {
        let unnamed = self.stores.db.read(move |tx| {
            let mut unnamed = BTreeSet::new();
            for location in &page {
                if tx.store_location(LocationId(location.0))?.is_none() {
                    unnamed.insert(*location);
                }
            }
            Ok::<_, meta::Error>(unnamed)
        });
        let mut unnamed = unnamed.await?;
        let mut after = UploadId::MIN;
        while !unnamed.is_empty() {
            let uploads: Vec<_> = self.stores.db.read(move |tx| tx.upload_list(after, PAGE)).await?;
            let Some(last) = uploads.last() else { break };
            after = last.id;
            for location in uploads.iter().filter_map(|upload| upload.location) {
                unnamed.remove(&Location(location.0));
            }
        }
        Ok(unnamed)
    }

    /// Reads a whole location. Returns its digest and its checksums, or `None` if it does not exist.
    async fn read(
        &mut self,
        location: Location,
        size: u64,
        digest: &Digest,
    ) -> Result<Option<(Digest, Vec<u8>)>, blob::Error> {
        let Some(mut reader) = self.stores.blobs.read(location, 0..size).await? else { return Ok(None) };
        let mut hasher = Hasher::new(digest.algorithm());
        let mut summer = Checksummer::default();
        let mut read = 0;
        while let Some(buffer) = reader.next().await? {
            hasher.update(&buffer);
            summer.update(&buffer);
            read += buffer.len() as u64;
            self.done(read);
        }
        Ok(Some((hasher.finish(), summer.finish())))
    }
}
