//! Images, their manifests, and their references to layers and children.

use super::RegistryKey;
use crate::{Change, Error, ImageId, LayerId, Lookup, RepositoryId, Row, Tx, Value};

/// The columns of [`ImageRow`], in order.
macro_rules! image_columns {
    () => {
        "image.id, image.digest, image.media_type, image.artifact_type, image.subject, image.platform, \
         image.manifest_size, image.image_size, image.tag_count, image.storage_class, image.pushed_at, image.archived_at, \
         image.activated_at"
    };
}

/// Selects a page of images, ordered by push time. `$filter` restricts them further.
macro_rules! page {
    ($filter:literal) => {
        concat!(
            "SELECT ",
            image_columns!(),
            " FROM image WHERE repository_id = $1 AND deleted_at IS NULL AND (pushed_at, digest) > ($2, $3)",
            $filter,
            " ORDER BY pushed_at, digest LIMIT $4"
        )
    };
}

/// Selects `$columns`, with the joins in `$more`, of an image by its tag, in a repository that is found by its name. An all-NULL row means
/// that the repository exists but has no such image.
macro_rules! named_by_tag {
    ($columns:literal, $more:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM repository LEFT JOIN tag ON tag.repository_id = repository.id AND tag.name = $4 \
              LEFT JOIN image ON image.id = tag.image_id",
            $more,
            " WHERE repository.account = $1 AND repository.region = $2 AND repository.name = $3 \
              AND repository.deleted_at IS NULL"
        )
    };
}

/// Selects the same as `named_by_tag`, by the image's digest.
macro_rules! named_by_digest {
    ($columns:literal, $more:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM repository LEFT JOIN image ON image.repository_id = repository.id AND image.digest = $4 \
              AND image.deleted_at IS NULL",
            $more,
            " WHERE repository.account = $1 AND repository.region = $2 AND repository.name = $3 \
              AND repository.deleted_at IS NULL"
        )
    };
}

/// The columns of [`ImageHeadRow`], in order.
macro_rules! head {
    ($named:ident) => {
        $named!("image.digest, image.media_type, image.manifest_size", "")
    };
}

/// The columns of [`ImagePullRow`], in order.
macro_rules! pull {
    ($named:ident) => {
        $named!(
            "image.digest, image.media_type, image.id, manifest.bytes, image_pull.pulled_at",
            " LEFT JOIN manifest ON manifest.image_id = image.id LEFT JOIN image_pull ON image_pull.image_id = image.id"
        )
    };
}

