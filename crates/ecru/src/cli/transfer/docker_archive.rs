//! Reading an archive of `docker save`, `podman save` or `skopeo copy … docker-archive:`.
//!
//! Docker from 25 on writes an OCI layout into the same archive. Its manifests are taken, so digests do not change. An older archive has
//! no manifest, so one is made from the configuration and the uncompressed layers, whose digests are the configuration's diff_ids. The
//! same file always gives the same digest, with every version of Ecru.
//!
//! Source: moby `image/spec/v1.2.md` ("Combined Image JSON + Filesystem Changeset Format"), containers/image `docker/internal/tarfile`.

use super::TransferError;
use super::files::{FileImage, FileSource, Files};
use super::layout;
use super::reference::tag_of;
use super::registry::Stored;
use super::tar_index::{TarIndex, TarPlace};
use bytes::Bytes;
use futures_util::StreamExt as _;
use oci::{Algorithm, Digest, Hasher, Manifest, MediaType};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const MANIFEST_FILE: &str = "manifest.json";
const REPOSITORIES_FILE: &str = "repositories";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
/// The largest configuration, in bytes.
const MAX_CONFIG_BYTES: usize = 8 * 1024 * 1024;
/// Layers at most of one image; docker itself stops at 127.
const MAX_LAYERS: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

/// The manifest that is made. The order of the members is the order of its bytes, which must never change.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    schema_version: u8,
    media_type: &'a str,
    config: MadeDescriptor<'a>,
    layers: Vec<MadeDescriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MadeDescriptor<'a> {
    media_type: &'a str,
    digest: String,
    size: u64,
}

/// Opens an archive and reads what it names.
pub async fn open(path: &Path) -> Result<FileSource, TransferError> {
    let owned = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let files = Files::open(&owned)?;
        match layout::is_there(&files)? {
            true => layout::open(files).map(|source| Opened::Whole(Box::new(source))),
            false => Ok(Opened::Parts(files)),
        }
    });
    let opened = opened.await.map_err(|_| TransferError::archive(path, "reading it was cut off"))??;
    match opened {
        Opened::Whole(source) => Ok(*source),
        Opened::Parts(Files::Archive(index)) => made(index).await,
        Opened::Parts(Files::Directory(path)) => {
            Err(TransferError::archive(&path, "it is a directory: oci:DIR reads those"))
        }
    }
}

enum Opened {
    Whole(Box<FileSource>),
    Parts(Files),
}

async fn made(index: TarIndex) -> Result<FileSource, TransferError> {
    let broken = |reason: &str| TransferError::archive(index.path(), reason);
    let Some(place) = index.find(MANIFEST_FILE)? else {
        return Err(broken(match index.find(REPOSITORIES_FILE)? {
            Some(_) => {
                "it was written by docker before 1.10 and has no manifest.json: load and save it with a newer docker"
            }
            None => "it is not an image archive: it has neither manifest.json nor oci-layout",
        }));
    };
    let items = index.read(place, Manifest::MAX_BYTES)?;
    let items: Vec<Item> = serde_json::from_slice(&items).map_err(|_| broken("its manifest.json can't be read"))?;
    let legacy = legacy_names(&index)?;
    let (mut images, mut manifests, mut placed) = (Vec::new(), HashMap::new(), HashMap::new());
    let mut hashed = HashMap::new();
    for item in &items {
        let stored = image(&index, item, &mut placed, &mut hashed).await?;
        let names = item.repo_tags.clone().filter(|tags| !tags.is_empty());
        let names = names.unwrap_or_else(|| legacy.get(top_layer(item)).cloned().unwrap_or_default());
        let digest = stored.digest;
        let one = |tag, names| FileImage { digest, tag, names, note: None };
        match names.is_empty() {
            true => images.push(one(None, Vec::new())),
            false => images.extend(names.into_iter().map(|name| one(tag_of(&name), vec![name]))),
        }
        manifests.insert(digest, stored);
    }
    let (referrers, types) = (HashMap::new(), HashMap::new());
    Ok(FileSource { files: Files::Archive(index), images, made: manifests, placed, referrers, types })
}

