//! The store's id, and the queries that check whether a directory of layers belongs to these records.

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

/// A layer whose bytes are at a location, not in the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedLayer {
    pub location: LocationId,
    /// Bytes.
    pub size: i64,
    pub digest: Vec<u8>,
}

impl Tx<'_> {
    /// Returns the store's id. `None` in new records, and in records of versions without the id.
    pub fn store_get(&mut self) -> Result<Option<StoreId>, Error> {
        self.query_opt(STORE_GET, &[])?.map(|row| row.get(0)).transpose()
    }

    /// Sets the store's id unless it has one. Returns the id that it has afterwards.
    pub fn store_put(&mut self, id: StoreId, now: i64) -> Result<StoreId, Error> {
        self.execute(STORE_PUT, &[id.into(), now.into()])?;
        Ok(self.store_get()?.unwrap_or(id))
    }

    /// Returns the first and the last location of all layers, or `None` if no layer has one.
    pub fn store_locations(&mut self) -> Result<Option<(LocationId, LocationId)>, Error> {
        let Some(first) = self.query_opt(STORE_FIRST_LOCATION, &[])? else { return Ok(None) };
        let Some(last) = self.query_opt(STORE_LAST_LOCATION, &[])? else { return Ok(None) };
        Ok(Some((first.get(0)?, last.get(0)?)))
    }

    /// Lists the undamaged layers with locations, ordered by location, from `from` on.
    pub fn store_sound_from(&mut self, from: LocationId, limit: u32) -> Result<Vec<LocatedLayer>, Error> {
        self.located(STORE_SOUND_FROM, &[from.into(), limit.into()])
    }

    /// Lists the layers with locations after `after`, ordered by location.
    pub fn store_located_after(&mut self, after: LocationId, limit: u32) -> Result<Vec<LocatedLayer>, Error> {
        self.located(STORE_LOCATED_AFTER, &[after.into(), limit.into()])
    }

    /// Marks the layers at `damaged` as damaged, and removes the mark from all others with locations. A restore uses it.
    pub fn store_marks_set(&mut self, damaged: &[LocationId], now: i64) -> Result<(), Error> {
        self.execute(STORE_UNMARK, &[])?;
        for location in damaged {
            self.execute(STORE_MARK, &[(*location).into(), now.into()])?;
        }
        Ok(())
    }

    /// Returns the layer at a location.
    pub fn store_location(&mut self, location: LocationId) -> Result<Option<LocatedLayer>, Error> {
        Ok(self.located(STORE_LOCATION, &[location.into()])?.pop())
    }

    /// Returns the number and the total bytes of the layers with locations. Reads all of their records.
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
