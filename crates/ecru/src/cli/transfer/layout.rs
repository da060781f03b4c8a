//! Reading an OCI image layout (image-spec "OCI Image Layout Specification"), in a directory or an archive.

use super::TransferError;
use super::files::{FileImage, FileSource, Files};
use super::reference::tag_of;
use oci::{Descriptor, Digest, Manifest, MediaType};
use serde::Deserialize;
use std::collections::HashMap;

pub const LAYOUT_FILE: &str = "oci-layout";
pub const INDEX_FILE: &str = "index.json";
/// The annotation that names an entry of `index.json`, and containerd's, which has the whole name.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The largest `oci-layout` in bytes.
const MAX_LAYOUT_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

/// Whether there is a layout.
pub fn is_there(files: &Files) -> Result<bool, TransferError> {
    Ok(files.read(LAYOUT_FILE, MAX_LAYOUT_BYTES)?.is_some() && files.read(INDEX_FILE, Manifest::MAX_BYTES)?.is_some())
}

/// Reads what a layout names. Blocks.
pub fn open(files: Files) -> Result<FileSource, TransferError> {
    let broken = |reason: String| TransferError::archive(files.path(), reason);
    let no_layout = || broken("it is no OCI layout: it has no oci-layout and index.json".to_owned());
    let layout = files.read(LAYOUT_FILE, MAX_LAYOUT_BYTES)?.ok_or_else(no_layout)?;
    let layout: Layout =
        serde_json::from_slice(&layout).map_err(|_| broken("its oci-layout can't be read".to_owned()))?;
    if !layout.image_layout_version.starts_with("1.") {
        return Err(broken("its layout is of another version than 1".to_owned()));
    }
    let index = files.read(INDEX_FILE, Manifest::MAX_BYTES)?.ok_or_else(no_layout)?;
    let what = format!("{INDEX_FILE} in {}", files.path().display());
    let index = Manifest::parse(&index, Some(MediaType::OCI_INDEX))
        .map_err(|source| TransferError::Manifest { what, source })?;
    // Other content than manifests has no place in a registry by itself.
    let entries: Vec<&Descriptor> = index.manifests.iter().filter(|entry| entry.media_type.is_manifest()).collect();
    let images = entries.iter().map(|entry| image(entry)).collect();
    let types = entries.iter().map(|entry| (entry.digest, entry.media_type.as_str().to_owned())).collect();
    let (made, placed, referrers_of) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut source = FileSource { files, images, made, placed, referrers: referrers_of, types };
    source.referrers = referrers(&source, &entries)?;
    source.narrow()?;
    Ok(source)
}

fn image(entry: &Descriptor) -> FileImage {
    let names: Vec<String> =
        [REF_NAME, CONTAINERD_NAME].iter().filter_map(|key| entry.annotations.get(*key)).cloned().collect();
    FileImage { digest: entry.digest, tag: names.iter().find_map(|name| tag_of(name)), names, note: None }
}

/// The entries that refer to other manifests, by subject.
fn referrers(source: &FileSource, entries: &[&Descriptor]) -> Result<HashMap<Digest, Vec<Descriptor>>, TransferError> {
    let mut found: HashMap<Digest, Vec<Descriptor>> = HashMap::new();
    for entry in entries {
        let Some(stored) = source.manifest(&entry.digest)? else { continue };
        // One that can't be read says so when its turn comes.
        let Ok(manifest) = Manifest::parse(&stored.bytes, Some(entry.media_type.as_str())) else { continue };
        if let Some(subject) = manifest.subject {
            found.entry(subject.digest).or_default().push((*entry).clone());
        }
    }
    Ok(found)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::cli::transfer::files::blob_name;
    use oci::Algorithm;

    /// Where a layout has a blob.
    pub fn blob_path(bytes: &[u8]) -> String {
        blob_name(&Digest::of(Algorithm::Sha256, bytes))
    }

    #[test]
    fn a_directory_without_a_layout_says_what_it_lacks() {
        let directory = tempfile::tempdir().unwrap();
        let error = |files: &[(&str, &str)]| {
            for (name, text) in files {
                std::fs::write(directory.path().join(name), text).unwrap();
            }
            open(Files::open(directory.path()).unwrap()).err().unwrap().to_string()
        };
        assert!(error(&[]).contains("no oci-layout"));
        assert!(error(&[(LAYOUT_FILE, r#"{"imageLayoutVersion":"2.0.0"}"#)]).contains("another version"));
        assert!(error(&[(LAYOUT_FILE, r#"{"imageLayoutVersion":"1.0.0"}"#)]).contains("no oci-layout"));
        assert!(error(&[(INDEX_FILE, "[]")]).contains("is not a manifest"));
    }
}
