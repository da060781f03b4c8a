//! Copying one image with everything below it and everything that refers to it.

use super::TransferError;
use super::files::media_type;
use super::plan::Wanted;
use super::progress::Progress;
use super::registry::Stored;
use super::sink::{BlobOutcome, Role, Sink};
use super::source::Source;
use crate::cli::progress::bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use oci::{Descriptor, Digest, Manifest, ManifestKind, Tag};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};

/// Manifests at most below one image, and of those that refer to it.
const MAX_MANIFESTS: usize = 10_000;
/// Bytes of manifests at most that are held between planning and copying.
const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;
/// The largest configuration that is read for its time, in bytes.
const MAX_CONFIG_BYTES: usize = 4 * 1024 * 1024;
/// The annotation that says when an image was made (image-spec "Pre-Defined Annotation Keys").
const CREATED: &str = "org.opencontainers.image.created";
/// Tags by which cosign before 3 attaches what it signs to a digest.
const COMPANIONS: [&str; 3] = ["sig", "att", "sbom"];

/// Copies from any source into one sink.
pub struct Copier<'a> {
    sink: &'a Sink,
    progress: &'a Progress,
    held: HashMap<Digest, Stored>,
    held_bytes: usize,
    /// The manifests whose referrers were copied.
    referred: HashSet<Digest>,
}

/// What was done for one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Manifests that were stored, the image's own among them.
    pub manifests: usize,
    pub copied: usize,
    pub copied_bytes: u64,
    pub here: usize,
    pub mounted: usize,
    pub referrers: usize,
}

/// A manifest on its way.
struct Node {
    stored: Stored,
    parsed: Manifest,
    /// It is there, with everything below it.
    there: bool,
}

