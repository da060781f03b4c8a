//! Bytes of one blob on their way, and the checks on them.

use super::TransferError;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use oci::{Digest, Hasher};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of one piece that is read from a file.
const PIECE_BYTES: u64 = 512 * 1024;
/// Pieces at most that wait between a file and whoever takes them.
const PIECES_AHEAD: usize = 2;

/// The bytes of a blob, or the rest of them.
pub type Content = BoxStream<'static, Result<Bytes, TransferError>>;

/// Reads `length` bytes of a file from `offset` on, on a thread of its own. Ends early where the file does.
pub fn of_file(file: Arc<File>, offset: u64, length: u64, path: &Path) -> Content {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let (mut at, end) = (offset, offset.saturating_add(length));
        while at < end {
            let wanted = usize::try_from((end - at).min(PIECE_BYTES)).unwrap_or_default();
            let mut piece = vec![0; wanted];
            let read = file.read_at(&mut piece, at).map_err(TransferError::io(&path));
            let (piece, last) = match read {
                Ok(0) => return,
                Ok(count) => {
                    piece.truncate(count);
                    at += count as u64;
                    (Ok(Bytes::from(piece)), false)
                }
                Err(error) => (Err(error), true),
            };
            // Fails when nobody wants the rest.
            if sender.blocking_send(piece).is_err() || last {
                return;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed()
}

/// What a blob must be, checked while its bytes pass.
pub struct Check {
    /// For errors, such as `layer sha256:… of ghcr.io/app`.
    pub what: String,
    pub digest: Digest,
    /// Bytes of the whole blob.
    pub size: u64,
    /// Bytes that were sent before; the digest of the rest says nothing, so that the receiver's check of the whole counts.
    pub offset: u64,
}

impl Check {
    /// Passes bytes on, and ends with an error where they are too many, too few, or not those of the digest.
    pub fn on(self, content: Content) -> Content {
        let hasher = Hasher::new(self.digest.algorithm());
        let state = Some((content, self, hasher, 0_u64));
        stream::unfold(state, |state| async {
            let (mut content, check, mut hasher, mut seen) = state?;
            let whole = check.size - check.offset.min(check.size);
            match content.next().await {
                Some(Ok(piece)) => {
                    seen += piece.len() as u64;
                    if seen > whole {
                        return Some((Err(check.wrong_size(seen)), None));
                    }
                    hasher.update(&piece);
                    // The receiver has what it was promised only if the digest is right, so the last piece waits for that.
                    if seen == whole && check.offset == 0 {
                        let actual = hasher.clone().finish();
                        if actual != check.digest {
                            let Check { what, digest: expected, .. } = check;
                            return Some((Err(TransferError::digest(what, expected, actual)), None));
                        }
                    }
                    Some((Ok(piece), Some((content, check, hasher, seen))))
                }
                Some(Err(error)) => Some((Err(error), None)),
                None if seen < whole => Some((Err(check.wrong_size(seen)), None)),
                // Not one byte came to compare the digest with.
                None if check.size == 0 => {
                    let actual = hasher.finish();
                    let Check { what, digest: expected, .. } = check;
                    (actual != expected).then(|| (Err(TransferError::digest(what, expected, actual)), None))
                }
                None => None,
            }
        })
        .boxed()
    }

    fn wrong_size(self, seen: u64) -> TransferError {
        TransferError::Size { what: self.what, expected: self.size, actual: self.offset + seen }
    }
}

/// Skips the first bytes of content whose sender could not start in its middle.
pub fn skip(content: Content, bytes: u64) -> Content {
    if bytes == 0 {
        return content;
    }
    stream::unfold((content, bytes), |(mut content, mut left)| async move {
        loop {
            match content.next().await? {
                Ok(piece) if (piece.len() as u64) <= left => left -= piece.len() as u64,
                Ok(mut piece) => {
                    let rest = piece.split_off(usize::try_from(left).unwrap_or_default());
                    return Some((Ok(rest), (content, 0)));
                }
                Err(error) => return Some((Err(error), (content, left))),
            }
        }
    })
    .boxed()
}

/// Reads content that is known to be small. Fails beyond `limit` bytes.
pub async fn collect(mut content: Content, limit: usize, what: &str) -> Result<Bytes, TransferError> {
    let mut bytes = Vec::new();
    while let Some(piece) = content.next().await {
        let piece = piece?;
        if bytes.len() + piece.len() > limit {
            let (expected, actual) = (limit as u64, (bytes.len() + piece.len()) as u64);
            return Err(TransferError::Size { what: what.to_owned(), expected, actual });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::Algorithm;

    fn content(pieces: &[&'static str]) -> Content {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect();
        stream::iter(pieces).boxed()
    }

    fn check(of: &str, size: u64, offset: u64) -> Check {
        Check { what: "layer".to_owned(), digest: Digest::of(Algorithm::Sha256, of.as_bytes()), size, offset }
    }

    async fn taken(check: Check, pieces: &[&'static str]) -> Result<Bytes, TransferError> {
        collect(check.on(content(pieces)), 1000, "layer").await
    }

    #[tokio::test]
    async fn content_is_held_to_its_digest_and_size() {
        assert_eq!(taken(check("abcdef", 6, 0), &["abc", "def"]).await.unwrap(), "abcdef");
        assert_eq!(taken(check("", 0, 0), &[]).await.unwrap(), "");
        // Of the rest of a blob the size alone can be told.
        assert_eq!(taken(check("abcdef", 6, 3), &["def"]).await.unwrap(), "def");
        assert!(matches!(taken(check("abcdef", 6, 0), &["abc", "dex"]).await, Err(TransferError::Digest { .. })));
        assert!(matches!(taken(check("a", 0, 0), &[]).await, Err(TransferError::Digest { .. })));
        for pieces in [&["abc"][..], &["abc", "defg"], &[]] {
            assert!(
                matches!(taken(check("abcdef", 6, 0), pieces).await, Err(TransferError::Size { .. })),
                "{pieces:?}"
            );
        }
    }

    #[tokio::test]
    async fn wrong_content_never_reaches_its_end() {
        let mut checked = check("abcdef", 6, 0).on(content(&["abc", "dex"]));
        assert_eq!(checked.next().await.unwrap().unwrap(), "abc");
        assert!(checked.next().await.unwrap().is_err());
        assert!(checked.next().await.is_none());
    }

    #[tokio::test]
    async fn content_goes_on_in_its_middle() {
        for (bytes, rest) in [(0, "abcdef"), (2, "cdef"), (3, "def"), (4, "ef"), (6, "")] {
            assert_eq!(collect(skip(content(&["abc", "def"]), bytes), 1000, "").await.unwrap(), rest);
        }
    }

    #[tokio::test]
    async fn a_file_is_read_from_an_offset() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let bytes: Vec<u8> = (0..3 * PIECE_BYTES).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = Arc::new(File::open(&path).unwrap());
        for (offset, length) in [(0, bytes.len()), (7, 1_000_000), (bytes.len() - 1, 1)] {
            let read = of_file(file.clone(), offset as u64, length as u64, &path);
            assert_eq!(collect(read, bytes.len(), "").await.unwrap(), &bytes[offset..offset + length]);
        }
        // A file that became shorter ends early, which the check of its size tells.
        assert_eq!(collect(of_file(file, bytes.len() as u64, 9, &path), 9, "").await.unwrap(), "");
    }
}
