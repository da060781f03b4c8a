//! Deleted images and repositories within their window, which can come back.

use super::RegistryKey;
use crate::{Error, ImageId, LayerId, RepositoryId, Row, Tx};

/// The columns of [`DeletedImageRow`], in order.
macro_rules! deleted_columns {
    () => {
        "image.id, image.digest, image.media_type, image.artifact_type, image.image_size, image.pushed_at, image.deleted_at"
    };
}

statements! {
    DELETED_IMAGES = concat!("SELECT ", deleted_columns!(), " FROM image WHERE repository_id = $1 AND deleted_at IS NOT NULL \
        AND (digest, deleted_at) > ($2, $3) ORDER BY digest, deleted_at LIMIT $4");
    DELETED_IMAGE = concat!("SELECT ", deleted_columns!(), " FROM image WHERE repository_id = $1 AND digest = $2 \
        AND deleted_at IS NOT NULL ORDER BY deleted_at DESC LIMIT 1");
    DELETED_REFERRERS = "SELECT digest FROM image WHERE repository_id = $1 AND subject = $2 AND deleted_at IS NOT NULL \
        ORDER BY digest";
    DELETED_IMAGE_CHILDREN = "SELECT digest FROM image_child WHERE image_id = $1";
    DELETED_IMAGE_RESTORE = "UPDATE image SET deleted_at = NULL, activated_at = $2, tag_count = $3 \
        WHERE id = $1 AND deleted_at IS NOT NULL";
    /// A repository may have stopped to show a layer after its last image was deleted.
    DELETED_IMAGE_SHOW_LAYERS = "INSERT INTO repository_layer (repository_id, digest, layer_id, media_type) \
        SELECT $1, layer.digest, layer.id, NULL FROM image_layer JOIN layer ON layer.id = image_layer.layer_id \
        WHERE image_layer.image_id = $2 ON CONFLICT (repository_id, digest) DO NOTHING";
    DELETED_IMAGE_LAYERS = "SELECT layer.id, layer.digest, layer.size, \
        CASE WHEN EXISTS (SELECT 1 FROM image_layer other WHERE other.layer_id = layer.id AND other.image_id <> $1) \
        THEN 1 ELSE 0 END \
        FROM image_layer JOIN layer ON layer.id = image_layer.layer_id WHERE image_layer.image_id = $1";
    DELETED_REPOSITORY = "SELECT id, deleted_at FROM repository WHERE account = $1 AND region = $2 AND name = $3 \
        AND deleted_at IS NOT NULL ORDER BY deleted_at DESC LIMIT 1";
    DELETED_REPOSITORY_RESTORE = "UPDATE repository SET deleted_at = NULL, name = $2 WHERE id = $1 AND deleted_at IS NOT NULL";
    DELETED_IMAGE_COUNTS = "SELECT (SELECT count(*) FROM image WHERE deleted_at IS NOT NULL AND deleted_at > $1), \
        (SELECT count(*) FROM image WHERE deleted_at IS NOT NULL AND deleted_at <= $1)";
    DELETED_REPOSITORY_COUNTS = "SELECT (SELECT count(*) FROM repository WHERE deleted_at IS NOT NULL AND deleted_at > $1), \
        (SELECT count(*) FROM repository WHERE deleted_at IS NOT NULL AND deleted_at <= $1)";
    REPOSITORY_SET_PROTECTED = "UPDATE repository SET protected = $2 WHERE id = $1";
}

/// A deleted image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedImageRow {
    pub id: ImageId,
    pub digest: Vec<u8>,
    pub media_type: String,
    pub artifact_type: Option<String>,
    /// Bytes.
    pub image_size: i64,
    pub pushed_at: i64,
    pub deleted_at: i64,
}

/// A layer of a deleted image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedImageLayer {
    pub id: LayerId,
    pub digest: Vec<u8>,
    /// Bytes.
    pub size: i64,
    /// Whether other images reference it, deleted ones included.
    pub is_shared: bool,
}

fn image(row: &Row) -> Result<DeletedImageRow, Error> {
    Ok(DeletedImageRow {
        id: row.get(0)?,
        digest: row.get(1)?,
        media_type: row.get(2)?,
        artifact_type: row.get(3)?,
        image_size: row.get(4)?,
        pushed_at: row.get(5)?,
        deleted_at: row.get(6)?,
    })
}