/// `ID` of the last layer `ID/layer.tar`, which is what `repositories` names.
fn top_layer(item: &Item) -> &str {
    item.layers.last().and_then(|layer| layer.split_once('/')).map_or("", |(id, _)| id)
}

/// The names in `repositories`, by the id of the image's last layer.
fn legacy_names(index: &TarIndex) -> Result<HashMap<String, Vec<String>>, TransferError> {
    let mut names: HashMap<String, Vec<String>> = HashMap::new();
    let Some(place) = index.find(REPOSITORIES_FILE)? else { return Ok(names) };
    let bytes = index.read(place, Manifest::MAX_BYTES)?;
    let broken = |_| TransferError::archive(index.path(), "its `repositories` can't be read");
    let repositories: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&bytes).map_err(broken)?;
    for (repository, tags) in repositories {
        for (tag, id) in tags {
            names.entry(id).or_default().push(format!("{repository}:{tag}"));
        }
    }
    Ok(names)
}

/// Makes the manifest of one image and notes where its blobs lie. `hashed` holds the digests of compressed layers by offset.
async fn image(
    index: &TarIndex,
    item: &Item,
    placed: &mut HashMap<Digest, TarPlace>,
    hashed: &mut HashMap<u64, Digest>,
) -> Result<Stored, TransferError> {
    let broken = |reason: String| TransferError::archive(index.path(), reason);
    let find = |name: &str| {
        index.find(name)?.ok_or_else(|| broken(format!("it has no {name}, which its manifest.json names")))
    };
    // Read the configuration, which names the layers by the digests of their uncompressed bytes.
    let config_place = find(&item.config)?;
    let config = index.read(config_place, MAX_CONFIG_BYTES)?;
    let config_digest = Digest::of(Algorithm::Sha256, &config);
    placed.insert(config_digest, config_place);
    let parsed: Config = serde_json::from_slice(&config)
        .map_err(|_| broken(format!("the configuration {} can't be read", item.config)))?;
    let diff_ids = parsed.rootfs.diff_ids;
    if diff_ids.len() != item.layers.len() || diff_ids.len() > MAX_LAYERS {
        let reason = format!("{} has {} layers and the archive {}", item.config, diff_ids.len(), item.layers.len());
        return Err(broken(reason));
    }
    // Find each layer's digest. Only an uncompressed layer has the digest that the configuration names; others are hashed, once each.
    let mut layers = Vec::new();
    for (name, diff_id) in item.layers.iter().zip(&diff_ids) {
        let place = find(name)?;
        let mut head = [0; 4];
        let compression = match index.head(place, &mut head)? {
            [0x1f, 0x8b, ..] => "+gzip",
            [0x28, 0xb5, 0x2f, 0xfd] => "+zstd",
            _ => "",
        };
        let digest = match compression {
            "" => diff_id.parse().map_err(|_| broken(format!("{} names the layer '{diff_id}'", item.config)))?,
            _ => match hashed.get(&place.offset) {
                Some(digest) => *digest,
                None => *hashed.entry(place.offset).or_insert(hash(index, place).await?),
            },
        };
        placed.insert(digest, place);
        layers.push((format!("{LAYER_TYPE}{compression}"), digest, place.size));
    }
    // Make the manifest of what was found.
    let made = Made {
        schema_version: 2,
        media_type: MediaType::OCI_MANIFEST,
        config: MadeDescriptor {
            media_type: CONFIG_TYPE,
            digest: config_digest.to_string(),
            size: config.len() as u64,
        },
        layers: layers
            .iter()
            .map(|(media_type, digest, size)| MadeDescriptor { media_type, digest: digest.to_string(), size: *size })
            .collect(),
    };
    let bytes = serde_json::to_vec(&made).map_err(|error| broken(format!("no manifest can be made: {error}")))?;
    Ok(Stored {
        digest: Digest::of(Algorithm::Sha256, &bytes),
        media_type: MediaType::OCI_MANIFEST.to_owned(),
        bytes: Bytes::from(bytes),
    })
}

