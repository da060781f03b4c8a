//! Images into one archive that holds an OCI layout and what `docker load` reads of older dockers, podman and skopeo.

use super::index::LayoutIndex;
use super::{BlobOutcome, Role};
use crate::cli::transfer::TransferError;
use crate::cli::transfer::files::blob_name;
use crate::cli::transfer::layout::{INDEX_FILE, LAYOUT_FILE};
use crate::cli::transfer::progress::Progress;
use crate::cli::transfer::registry::Stored;
use crate::cli::transfer::source::Source;
use futures_util::StreamExt as _;
use kernel::lock;
use oci::{Descriptor, Digest, Manifest, ManifestKind, RepositoryName, Tag};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const MANIFEST_FILE: &str = "manifest.json";
/// Blocks of a tar archive, in bytes.
const BLOCK: u64 = 512;

/// An archive that is written beside its place and renamed when it is whole.
pub struct ArchiveSink {
    path: PathBuf,
    partial: PathBuf,
    repository: RepositoryName,
    /// The architecture of the one image that docker's own list names of an index.
    architecture: String,
    state: Mutex<State>,
}

struct State {
    file: BufWriter<File>,
    written: HashSet<Digest>,
    manifests: HashMap<Digest, Stored>,
    index: LayoutIndex,
    /// What the tags hold, in order.
    tags: Vec<(Tag, Digest)>,
}

impl ArchiveSink {
    /// Creates the archive's partial file. `architecture` is in OCI's spelling, such as `amd64`.
    pub fn create(
        path: PathBuf,
        repository: RepositoryName,
        architecture: String,
    ) -> Result<ArchiveSink, TransferError> {
        let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
        name.push(".partial");
        let partial = path.with_file_name(name);
        let file = File::create(&partial).map_err(TransferError::io(&partial))?;
        let state = State {
            file: BufWriter::new(file),
            written: HashSet::new(),
            manifests: HashMap::new(),
            index: LayoutIndex::default(),
            tags: Vec::new(),
        };
        Ok(ArchiveSink { path, partial, repository, architecture, state: Mutex::new(state) })
    }

    pub fn manifest(&self, digest: &Digest) -> Option<Stored> {
        self.with(|state| state.manifests.get(digest).cloned())
    }

    pub fn holds(&self, digest: &Digest, role: Role<'_>) -> bool {
        self.with(|state| state.manifests.contains_key(digest) && state.index.holds(digest, role))
    }

    /// Appends a blob. The archive can't go back, so that a blob that fails in its middle fails the whole export.
    pub async fn blob(
        &self,
        source: &Source,
        blob: &Descriptor,
        progress: &Progress,
    ) -> Result<BlobOutcome, TransferError> {
        if self.with(|state| state.written.contains(&blob.digest)) {
            progress.skipped(blob.size);
            return Ok(BlobOutcome::Here);
        }
        let mut content = source.blob(blob, 0).await?;
        self.write(|file| begin(file, &blob_name(&blob.digest), blob.size))?;
        while let Some(piece) = content.next().await {
            let piece = piece.map_err(|error| self.cut(error))?;
            self.write(|file| file.write_all(&piece))?;
            progress.moved(piece.len() as u64);
        }
        self.write(|file| end(file, blob.size))?;
        self.with(|state| state.written.insert(blob.digest));
        Ok(BlobOutcome::Copied)
    }

    pub fn put(&self, stored: &Stored, parsed: &Manifest, role: Role<'_>) -> Result<(), TransferError> {
        if self.with(|state| state.written.insert(stored.digest)) {
            self.write(|file| entry(file, &blob_name(&stored.digest), &stored.bytes))?;
        }
        let full_name = match role {
            Role::Tagged(tag) => Some(full_name(&self.repository, tag)),
            Role::Child | Role::Untagged => None,
        };
        self.with(|state| {
            let typed = Stored { media_type: parsed.media_type.as_str().to_owned(), ..stored.clone() };
            state.manifests.insert(stored.digest, typed);
            state.index.add(stored, parsed, role, full_name.as_deref());
            if let Role::Tagged(tag) = role {
                state.tags.push((tag.clone(), stored.digest));
            }
        });
        Ok(())
    }

