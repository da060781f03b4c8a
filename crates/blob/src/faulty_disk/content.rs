//! A file's bytes, and the possible results of a crash for the unsynced ones.

use super::Seed;
use std::collections::BTreeMap;

/// Bytes that the kernel writes to a device at once.
const PAGE: usize = 4096;
/// Bytes that a device writes at once. A page can be torn between its sectors.
const SECTOR: usize = 512;

#[derive(Default)]
pub(super) struct Content {
    /// The bytes that the running system sees.
    now: Vec<u8>,
    /// The pages whose durable bytes may differ from `now`.
    unsynced: BTreeMap<usize, Unsynced>,
    synced_len: usize,
    /// The greatest length since the last sync. The kernel may have stored it by itself before the file was truncated.
    longest: usize,
}

/// A page that was written since the last sync.
struct Unsynced {
    /// The page's durable bytes, up to the file's durable end.
    old: Vec<u8>,
    /// True if a sync failed after the last write. The kernel then considers the page clean, and no later sync writes it.
    forgotten: bool,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.now.len() as u64
    }

    pub(super) fn read(&self, into: &mut [u8], offset: u64) -> usize {
        let from = index(offset).min(self.now.len());
        let count = into.len().min(self.now.len() - from);
        into[..count].copy_from_slice(&self.now[from..from + count]);
        count
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let from = index(offset);
        let to = from + bytes.len();
        if bytes.is_empty() {
            return;
        }
        self.touch(from.min(self.now.len()), to);
        if self.now.len() < to {
            self.now.resize(to, 0);
            self.longest = self.longest.max(to);
        }
        self.now[from..to].copy_from_slice(bytes);
    }

    pub(super) fn truncate(&mut self, len: u64) {
        let (len, was) = (index(len), self.now.len());
        if len == was {
            return;
        }
        self.touch(len.min(was), len.max(was));
        self.now.resize(len, 0);
        self.longest = self.longest.max(len);
    }

    /// Saves the durable bytes of the pages that are about to change.
    fn touch(&mut self, from: usize, to: usize) {
        for page in from / PAGE..to.div_ceil(PAGE) {
            // A page outside `unsynced` is the same on the device, so its durable bytes are in `now`.
            let (now, synced_len) = (&self.now, self.synced_len);
            let kept = self.unsynced.entry(page).or_insert_with(|| Unsynced {
                old: page_of(&now[..synced_len.min(now.len())], page).to_vec(),
                forgotten: false,
            });
            kept.forgotten = false;
        }
    }

    pub(super) fn sync(&mut self) {
        self.unsynced.retain(|_, page| page.forgotten);
        self.synced_len = self.now.len();
        self.longest = self.synced_len;
    }

    /// Does what Linux does at a failed fsync: the pages count as clean, and are not written again unless they change.
    pub(super) fn sync_failed(&mut self) {
        self.unsynced.values_mut().for_each(|page| page.forgotten = true);
    }

    pub(super) fn after_crash(&self, seed: &mut Seed) -> Content {
        let len = self.len_after_crash(seed);
        let mut left = self.now.clone();
        left.resize(len.max(left.len()), 0);
        for (page, kept) in &self.unsynced {
            let new_until = match seed.below(3) {
                0 => 0,
                1 => PAGE,
                _ => SECTOR * seed.below(PAGE / SECTOR),
            };
            let start = (page * PAGE).min(left.len());
            let end = (start + PAGE).min(left.len());
            for (at, byte) in left[start..end].iter_mut().enumerate().skip(new_until) {
                *byte = kept.old.get(at).copied().unwrap_or(0);
            }
        }
        left.truncate(len);
        Content { synced_len: len, longest: len, now: left, unsynced: BTreeMap::new() }
    }

    fn len_after_crash(&self, seed: &mut Seed) -> usize {
        let shortest = self.synced_len.min(self.now.len());
        match seed.below(4) {
            0 => self.synced_len,
            1 => self.now.len(),
            2 => self.longest,
            // The end of a page between the shortest and the longest length.
            _ => ((shortest + seed.below(self.longest - shortest + 1)) / PAGE * PAGE).clamp(shortest, self.longest),
        }
    }
}

fn page_of(bytes: &[u8], page: usize) -> &[u8] {
    let start = (page * PAGE).min(bytes.len());
    &bytes[start..(start + PAGE).min(bytes.len())]
}

/// Converts an offset to an index. Files in tests are far shorter than `usize::MAX`.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns every result of a crash, over many seeds.
    fn outcomes(content: &Content) -> Vec<Vec<u8>> {
        let mut found: Vec<Vec<u8>> = (0..300).map(|seed| content.after_crash(&mut Seed(seed)).now).collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn synced_bytes_survive_later_unsynced_writes() {
        let mut content = Content::default();
        content.write(b"synced", 0);
        content.sync();
        content.write(b"not synced", 6);
        let outcomes = outcomes(&content);
        assert!(outcomes.iter().all(|left| left.starts_with(b"synced")), "{outcomes:?}");
        for (left, what) in [
            (&b"synced"[..], "lost"),
            (b"syncednot synced", "kept"),
            (b"synced\0\0\0\0\0\0\0\0\0\0", "a length without its bytes"),
        ] {
            assert!(outcomes.iter().any(|found| found == left), "never {what}: {outcomes:?}");
        }
    }

    #[test]
    fn a_page_can_be_torn_and_pages_survive_independently() {
        let mut content = Content::default();
        content.write(&[1; 3 * PAGE], 0);
        content.sync();
        content.write(&[2; 3 * PAGE], 0);
        let outcomes = outcomes(&content);
        assert!(outcomes.iter().all(|left| left.len() == 3 * PAGE));
        assert!(outcomes.iter().any(|left| left[0] == 2 && left[PAGE - 1] == 1), "no page was torn");
        assert!(
            outcomes.iter().any(|left| left[0] == 1 && left[2 * PAGE] == 2),
            "no page survived without the one before it"
        );
    }

    #[test]
    fn a_crash_may_undo_an_unsynced_truncation() {
        let mut content = Content::default();
        content.write(b"long enough", 0);
        content.sync();
        content.truncate(4);
        let outcomes = outcomes(&content);
        assert!(outcomes.contains(&b"long enough".to_vec()) && outcomes.contains(&b"long".to_vec()), "{outcomes:?}");
    }

    #[test]
    fn an_unsynced_length_may_return_after_a_truncation() {
        let mut content = Content::default();
        content.write(b"long", 0);
        content.sync();
        content.write(b" enough", 4);
        content.truncate(4);
        let before = outcomes(&content);
        assert!(
            before.iter().any(|left| left.len() == 11) && before.iter().all(|left| left.starts_with(b"long")),
            "{before:?}"
        );
        content.sync();
        assert_eq!(outcomes(&content), [b"long"]);
    }

    #[test]
    fn no_later_sync_writes_the_bytes_of_a_failed_sync() {
        let mut content = Content::default();
        content.write(b"forgotten", 0);
        content.sync_failed();
        content.sync();
        assert!(outcomes(&content).iter().any(|left| left != b"forgotten"));
        content.write(b"FORGOTTEN", 0);
        content.sync();
        assert_eq!(outcomes(&content), [b"FORGOTTEN"]);
    }
}
