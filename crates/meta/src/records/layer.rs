//! Layers, the bytes of small layers, and the layers that are visible in each repository.

use super::RegistryKey;
use crate::{Change, Error, LayerId, LocationId, Lookup, RepositoryId, Row, Tx, UploadId};

/// The columns of [`LayerRow`], in order.
macro_rules! layer_columns {
    () => {
        "layer.id, layer.digest, layer.size, layer.location, layer.data_key, layer.storage_class, layer.created_at, \
         layer.unreferenced_since, layer.damaged_at"
    };
}

/// Selects the columns of [`ShownLayer`] and `$columns`, with the joins in `$more`, of an undamaged layer in a repository that is found by
/// its name. An all-NULL row means that the repository exists but does not show the layer.
macro_rules! named {
    ($columns:expr, $more:literal) => {
        concat!(
            "SELECT ",
            layer_columns!(),
            ", repository_layer.media_type",
            $columns,
            " FROM repository LEFT JOIN repository_layer ON repository_layer.repository_id = repository.id \
              AND repository_layer.digest = $4 LEFT JOIN layer ON layer.id = repository_layer.layer_id \
              AND layer.damaged_at IS NULL",
            $more,
            " WHERE repository.account = $1 AND repository.region = $2 AND repository.name = $3 \
              AND repository.deleted_at IS NULL"
        )
    };
}

/// The columns of [`Content`]: a layer's bytes in `layer_data`, and the first [`FIRST_CHECKSUMS`] bytes of its checksums.
macro_rules! content_columns {
    () => {
        "layer_data.bytes, substr(layer.checksums, 1, 16388)"
    };
}

/// The most bytes of checksums that are read together with a layer. [`checksums`] finds the rest. In the form of `blob::checksum` they
/// cover a layer of 512 MiB.
pub const FIRST_CHECKSUMS: usize = 16_388;

