//! Byte ranges of requests and of upload chunks.

/// One range of a `Range: bytes=…` header (RFC 9110 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `first-last`, inclusive.
    FromTo(u64, u64),
    /// `first-`
    From(u64),
    /// `-n`: the last n bytes.
    Last(u64),
}

impl ByteRange {
    /// Reads a header. `None` when it is to be ignored (another unit, or malformed: RFC 9110 14.2); an error for several ranges, which Ecru refuses.
    pub fn parse(_header: &str) -> Result<Option<ByteRange>, InvalidRange> { todo!() }
    /// The half-open range of bytes in a content of `size` bytes; `None` when it can't be satisfied (416).
    pub fn resolve(&self, _size: u64) -> Option<std::ops::Range<u64>> { todo!() }
}

/// The place of an upload chunk: `first-last`, inclusive (`Content-Range` of OCI distribution-spec "Pushing a blob in chunks"; with or without `bytes `, and with `/*` or `/size` tolerated).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    pub first: u64,
    pub last: u64,
}

impl ChunkRange {
    pub fn parse(_header: &str) -> Result<ChunkRange, InvalidRange> { todo!() }
    pub fn len(&self) -> u64 { todo!() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid range: {0}")]
pub struct InvalidRange(pub &'static str);
