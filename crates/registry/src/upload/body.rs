//! Request bodies, gathered into the pool's buffers.
use super::writers::SessionLease;
use crate::{Cx, Error};
use blob::{Buffer, BufferShare, Buffers};
use bytes::{Buf, Bytes};

/// Bytes of a body at most that are gathered without a buffer of the pool, of which a small body therefore needs none.
const POOLLESS_BYTES: usize = 16 * 1024;

/// A body as it comes in, piece by piece.
#[async_trait::async_trait]
pub trait BodySource: Send {
    /// The next piece; `None` at the body's end. [`Error::BodyTruncated`] when it ends early. Whoever stops waiting loses nothing.
    async fn next(&mut self) -> Result<Option<Bytes>, Error>;
}

/// A body that is at hand.
pub struct WholeBody(pub Option<Bytes>);

#[async_trait::async_trait]
impl BodySource for WholeBody {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.0.take())
    }
}

/// What comes next of a body.
pub(super) enum BodyPiece {
    /// Bytes: a full buffer, or the last of the body.
    Bytes(Buffer),
    /// The body ended as it should.
    End,
    /// The body broke off, or there is no buffer for the rest of it; everything that came before was given.
    Broken(Error),
    /// A newer request wants the session.
    Superseded,
}

/// Gathers a body into full buffers. A buffer of the pool is taken when there are bytes for it that a small one can't hold.
pub(super) struct Intake<'a> {
    body: &'a mut dyn BodySource,
    buffers: &'a Buffers,
    /// What the caller may hold of `buffers`.
    share: BufferShare,
    /// Whether the body is longer than a small buffer.
    long: bool,
    lease: SessionLease,
    /// What came and did not fit the last buffer.
    rest: Bytes,
    /// How the body ended, to be told after its last bytes.
    end: Option<BodyPiece>,
    /// The buffer that is being filled.
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

    /// What comes next. Whoever stops waiting loses nothing.
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
                // Its memory goes back to the connection, which then reads the next piece into the same, still in the cache.
                self.rest = Bytes::new();
            }
        }
        match (self.filling.take(), &self.end) {
            (_, Some(BodyPiece::Superseded)) => BodyPiece::Superseded,
            (Some(buffer), _) => BodyPiece::Bytes(buffer),
            (None, _) => self.end.take().unwrap_or(BodyPiece::End),
        }
    }

    /// Whether the body ends without a byte; waits for the first. Cancel-safe.
    pub(super) async fn is_empty(&mut self) -> bool {
        while self.rest.is_empty() && self.end.is_none() {
            self.read().await;
        }
        self.rest.is_empty() && matches!(self.end, Some(BodyPiece::End))
    }

    /// The body, if it is whole and has no more than `max` bytes; else its beginning is given by [`Intake::next`] again.
    pub(super) async fn whole(&mut self, max: usize) -> Result<Option<Vec<u8>>, BodyPiece> {
        let bytes = match self.next().await {
            // Only the last buffer of a body is not full.
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

    /// Has a buffer with room for what came.
    ///
    /// Cancel-safe.
    async fn make_room(&mut self) -> Result<(), Error> {
        match &self.filling {
            Some(_) if self.long => return Ok(()),
            // One byte is left free, since a full buffer is not a body's last.
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

/// Reads a body to its end and forgets it: a client that still sends does not read its answer. A body that is larger than any layer
/// may be is not read on.
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
