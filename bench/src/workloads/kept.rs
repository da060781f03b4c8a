//! Stores that take long to fill, and are kept for later runs in `target/bench/kept/`. A store that is removed is filled again.

use super::upload::{push_layer, push_manifest};
use crate::Result;
use crate::bench::{Bench, remove};
use crate::content::{self, Noise, SmallImage};
use crate::ecru;
use crate::http::{Connection, Target};
use crate::threads;
use oci::{Algorithm, Digest};
use std::path::{Path, PathBuf};

/// The most tags of one PUT of a manifest.
const TAGS_OF_ONE_PUT: usize = 100;
/// The most tags of an image (ECR's quota).
const TAGS_OF_AN_IMAGE: usize = 1000;
const CONNECTIONS: usize = 8;
/// Repositories of the store with many images. With a million images, each repository is at its quota.
const REPOSITORIES: usize = 10;

/// A store for later runs. It is complete once its mark exists.
struct Kept {
    directory: PathBuf,
    mark: PathBuf,
}

impl Kept {
    fn new(bench: &Bench, name: &str) -> Kept {
        let directory = bench.directory.join("kept").join(name);
        Kept { mark: directory.with_extension("whole"), directory }
    }

    /// Returns the directory. If it is not complete, a server fills it first, and stops.
    fn filled(self, bench: &Bench, fill: impl FnOnce(&Target) -> Result<()>) -> Result<PathBuf> {
        if !self.mark.is_file() {
            eprintln!("filling {}, once", self.directory.display());
            remove(&self.directory)?;
            std::fs::create_dir_all(&self.directory)?;
            let server = bench.ecru.start(&self.directory)?;
            fill(&server.target)?;
            drop(server);
            std::fs::write(&self.mark, "")?;
        }
        Ok(self.directory)
    }
}

/// Returns a store with these repositories and numbers of tags, 1,000 tags to an image.
pub fn tags(bench: &Bench, repositories: &[(&str, usize)]) -> Result<PathBuf> {
    let total: usize = repositories.iter().map(|(_, tags)| tags).sum();
    Kept::new(bench, &format!("tags-{total}"))
        .filled(bench, |target| repositories.iter().try_for_each(|(name, tags)| fill_tags(target, name, *tags)))
}

fn fill_tags(target: &Target, repository: &str, tags: usize) -> Result<()> {
    let base = Base::push(target, repository)?;
    let next = std::sync::atomic::AtomicUsize::new(0);
    threads::each(CONNECTIONS, |_| {
        let mut connection = Connection::open(target)?;
        // Each thread takes the next image, until there are enough tags.
        loop {
            let image = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let first = image * TAGS_OF_AN_IMAGE;
            if first >= tags {
                return Ok(());
            }
            let manifest = base.manifest(image);
            let digest = Digest::of(Algorithm::Sha256, &manifest);
            for first in (first..tags.min(first + TAGS_OF_AN_IMAGE)).step_by(TAGS_OF_ONE_PUT) {
                let last = tags.min(first + TAGS_OF_ONE_PUT);
                let query: String = (first..last).map(|number| format!("&tag=build-{number:07}")).collect();
                let reference = format!("{digest}?{}", query.trim_start_matches('&'));
                push_manifest(&mut connection, target, repository, &reference, &manifest)?;
            }
        }
    })?;
    Ok(())
}

/// Returns a store of `images` images with a tag each, in ten repositories.
///
/// A server pushes one image to each repository and stops. Then SQL copies the records of that image, because pushing all images would
/// take a quarter of an hour.
pub fn images(bench: &Bench, images: usize) -> Result<PathBuf> {
    let kept = Kept::new(bench, &format!("images-{images}"));
    let is_whole = kept.mark.is_file();
    let mark = kept.mark.clone();
    let directory = kept.filled(bench, |target| {
        let repositories = (0..REPOSITORIES).map(|number| format!("many/{number}"));
        repositories.into_iter().try_for_each(|repository| {
            let base = Base::push(target, &repository)?;
            push_manifest(&mut Connection::open(target)?, target, &repository, "v0", &base.manifest(0))
        })
    })?;
    if !is_whole {
        std::fs::remove_file(&mark)?;
        copy_images(&directory.join("ecru.db"), images / REPOSITORIES - 1)?;
        std::fs::write(&mark, "")?;
    }
    Ok(directory)
}

/// Copies each image of a database `times` times. Columns that are not listed here are copied unchanged.
fn copy_images(database: &Path, times: usize) -> Result<()> {
    let connection = rusqlite::Connection::open(database)?;
    // Without a sync a crash may corrupt the database. The mark is missing then, so the next run fills the store again.
    connection.execute_batch("PRAGMA synchronous = OFF; BEGIN; CREATE TEMP TABLE pattern AS SELECT id FROM image")?;
    let many =
        format!("(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {times}) SELECT i FROM n)");

    // As for pushed images, ids grow with time and digests are random.
    let id = "unhex(printf('%012x%020x', a.pushed_at / 1000, b.rowid * 1000000 + n.i))";
    let of_image = "a JOIN image i ON i.repository_id = (SELECT repository_id FROM image WHERE id = a.image_id)";
    let copies = [
        (
            "image",
            format!("a JOIN pattern b ON b.id = a.id, {many} n"),
            vec![("id", id), ("digest", "unhex('01' || hex(randomblob(32)))")],
        ),
        ("manifest", of_image.to_owned(), vec![("image_id", "i.id")]),
        ("tag", of_image.to_owned(), vec![("image_id", "i.id"), ("name", "'v' || i.rowid")]),
        ("image_layer", of_image.to_owned(), vec![("image_id", "i.id")]),
        (
            "event",
            "a JOIN image i ON i.repository_id = a.repository_id AND a.kind = 'image.push'".to_owned(),
            vec![("id", "i.id"), ("digest", "i.digest"), ("tag", "'v' || i.rowid")],
        ),
    ];

    // Take the names of all columns from the schema, and replace the values that must differ between copies.
    for (table, from, changed) in copies {
        let columns = connection.prepare(&format!("SELECT * FROM {table}"))?;
        let names: Vec<String> = columns.column_names().map(str::to_owned).collect();
        let values: Vec<String> = names
            .iter()
            .map(|name| {
                changed
                    .iter()
                    .find(|(column, _)| column == name)
                    .map_or(format!("a.{name}"), |(_, to)| (*to).to_owned())
            })
            .collect();
        let is_new = if table == "image" { "" } else { " WHERE i.id NOT IN (SELECT id FROM pattern)" };
        let (names, values) = (names.join(", "), values.join(", "));
        connection
            .execute(&format!("INSERT INTO {table} ({names}) SELECT {values} FROM {table} {from}{is_new}"), [])?;
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// A config and a layer that many images share.
struct Base(SmallImage);

impl Base {
    fn push(target: &Target, repository: &str) -> Result<Base> {
        ecru::repository(target, repository)?;
        let image = SmallImage::new(&mut Noise::new(7), String::new());
        let mut connection = Connection::open(target)?;
        push_layer(&mut connection, target, repository, &image.config)?;
        push_layer(&mut connection, target, repository, &image.layer)?;
        Ok(Base(image))
    }

    /// Returns a manifest that differs from the others only in its number.
    fn manifest(&self, number: usize) -> Vec<u8> {
        content::manifest(&self.0.config, &self.0.layer, &number.to_string())
    }
}