statements! {
    IMAGE_BY_DIGEST = concat!("SELECT ", image_columns!(), " FROM image \
        WHERE repository_id = $1 AND digest = $2 AND deleted_at IS NULL");
    IMAGE_BY_TAG = concat!("SELECT ", image_columns!(), " FROM tag JOIN image ON image.id = tag.image_id \
        WHERE tag.repository_id = $1 AND tag.name = $2");
    IMAGE_HEAD_BY_DIGEST = head!(named_by_digest);
    IMAGE_HEAD_BY_TAG = head!(named_by_tag);
    IMAGE_PULL_BY_DIGEST = pull!(named_by_digest);
    IMAGE_PULL_BY_TAG = pull!(named_by_tag);
    IMAGE_ANY = "SELECT 1 FROM image WHERE repository_id = $1 AND deleted_at IS NULL LIMIT 1";
    IMAGE_COUNT = "SELECT count(*) FROM image WHERE repository_id = $1 AND deleted_at IS NULL";
    IMAGE_INSERT = "INSERT INTO image (id, repository_id, digest, media_type, artifact_type, subject, platform, \
        manifest_size, image_size, tag_count, storage_class, pushed_at, archived_at, activated_at, deleted_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, NULL) \
        ON CONFLICT (repository_id, digest) WHERE deleted_at IS NULL DO NOTHING";
    IMAGE_DELETE = "UPDATE image SET deleted_at = $2, tag_count = 0 WHERE id = $1 AND deleted_at IS NULL";
    IMAGE_ADD_TAGS = "UPDATE image SET tag_count = tag_count + $2 WHERE id = $1";
    IMAGE_UNTAGGED = "SELECT pushed_at, digest FROM image WHERE repository_id = $1 AND deleted_at IS NULL AND tag_count = 0 \
        AND (pushed_at, digest) > ($2, $3) ORDER BY pushed_at, digest LIMIT $4";
    IMAGE_PAGE_ANY = page!("");
    IMAGE_PAGE_TAGGED = page!(" AND tag_count > 0");
    IMAGE_PAGE_UNTAGGED = page!(" AND tag_count = 0");
    IMAGE_REFERRERS = concat!("SELECT ", image_columns!(), " FROM image WHERE repository_id = $1 AND subject = $2 \
        AND deleted_at IS NULL AND id > $3 ORDER BY id LIMIT $4");
    IMAGE_REFERRERS_OF_TYPE = concat!("SELECT ", image_columns!(), " FROM image WHERE repository_id = $1 AND subject = $2 \
        AND artifact_type = $5 AND deleted_at IS NULL AND id > $3 ORDER BY id LIMIT $4");
    IMAGE_PARENTS = "SELECT image.digest FROM image_child JOIN image ON image.id = image_child.image_id \
        WHERE image_child.repository_id = $1 AND image_child.digest = $2 AND image.deleted_at IS NULL \
        ORDER BY image.digest LIMIT $3";
    IMAGE_LISTS = "SELECT 1 FROM image_child WHERE image_id = $1 AND digest = $2";
    MANIFEST_INSERT = "INSERT INTO manifest (image_id, bytes) VALUES ($1, $2)";
    MANIFEST_TO_PULL = "SELECT manifest.bytes, image_pull.pulled_at FROM manifest \
        LEFT JOIN image_pull ON image_pull.image_id = manifest.image_id WHERE manifest.image_id = $1";
    MANIFEST_GET = "SELECT bytes FROM manifest WHERE image_id = $1";
    IMAGE_CHILD_INSERT = "INSERT INTO image_child (image_id, digest, repository_id) VALUES ($1, $2, $3) \
        ON CONFLICT (image_id, digest) DO NOTHING";
    IMAGE_LAYER_FIND = "SELECT layer.id FROM repository_layer JOIN layer ON layer.id = repository_layer.layer_id \
        WHERE repository_layer.repository_id = $1 AND repository_layer.digest = $2 AND layer.damaged_at IS NULL";
    IMAGE_LAYERS_INSERT = "INSERT INTO image_layer (image_id, layer_id) \
        VALUES ($1, $2), ($1, $3), ($1, $4), ($1, $5), ($1, $6), ($1, $7), ($1, $8), ($1, $9) \
        ON CONFLICT (image_id, layer_id) DO NOTHING";
    // One statement for each layer: with a list PostgreSQL would read, and lock, all layers that the repository shows.
    IMAGE_LAYER_REFERENCE = "UPDATE layer SET unreferenced_since = NULL WHERE id = $1 AND unreferenced_since IS NOT NULL";
    IMAGE_LAYER_SET_TYPE = "UPDATE repository_layer SET media_type = $3 WHERE repository_id = $1 AND digest = $2 \
        AND (media_type IS NULL OR media_type <> $3)";
    IMAGE_PULL_GET = "SELECT pulled_at FROM image_pull WHERE image_id = $1";
    IMAGE_PULL_PUT = "INSERT INTO image_pull (image_id, pulled_at) VALUES ($1, $2) \
        ON CONFLICT (image_id) DO UPDATE SET pulled_at = excluded.pulled_at";
}

/// The columns of an image for a HEAD request.
#[derive(Clone, Debug)]
pub struct ImageHeadRow {
    pub digest: Vec<u8>,
    pub media_type: String,
    pub manifest_size: i64,
}

/// The columns of an image for a pull.
#[derive(Clone, Debug)]
pub struct ImagePullRow {
    pub digest: Vec<u8>,
    pub media_type: String,
    pub id: ImageId,
    pub manifest: Vec<u8>,
    pub pulled_at: Option<i64>,
}

