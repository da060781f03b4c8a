//! What goes for good: images and repositories past their window, and layers that no image references.

use crate::{Error, HoldId, ImageId, LayerId, LocationId, Lookup, RepositoryId, Tx};

statements! {
    COLLECT_DELETED_IMAGES = "SELECT id FROM image WHERE deleted_at IS NOT NULL AND deleted_at <= $1 ORDER BY deleted_at, id LIMIT $2";
    /// Time 0 is before every window, so a claimed repository can't be restored.
    COLLECT_REPOSITORY_CLAIM = "UPDATE repository SET deleted_at = 0 WHERE id = $1 AND deleted_at IS NOT NULL AND deleted_at <= $2";
    COLLECT_DELETED_REPOSITORIES = "SELECT id FROM repository WHERE deleted_at IS NOT NULL AND deleted_at <= $1 \
        ORDER BY deleted_at, id LIMIT $2";
    COLLECT_REPOSITORY_IMAGES = "SELECT id FROM image WHERE repository_id = $1 AND deleted_at IS NULL \
        ORDER BY pushed_at, digest LIMIT $2";
    COLLECT_IMAGE_LAYERS = "SELECT layer_id FROM image_layer WHERE image_id = $1";
    COLLECT_IMAGE_LAYER_DELETE = "DELETE FROM image_layer WHERE image_id = $1";
    COLLECT_IMAGE_CHILD_DELETE = "DELETE FROM image_child WHERE image_id = $1";
    COLLECT_MANIFEST_DELETE = "DELETE FROM manifest WHERE image_id = $1";
    COLLECT_PULL_DELETE = "DELETE FROM image_pull WHERE image_id = $1";
    COLLECT_TAG_DELETE = "DELETE FROM tag WHERE image_id = $1";
    COLLECT_DELETED_TAG_DELETE = "DELETE FROM deleted_tag WHERE image_id = $1";
    COLLECT_IMAGE_DELETE = "DELETE FROM image WHERE id = $1";
    /// The grace of a layer begins when its last reference goes.
    COLLECT_LAYER_RELEASE = "UPDATE layer SET unreferenced_since = $2 WHERE id = $1 AND unreferenced_since IS NULL \
        AND NOT EXISTS (SELECT 1 FROM image_layer WHERE layer_id = $1)";
    COLLECT_REPOSITORY_LAYERS_DELETE = "DELETE FROM repository_layer WHERE repository_id = $1 AND digest IN \
        (SELECT digest FROM repository_layer WHERE repository_id = $1 ORDER BY digest LIMIT $2)";
    COLLECT_REPOSITORY_TAGS_DELETE = "DELETE FROM resource_tag WHERE repository_id = $1";
    COLLECT_REPOSITORY_POLICY_DELETE = "DELETE FROM repository_policy WHERE repository_id = $1";
    COLLECT_REPOSITORY_REFUSALS_DELETE = "DELETE FROM push_refusal WHERE repository_id = $1";
    COLLECT_REPOSITORY_DELETE = "DELETE FROM repository WHERE id = $1 AND deleted_at IS NOT NULL";
    /// By id, because an index of the unreferenced layers would make pushes conflict (schema 4).
    COLLECT_LAYERS = "SELECT id, size, location, unreferenced_since FROM layer WHERE id > $1 ORDER BY id LIMIT $2";
    COLLECT_LAYER = "SELECT location FROM layer WHERE id = $1 AND unreferenced_since IS NOT NULL AND unreferenced_since <= $2 \
        AND NOT EXISTS (SELECT 1 FROM image_layer WHERE layer_id = $1)";
    COLLECT_LAYER_HIDE = "DELETE FROM repository_layer WHERE layer_id = $1";
    COLLECT_LAYER_DATA_DELETE = "DELETE FROM layer_data WHERE layer_id = $1";
    COLLECT_LAYER_DELETE = "DELETE FROM layer WHERE id = $1";
    HOLD_PUT = "INSERT INTO store_hold (id, until) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET until = excluded.until";
    HOLD_DELETE = "DELETE FROM store_hold WHERE id = $1";
    HOLD_ANY = "SELECT 1 FROM store_hold WHERE until > $1 LIMIT 1";
    HOLD_DELETE_ENDED = "DELETE FROM store_hold WHERE until <= $1";
}

/// A layer as the collection sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerUse {
    pub id: LayerId,
    /// Bytes.
    pub size: i64,
    pub location: Option<LocationId>,
    /// The start of the grace period. `None` while an image references the layer.
    pub unreferenced_since: Option<i64>,
}

/// Finds a layer that may be collected: it is unreferenced since `before` or earlier, and no image references it. Finds the location of
/// its bytes; `None` if they are in its record.
pub fn collectable(id: LayerId, before: i64) -> Lookup<Option<LocationId>> {
    Lookup::new(COLLECT_LAYER, [id.into(), before.into()], |row| row.get(0))
}

