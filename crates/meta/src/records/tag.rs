//! Tags, the names of images in a repository.

use super::RegistryKey;
use crate::{Change, Error, ImageId, Lookup, RepositoryId, Tx, Value};

statements! {
    TAG_GET = "SELECT image_id, created_at, moved_at, window_principal, window_until FROM tag \
        WHERE repository_id = $1 AND name = $2";
    TAG_INSERT = "INSERT INTO tag (repository_id, name, image_id, created_at, moved_at, window_principal, window_until) \
        VALUES ($1, $2, $3, $4, $4, $5, $6) ON CONFLICT (repository_id, name) DO NOTHING";
    TAG_PUT = "INSERT INTO tag (repository_id, name, image_id, created_at, moved_at, window_principal, window_until) \
        VALUES ($1, $2, $3, $4, $4, $5, $6) \
        ON CONFLICT (repository_id, name) DO UPDATE SET image_id = excluded.image_id, moved_at = excluded.moved_at, \
        window_principal = excluded.window_principal, window_until = excluded.window_until";
    TAG_SET_WINDOW = "UPDATE tag SET window_principal = $3, window_until = $4 WHERE repository_id = $1 AND name = $2";
    TAG_DELETE = "DELETE FROM tag WHERE repository_id = $1 AND name = $2";
    TAG_DELETE_ALL = "DELETE FROM tag WHERE image_id = $1";
    TAG_KEEP_DELETED = "INSERT INTO deleted_tag (image_id, name) SELECT image_id, name FROM tag WHERE image_id = $1 \
        ON CONFLICT (image_id, name) DO NOTHING";
    TAG_DELETED_LIST = "SELECT name FROM deleted_tag WHERE image_id = $1 ORDER BY name";
    TAG_DELETED_FORGET = "DELETE FROM deleted_tag WHERE image_id = $1";
    TAG_LIST = "SELECT name FROM tag WHERE repository_id = $1 AND name > $2 ORDER BY name LIMIT $3";
    TAG_LIST_IMAGES = "SELECT tag.name, image.digest FROM tag JOIN image ON image.id = tag.image_id \
        WHERE tag.repository_id = $1 AND tag.name > $2 ORDER BY tag.name LIMIT $3";
    TAG_OF_IMAGE = "SELECT name FROM tag WHERE image_id = $1 ORDER BY name";
    TAG_OF_DIGEST = "SELECT tag.name FROM repository \
        JOIN image ON image.repository_id = repository.id AND image.digest = $4 AND image.deleted_at IS NULL \
        JOIN tag ON tag.image_id = image.id \
        WHERE repository.account = $1 AND repository.region = $2 AND repository.name = $3 AND repository.deleted_at IS NULL";
}

#[derive(Clone, Debug)]
pub struct TagRow {
    pub image: ImageId,
    pub created_at: i64,
    /// When the tag was moved to this image.
    pub moved_at: i64,
    /// The principal that may still move the immutable tag to an index, and the end of that window (`ECR.md` R).
    pub window: Option<TagWindow>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagWindow {
    pub principal: String,
    pub until: i64,
}

/// Returns the parameters of a tag's row.
fn tag(repository: RepositoryId, name: &str, image: ImageId, now: i64, window: Option<&TagWindow>) -> [Value; 6] {
    let principal = window.map(|window| window.principal.clone());
    let until = window.map(|window| window.until);
    [repository.into(), name.into(), image.into(), now.into(), principal.into(), until.into()]
}

/// Finds a tag by its name.
pub fn by_name(repository: RepositoryId, name: &str) -> Lookup<TagRow> {
    Lookup::new(TAG_GET, [repository.into(), name.into()], |row| {
        let principal: Option<String> = row.get(3)?;
        let until: Option<i64> = row.get(4)?;
        let window = principal.zip(until).map(|(principal, until)| TagWindow { principal, until });
        Ok(TagRow { image: row.get(0)?, created_at: row.get(1)?, moved_at: row.get(2)?, window })
    })
}

/// Inserts a tag, unless one with that name exists. [`super::layer::insert`] explains why it is not looked up first.
pub fn insert(repository: RepositoryId, name: &str, image: ImageId, now: i64, window: Option<&TagWindow>) -> Change {
    Change::new(TAG_INSERT, tag(repository, name, image, now, window))
}

impl Tx<'_> {
    /// Creates the tag or moves it to the image. The caller updates the images' `tag_count`.
    pub fn tag_put(
        &mut self,
        repository: RepositoryId,
        name: &str,
        image: ImageId,
        now: i64,
        window: Option<&TagWindow>,
    ) -> Result<(), Error> {
        self.send(TAG_PUT, tag(repository, name, image, now, window))?;
        Ok(())
    }

    pub fn tag_set_window(&mut self, repository: RepositoryId, name: &str, window: &TagWindow) -> Result<(), Error> {
        let params = [repository.into(), name.into(), (&window.principal).into(), window.until.into()];
        self.send(TAG_SET_WINDOW, params)?;
        Ok(())
    }

    pub fn tag_delete(&mut self, repository: RepositoryId, name: &str) -> Result<(), Error> {
        self.send(TAG_DELETE, [repository.into(), name.into()])?;
        Ok(())
    }

    pub fn tag_delete_all(&mut self, image: ImageId) -> Result<(), Error> {
        self.send(TAG_DELETE_ALL, [image.into()])?;
        Ok(())
    }

    /// Remembers the tags of an image that is about to be deleted.
    pub fn tag_keep_deleted(&mut self, image: ImageId) -> Result<(), Error> {
        self.send(TAG_KEEP_DELETED, [image.into()])
    }

    /// Returns the tags that a deleted image had, in order.
    pub fn tag_deleted_list(&mut self, image: ImageId) -> Result<Vec<String>, Error> {
        let rows = self.query(TAG_DELETED_LIST, &[image.into()])?;
        rows.into_iter().map(|mut row| row.take(0)).collect()
    }

    /// Forgets the tags that a deleted image had.
    pub fn tag_deleted_forget(&mut self, image: ImageId) -> Result<(), Error> {
        self.send(TAG_DELETED_FORGET, [image.into()])
    }

    /// Lists the names after `after`, in order.
    pub fn tag_list(&mut self, repository: RepositoryId, after: &str, limit: u32) -> Result<Vec<String>, Error> {
        let rows = self.query(TAG_LIST, &[repository.into(), after.into(), limit.into()])?;
        rows.into_iter().map(|mut row| row.take(0)).collect()
    }

    /// Lists (name, digest) of the tags after `after`, ordered by name.
    pub fn tag_list_images(
        &mut self,
        repository: RepositoryId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let rows = self.query(TAG_LIST_IMAGES, &[repository.into(), after.into(), limit.into()])?;
        rows.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
    }

    /// The tags of an image by the name of its repository. One statement, whether the repository and the image exist or not.
    pub fn tag_of_digest(
        &mut self,
        registry: &RegistryKey,
        repository: &str,
        digest: &[u8],
    ) -> Result<Vec<String>, Error> {
        let params = [(&registry.account).into(), (&registry.region).into(), repository.into(), digest.into()];
        self.query(TAG_OF_DIGEST, &params)?.into_iter().map(|mut row| row.take(0)).collect()
    }

    pub fn tag_of_image(&mut self, image: ImageId) -> Result<Vec<String>, Error> {
        let rows = self.query(TAG_OF_IMAGE, &[image.into()])?;
        rows.into_iter().map(|mut row| row.take(0)).collect()
    }
}
