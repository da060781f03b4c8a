//! The store's own id, and what shows whether a directory of layers is the one that these records name.
use crate::{Error, LocationId, StoreId, Tx};

statements! {
    STORE_GET = "SELECT id FROM store WHERE one = 1";
    STORE_PUT = "INSERT INTO store (one, id, created_at) VALUES (1, $1, $2) ON CONFLICT (one) DO NOTHING";
    STORE_FIRST_LOCATION = "SELECT location FROM layer WHERE location IS NOT NULL ORDER BY location LIMIT 1";
    STORE_LAST_LOCATION = "SELECT location FROM layer WHERE location IS NOT NULL ORDER BY location DESC LIMIT 1";
    STORE_SOUND_FROM = "SELECT location, size, digest FROM layer WHERE location IS NOT NULL AND location >= $1 \
        AND damaged_at IS NULL ORDER BY location LIMIT $2";
    STORE_LOCATED_AFTER = "SELECT location, size, digest FROM layer WHERE location IS NOT NULL AND location > $1 \
        ORDER BY location LIMIT $2";
    STORE_UNMARK = "UPDATE layer SET damaged_at = NULL WHERE location IS NOT NULL AND damaged_at IS NOT NULL";
    STORE_MARK = "UPDATE layer SET damaged_at = $2 WHERE location = $1";
    STORE_LOCATION = "SELECT location, size, digest FROM layer WHERE location = $1";
    STORE_LOCATED_TOTAL = "SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM layer WHERE location IS NOT NULL";
}

/// A layer whose bytes lie at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedLayer {
    pub location: LocationId,
    /// Bytes.
    pub size: i64,
    pub digest: Vec<u8>,
}

impl Tx<'_> {
    /// The store's id; `None` in records of a version before it, and in new ones.
    pub fn store_get(&mut self) -> Result<Option<StoreId>, Error> {
        self.query_opt(STORE_GET, &[])?.map(|row| row.get(0)).transpose()
    }

    /// Gives the store an id, unless it has one; returns the one that it has then.
    pub fn store_put(&mut self, id: StoreId, now: i64) -> Result<StoreId, Error> {
        self.execute(STORE_PUT, &[id.into(), now.into()])?;
        Ok(self.store_get()?.unwrap_or(id))
    }

    /// The first and the last location that a layer's record names; `None` when none does.
    pub fn store_locations(&mut self) -> Result<Option<(LocationId, LocationId)>, Error> {
        let Some(first) = self.query_opt(STORE_FIRST_LOCATION, &[])? else { return Ok(None) };
        let Some(last) = self.query_opt(STORE_LAST_LOCATION, &[])? else { return Ok(None) };
        Ok(Some((first.get(0)?, last.get(0)?)))
    }

    /// The layers with locations that are not known to be damaged, by location, from `from` on.
    pub fn store_sound_from(&mut self, from: LocationId, limit: u32) -> Result<Vec<LocatedLayer>, Error> {
        self.located(STORE_SOUND_FROM, &[from.into(), limit.into()])
    }

    /// The layers with locations, by location, from behind `after`.
    pub fn store_located_after(&mut self, after: LocationId, limit: u32) -> Result<Vec<LocatedLayer>, Error> {
        self.located(STORE_LOCATED_AFTER, &[after.into(), limit.into()])
    }

    /// Marks as damaged, of all layers with locations, those at `damaged` and no others: what a restore has found.
    pub fn store_marks_set(&mut self, damaged: &[LocationId], now: i64) -> Result<(), Error> {
        self.execute(STORE_UNMARK, &[])?;
        for location in damaged {
            self.execute(STORE_MARK, &[(*location).into(), now.into()])?;
        }
        Ok(())
    }

    /// The layer whose bytes lie at a location.
    pub fn store_location(&mut self, location: LocationId) -> Result<Option<LocatedLayer>, Error> {
        Ok(self.located(STORE_LOCATION, &[location.into()])?.pop())
    }

    /// How many layers have locations, and their bytes together. Reads all of their records.
    pub fn store_located_total(&mut self) -> Result<(i64, i64), Error> {
        self.query_opt(STORE_LOCATED_TOTAL, &[])?.map_or(Ok((0, 0)), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn located(&mut self, sql: &'static str, params: &[crate::Value]) -> Result<Vec<LocatedLayer>, Error> {
        let rows = self.query(sql, params)?;
        let layer =
            |row: &crate::Row| Ok(LocatedLayer { location: row.get(0)?, size: row.get(1)?, digest: row.get(2)? });
        rows.iter().map(layer).collect()
    }
}
