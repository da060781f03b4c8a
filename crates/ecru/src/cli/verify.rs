//! `ecru verify`: whether the layers of a store are whole, beside the server that uses it.

use super::progress::{Progress, bytes};
use super::stores::{StoreArgs, StoreError, Stores};
use crate::config::{SettingsError, Variables};
use kernel::ErrorChain;
use kernel::clock::{Clock as _, SystemClock};
use registry::layer::verify::{self, NamedLayer, VerifyEvent, VerifyFinding, VerifyOptions, VerifySummary};
use std::collections::BTreeMap;
use std::io::Write;

/// Looks at every layer of a store, beside the server that uses it: whether its bytes are there and as many as its record says.
/// Ends with 0 only if all is well. It never deletes anything.
#[derive(Debug, clap::Args)]
pub struct Verify {
    #[command(flatten)]
    pub stores: StoreArgs,
    /// Read all bytes: compare digests and checksums, and give checksums to layers that an older version stored.
    #[arg(long)]
    pub bytes: bool,
    /// Mark damaged layers, so that they count as missing and clients push them again; with --bytes, take the mark from layers
    /// whose bytes are right.
    #[arg(long)]
    pub mark: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store can't be read")]
    Read(#[from] registry::Error),
    #[error("the report can't be written")]
    Report(#[from] std::io::Error),
}

impl Verify {
    /// Writes what is found into `report`, line by line. Returns whether all is well.
    pub async fn run(self, variables: Variables<'_>, report: &mut (dyn Write + Send)) -> Result<bool, VerifyError> {
        let stores = Stores::attach(&self.stores.settings(variables)?).await?;
        let (_, size) = verify::total(&stores.db).await?;
        let progress = Progress::new("Layers", size);
        let look = VerifyOptions { bytes: self.bytes, mark: self.mark };
        let looked = verify::VerifyStores { db: &stores.db, blobs: &*stores.layers, now: SystemClock.now() };
        let (mut found, mut written) = (BTreeMap::new(), Ok(()));
        let summary = verify::all(&looked, look, &mut |event| match event {
            VerifyEvent::Done(size) => progress.add(size),
            VerifyEvent::Found(finding) => {
                let (kind, line) = line(&finding);
                *found.entry(kind).or_insert(0_u64) += 1;
                if written.is_ok() {
                    written = writeln!(report, "{line}");
                }
            }
        })
        .await;
        progress.end();
        stores.db.close().await;
        let summary = summary?;
        written?;
        report.write_all(last_lines(&summary, &found, look).as_bytes())?;
        Ok(summary.well)
    }
}

/// The kind of a finding, to be counted, and its line in the report.
fn line(finding: &VerifyFinding) -> (String, String) {
    match finding {
        VerifyFinding::Damaged { layer, damage, marked } => {
            let state = if *marked { "; it counts as missing" } else { "" };
            (damage.name().to_owned(), format!("{}: {}{state}", damage.name(), named(layer)))
        }
        VerifyFinding::Marked { layer } => (
            "marked before".to_owned(),
            format!(
                "marked before: {}; it counts as missing, and --bytes says whether it is right again",
                named(layer)
            ),
        ),
        VerifyFinding::RightAgain { layer, unmarked } => {
            let what = if *unmarked { "; it no longer counts as missing" } else { "; --mark takes its mark away" };
            ("right again".to_owned(), format!("right again: {}{what}", named(layer)))
        }
        VerifyFinding::Unreadable { layer, error } => {
            ("unreadable".to_owned(), format!("unreadable: {}: {}", named(layer), ErrorChain(error)))
        }
        VerifyFinding::Unrecorded { location, size, under_way } => {
            let (kind, why) = match under_way {
                true => ("under way", "young enough for an upload that runs or has just ended"),
                false => ("without a record", "no upload can still need it"),
            };
            (kind.to_owned(), format!("{kind}: {location}, {}: {why}", bytes(*size)))
        }
    }
}

fn named(layer: &NamedLayer) -> String {
    match layer.location {
        Some(location) => format!("{} at {location}", layer.digest),
        None => format!("{} in its record", layer.digest),
    }
}

/// True if a finding is about a layer whose bytes are wrong or were found wrong before.
fn has_damage(found: &BTreeMap<String, u64>) -> bool {
    found.keys().any(|kind| !["unreadable", "under way", "without a record", "right again"].contains(&kind.as_str()))
}

fn last_lines(summary: &VerifySummary, found: &BTreeMap<String, u64>, look: VerifyOptions) -> String {
    let read = if look.bytes { "read" } else { "looked at, without reading them" };
    let mut text = format!("{} layers ({}) were {read}.\n", summary.layers, bytes(summary.size));
    if summary.checksums_added > 0 {
        text.push_str(&format!("{} layers have checksums from now on.\n", summary.checksums_added));
    }
    let counts: Vec<_> = found.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if !counts.is_empty() {
        text.push_str(&format!("Found: {}.\n", counts.join(", ")));
    }
    text.push_str(match (summary.well, has_damage(found), look.mark) {
        (true, ..) => "All is well.\n",
        (false, false, _) => "Not all is well: mend what keeps the layers above from being read, and verify again.\n",
        // Altered bytes are found, and so marked, only by reading them.
        (false, true, false) if look.bytes => {
            "Not all is well: run `ecru verify --bytes --mark`, so that clients push the damaged layers again, or put their files \
             back from a backup (docs/operations.md, \"Damaged layers\").\n"
        }
        (false, true, false) => {
            "Not all is well: run `ecru verify --mark`, so that clients push the damaged layers again, or put their files back \
             from a backup (docs/operations.md, \"Damaged layers\").\n"
        }
        (false, true, true) => {
            "Not all is well: push the images of the marked layers again, or put their files back from a backup and run \
             `ecru verify --bytes --mark` (docs/operations.md, \"Damaged layers\").\n"
        }
    });
    text
}
