//! Images in files: an OCI layout in a directory or in an archive, and archives of `docker save`.

use super::TransferError;
use super::content::{self, Content};
use super::error::listed;
use super::registry::Stored;
use super::tar_index::{TarIndex, TarPlace};
use bytes::Bytes;
use oci::{Descriptor, Digest, Manifest, ManifestKind, Tag};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where files are looked for by name.
#[derive(Debug)]
pub enum Files {
    Directory(PathBuf),
    Archive(TarIndex),
}

/// One file and its size in bytes.
pub enum Found {
    File(File, u64, PathBuf),
    Entry(TarPlace),
}

impl Files {
    /// Opens a directory or an archive. Blocks.
    pub fn open(path: &Path) -> Result<Files, TransferError> {
        let metadata = std::fs::metadata(path).map_err(TransferError::io(path))?;
        match metadata.is_dir() {
            true => Ok(Files::Directory(path.to_owned())),
            false => Ok(Files::Archive(TarIndex::open(path)?)),
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Files::Directory(path) => path,
            Files::Archive(index) => index.path(),
        }
    }

    fn find(&self, name: &str) -> Result<Option<Found>, TransferError> {
        match self {
            Files::Archive(index) => Ok(index.find(name)?.map(Found::Entry)),
            Files::Directory(directory) => {
                let path = directory.join(name);
                let file = match File::open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(TransferError::io(&path)(error)),
                };
                let size = file.metadata().map_err(TransferError::io(&path))?.len();
                Ok(Some(Found::File(file, size, path)))
            }
        }
    }

    /// A small file's bytes; `None` where there is none. Blocks. Fails beyond `limit` bytes.
    pub fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, TransferError> {
        match (self, self.find(name)?) {
            (_, None) => Ok(None),
            (Files::Archive(index), Some(Found::Entry(place))) => index.read(place, limit).map(Some),
            (_, Some(Found::File(_, size, path))) if size > limit as u64 => {
                Err(TransferError::archive(&path, format!("it is larger than {limit} bytes")))
            }
            (_, Some(Found::File(mut file, _, path))) => {
                let mut bytes = Vec::new();
                let mut limited = io::Read::take(&mut file, limit as u64);
                io::Read::read_to_end(&mut limited, &mut bytes).map_err(TransferError::io(&path))?;
                Ok(Some(bytes))
            }
            (Files::Directory(_), Some(Found::Entry(_))) => Ok(None),
        }
    }

    fn content(&self, found: Found, offset: u64) -> Content {
        match (found, self) {
            (Found::File(file, size, path), _) => {
                let offset = offset.min(size);
                content::of_file(Arc::new(file), offset, size - offset, &path)
            }
            (Found::Entry(place), Files::Archive(index)) => index.content(place, offset),
            (Found::Entry(_), Files::Directory(_)) => Box::pin(futures_util::stream::empty()),
        }
    }
}

/// The place of a blob in a layout.
pub fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// One image that a file names.
#[derive(Clone, Debug)]
pub struct FileImage {
    pub digest: Digest,
    pub tag: Option<Tag>,
    /// The names that the file gives it, to choose it by.
    pub names: Vec<String>,
    /// What is to be said about it.
    pub note: Option<String>,
}

/// Images in a file, ready to be read.
pub struct FileSource {
    pub files: Files,
    pub images: Vec<FileImage>,
    /// Manifests that the file itself has not.
    pub made: HashMap<Digest, Stored>,
    /// Blobs that are not at a layout's place.
    pub placed: HashMap<Digest, TarPlace>,
    /// By subject.
    pub referrers: HashMap<Digest, Vec<Descriptor>>,
    /// The media types that stand beside the manifests, which need not say them themselves.
    pub types: HashMap<Digest, String>,
}

impl FileSource {
    pub fn display(&self) -> String {
        self.files.path().display().to_string()
    }

    fn find(&self, digest: &Digest) -> Result<Option<Found>, TransferError> {
        match self.placed.get(digest) {
            Some(place) => Ok(Some(Found::Entry(*place))),
            None => self.files.find(&blob_name(digest)),
        }
    }

    /// Whether a manifest or blob is in the file.
    pub fn has(&self, digest: &Digest) -> Result<bool, TransferError> {
        Ok(self.made.contains_key(digest) || self.find(digest)?.is_some())
    }

    /// A manifest, whose bytes are those of its digest. Blocks.
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Stored>, TransferError> {
        if let Some(made) = self.made.get(digest) {
            return Ok(Some(made.clone()));
        }
        let Some(bytes) = self.files.read(&blob_name(digest), Manifest::MAX_BYTES)? else { return Ok(None) };
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != *digest {
            let what = format!("a manifest in {}", self.display());
            return Err(TransferError::digest(what, *digest, actual));
        }
        let media_type = self.types.get(digest).cloned().unwrap_or_default();
        Ok(Some(Stored { digest: *digest, media_type, bytes: Bytes::from(bytes) }))
    }