impl Tx<'_> {
    /// Lists the deleted images of a repository after (digest, time of deletion), in that order. A digest may occur several times.
    pub fn deleted_images(
        &mut self,
        repository: RepositoryId,
        after: (&[u8], i64),
        limit: u32,
    ) -> Result<Vec<DeletedImageRow>, Error> {
        let params = [repository.into(), after.0.into(), after.1.into(), limit.into()];
        self.query(DELETED_IMAGES, &params)?.iter().map(image).collect()
    }

    /// Returns the last deletion of a digest.
    pub fn deleted_image(&mut self, repository: RepositoryId, digest: &[u8]) -> Result<Option<DeletedImageRow>, Error> {
        self.query_opt(DELETED_IMAGE, &[repository.into(), digest.into()])?.as_ref().map(image).transpose()
    }

    /// Returns the digests of deleted images whose subject is a digest.
    pub fn deleted_referrers(&mut self, repository: RepositoryId, subject: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        self.query(DELETED_REFERRERS, &[repository.into(), subject.into()])?.iter().map(|row| row.get(0)).collect()
    }

    /// Returns the digests that a deleted index lists.
    pub fn deleted_image_children(&mut self, id: ImageId) -> Result<Vec<Vec<u8>>, Error> {
        self.query(DELETED_IMAGE_CHILDREN, &[id.into()])?.iter().map(|row| row.get(0)).collect()
    }

    /// Brings a deleted image back with this number of tags, and shows its layers in the repository again.
    pub fn deleted_image_restore(
        &mut self,
        repository: RepositoryId,
        id: ImageId,
        tags: i64,
        now: i64,
    ) -> Result<(), Error> {
        self.send(DELETED_IMAGE_RESTORE, [id.into(), now.into(), tags.into()])?;
        self.send(DELETED_IMAGE_SHOW_LAYERS, [repository.into(), id.into()])
    }

    /// Returns the layers of an image, and whether other images reference each.
    pub fn deleted_image_layers(&mut self, id: ImageId) -> Result<Vec<DeletedImageLayer>, Error> {
        let rows = self.query(DELETED_IMAGE_LAYERS, &[id.into()])?;
        let layer = |row: &Row| {
            Ok(DeletedImageLayer { id: row.get(0)?, digest: row.get(1)?, size: row.get(2)?, is_shared: row.get(3)? })
        };
        rows.iter().map(layer).collect()
    }

    /// Returns the last deleted repository of a name, and when it was deleted.
    pub fn deleted_repository(
        &mut self,
        registry: &RegistryKey,
        name: &str,
    ) -> Result<Option<(RepositoryId, i64)>, Error> {
        let params = [(&registry.account).into(), registry.region().into(), name.into()];
        let row = self.query_opt(DELETED_REPOSITORY, &params)?;
        row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
    }

    /// Brings a deleted repository back under a name, which must be free.
    pub fn deleted_repository_restore(&mut self, id: RepositoryId, name: &str) -> Result<(), Error> {
        self.execute(DELETED_REPOSITORY_RESTORE, &[id.into(), name.into()])?;
        Ok(())
    }

    /// Returns the numbers of images that were deleted after a time, and at that time or earlier.
    pub fn deleted_image_counts(&mut self, at: i64) -> Result<(u64, u64), Error> {
        self.counts(DELETED_IMAGE_COUNTS, at)
    }

    /// Returns the numbers of repositories that were deleted after a time, and at that time or earlier.
    pub fn deleted_repository_counts(&mut self, at: i64) -> Result<(u64, u64), Error> {
        self.counts(DELETED_REPOSITORY_COUNTS, at)
    }

    fn counts(&mut self, statement: &'static str, at: i64) -> Result<(u64, u64), Error> {
        let row = self.query_opt(statement, &[at.into()])?.ok_or(Error::Column(0))?;
        let count = |column| row.get::<i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
        Ok((count(0)?, count(1)?))
    }

    /// Protects a repository from deletion, or ends its protection.
    pub fn repository_set_protected(&mut self, id: RepositoryId, protected: bool) -> Result<(), Error> {
        self.execute(REPOSITORY_SET_PROTECTED, &[id.into(), protected.into()])?;
        Ok(())
    }
}