statements! {
    LAYER_NAMED = named!("", "");
    LAYER_TO_READ = named!(
        concat!(", repository.id, ", content_columns!()),
        " LEFT JOIN layer_data ON layer_data.layer_id = layer.id AND layer.location IS NULL"
    );
    LAYER_GET = concat!("SELECT ", layer_columns!(), " FROM layer WHERE id = $1");
    LAYER_GET_TO_READ = concat!("SELECT ", layer_columns!(), ", ", content_columns!(), " FROM layer \
        LEFT JOIN layer_data ON layer_data.layer_id = layer.id AND layer.location IS NULL WHERE layer.id = $1");
    // PostgreSQL's substr takes INTEGER, and Ecru's parameters are BIGINT.
    LAYER_CHECKSUMS = "SELECT substr(checksums, CAST(CAST($2 AS BIGINT) AS INTEGER), CAST(CAST($3 AS BIGINT) AS INTEGER)) \
        FROM layer WHERE id = $1 AND checksums IS NOT NULL";
    LAYER_BY_DIGEST = concat!("SELECT ", layer_columns!(), " FROM layer \
        WHERE account = $1 AND region = $2 AND encryption = $3 AND digest = $4");
    LAYER_SHOWN = concat!("SELECT ", layer_columns!(), ", repository_layer.media_type \
        FROM repository_layer JOIN layer ON layer.id = repository_layer.layer_id \
        WHERE repository_layer.repository_id = $1 AND repository_layer.digest = $2");
    LAYER_TOTAL = "SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM layer";
    LAYER_LIST = concat!("SELECT ", layer_columns!(), " FROM layer WHERE id > $1 ORDER BY id LIMIT $2");
    LAYER_INSERT = "INSERT INTO layer (id, account, region, encryption, digest, size, location, data_key, storage_class, \
        created_at, unreferenced_since, checksums) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
        ON CONFLICT (account, region, encryption, digest) DO NOTHING";
    LAYER_REARM = "UPDATE layer SET unreferenced_since = $2 WHERE id = $1 AND unreferenced_since < $2";
    LAYER_MOVE = "UPDATE layer SET size = $2, location = $3, checksums = $4, damaged_at = NULL WHERE id = $1";
    LAYER_MARK = "UPDATE layer SET damaged_at = $3 WHERE id = $1 AND damaged_at IS NULL AND location IS NOT DISTINCT FROM $2";
    LAYER_UNMARK = "UPDATE layer SET damaged_at = NULL WHERE id = $1 AND damaged_at IS NOT NULL \
        AND location IS NOT DISTINCT FROM $2";
    LAYER_ADD_CHECKSUMS = "UPDATE layer SET checksums = $3 WHERE id = $1 AND checksums IS NULL \
        AND location IS NOT DISTINCT FROM $2";
    LAYER_FORGET_CHECKSUMS = "UPDATE layer SET checksums = NULL WHERE id = $1";
    LAYER_DATA_INSERT = "INSERT INTO layer_data (layer_id, bytes) VALUES ($1, $2)";
    LAYER_DATA_DELETE = "DELETE FROM layer_data WHERE layer_id = $1";
    LAYER_REFERENCED_BY = "SELECT 1 FROM image_layer JOIN image ON image.id = image_layer.image_id \
        WHERE image_layer.layer_id = $1 AND image.repository_id = $2 AND image.deleted_at IS NULL LIMIT 1";
    LAYER_SHOW = "INSERT INTO repository_layer (repository_id, digest, layer_id, media_type) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (repository_id, digest) DO NOTHING";
    LAYER_SHOW_RECEIVED = "INSERT INTO repository_layer (repository_id, digest, layer_id, media_type) \
        SELECT repository.id, $2, $3, NULL FROM repository WHERE repository.id = $1 AND repository.deleted_at IS NULL \
        AND NOT EXISTS (SELECT 1 FROM upload WHERE upload.id = $4 AND upload.state = 'cancelled') \
        ON CONFLICT (repository_id, digest) DO NOTHING";
    LAYER_SHOW_OTHER = "UPDATE repository_layer SET layer_id = $3 WHERE repository_id = $1 AND digest = $2";
    LAYER_HIDE = "DELETE FROM repository_layer WHERE repository_id = $1 AND digest = $2";
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRow {
    pub id: LayerId,
    pub digest: Vec<u8>,
    /// Bytes.
    pub size: i64,
    /// The location of the bytes. `None` if they are in `layer_data`.
    pub location: Option<LocationId>,
    /// The encrypted data key. `None` if the layer relies on the storage's own encryption.
    pub data_key: Option<Vec<u8>>,
    pub storage_class: String,
    pub created_at: i64,
    /// The start of the grace period. `None` while an image references the layer.
    pub unreferenced_since: Option<i64>,
    /// When the bytes were found missing or corrupt. `None` if no damage is known.
    pub damaged_at: Option<i64>,
}

/// A layer that is visible in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownLayer {
    pub layer: LayerRow,
    /// The media type in the last manifest that named the layer.
    pub media_type: Option<String>,
}

fn layer(row: &Row) -> Result<LayerRow, Error> {
    Ok(LayerRow {
        id: row.get(0)?,
        digest: row.get(1)?,
        size: row.get(2)?,
        location: row.get(3)?,
        data_key: row.get(4)?,
        storage_class: row.get(5)?,
        created_at: row.get(6)?,
        unreferenced_since: row.get(7)?,
        damaged_at: row.get(8)?,
    })
}

/// A layer that is visible in a repository, with the data that its reader needs.
#[derive(Clone, Debug)]
pub struct LayerToRead {
    pub shown: ShownLayer,
    pub repository: RepositoryId,
    pub content: Content,
}

/// The data that the reader of a layer needs in addition to its record.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// The layer's bytes, if they are in `layer_data`.
    pub bytes: Option<Vec<u8>>,
    /// The first [`FIRST_CHECKSUMS`] bytes of the checksums. `None` for a layer from before version 6.
    pub checksums: Option<Vec<u8>>,
}

fn content(row: &mut Row, column: usize) -> Result<Content, Error> {
    Ok(Content { bytes: row.take_some(column)?, checksums: row.take_some(column + 1)? })
}

fn shown(row: &Row) -> Result<ShownLayer, Error> {
    Ok(ShownLayer { layer: layer(row)?, media_type: row.get(9)? })
}

fn shown_as(repository: RepositoryId, digest: &[u8]) -> Lookup<ShownLayer> {
    Lookup::new(LAYER_SHOWN, [repository.into(), digest.into()], |row| shown(&row))
}

