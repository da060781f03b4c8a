//! Layers, the small ones' bytes, and what each repository shows.
use super::{Id, RegistryKey};
use crate::{Error, Row, Tx};

/// The columns of [`LayerRow`], in order.
macro_rules! layer_columns {
    () => {
        "layer.id, layer.digest, layer.size, layer.location, layer.data_key, layer.storage_class, layer.created_at, \
         layer.unreferenced_since"
    };
}

statements! {
    LAYER_GET = concat!("SELECT ", layer_columns!(), " FROM layer WHERE id = $1");
    LAYER_BY_DIGEST = concat!("SELECT ", layer_columns!(), " FROM layer \
        WHERE account = $1 AND region = $2 AND encryption = $3 AND digest = $4");
    LAYER_SHOWN = concat!("SELECT ", layer_columns!(), ", repository_layer.media_type \
        FROM repository_layer JOIN layer ON layer.id = repository_layer.layer_id \
        WHERE repository_layer.repository_id = $1 AND repository_layer.digest = $2");
    LAYER_LIST = concat!("SELECT ", layer_columns!(), " FROM layer WHERE id > $1 ORDER BY id LIMIT $2");
    LAYER_INSERT = "INSERT INTO layer (id, account, region, encryption, digest, size, location, data_key, storage_class, \
        created_at, unreferenced_since) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
        ON CONFLICT (account, region, encryption, digest) DO NOTHING";
    LAYER_REARM = "UPDATE layer SET unreferenced_since = $2 WHERE id = $1 AND unreferenced_since < $2";
    LAYER_DATA_INSERT = "INSERT INTO layer_data (layer_id, bytes) VALUES ($1, $2)";
    LAYER_DATA_GET = "SELECT bytes FROM layer_data WHERE layer_id = $1";
    LAYER_REFERENCED_BY = "SELECT 1 FROM image_layer JOIN image ON image.id = image_layer.image_id \
        WHERE image_layer.layer_id = $1 AND image.repository_id = $2 AND image.deleted_at IS NULL LIMIT 1";
    LAYER_SHOW = "INSERT INTO repository_layer (repository_id, digest, layer_id, media_type) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (repository_id, digest) DO NOTHING";
    LAYER_HIDE = "DELETE FROM repository_layer WHERE repository_id = $1 AND digest = $2";
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRow {
    pub id: Id,
    pub digest: Vec<u8>,
    /// Bytes.
    pub size: i64,
    /// Where its bytes lie; `None`: in `layer_data`.
    pub location: Option<Id>,
    /// Sealed; `None`: the storage's own encryption.
    pub data_key: Option<Vec<u8>>,
    pub storage_class: String,
    pub created_at: i64,
    /// The start of the grace; `None` while an image points at it.
    pub unreferenced_since: Option<i64>,
}

/// A layer as a repository shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownLayer {
    pub layer: LayerRow,
    /// As the last manifest that named it said.
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
    })
}

impl Tx<'_> {
    pub fn layer_get(&mut self, id: Id) -> Result<Option<LayerRow>, Error> {
        self.query_opt(LAYER_GET, &[id.into()])?.as_ref().map(layer).transpose()
    }

    /// The one record of a digest in a registry under an encryption identity.
    pub fn layer_by_digest(
        &mut self,
        registry: &RegistryKey,
        encryption: &str,
        digest: &[u8],
    ) -> Result<Option<LayerRow>, Error> {
        let params = [(&registry.account).into(), (&registry.region).into(), encryption.into(), digest.into()];
        self.query_opt(LAYER_BY_DIGEST, &params)?.as_ref().map(layer).transpose()
    }

    /// The layer of that digest, if the repository shows it.
    pub fn layer_shown(&mut self, repository: Id, digest: &[u8]) -> Result<Option<ShownLayer>, Error> {
        let row = self.query_opt(LAYER_SHOWN, &[repository.into(), digest.into()])?;
        row.map(|row| Ok(ShownLayer { layer: layer(&row)?, media_type: row.get(8)? })).transpose()
    }

    /// The layers of every registry by id, from behind `after`.
    pub fn layer_list(&mut self, after: Id, limit: u32) -> Result<Vec<LayerRow>, Error> {
        self.query(LAYER_LIST, &[after.into(), limit.into()])?.iter().map(layer).collect()
    }

    /// Writes the record of a digest; false when it has one already under that encryption identity.
    ///
    /// Trying is better than looking first: on PostgreSQL, who has read that a row is missing conflicts with all who write
    /// beside its place in the index.
    pub fn layer_insert(&mut self, registry: &RegistryKey, encryption: &str, row: &LayerRow) -> Result<bool, Error> {
        let inserted = self.execute(
            LAYER_INSERT,
            &[
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
            ],
        )?;
        Ok(inserted == 1)
    }

    /// Begins the grace of an unreferenced layer anew; a referenced one stays as it is.
    pub fn layer_rearm(&mut self, id: Id, now: i64) -> Result<(), Error> {
        self.send(LAYER_REARM, [id.into(), now.into()])?;
        Ok(())
    }

    pub fn layer_data_insert(&mut self, id: Id, bytes: &[u8]) -> Result<(), Error> {
        self.send(LAYER_DATA_INSERT, [id.into(), bytes.into()])?;
        Ok(())
    }

    pub fn layer_data_get(&mut self, id: Id) -> Result<Option<Vec<u8>>, Error> {
        self.query_opt(LAYER_DATA_GET, &[id.into()])?.map(|mut row| row.take(0)).transpose()
    }

    /// Whether a living image of the repository stands on the layer.
    pub fn layer_referenced_by(&mut self, id: Id, repository: Id) -> Result<bool, Error> {
        Ok(self.query_opt(LAYER_REFERENCED_BY, &[id.into(), repository.into()])?.is_some())
    }

    /// Shows a layer in a repository; false when it is shown already.
    pub fn layer_show(
        &mut self,
        repository: Id,
        digest: &[u8],
        id: Id,
        media_type: Option<&str>,
    ) -> Result<bool, Error> {
        let params = [repository.into(), digest.into(), id.into(), media_type.into()];
        Ok(self.execute(LAYER_SHOW, &params)? == 1)
    }

    /// Takes a layer from what a repository shows.
    pub fn layer_hide(&mut self, repository: Id, digest: &[u8]) -> Result<(), Error> {
        self.execute(LAYER_HIDE, &[repository.into(), digest.into()])?;
        Ok(())
    }
}