impl<'a> Copier<'a> {
    pub fn new(sink: &'a Sink, progress: &'a Progress) -> Copier<'a> {
        Copier { sink, progress, held: HashMap::new(), held_bytes: 0, referred: HashSet::new() }
    }

    /// When an image was made, as its annotation or its configuration says; `None` where they don't.
    pub async fn created(&mut self, source: &Source, digest: &Digest) -> Result<Option<Timestamp>, TransferError> {
        #[derive(Deserialize)]
        struct Config {
            created: Option<String>,
        }
        let mut at = *digest;
        // An index, and an image in it.
        for _ in 0..2 {
            let node = self.node(source, &at, None).await?;
            self.hold(&node);
            if let Some(created) = node.parsed.annotations.get(CREATED).and_then(|text| text.parse().ok()) {
                return Ok(Some(created));
            }
            if let Some(config) = &node.parsed.config {
                let bytes = source.small_blob(config, MAX_CONFIG_BYTES).await?;
                // Artifacts have configurations of other kinds.
                let config: Option<Config> = serde_json::from_slice(&bytes).ok();
                return Ok(config.and_then(|config| config.created?.parse().ok()));
            }
            let Some(child) = node.parsed.manifests.first() else { return Ok(None) };
            at = child.digest;
        }
        Ok(None)
    }

    /// Copies an image. `companions` asks for the tags that cosign derives from its digests too.
    pub async fn image(
        &mut self,
        source: &Source,
        wanted: &Wanted,
        label: &str,
        companions: bool,
    ) -> Result<Counts, TransferError> {
        let mut counts = Counts::default();
        let role = wanted.tag.as_ref().map_or(Role::Untagged, Role::Tagged);
        let mut subjects = self.tree(source, &wanted.digest, None, role, label, &mut counts).await?;
        // What refers to a manifest may be referred to itself, as a signature of an SBOM is.
        while let Some(subject) = subjects.pop() {
            if !self.referred.insert(subject) {
                continue;
            }
            if counts.referrers > MAX_MANIFESTS {
                let what = format!("more than {MAX_MANIFESTS} manifests refer to {}", wanted.digest);
                return Err(TransferError::Usage(what));
            }
            for referrer in source.referrers(&subject).await? {
                let given = Some(referrer.media_type.as_str());
                match self.tree(source, &referrer.digest, given, Role::Untagged, label, &mut counts).await {
                    Ok(below) => {
                        counts.referrers += 1;
                        subjects.extend(below);
                    }
                    // The tag that stands in place of the API may list what was deleted.
                    Err(TransferError::Missing { .. }) => {
                        self.progress
                            .warn(&format!("{label}: the referrer {} is gone from its source", referrer.digest));
                    }
                    Err(error) => return Err(error),
                }
            }
            for suffix in COMPANIONS.iter().filter(|_| companions) {
                let text = format!("{}-{}.{suffix}", subject.algorithm().name(), subject.hex());
                let Ok(tag) = text.parse::<Tag>() else { continue };
                if let Some(digest) = source.tagged(&text).await? {
                    self.tree(source, &digest, None, Role::Tagged(&tag), label, &mut counts).await?;
                    counts.referrers += 1;
                }
            }
        }
        Ok(counts)
    }

    /// Copies a manifest and all below it. Returns the digests that may be referred to.
    async fn tree(
        &mut self,
        source: &Source,
        root: &Digest,
        given: Option<&str>,
        role: Role<'_>,
        label: &str,
        counts: &mut Counts,
    ) -> Result<Vec<Digest>, TransferError> {
        let nodes = self.nodes(source, root, given).await?;
        let missing = |node: &&Node| !(node.there && matches!(self.sink, Sink::Ours(_)));
        let total = nodes.iter().filter(missing).flat_map(|node| node.parsed.required_blobs()).map(|blob| blob.size);
        self.progress.begin(label.to_owned(), total.fold(0, u64::saturating_add));
        for node in &nodes {
            if missing(&node) {
                self.blobs(source, &node.parsed, counts).await?;
            }
            let role = if node.stored.digest == *root { role } else { Role::Child };
            if !(node.there && self.sink.holds(&node.stored.digest, role).await?) {
                self.sink.put(&node.stored, &node.parsed, role).await?;
                counts.manifests += 1;
            }
        }
        Ok(nodes.iter().map(|node| node.stored.digest).collect())
    }

    /// A manifest and all below it, children first.
    async fn nodes(&mut self, source: &Source, root: &Digest, given: Option<&str>) -> Result<Vec<Node>, TransferError> {
        let (mut found, mut seen) = (Vec::new(), HashSet::from([*root]));
        let mut waiting = vec![(*root, given.map(str::to_owned))];
        while let Some((digest, given)) = waiting.pop() {
            let node = self.node(source, &digest, given.as_deref()).await?;
            for child in &node.parsed.manifests {
                if seen.insert(child.digest) {
                    waiting.push((child.digest, Some(child.media_type.as_str().to_owned())));
                }
            }
            if seen.len() > MAX_MANIFESTS {
                let what = format!("{root} holds more than {MAX_MANIFESTS} manifests");
                return Err(TransferError::Usage(what));
            }
            found.push(node);
        }
        // A child was found after its parent.
        found.reverse();
        Ok(found)
    }

    async fn node(&mut self, source: &Source, digest: &Digest, given: Option<&str>) -> Result<Node, TransferError> {
        // What is there need not be fetched, also to look below it.
        let there = self.sink.manifest(digest).await?;
        let held = self.held.remove(digest);
        self.held_bytes -= held.as_ref().map_or(0, |held| held.bytes.len());
        let (mut stored, there) = match (there, held) {
            (Some(stored), _) => (stored, true),
            (None, Some(held)) => (held, false),
            (None, None) => (source.manifest(digest).await?, false),
        };
        let given = media_type(&stored).or(given);
        let parsed = Manifest::parse(&stored.bytes, given).map_err(|error| TransferError::Manifest {
            what: format!("{digest} of {}", source.display()),
            source: error,
        })?;
        stored.media_type = parsed.media_type.as_str().to_owned();
        Ok(Node { stored, parsed, there })
    }

    /// Keeps a manifest for the copy that follows a look at its time: registries count each that they give.
    fn hold(&mut self, node: &Node) {
        let size = node.stored.bytes.len();
        if !node.there && self.held_bytes + size <= MAX_HELD_BYTES {
            self.held_bytes += size;
            self.held.insert(node.stored.digest, node.stored.clone());
        }
    }

    async fn blobs(&self, source: &Source, manifest: &Manifest, counts: &mut Counts) -> Result<(), TransferError> {
        if manifest.kind == ManifestKind::Index {
            return Ok(());
        }
        let blobs = manifest.required_blobs();
        self.sink.prepare(&blobs).await?;
        let store = |blob: &'_ Descriptor| {
            let blob = blob.clone();
            async move { Ok::<_, TransferError>((blob.size, self.sink.blob(source, &blob, self.progress).await?)) }
        };
        let mut stored =
            futures_util::stream::iter(blobs.into_iter().map(store)).buffer_unordered(self.sink.parallel());
        while let Some((bytes, outcome)) = stored.try_next().await? {
            match outcome {
                BlobOutcome::Here => counts.here += 1,
                BlobOutcome::Mounted => counts.mounted += 1,
                BlobOutcome::Copied => {
                    counts.copied += 1;
                    counts.copied_bytes += bytes;
                }
            }
        }
        Ok(())
    }
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.manifests += other.manifests;
        self.copied += other.copied;
        self.copied_bytes += other.copied_bytes;
        self.here += other.here;
        self.mounted += other.mounted;
        self.referrers += other.referrers;
    }

    /// `2 blobs copied (1.5 MB), 3 mounted, 1 here, 2 referrers`, or `unchanged`.
    pub fn display(&self) -> String {
        let mut parts = Vec::new();
        if self.copied > 0 {
            parts.push(format!("{} copied ({})", counted(self.copied, "blob"), bytes(self.copied_bytes)));
        }
        if self.mounted > 0 {
            parts.push(format!("{} mounted", self.mounted));
        }
        if self.here > 0 {
            parts.push(format!("{} here", self.here));
        }
        if self.manifests == 0 {
            parts.push("unchanged".to_owned());
        }
        if self.referrers > 0 {
            parts.push(counted(self.referrers, "referrer"));
        }
        match parts.is_empty() {
            true => "tagged".to_owned(),
            false => parts.join(", "),
        }
    }
}

/// `1 layer`, `2 layers`
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