/// Finds an undamaged layer by its digest, in a repository by its name. The outer `Option` is `None` if the repository does not exist, the
/// inner one if it does not show the layer.
pub fn named(registry: &RegistryKey, repository: &str, digest: &[u8]) -> Lookup<Option<ShownLayer>> {
    let params = [(&registry.account).into(), (&registry.region).into(), repository.into(), digest.into()];
    Lookup::new(LAYER_NAMED, params, |row| if row.holds(0) { shown(&row).map(Some) } else { Ok(None) })
}

/// Finds the same as [`named`], with the data that the layer's reader needs.
pub fn to_read(registry: &RegistryKey, repository: &str, digest: &[u8]) -> Lookup<Option<LayerToRead>> {
    let params = [(&registry.account).into(), (&registry.region).into(), repository.into(), digest.into()];
    Lookup::new(LAYER_TO_READ, params, |mut row| {
        if !row.holds(0) {
            return Ok(None);
        }
        Ok(Some(LayerToRead { shown: shown(&row)?, repository: row.get(10)?, content: content(&mut row, 11)? }))
    })
}

/// Finds a layer by the id of its record.
pub fn by_id(id: LayerId) -> Lookup<LayerRow> {
    Lookup::new(LAYER_GET, [id.into()], |row| layer(&row))
}

/// Finds the same as [`by_id`], with the data that the layer's reader needs.
pub fn by_id_to_read(id: LayerId) -> Lookup<(LayerRow, Content)> {
    Lookup::new(LAYER_GET_TO_READ, [id.into()], |mut row| Ok((layer(&row)?, content(&mut row, 9)?)))
}

/// Finds up to `length` bytes of a layer's stored checksums, from the byte `from` on. Finds nothing if the layer has no checksums.
pub fn checksums(id: LayerId, from: i64, length: i64) -> Lookup<Vec<u8>> {
    // SQL counts from 1.
    Lookup::new(LAYER_CHECKSUMS, [id.into(), from.saturating_add(1).into(), length.into()], |mut row| row.take(0))
}

/// Finds out whether an image of the repository references the layer.
pub fn referenced_by(id: LayerId, repository: RepositoryId) -> Lookup<()> {
    Lookup::new(LAYER_REFERENCED_BY, [id.into(), repository.into()], |_| Ok(()))
}

/// Inserts the record of a digest, unless it has one already under that encryption identity.
///
/// It is inserted without a look-up first. On PostgreSQL, a transaction that has read a missing row conflicts with every transaction that
/// writes next to the row's place in the index.
pub fn insert(registry: &RegistryKey, encryption: &str, row: &LayerRow, checksums: &[u8]) -> Change {
    Change::new(
        LAYER_INSERT,
        [
            row.id.into(),
            (&registry.account).into(),
            (&registry.region).into(),
            encryption.into(),
            (&row.digest).into(),
            row.size.into(),
            row.location.into(),
            row.data_key.clone().into(),
            (&row.storage_class).into(),
            row.created_at.into(),
            row.unreferenced_since.into(),
            checksums.into(),
        ],
    )
}

/// Makes a layer visible in a repository, unless a layer with that digest is visible already.
pub fn show(repository: RepositoryId, digest: &[u8], id: LayerId, media_type: Option<&str>) -> Change {
    Change::new(LAYER_SHOW, [repository.into(), digest.into(), id.into(), media_type.into()])
}

/// Makes an uploaded layer visible in a repository, unless a layer with that digest is visible already, or the repository is gone, or the
/// upload was cancelled.
pub fn show_received(repository: RepositoryId, digest: &[u8], id: LayerId, upload: UploadId) -> Change {
    Change::new(LAYER_SHOW_RECEIVED, [repository.into(), digest.into(), id.into(), upload.into()])
}

/// Marks a layer as damaged, because its bytes at `location` are missing or corrupt. Does nothing if it is marked already, or if its bytes
/// have moved.
pub fn mark(id: LayerId, location: Option<LocationId>, now: i64) -> Change {
    Change::new(LAYER_MARK, [id.into(), location.into(), now.into()])
}

/// Removes the mark from a layer, because its bytes at `location` are intact.
pub fn unmark(id: LayerId, location: Option<LocationId>) -> Change {
    Change::new(LAYER_UNMARK, [id.into(), location.into()])
}

