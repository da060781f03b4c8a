//! Images into an OCI layout in a directory.

use super::index::LayoutIndex;
use super::{BlobOutcome, Role};
use crate::cli::transfer::TransferError;
use crate::cli::transfer::files::blob_name;
use crate::cli::transfer::layout::{INDEX_FILE, LAYOUT_FILE};
use crate::cli::transfer::progress::Progress;
use crate::cli::transfer::registry::Stored;
use crate::cli::transfer::source::Source;
use bytes::Bytes;
use futures_util::StreamExt as _;
use kernel::lock;
use oci::{Descriptor, Digest, Hasher, Manifest};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Bytes of one piece when a file is compared with its digest.
const PIECE_BYTES: usize = 512 * 1024;

/// A layout that is made or added to. Every file is written under another name, synced and renamed; `index.json` comes last.
pub struct LayoutSink {
    directory: PathBuf,
    index: Mutex<LayoutIndex>,
}

impl LayoutSink {
    /// Opens a layout, or makes an empty one in a directory that is empty or missing.
    pub fn open(directory: PathBuf) -> Result<LayoutSink, TransferError> {
        let io = TransferError::io;
        std::fs::create_dir_all(&directory).map_err(io(&directory))?;
        let index_path = directory.join(INDEX_FILE);
        let index = match std::fs::read(&index_path) {
            Ok(bytes) => LayoutIndex::read(&bytes).map_err(|reason| TransferError::archive(&index_path, reason))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut entries = std::fs::read_dir(&directory).map_err(io(&directory))?;
                // An export that was cut left its blobs and the file of the layout.
                let ours = |name: &std::ffi::OsStr| name == "blobs" || name == LAYOUT_FILE;
                if entries.any(|entry| entry.is_ok_and(|entry| !ours(&entry.file_name()))) {
                    let reason = "it holds other files, and no OCI layout: name a new or empty directory";
                    return Err(TransferError::archive(&directory, reason));
                }
                LayoutIndex::default()
            }
            Err(error) => return Err(io(&index_path)(error)),
        };
        let sink = LayoutSink { directory, index: Mutex::new(index) };
        sink.write(LAYOUT_FILE, LayoutIndex::LAYOUT)?;
        Ok(sink)
    }

    pub fn manifest(&self, digest: &Digest) -> Result<Option<Stored>, TransferError> {
        let path = self.directory.join(blob_name(digest));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TransferError::io(&path)(error)),
        };
        let mut bytes = Vec::new();
        file.take(Manifest::MAX_BYTES as u64).read_to_end(&mut bytes).map_err(TransferError::io(&path))?;
        let whole = Digest::of(digest.algorithm(), &bytes) == *digest;
        Ok(whole.then(|| Stored { digest: *digest, media_type: String::new(), bytes: Bytes::from(bytes) }))
    }

    pub fn holds(&self, digest: &Digest, role: Role<'_>) -> Result<bool, TransferError> {
        let named = lock(&self.index).holds(digest, role);
        Ok(named && self.manifest(digest)?.is_some())
    }

    pub async fn blob(
        &self,
        source: &Source,
        blob: &Descriptor,
        progress: &Progress,
    ) -> Result<BlobOutcome, TransferError> {
        let name = blob_name(&blob.digest);
        let path = self.directory.join(&name);
        let (existing, digest) = (path.clone(), blob.digest);
        let there = tokio::task::spawn_blocking(move || is_whole(&existing, &digest));
        if there.await.map_err(|_| TransferError::archive(&path, "reading it was cut off"))?? {
            progress.skipped(blob.size);
            return Ok(BlobOutcome::Here);
        }
        let (mut file, partial) = self.create(&name)?;
        let mut content = source.blob(blob, 0).await?;
        while let Some(piece) = content.next().await {
            let piece = piece?;
            file.write_all(&piece).map_err(TransferError::io(&partial))?;
            progress.moved(piece.len() as u64);
        }
        finished(&file, &partial, &path)?;
        Ok(BlobOutcome::Copied)
    }

    pub fn put(&self, stored: &Stored, parsed: &Manifest, role: Role<'_>) -> Result<(), TransferError> {
        self.write(&blob_name(&stored.digest), &stored.bytes)?;
        lock(&self.index).add(stored, parsed, role, None);
        Ok(())
    }

    pub fn finish(self) -> Result<(), TransferError> {
        let index = lock(&self.index).to_bytes();
        self.write(INDEX_FILE, &index)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), TransferError> {
        let (mut file, partial) = self.create(name)?;
        file.write_all(bytes).map_err(TransferError::io(&partial))?;
        finished(&file, &partial, &self.directory.join(name))
    }

    /// A new file beside the one that it becomes.
    fn create(&self, name: &str) -> Result<(File, PathBuf), TransferError> {
        let path = self.directory.join(name);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(TransferError::io(directory))?;
        }
        let partial = path.with_extension("partial");
        let file = File::create(&partial).map_err(TransferError::io(&partial))?;
        Ok((file, partial))
    }
}

fn finished(file: &File, partial: &Path, path: &Path) -> Result<(), TransferError> {
    file.sync_data().map_err(TransferError::io(partial))?;
    std::fs::rename(partial, path).map_err(TransferError::io(path))
}

/// Whether a file has the bytes of a digest. Blocks.
fn is_whole(path: &Path, digest: &Digest) -> Result<bool, TransferError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(TransferError::io(path)(error)),
    };
    let mut hasher = Hasher::new(digest.algorithm());
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece).map_err(TransferError::io(path))? {
            0 => return Ok(hasher.finish() == *digest),
            count => hasher.update(&piece[..count]),
        }
    }
}