/// The columns for a pull that are not in the image's row.
#[derive(Clone, Debug)]
pub struct ManifestRow {
    pub bytes: Vec<u8>,
    pub pulled_at: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct ImageRow {
    pub id: ImageId,
    pub digest: Vec<u8>,
    pub media_type: String,
    pub artifact_type: Option<String>,
    pub subject: Option<Vec<u8>>,
    pub platform: Option<String>,
    pub manifest_size: i64,
    pub image_size: i64,
    pub tag_count: i64,
    pub storage_class: String,
    pub pushed_at: i64,
    pub archived_at: Option<i64>,
    pub activated_at: Option<i64>,
}

/// The images that a listing includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tagged {
    Any,
    Tagged,
    Untagged,
}

/// A cursor in the order of pushes. The page starts after this time and digest.
#[derive(Clone, Debug)]
pub struct PushCursor {
    pub pushed_at: i64,
    pub digest: Vec<u8>,
}

impl PushCursor {
    /// Before every image.
    pub const START: PushCursor = PushCursor { pushed_at: i64::MIN, digest: Vec::new() };
}

/// The number of layers that one statement inserts. Most images have no more, and a statement costs far more than another row in it.
const TOGETHER: usize = 8;

/// Returns the ids of up to [`TOGETHER`] layers. The last id is repeated, because a second insert of it changes nothing.
fn filled(layers: &[LayerId]) -> [Value; TOGETHER] {
    std::array::from_fn(|place| layers.get(place).or(layers.last()).copied().into())
}

fn image(row: &Row) -> Result<ImageRow, Error> {
    Ok(ImageRow {
        id: row.get(0)?,
        digest: row.get(1)?,
        media_type: row.get(2)?,
        artifact_type: row.get(3)?,
        subject: row.get(4)?,
        platform: row.get(5)?,
        manifest_size: row.get(6)?,
        image_size: row.get(7)?,
        tag_count: row.get(8)?,
        storage_class: row.get(9)?,
        pushed_at: row.get(10)?,
        archived_at: row.get(11)?,
        activated_at: row.get(12)?,
    })
}