    pub fn finish(self) -> Result<(), TransferError> {
        let (index, listing) = self.with(|state| (state.index.to_bytes(), self.listing(state)));
        let listing = listing.to_string();
        self.write(|file| {
            entry(file, LAYOUT_FILE, LayoutIndex::LAYOUT)?;
            entry(file, INDEX_FILE, &index)?;
            entry(file, MANIFEST_FILE, listing.as_bytes())?;
            // Two empty blocks end an archive.
            file.write_all(&[0; 2 * BLOCK as usize])?;
            file.flush()
        })?;
        self.with(|state| state.file.get_ref().sync_data()).map_err(TransferError::io(&self.partial))?;
        std::fs::rename(&self.partial, &self.path).map_err(TransferError::io(&self.path))
    }

    /// docker's own list: one image for each tag, with the blobs at the layout's places.
    fn listing(&self, state: &State) -> Value {
        let mut items: Vec<Value> = Vec::new();
        for (tag, digest) in &state.tags {
            let Some((config, layers)) = self.image(state, digest) else { continue };
            let name = format!("{}:{tag}", self.repository);
            let known = items.iter_mut().find(|item| item["Config"] == config.as_str());
            match known.and_then(|item| item["RepoTags"].as_array_mut()) {
                Some(tags) => tags.push(json!(name)),
                None => items.push(json!({ "Config": config, "RepoTags": [name], "Layers": layers })),
            }
        }
        Value::Array(items)
    }

    /// The configuration and layers of an image, or of the one in an index that runs on this architecture (else the first).
    fn image(&self, state: &State, digest: &Digest) -> Option<(String, Vec<String>)> {
        let stored = state.manifests.get(digest)?;
        let manifest = Manifest::parse(&stored.bytes, Some(&stored.media_type)).ok()?;
        match manifest.kind {
            ManifestKind::Index => {
                let runs = |child: &&Descriptor| {
                    child.platform.as_ref().is_some_and(|platform| platform.architecture == self.architecture)
                };
                let child = manifest.manifests.iter().find(runs).or(manifest.manifests.first())?;
                // An index in an index has no place in docker's list.
                let child = state.manifests.get(&child.digest)?;
                let manifest = Manifest::parse(&child.bytes, Some(&child.media_type)).ok()?;
                of_image(&manifest)
            }
            ManifestKind::Image => of_image(&manifest),
        }
    }

    fn write(&self, act: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), TransferError> {
        self.with(|state| act(&mut state.file)).map_err(TransferError::io(&self.partial))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut lock(&self.state))
    }

    fn cut(&self, error: TransferError) -> TransferError {
        TransferError::archive(&self.partial, format!("it can't be finished: {error}"))
    }
}

/// Whether an image is one that docker can run; other artifacts are in the layout alone.
fn of_image(manifest: &Manifest) -> Option<(String, Vec<String>)> {
    let config = manifest.config.as_ref().filter(|config| {
        matches!(
            config.media_type.essence().as_str(),
            "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json"
        )
    })?;
    Some((blob_name(&config.digest), manifest.layers.iter().map(|layer| blob_name(&layer.digest)).collect()))
}

/// The name by which containerd and docker know an image: `docker.io/library/app:v1`.
fn full_name(repository: &RepositoryName, tag: &Tag) -> String {
    let library = if repository.as_str().contains('/') { "" } else { "library/" };
    format!("docker.io/{library}{repository}:{tag}")
}

fn begin(file: &mut impl Write, name: &str, size: u64) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(Path::new(name))?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    file.write_all(header.as_bytes())
}

/// Fills the last block.
fn end(file: &mut impl Write, size: u64) -> io::Result<()> {
    let rest = usize::try_from((BLOCK - size % BLOCK) % BLOCK).unwrap_or_default();
    file.write_all(&[0; BLOCK as usize][..rest])
}

fn entry(file: &mut impl Write, name: &str, bytes: &[u8]) -> io::Result<()> {
    begin(file, name, bytes.len() as u64)?;
    file.write_all(bytes)?;
    end(file, bytes.len() as u64)
}

/// Removes what was not finished.
impl Drop for ArchiveSink {
    fn drop(&mut self) {
        // After `finish` there is none.
        let _ = std::fs::remove_file(&self.partial);
    }
}