async fn hash(index: &TarIndex, place: TarPlace) -> Result<Digest, TransferError> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut content = index.content(place, 0);
    while let Some(piece) = content.next().await {
        hasher.update(&piece?);
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::Tag;
    use serde_json::{Value, json};

    /// One file of an archive: its bytes, or the target of a symbolic link.
    #[derive(Clone)]
    enum Part {
        File(Vec<u8>),
        Link(&'static str),
    }

    fn tar(parts: &[(String, Part)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, part) in parts {
            let mut header = tar::Header::new_gnu();
            match part {
                Part::File(bytes) => {
                    header.set_size(bytes.len() as u64);
                    builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
                }
                Part::Link(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    builder.append_link(&mut header, name, target).unwrap();
                }
            }
        }
        builder.into_inner().unwrap()
    }

    fn digest(bytes: &[u8]) -> String {
        Digest::of(Algorithm::Sha256, bytes).to_string()
    }

    fn file(name: &str, bytes: impl Into<Vec<u8>>) -> (String, Part) {
        (name.to_owned(), Part::File(bytes.into()))
    }

    /// What docker before 25 saves: a directory for each layer, one of them a link to another.
    fn old_archive() -> Vec<(String, Part)> {
        let layer = b"a layer, as far as an archive knows".to_vec();
        let config = json!({ "rootfs": { "diff_ids": [digest(&layer), digest(&layer)] } }).to_string();
        let listing = json!([{ "Config": "c.json", "RepoTags": ["app:v1", "localhost:5000/app:v2"], "Layers": ["one/layer.tar", "two/layer.tar"] }]);
        vec![
            file("one/layer.tar", layer),
            ("two/layer.tar".to_owned(), Part::Link("../one/layer.tar")),
            file("c.json", config),
            file("manifest.json", listing.to_string()),
        ]
    }

    async fn opened(parts: &[(String, Part)]) -> Result<FileSource, TransferError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar");
        std::fs::write(&path, tar(parts)).unwrap();
        open(&path).await
    }

    fn tags(source: &FileSource) -> Vec<String> {
        source.images.iter().filter_map(|image| image.tag.as_ref().map(Tag::to_string)).collect()
    }

    #[tokio::test]
    async fn the_made_manifest_follows_from_the_file_and_never_changes() {
        let mut parts = old_archive();
        for _ in 0..parts.len() {
            // The order in the file is of no matter.
            parts.rotate_left(1);
            let source = opened(&parts).await.unwrap();
            assert_eq!(tags(&source), ["v1", "v2"]);
            // A promise: this digest stays, whatever later versions do.
            let expected = "sha256:94c996f10e25f0695759003ce6c978c999839dbde300ef7b2f9a97f72a9095e7";
            assert!(source.images.iter().all(|image| image.digest.to_string() == expected), "{:?}", source.images);
            let stored = source.manifest(&source.images[0].digest).unwrap().unwrap();
            let manifest = Manifest::parse(&stored.bytes, None).unwrap();
            assert_eq!(manifest.required_blobs().len(), 2, "both layers are the same");
            for blob in manifest.required_blobs() {
                let content = source.blob(&blob.digest, 0).unwrap();
                let bytes = crate::cli::transfer::content::collect(content, 1000, "").await.unwrap();
                assert_eq!(digest(&bytes), blob.digest.to_string());
            }
        }
    }

    #[tokio::test]
    async fn compressed_layers_stay_as_they_are() {
        let mut parts = old_archive();
        let gzip = [&[0x1f, 0x8b][..], b"no real gzip, and nobody looks"].concat();
        parts[0] = file("one/layer.tar", gzip.clone());
        let source = opened(&parts).await.unwrap();
        let stored = source.manifest(&source.images[0].digest).unwrap().unwrap();
        let layers = Manifest::parse(&stored.bytes, None).unwrap().layers;
        assert_eq!(layers[0].digest.to_string(), digest(&gzip));
        assert_eq!(layers[0].media_type.as_str(), "application/vnd.oci.image.layer.v1.tar+gzip");
    }

    #[tokio::test]
    async fn names_are_taken_from_repositories_where_the_list_has_none() {
        let mut parts = old_archive();
        let listing = json!([{ "Config": "c.json", "RepoTags": null, "Layers": ["one/layer.tar", "two/layer.tar"] }]);
        parts[3] = file("manifest.json", listing.to_string());
        assert_eq!(tags(&opened(&parts).await.unwrap()), Vec::<String>::new());
        parts.push(file("repositories", r#"{"app":{"old":"two","other":"one"}}"#));
        assert_eq!(tags(&opened(&parts).await.unwrap()), ["old"]);
    }

    #[tokio::test]
    async fn what_is_no_images_archive_says_so() {
        let without = |name: &str| -> Vec<(String, Part)> {
            old_archive().into_iter().filter(|(other, _)| other != name).collect()
        };
        let with = |name: &str, value: Value| -> Vec<(String, Part)> {
            let mut parts = without(name);
            parts.push(file(name, value.to_string()));
            parts
        };
        let item = |layers: Value| json!([{ "Config": "c.json", "Layers": layers }]);
        for (parts, said) in [
            (without("manifest.json"), "neither manifest.json nor oci-layout"),
            (without("c.json"), "it has no c.json"),
            (without("one/layer.tar"), "it has no one/layer.tar"),
            (with("manifest.json", json!({})), "manifest.json can't be read"),
            (with("manifest.json", item(json!(["one/layer.tar"]))), "2 layers and the archive 1"),
            (with("manifest.json", item(json!(["../one", "two/layer.tar"]))), "leads out of it"),
            (with("c.json", json!({ "rootfs": { "diff_ids": ["x", "y"] } })), "names the layer 'x'"),
        ] {
            let error = opened(&parts).await.err().unwrap().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    /// An archive of docker 25 and later, with an index of two platforms of which one is there, or both.
    fn new_archive(both: bool) -> (Vec<(String, Part)>, String, String) {
        let blob = |bytes: &[u8]| file(&layout::tests::blob_path(bytes), bytes);
        let config = br#"{"rootfs":{"diff_ids":[]}}"#;
        let image = |note: &str| {
            let config = json!({ "mediaType": CONFIG_TYPE, "digest": digest(config), "size": config.len() });
            json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": [], "annotations": { "for": note } }).to_string()
        };
        let (one, two) = (image("amd64"), image("arm64"));
        let child = |text: &str, architecture: &str| {
            let platform = json!({ "os": "linux", "architecture": architecture });
            json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": digest(text.as_bytes()), "size": text.len(), "platform": platform })
        };
        let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [child(&one, "amd64"), child(&two, "arm64")] }).to_string();
        let entry = json!({
            "mediaType": MediaType::OCI_INDEX, "digest": digest(index.as_bytes()), "size": index.len(),
            "annotations": { layout::REF_NAME: "v1", layout::CONTAINERD_NAME: "docker.io/library/app:v1" },
        });
        let top = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
        let mut parts = vec![
            file("manifest.json", "[]"),
            file(layout::LAYOUT_FILE, r#"{"imageLayoutVersion":"1.0.0"}"#),
            file(layout::INDEX_FILE, top),
            blob(config),
            blob(index.as_bytes()),
            blob(one.as_bytes()),
        ];
        if both {
            parts.push(blob(two.as_bytes()));
        }
        (parts, digest(index.as_bytes()), digest(one.as_bytes()))
    }

    #[tokio::test]
    async fn the_manifests_of_newer_dockers_are_taken() {
        let (parts, index, _) = new_archive(true);
        let source = opened(&parts).await.unwrap();
        assert_eq!(source.images[0].digest.to_string(), index);
        assert_eq!((tags(&source), source.images[0].note.clone()), (vec!["v1".to_owned()], None));
        assert_eq!(source.chosen(Some("docker.io/library/app:v1")).unwrap().len(), 1);
        assert!(source.chosen(Some("v2")).is_err());
    }

    #[tokio::test]
    async fn an_index_with_one_image_in_the_file_gives_its_tag_to_that() {
        let (mut parts, _, one) = new_archive(false);
        let source = opened(&parts).await.unwrap();
        assert_eq!(source.images[0].digest.to_string(), one);
        assert!(source.images[0].note.as_ref().unwrap().contains("linux/amd64 alone"));
        // With none of them there is nothing to take.
        parts.pop();
        assert!(opened(&parts).await.err().unwrap().to_string().contains("0 of the 2 images"));
    }
}
