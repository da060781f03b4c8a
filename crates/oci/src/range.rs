//! Byte ranges of requests and of upload chunks.

#[cfg(test)]
mod tests;

use std::ops::Range;

/// One range of a `Range: bytes=…` header (RFC 9110 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `first-last`, inclusive. If `last` is smaller than `first`, no content satisfies the range.
    FromTo(u64, u64),
    /// `first-`
    From(u64),
    /// `-n`: the last n bytes.
    Last(u64),
}

impl ByteRange {
    /// Parses a `Range` header.
    ///
    /// Returns `None` if the header must be ignored: its unit is not `bytes`, or it is malformed (RFC 9110 14.2).
    /// Several ranges are an error, because Ecru serves one range at a time.
    ///
    /// A position beyond 64 bits is valid, so it is read as the largest one. No content is that long.
    pub fn parse(header: &str) -> Result<Option<ByteRange>, InvalidRange> {
        let Some((unit, set)) = header.split_once('=') else {
            return Ok(None);
        };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Ok(None);
        }
        // A recipient must accept and skip empty list elements (RFC 9110 5.6.1.2).
        let mut only = None;
        let mut several = false;
        for spec in set.split(',').map(|s| s.trim_matches([' ', '\t'])) {
            if spec.is_empty() {
                continue;
            }
            let Some(range) = ByteRange::parse_spec(spec) else {
                return Ok(None);
            };
            several |= only.replace(range).is_some();
        }
        if several {
            return Err(InvalidRange("only one range is served"));
        }
        Ok(only)
    }

    fn parse_spec(spec: &str) -> Option<ByteRange> {
        match spec.split_once('-')? {
            ("", length) => Some(ByteRange::Last(position(length)?)),
            (first, "") => Some(ByteRange::From(position(first)?)),
            // A server may ignore or refuse a range that ends before it begins (RFC 9110 14.2). `resolve` refuses it.
            (first, last) => Some(ByteRange::FromTo(position(first)?, position(last)?)),
        }
    }

    /// Returns the half-open byte range within a content of `size` bytes, or `None` if the content can't satisfy it (416).
    /// Empty content satisfies no range.
    pub fn resolve(&self, size: u64) -> Option<Range<u64>> {
        let range = match *self {
            ByteRange::FromTo(first, last) => first..last.saturating_add(1).min(size),
            ByteRange::From(first) => first..size,
            ByteRange::Last(length) => size.saturating_sub(length)..size,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// The position of an upload chunk: `first-last`, inclusive (`Content-Range`, OCI distribution-spec "Pushing a blob in chunks").
///
/// Clients also write the RFC 9110 form, with a leading `bytes ` or a trailing `/*` or `/size`. Both are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    pub first: u64,
    pub last: u64,
}

impl ChunkRange {
    /// The highest position of a byte in a chunk. Stores keep offsets in 63 bits.
    pub const MAX_POSITION: u64 = i64::MAX as u64 - 1;

    /// Parses a `Content-Range` header: `0-99`, `bytes 0-99/*`, `bytes 0-99/100` or `bytes=0-99`.
    ///
    /// Fails for any other form, for a last byte before the first or beyond `/size`, and for positions over
    /// [`ChunkRange::MAX_POSITION`].
    pub fn parse(header: &str) -> Result<ChunkRange, InvalidRange> {
        // Strip the unit, which the distribution-spec leaves out and RFC 9110 requires.
        let text = header.trim_matches([' ', '\t']);
        let text = match text.split_at_checked(5) {
            Some((unit, rest)) if unit.eq_ignore_ascii_case("bytes") => rest
                .strip_prefix(['=', ' '])
                .ok_or(InvalidRange("'bytes' is not followed by a range"))?
                .trim_start_matches(' '),
            _ => text,
        };

        let (positions, size) = match text.split_once('/') {
            Some((positions, size)) => (positions, Some(size)),
            None => (text, None),
        };
        let (first, last) = positions.split_once('-').ok_or(InvalidRange("it is not first-last"))?;
        let (Some(first), Some(last)) = (position(first), position(last)) else {
            return Err(InvalidRange("a position is not a number"));
        };
        if last < first {
            return Err(InvalidRange("its last byte is before its first"));
        }
        if last > ChunkRange::MAX_POSITION {
            return Err(InvalidRange("a position is too large"));
        }

        // A stated size must contain the whole chunk.
        match size {
            None | Some("*") => {}
            Some(size) => match position(size) {
                None => return Err(InvalidRange("its size is not a number")),
                Some(size) if last >= size => {
                    return Err(InvalidRange("its last byte is beyond its size"));
                }
                Some(_) => {}
            },
        }
        Ok(ChunkRange { first, last })
    }

    /// Returns the number of bytes, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a chunk with a range is never empty")]
    pub fn len(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// Parses a text of decimal digits only. Numbers beyond 64 bits become the largest one.
fn position(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// Why a range header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid range: {0}")]
pub struct InvalidRange(pub &'static str);
