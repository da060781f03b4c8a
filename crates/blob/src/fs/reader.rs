//! Reads a range of one file, a buffer at a time.

use super::blocking;
use crate::checksum::BLOCK_BYTES;
use crate::disk::DiskFile;
use crate::open_files::OpenFile;
use crate::{Buffer, Buffers, Error, Reader};
use async_trait::async_trait;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// The reader of one range. It counts among the open files until it is dropped.
pub(super) struct FsReader {
    file: Arc<dyn DiskFile>,
    buffers: Buffers,
    left: Range<u64>,
    _open: OpenFile,
}

impl FsReader {
    pub(super) fn new(file: Arc<dyn DiskFile>, buffers: Buffers, range: Range<u64>, open: OpenFile) -> FsReader {
        FsReader { file, buffers, left: range, _open: open }
    }
}

#[async_trait]
impl Reader for FsReader {
    async fn next(&mut self) -> Result<Option<Buffer>, Error> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let offset = self.left.start;
        let wanted = usize::try_from(self.left.end - offset).unwrap_or(usize::MAX).min(Buffers::SIZE);
        // A small read needs no pooled buffer, so large transfers can't delay it.
        let small = wanted <= Buffers::SMALL;
        let mut buffer = if small { Buffer::small(wanted) } else { self.buffers.take_in_time().await? };
        // A copy from the kernel's page cache costs less than a change of thread.
        let cached = self.file.read_cached_at(&mut buffer.spare_mut()[..wanted], offset).unwrap_or(0);
        let (buffer, count) = if cached == wanted {
            (buffer, cached)
        } else if cached >= BLOCK_BYTES {
            // Return the whole blocks while the kernel reads ahead.
            (buffer, cached / BLOCK_BYTES * BLOCK_BYTES)
        } else {
            let file = self.file.clone();
            blocking(move || read(&*file, buffer, cached..wanted, offset)).await?
        };
        if count == 0 {
            return Err(Error::out_of_range());
        }
        self.left.start += count as u64;
        Ok(Some(filled(buffer, count)))
    }
}

fn filled(mut buffer: Buffer, count: usize) -> Buffer {
    buffer.set_len(count);
    buffer
}

/// Fills the `rest` of the buffer, whose first byte is the one at `offset`. Returns fewer bytes only at the file's end.
fn read(
    file: &dyn DiskFile,
    mut buffer: Buffer,
    mut rest: Range<usize>,
    offset: u64,
) -> Result<(Buffer, usize), Error> {
    while !rest.is_empty() {
        match file.read_at(&mut buffer.spare_mut()[rest.clone()], offset + rest.start as u64) {
            Ok(0) => break,
            Ok(count) => rest.start += count,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(Error::from_io("reading a layer's file", cause)),
        }
    }
    Ok((buffer, rest.start))
}
