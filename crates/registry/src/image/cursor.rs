//! Cursors of listings of images, as the bytes of a page token.

use crate::{Constraint, Error};
use meta::records::image::PushCursor;

/// Writes the push time in big-endian, and the digest.
pub(super) fn write(cursor: &PushCursor) -> Vec<u8> {
    [cursor.pushed_at.to_be_bytes().as_slice(), &cursor.digest].concat()
}

pub(super) fn read(bytes: &[u8]) -> Option<PushCursor> {
    let (pushed_at, digest) = bytes.split_first_chunk::<8>()?;
    Some(PushCursor { pushed_at: i64::from_be_bytes(*pushed_at), digest: digest.to_vec() })
}

/// Returns the error for a cursor of another listing. Page tokens are authenticated, so only a changed format leads here.
pub(crate) fn invalid() -> Error {
    Error::invalid("nextToken", Constraint::Text("The token is not one of this listing's".into()))
}
