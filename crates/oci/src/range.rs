//! Byte ranges of requests and of upload chunks.

#[cfg(test)]
mod tests;

use std::ops::Range;

/// One range of a `Range: bytes=…` header (RFC 9110 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `first-last`, inclusive; with the last before the first it is within no content.
    FromTo(u64, u64),
    /// `first-`
    From(u64),
    /// `-n`: the last n bytes.
    Last(u64),
}

impl ByteRange {
    /// Reads a header. `None` when it is to be ignored (another unit, or malformed: RFC 9110 14.2); an error for several ranges, which Ecru refuses.
    ///
    /// Positions beyond 64 bits count as the largest one, since they are valid and beyond every content.
    pub fn parse(header: &str) -> Result<Option<ByteRange>, InvalidRange> {
        let Some((unit, set)) = header.split_once('=') else {
            return Ok(None);
        };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Ok(None);
        }
        // Empty elements of a list are to be accepted and skipped (RFC 9110 5.6.1.2).
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
            // RFC 9110 14.2 lets a server ignore or refuse a range that ends before it begins; it can't be satisfied.
            (first, last) => Some(ByteRange::FromTo(position(first)?, position(last)?)),
        }
    }

    /// The half-open range of bytes in a content of `size` bytes; `None` when it can't be satisfied (416), as always in an empty content.
    pub fn resolve(&self, size: u64) -> Option<Range<u64>> {
        let range = match *self {
            ByteRange::FromTo(first, last) => first..last.saturating_add(1).min(size),
            ByteRange::From(first) => first..size,
            ByteRange::Last(length) => size.saturating_sub(length)..size,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// The place of an upload chunk: `first-last`, inclusive (`Content-Range` of OCI distribution-spec "Pushing a blob in chunks"; with or without `bytes `, and with `/*` or `/size` tolerated).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    pub first: u64,
    pub last: u64,
}

impl ChunkRange {
    /// The highest position that a chunk may have; stores keep offsets in 63 bits.
    pub const MAX_POSITION: u64 = i64::MAX as u64 - 1;

    /// Reads a `Content-Range` header: `0-99`, `bytes 0-99/*`, `bytes 0-99/100` or `bytes=0-99`.
    ///
    /// An error for anything else, for a last byte before the first or not within `/size`, and for positions over [`ChunkRange::MAX_POSITION`].
    pub fn parse(header: &str) -> Result<ChunkRange, InvalidRange> {
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

    /// The number of bytes; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a chunk with a range is never empty")]
    pub fn len(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// Reads decimal digits and nothing else; beyond 64 bits the largest number.
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