/// The name of an image in a call.
#[derive(Clone, Copy, Debug)]
pub enum ImageName<'a> {
    Tag(&'a str),
    Digest(&'a [u8]),
}

/// Finds an image by its digest, unless it is deleted.
pub fn by_digest(repository: RepositoryId, digest: &[u8]) -> Lookup<ImageRow> {
    Lookup::new(IMAGE_BY_DIGEST, [repository.into(), digest.into()], |row| image(&row))
}

/// Finds the image of a tag.
pub fn by_tag(repository: RepositoryId, tag: &str) -> Lookup<ImageRow> {
    Lookup::new(IMAGE_BY_TAG, [repository.into(), tag.into()], |row| image(&row))
}

/// Finds an undamaged layer by its digest, if it is visible in the repository.
pub fn layer_named(repository: RepositoryId, digest: &[u8]) -> Lookup<LayerId> {
    Lookup::new(IMAGE_LAYER_FIND, [repository.into(), digest.into()], |row| row.get(0))
}

/// Finds the columns for a HEAD of an image, by the repository's name and the image's. The outer `Option` is `None` if the repository does
/// not exist, the inner one if it has no such image.
pub fn head_named(registry: &RegistryKey, repository: &str, name: ImageName<'_>) -> Lookup<Option<ImageHeadRow>> {
    let sql = match name {
        ImageName::Tag(_) => IMAGE_HEAD_BY_TAG,
        ImageName::Digest(_) => IMAGE_HEAD_BY_DIGEST,
    };
    Lookup::new(sql, named(registry, repository, name), |mut row| {
        let Some(digest) = row.take_some(0)? else { return Ok(None) };
        Ok(Some(ImageHeadRow { digest, media_type: row.take(1)?, manifest_size: row.get(2)? }))
    })
}

/// Finds the columns for a pull of an image, as [`head_named`] does.
pub fn pull_named(registry: &RegistryKey, repository: &str, name: ImageName<'_>) -> Lookup<Option<ImagePullRow>> {
    let sql = match name {
        ImageName::Tag(_) => IMAGE_PULL_BY_TAG,
        ImageName::Digest(_) => IMAGE_PULL_BY_DIGEST,
    };
    Lookup::new(sql, named(registry, repository, name), |mut row| {
        let Some(digest) = row.take_some(0)? else { return Ok(None) };
        Ok(Some(ImagePullRow {
            digest,
            media_type: row.take(1)?,
            id: row.get(2)?,
            manifest: row.take(3)?,
            pulled_at: row.get(4)?,
        }))
    })
}

fn named(registry: &RegistryKey, repository: &str, name: ImageName<'_>) -> [Value; 4] {
    let name = match name {
        ImageName::Tag(tag) => tag.into(),
        ImageName::Digest(digest) => digest.into(),
    };
    [(&registry.account).into(), (&registry.region).into(), repository.into(), name]
}

/// Inserts an image, unless the repository has one with that digest. [`super::layer::insert`] explains why it is not looked up first.
pub fn insert(repository: RepositoryId, row: &ImageRow) -> Change {
    Change::new(
        IMAGE_INSERT,
        [
            row.id.into(),
            repository.into(),
            (&row.digest).into(),
            (&row.media_type).into(),
            row.artifact_type.clone().into(),
            row.subject.clone().into(),
            row.platform.clone().into(),
            row.manifest_size.into(),
            row.image_size.into(),
            row.tag_count.into(),
            (&row.storage_class).into(),
            row.pushed_at.into(),
            row.archived_at.into(),
            row.activated_at.into(),
        ],
    )
}

impl Tx<'_> {
    pub fn image_by_digest(&mut self, repository: RepositoryId, digest: &[u8]) -> Result<Option<ImageRow>, Error> {
        self.look_up(by_digest(repository, digest))
    }

    /// Returns for each digest the image, if there is one.
    pub fn images_by_digest(
        &mut self,
        repository: RepositoryId,
        digests: &[Vec<u8>],
    ) -> Result<Vec<Option<ImageRow>>, Error> {
        self.look_up_each(digests.iter().map(|digest| by_digest(repository, digest)))
    }

    pub fn image_by_tag(&mut self, repository: RepositoryId, tag: &str) -> Result<Option<ImageRow>, Error> {
        self.look_up(by_tag(repository, tag))
    }

    /// Returns true if the repository has an image that is not deleted.
    pub fn image_any(&mut self, repository: RepositoryId) -> Result<bool, Error> {
        Ok(self.query_opt(IMAGE_ANY, &[repository.into()])?.is_some())
    }

    pub fn image_count(&mut self, repository: RepositoryId) -> Result<i64, Error> {
        self.query_opt(IMAGE_COUNT, &[repository.into()])?.map_or(Ok(0), |row| row.get(0))
    }

    /// Marks an image as deleted and removes its tags. Its other rows and its bytes stay until the undelete window ends.
    pub fn image_delete(&mut self, id: ImageId, now: i64) -> Result<(), Error> {
        self.tag_keep_deleted(id)?;
        self.tag_delete_all(id)?;
        self.send(IMAGE_DELETE, [id.into(), now.into()])?;
        Ok(())
    }

    /// Adds `change` to the number of the image's tags.
    pub fn image_add_tags(&mut self, id: ImageId, change: i64) -> Result<(), Error> {
        self.send(IMAGE_ADD_TAGS, [id.into(), change.into()])?;
        Ok(())
    }

    /// Lists the untagged images after `after`, ordered by push time.
    pub fn image_untagged(
        &mut self,
        repository: RepositoryId,
        after: &PushCursor,
        limit: u32,
    ) -> Result<Vec<PushCursor>, Error> {
        let params = [repository.into(), after.pushed_at.into(), (&after.digest).into(), limit.into()];
        let rows = self.query(IMAGE_UNTAGGED, &params)?;
        rows.iter().map(|row| Ok(PushCursor { pushed_at: row.get(0)?, digest: row.get(1)? })).collect()
    }

    /// Lists the images after `after`, ordered by push time.
    pub fn image_page(
        &mut self,
        repository: RepositoryId,
        tagged: Tagged,
        after: &PushCursor,
        limit: u32,
    ) -> Result<Vec<ImageRow>, Error> {
        let sql = match tagged {
            Tagged::Any => IMAGE_PAGE_ANY,
            Tagged::Tagged => IMAGE_PAGE_TAGGED,
            Tagged::Untagged => IMAGE_PAGE_UNTAGGED,
        };
        let params = [repository.into(), after.pushed_at.into(), (&after.digest).into(), limit.into()];
        self.query(sql, &params)?.iter().map(image).collect()
    }

    /// Lists the images whose subject is `subject`, ordered by id. With a type it lists only images of that artifact type.
    pub fn image_referrers(
        &mut self,
        repository: RepositoryId,
        subject: &[u8],
        artifact_type: Option<&str>,
        after: Option<ImageId>,
        limit: u32,
    ) -> Result<Vec<ImageRow>, Error> {
        let after: Value = after.map_or(Value::Blob(Vec::new()), Into::into);
        let (repository, subject, limit) = (repository.into(), subject.into(), limit.into());
        let rows = match artifact_type {
            None => self.query(IMAGE_REFERRERS, &[repository, subject, after, limit])?,
            Some(wanted) => self.query(IMAGE_REFERRERS_OF_TYPE, &[repository, subject, after, limit, wanted.into()])?,
        };
        rows.iter().map(image).collect()
    }

    /// Returns the digests of up to `limit` indexes that list `digest`.
    pub fn image_parents(
        &mut self,
        repository: RepositoryId,
        digest: &[u8],
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let rows = self.query(IMAGE_PARENTS, &[repository.into(), digest.into(), limit.into()])?;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Returns true if the index `id` lists `digest`.
    pub fn image_lists(&mut self, id: ImageId, digest: &[u8]) -> Result<bool, Error> {
        Ok(self.query_opt(IMAGE_LISTS, &[id.into(), digest.into()])?.is_some())
    }

    pub fn manifest_insert(&mut self, image: ImageId, bytes: &[u8]) -> Result<(), Error> {
        self.send(MANIFEST_INSERT, [image.into(), bytes.into()])?;
        Ok(())
    }

    /// Returns an image's manifest, and the time of its last pull.
    pub fn manifest_to_pull(&mut self, image: ImageId) -> Result<Option<ManifestRow>, Error> {
        let row = self.query_opt(MANIFEST_TO_PULL, &[image.into()])?;
        row.map(|mut row| Ok(ManifestRow { bytes: row.take(0)?, pulled_at: row.get(1)? })).transpose()
    }

    pub fn manifest_get(&mut self, image: ImageId) -> Result<Option<Vec<u8>>, Error> {
        self.query_opt(MANIFEST_GET, &[image.into()])?.map(|mut row| row.take(0)).transpose()
    }

    pub fn image_child_insert(&mut self, image: ImageId, digest: &[u8], repository: RepositoryId) -> Result<(), Error> {
        self.send(IMAGE_CHILD_INSERT, [image.into(), digest.into(), repository.into()])?;
        Ok(())
    }

    /// Inserts an image's references to layers, and ends the layers' grace periods.
    pub fn image_layers_insert(&mut self, image: ImageId, layers: &[LayerId]) -> Result<(), Error> {
        for layers in layers.chunks(TOGETHER) {
            let [a, b, c, d, e, f, g, h] = filled(layers);
            self.send(IMAGE_LAYERS_INSERT, [image.into(), a, b, c, d, e, f, g, h])?;
        }
        layers.iter().try_for_each(|layer| self.send(IMAGE_LAYER_REFERENCE, [(*layer).into()]))
    }

    /// Stores the media type of a layer from a manifest of its repository.
    pub fn image_layer_set_type(
        &mut self,
        repository: RepositoryId,
        digest: &[u8],
        media_type: &str,
    ) -> Result<(), Error> {
        self.send(IMAGE_LAYER_SET_TYPE, [repository.into(), digest.into(), media_type.into()])?;
        Ok(())
    }

    pub fn image_pull_get(&mut self, image: ImageId) -> Result<Option<i64>, Error> {
        self.query_opt(IMAGE_PULL_GET, &[image.into()])?.map(|row| row.get(0)).transpose()
    }

    pub fn image_pull_put(&mut self, image: ImageId, now: i64) -> Result<(), Error> {
        self.send(IMAGE_PULL_PUT, [image.into(), now.into()])?;
        Ok(())
    }
}