/// Finds out whether somebody holds all layers at this time.
pub fn hold_at(now: i64) -> Lookup<()> {
    Lookup::new(HOLD_ANY, [now.into()], |_| Ok(()))
}

impl Tx<'_> {
    /// Lists images that were deleted at `before` or earlier, the oldest deletion first.
    pub fn collect_deleted_images(&mut self, before: i64, limit: u32) -> Result<Vec<ImageId>, Error> {
        self.query(COLLECT_DELETED_IMAGES, &[before.into(), limit.into()])?.iter().map(|row| row.get(0)).collect()
    }

    /// Claims the repository that was deleted first, at `before` or earlier: it can't be restored from now on, and is claimed again if its
    /// collection breaks off.
    pub fn collect_claim_repository(&mut self, before: i64) -> Result<Option<RepositoryId>, Error> {
        let Some(row) = self.query_opt(COLLECT_DELETED_REPOSITORIES, &[before.into(), 1.into()])? else {
            return Ok(None);
        };
        let id: RepositoryId = row.get(0)?;
        self.execute(COLLECT_REPOSITORY_CLAIM, &[id.into(), before.into()])?;
        Ok(Some(id))
    }

    /// Lists images of a repository that were not deleted themselves.
    pub fn collect_repository_images(&mut self, id: RepositoryId, limit: u32) -> Result<Vec<ImageId>, Error> {
        self.query(COLLECT_REPOSITORY_IMAGES, &[id.into(), limit.into()])?.iter().map(|row| row.get(0)).collect()
    }

    /// Removes an image for good: its row, manifest, references and tags. The grace of layers that nothing else references begins now.
    pub fn collect_image(&mut self, id: ImageId, now: i64) -> Result<(), Error> {
        let layers = self.query(COLLECT_IMAGE_LAYERS, &[id.into()])?;
        for statement in [
            COLLECT_IMAGE_LAYER_DELETE,
            COLLECT_IMAGE_CHILD_DELETE,
            COLLECT_MANIFEST_DELETE,
            COLLECT_PULL_DELETE,
            COLLECT_TAG_DELETE,
            COLLECT_DELETED_TAG_DELETE,
            COLLECT_IMAGE_DELETE,
        ] {
            self.send(statement, [id.into()])?;
        }
        for layer in &layers {
            let layer: LayerId = layer.get(0)?;
            self.send(COLLECT_LAYER_RELEASE, [layer.into(), now.into()])?;
        }
        Ok(())
    }

    /// Removes up to `limit` of the layers that a repository shows. Returns how many it removed.
    pub fn collect_repository_layers(&mut self, id: RepositoryId, limit: u32) -> Result<u64, Error> {
        self.execute(COLLECT_REPOSITORY_LAYERS_DELETE, &[id.into(), limit.into()])
    }

    /// Removes a deleted repository for good. Its images and layers are gone already.
    pub fn collect_repository(&mut self, id: RepositoryId) -> Result<(), Error> {
        for statement in [
            COLLECT_REPOSITORY_TAGS_DELETE,
            COLLECT_REPOSITORY_POLICY_DELETE,
            COLLECT_REPOSITORY_REFUSALS_DELETE,
            COLLECT_REPOSITORY_DELETE,
        ] {
            self.send(statement, [id.into()])?;
        }
        Ok(())
    }

    /// Lists the layers of all registries after `after`, ordered by id.
    pub fn collect_layers(&mut self, after: LayerId, limit: u32) -> Result<Vec<LayerUse>, Error> {
        let rows = self.query(COLLECT_LAYERS, &[after.into(), limit.into()])?;
        let layer = |row: &crate::Row| {
            let (id, size, location) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(LayerUse { id, size, location, unreferenced_since: row.get(3)? })
        };
        rows.iter().map(layer).collect()
    }

    /// Removes the record of a layer that [`collectable`] found in this transaction, from all repositories that show it.
    pub fn collect_layer(&mut self, id: LayerId) -> Result<(), Error> {
        for statement in [COLLECT_LAYER_HIDE, COLLECT_LAYER_DATA_DELETE, COLLECT_LAYER_DELETE] {
            self.send(statement, [id.into()])?;
        }
        Ok(())
    }

    /// Begins or prolongs a hold of all layers.
    pub fn hold_put(&mut self, id: HoldId, until: i64) -> Result<(), Error> {
        self.execute(HOLD_PUT, &[id.into(), until.into()])?;
        Ok(())
    }

    pub fn hold_delete(&mut self, id: HoldId) -> Result<(), Error> {
        self.execute(HOLD_DELETE, &[id.into()])?;
        Ok(())
    }

    /// Removes the holds whose holders are gone.
    pub fn hold_delete_ended(&mut self, now: i64) -> Result<(), Error> {
        self.execute(HOLD_DELETE_ENDED, &[now.into()])?;
        Ok(())
    }
}
