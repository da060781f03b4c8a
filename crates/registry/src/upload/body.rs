//! Collects request bodies into buffers of the pool.

use super::writers::SessionLease;
use crate::{Cx, Error};
use blob::{Buffer, BufferShare, Buffers};
use bytes::{Buf, Bytes};

/// The most bytes of a body that are collected without a buffer of the pool, so that a small body needs none.
const POOLLESS_BYTES: usize = 16 * 1024;

/// A body as it comes in, piece by piece.
#[async_trait::async_trait]
pub trait BodySource: Send {
    /// Returns the next piece, or `None` at the body's end. Fails with [`Error::BodyTruncated`] if the body ends early. Cancel-safe.
    async fn next(&mut self) -> Result<Option<Bytes>, Error>;
}

/// A body that is in memory.
pub struct WholeBody(pub Option<Bytes>);

#[async_trait::async_trait]
impl BodySource for WholeBody {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.0.take())
    }
}

/// The next event of a body.
pub(super) enum BodyPiece {
    /// A full buffer, or the last bytes of the body.
    Bytes(Buffer),
    /// The body is complete.
    End,
    /// The body ended early, or there is no buffer for its rest. All earlier bytes were returned.
    Broken(Error),
    /// A newer request has taken over the session.
    Superseded,
}

/// Collects a body into full buffers. It takes a buffer of the pool only when there are more bytes than fit into a small one.
pub(super) struct Intake<'a> {
    body: &'a mut dyn BodySource,
    buffers: &'a Buffers,
    /// The caller's share of `buffers`.
    share: BufferShare,
    /// True if the body does not fit into a small buffer.
    long: bool,
    lease: SessionLease,
    /// The received bytes that did not fit into the last buffer.
    rest: Bytes,
    /// The end of the body, to be returned after its last bytes.
    end: Option<BodyPiece>,
    /// The buffer to fill.
    filling: Option<Buffer>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(
        body: &'a mut dyn BodySource,
        (buffers, share): (&'a Buffers, BufferShare),
        lease: SessionLease,
    ) -> Intake<'a> {
        Intake { body, buffers, share, long: false, lease, rest: Bytes::new(), end: None, filling: None }
    }

    /// Returns the next piece. Cancel-safe.
    pub(super) async fn next(&mut self) -> BodyPiece {
        while self.filling.as_ref().is_none_or(|buffer| !self.long || buffer.room() > 0) {
            while self.rest.is_empty() && self.end.is_none() {
                self.read().await;
            }
            if matches!(self.end, Some(BodyPiece::Superseded)) || self.rest.is_empty() {
                break;
            }
            if let Err(error) = self.make_room().await {
                return BodyPiece::Broken(error);
            }
            let Some(buffer) = &mut self.filling else { break };
            let filled = buffer.fill(&self.rest);
            self.rest.advance(filled);
            if self.rest.is_empty() {
                // Release the memory, so that the connection reads the next piece into it while it is in the CPU's cache.
                self.rest = Bytes::new();
            }
        }
        match (self.filling.take(), &self.end) {
            (_, Some(BodyPiece::Superseded)) => BodyPiece::Superseded,
            (Some(buffer), _) => BodyPiece::Bytes(buffer),
            (None, _) => self.end.take().unwrap_or(BodyPiece::End),
        }
    }

    /// Waits for the first byte. Returns true if the body has none. Cancel-safe.
    pub(super) async fn is_empty(&mut self) -> bool {
        while self.rest.is_empty() && self.end.is_none() {
            self.read().await;
        }
        self.rest.is_empty() && matches!(self.end, Some(BodyPiece::End))
    }

    /// Returns the body if it is complete and has at most `max` bytes. Otherwise returns `None`, and [`Intake::next`] returns it from its
    /// beginning.
    pub(super) async fn whole(&mut self, max: usize) -> Result<Option<Vec<u8>>, BodyPiece> {
        let bytes = match self.next().await {
            // Only the last buffer of a body is not full, so this is the whole body.
            BodyPiece::Bytes(buffer) if buffer.len() <= max && buffer.room() > 0 => buffer,
            BodyPiece::Bytes(buffer) => {
                self.filling = Some(buffer);
                return Ok(None);
            }
            BodyPiece::End => return Ok(Some(Vec::new())),
            other => return Err(other),
        };
        match self.next().await {
            BodyPiece::End => Ok(Some(bytes.to_vec())),
            other => Err(other),
        }
    }

    /// Provides a buffer with room for the received bytes. Cancel-safe.
    async fn make_room(&mut self) -> Result<(), Error> {
        match &self.filling {
            Some(_) if self.long => return Ok(()),
            // Leave one byte free, because a full buffer is not the last of a body.
            Some(small) if small.room() > self.rest.len() => return Ok(()),
            None if !self.long && self.rest.len() <= POOLLESS_BYTES => {
                self.filling = Some(Buffer::small(POOLLESS_BYTES + 1));
                return Ok(());
            }
            _ => {}
        }
        let claim = self.share.claim().await?;
        let mut buffer = self.buffers.take_in_time().await?.claimed(claim);
        if let Some(small) = self.filling.take() {
            buffer.fill(&small);
        }
        (self.filling, self.long) = (Some(buffer), true);
        Ok(())
    }

    async fn read(&mut self) {
        tokio::select! {
            biased;
            () = self.lease.superseded() => self.end = Some(BodyPiece::Superseded),
            read = self.body.next() => match read {
                Ok(Some(bytes)) => self.rest = bytes,
                Ok(None) => self.end = Some(BodyPiece::End),
                Err(error) => self.end = Some(BodyPiece::Broken(error)),
            },
        }
    }
}

/// Reads a body to its end and drops it, because a client does not read the answer while it sends. Stops at the largest size of a
/// layer.
pub(super) async fn drain(cx: &Cx, body: &mut dyn BodySource) -> Result<(), Error> {
    let mut came = 0_u64;
    while let Some(bytes) = body.next().await? {
        came = came.saturating_add(bytes.len() as u64);
        within_layer_limit(cx, came)?;
    }
    Ok(())
}

/// Refuses a layer of so many bytes, if that is too many.
pub(super) fn within_layer_limit(cx: &Cx, bytes: u64) -> Result<(), Error> {
    let max = cx.limits.layer_bytes;
    if bytes <= max {
        return Ok(());
    }
    Err(Error::limit(Some("layer_bytes"), format!("The layer is larger than the maximum of {max} bytes")))
}