/// Adds checksums to a layer without any, because its bytes at `location` are intact.
pub fn add_checksums(id: LayerId, location: Option<LocationId>, checksums: &[u8]) -> Change {
    Change::new(LAYER_ADD_CHECKSUMS, [id.into(), location.into(), checksums.into()])
}

/// Removes a layer's checksums, so that it looks like one from before version 6. For tests.
pub fn forget_checksums(id: LayerId) -> Change {
    Change::new(LAYER_FORGET_CHECKSUMS, [id.into()])
}

impl Tx<'_> {
    /// Returns the record of a digest in a registry under an encryption identity.
    pub fn layer_by_digest(
        &mut self,
        registry: &RegistryKey,
        encryption: &str,
        digest: &[u8],
    ) -> Result<Option<LayerRow>, Error> {
        let params = [(&registry.account).into(), (&registry.region).into(), encryption.into(), digest.into()];
        self.query_opt(LAYER_BY_DIGEST, &params)?.as_ref().map(layer).transpose()
    }

    /// Returns the layer with a digest, damaged or not, if it is visible in the repository.
    pub fn layer_shown(&mut self, repository: RepositoryId, digest: &[u8]) -> Result<Option<ShownLayer>, Error> {
        self.look_up(shown_as(repository, digest))
    }

    /// Returns for each digest the layer, damaged or not, if it is visible in the repository.
    pub fn layers_shown(
        &mut self,
        repository: RepositoryId,
        digests: &[Vec<u8>],
    ) -> Result<Vec<Option<ShownLayer>>, Error> {
        self.look_up_each(digests.iter().map(|digest| shown_as(repository, digest)))
    }

    /// Lists the layers of all registries after `after`, ordered by id.
    pub fn layer_list(&mut self, after: LayerId, limit: u32) -> Result<Vec<LayerRow>, Error> {
        self.query(LAYER_LIST, &[after.into(), limit.into()])?.iter().map(layer).collect()
    }

    /// Returns the number and the total bytes of the layers of all registries.
    pub fn layer_total(&mut self) -> Result<(i64, i64), Error> {
        let row = self.query_opt(LAYER_TOTAL, &[])?.ok_or(Error::Column(0))?;
        Ok((row.get(0)?, row.get(1)?))
    }

    /// Restarts the grace period of an unreferenced layer. A referenced layer is unchanged.
    pub fn layer_rearm(&mut self, id: LayerId, now: i64) -> Result<(), Error> {
        self.send(LAYER_REARM, [id.into(), now.into()])?;
        Ok(())
    }

    /// Changes the location of a layer's bytes (`None` for `layer_data`), and removes its damage mark.
    pub fn layer_move(
        &mut self,
        id: LayerId,
        size: i64,
        location: Option<LocationId>,
        checksums: &[u8],
    ) -> Result<(), Error> {
        self.send(LAYER_MOVE, [id.into(), size.into(), location.into(), checksums.into()])
    }

    /// Removes the bytes in `layer_data`, if there are any.
    pub fn layer_data_delete(&mut self, id: LayerId) -> Result<(), Error> {
        self.send(LAYER_DATA_DELETE, [id.into()])
    }

    pub fn layer_data_insert(&mut self, id: LayerId, bytes: &[u8]) -> Result<(), Error> {
        self.send(LAYER_DATA_INSERT, [id.into(), bytes.into()])?;
        Ok(())
    }

    /// See [`referenced_by`].
    pub fn layer_referenced_by(&mut self, id: LayerId, repository: RepositoryId) -> Result<bool, Error> {
        Ok(self.look_up(referenced_by(id, repository))?.is_some())
    }

    /// Replaces the layer that a repository shows for a digest.
    pub fn layer_show_other(&mut self, repository: RepositoryId, digest: &[u8], id: LayerId) -> Result<(), Error> {
        self.send(LAYER_SHOW_OTHER, [repository.into(), digest.into(), id.into()])?;
        Ok(())
    }

    /// Hides a layer from a repository.
    pub fn layer_hide(&mut self, repository: RepositoryId, digest: &[u8]) -> Result<(), Error> {
        self.execute(LAYER_HIDE, &[repository.into(), digest.into()])?;
        Ok(())
    }
}