    /// A blob's bytes from `offset` on. They are not checked.
    pub fn blob(&self, digest: &Digest, offset: u64) -> Result<Content, TransferError> {
        let missing = || TransferError::Missing { from: self.display(), what: format!("layer {digest}") };
        let found = self.find(digest)?.ok_or_else(missing)?;
        Ok(self.files.content(found, offset))
    }

    /// Returns the images that `chosen` selects: a tag, or a name with or without the parts that docker and podman add to names. See
    /// [`short_name`].
    pub fn chosen(&self, chosen: Option<&str>) -> Result<Vec<FileImage>, TransferError> {
        let Some(chosen) = chosen else { return Ok(self.images.clone()) };
        let short = short_name(chosen);
        let is_it = |image: &&FileImage| {
            image.tag.as_ref().is_some_and(|tag| tag.as_str() == chosen)
                || image.names.iter().any(|name| short_name(name) == short)
        };
        let found: Vec<FileImage> = self.images.iter().filter(is_it).cloned().collect();
        if found.is_empty() {
            let there = self.images.iter().flat_map(|image| image.names.first()).map(String::as_str);
            return Err(TransferError::Missing {
                from: self.display(),
                what: format!("image '{chosen}'{}", listed(there)),
            });
        }
        Ok(found)
    }

    /// Gives tags whose index is not whole in the file to the one image of it that is, as `docker save` leaves it for one platform
    /// of several. Blocks.
    pub fn narrow(&mut self) -> Result<(), TransferError> {
        for at in 0..self.images.len() {
            let Some(stored) = self.manifest(&self.images[at].digest)? else { continue };
            let Ok(index) = Manifest::parse(&stored.bytes, media_type(&stored)) else { continue };
            if index.kind != ManifestKind::Index {
                continue;
            }
            let whole: Vec<bool> =
                index.manifests.iter().map(|child| self.is_whole(child)).collect::<Result<_, _>>()?;
            if whole.iter().all(|whole| *whole) {
                continue;
            }
            // A build's attestations have no platform.
            let is_image =
                |child: &&Descriptor| child.platform.as_ref().is_none_or(|platform| platform.os != "unknown");
            let present = index.manifests.iter().zip(whole).filter(|(_, whole)| *whole).map(|(child, _)| child);
            let present: Vec<&Descriptor> = present.filter(is_image).collect();
            let name =
                self.images[at].tag.as_ref().map_or_else(|| self.images[at].digest.to_string(), ToString::to_string);
            let [one] = present.as_slice() else {
                let of = index.manifests.len();
                let reason = format!(
                    "{name}: {} of the {of} images of this index are in it; save it again with one platform or all",
                    present.len()
                );
                return Err(TransferError::archive(self.files.path(), reason));
            };
            let platform = one.platform.as_ref().map(|p| format!("{}/{}", p.os, p.architecture)).unwrap_or_default();
            let note = format!("{name}: the file holds {platform} alone of an index, so the tag gets that image");
            self.images[at].digest = one.digest;
            self.images[at].note = Some(note);
        }
        Ok(())
    }

    /// Whether a manifest and all below it are in the file.
    fn is_whole(&self, descriptor: &Descriptor) -> Result<bool, TransferError> {
        if !self.has(&descriptor.digest)? {
            return Ok(false);
        }
        let Some(stored) = self.manifest(&descriptor.digest)? else { return Ok(false) };
        let Ok(manifest) = Manifest::parse(&stored.bytes, Some(descriptor.media_type.as_str())) else {
            return Ok(false);
        };
        for blob in manifest.required_blobs() {
            if !self.has(&blob.digest)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// An image's name without the hosts that docker and podman put before a short name, and with the tag that they put behind it:
/// `app:latest` of `app`, `docker.io/library/app:latest` and `localhost/app:latest`.
fn short_name(name: &str) -> Cow<'_, str> {
    let hosts = ["docker.io/library/", "docker.io/", "localhost/"];
    let short = hosts.iter().find_map(|host| name.strip_prefix(host)).unwrap_or(name);
    match short.rsplit('/').next().is_some_and(|last| last.contains([':', '@'])) {
        true => Cow::Borrowed(short),
        false => Cow::Owned(format!("{short}:latest")),
    }
}

/// The media type that came beside a manifest, if one did.
pub fn media_type(stored: &Stored) -> Option<&str> {
    Some(stored.media_type.as_str()).filter(|media_type| !media_type.is_empty())
}
