//! Streams a body to the end of a session.

use super::UploadProgress;
use super::body::{BodyPiece, BodySource, Intake, within_layer_limit};
use super::receiver::{DurableProgress, Receiver};
use super::session::{UploadSession, UploadTarget};
use super::writers::SessionLease;
use crate::{Cx, Error};
use blob::{Buffer, DurableBytes, Location};
use oci::{Algorithm, ChunkRange};
use std::pin::Pin;

/// Where a body belongs in its upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPlace {
    /// After this many bytes, with any length.
    Offset(u64),
    /// At this range, with the range's length.
    Chunk(ChunkRange),
}

impl From<ChunkRange> for BodyPlace {
    fn from(range: ChunkRange) -> BodyPlace {
        BodyPlace::Chunk(range)
    }
}

impl BodyPlace {
    fn first(self) -> u64 {
        match self {
            BodyPlace::Offset(offset) => offset,
            BodyPlace::Chunk(range) => range.first,
        }
    }
}

/// A transfer of a body to a session's location.
pub(super) struct Transfer<'a> {
    cx: &'a Cx,
    target: &'a UploadTarget,
    intake: Intake<'a>,
    pub session: UploadSession,
    /// The place of the body, if the request states it.
    at: Option<BodyPlace>,
    /// The number of the session's bytes before this body.
    begin: u64,
    /// The hash algorithm of a session without bytes.
    algorithm: Algorithm,
    /// True if the received bytes are kept when the rest does not arrive.
    resumable: bool,
    /// A commit of progress that runs while more bytes arrive.
    storing: Option<Storing<'a>>,
    /// True if the outcome of the last commit of progress is unknown.
    in_doubt: bool,
}

/// A commit in progress, which returns the updated session.
type Storing<'a> = Pin<Box<dyn Future<Output = Result<UploadSession, Error>> + Send + 'a>>;

/// What a body is to a session.
pub(super) struct Chunk {
    pub at: Option<BodyPlace>,
    pub algorithm: Algorithm,
    pub resumable: bool,
}

impl<'a> Transfer<'a> {
    /// Creates a transfer. Fails with [`Error::InvalidLayerPart`] if the body does not begin at the session's offset.
    pub(super) fn new(
        cx: &'a Cx,
        target: &'a UploadTarget,
        session: UploadSession,
        chunk: Chunk,
        (body, lease): (&'a mut dyn BodySource, SessionLease),
    ) -> Result<Transfer<'a>, Error> {
        let begin = session.received();
        if let Some(at) = chunk.at.filter(|at| at.first() != begin) {
            return Err(misplaced(target, at.first(), begin));
        }
        let intake = Intake::new(body, (&cx.buffers, cx.share()), lease);
        let Chunk { at, algorithm, resumable } = chunk;
        Ok(Transfer { cx, target, intake, session, at, begin, algorithm, resumable, storing: None, in_doubt: false })
    }

    /// Checks the offset of a closing body against the session. A body without bytes may have any offset.
    ///
    /// A body at offset 0 is the whole layer, so the upload starts over with it. The transfer then ignores the session's earlier bytes, which
    /// stay the session's until the layer is recorded. Returns their location, to be discarded afterwards.
    pub(super) async fn close_at(&mut self, offset: u64, algorithm: Algorithm) -> Result<Option<Location>, Error> {
        if offset == self.begin || self.intake.is_empty().await {
            return Ok(None);
        }
        if offset != 0 {
            return Err(misplaced(self.target, offset, self.begin));
        }
        let former = self.session.location();
        self.session.forget_bytes();
        (self.begin, self.algorithm) = (0, algorithm);
        Ok(former)
    }

    /// Returns the whole body if it has at most `max` bytes. Otherwise returns `None`, and [`Transfer::run`] can stream it.
    pub(super) async fn whole(&mut self, max: usize) -> Result<Option<Vec<u8>>, Error> {
        match self.intake.whole(max).await {
            Ok(Some(bytes)) => {
                self.check(self.begin + bytes.len() as u64, true)?;
                Ok(Some(bytes))
            }
            Ok(None) => Ok(None),
            Err(BodyPiece::Broken(error)) => Err(error),
            Err(_) => Err(self.target.superseded(self.begin)),
        }
    }

    /// Streams the body to its end. Returns the receiver, or `None` if the body has no bytes. Bytes after the session's stored progress are
    /// not durable yet.
    ///
    /// On failure, the received bytes of an interrupted resumable body are stored. Otherwise the session is unchanged.
    pub(super) async fn run(&mut self) -> Result<Option<Receiver>, Error> {
        let mut receiver = None;
        if let Err(error) = self.stream(&mut receiver).await {
            // The client gets the body's error, not the error of a commit.
            let _ = self.stored().await;
            if let Some(receiver) = receiver {
                self.abandon(receiver.location()).await;
            }
            return Err(error);
        }
        Ok(receiver)
    }

    /// Removes a location that no row names, because it can't be resumed. A location that a row may name is left to the sweep of
    /// [`crate::collect`].
    pub(super) async fn abandon(&mut self, location: Location) {
        if !self.in_doubt && self.session.location() != Some(location) {
            discard(self.cx, location).await;
        }
    }

    /// Makes as many bytes durable as the engine can, and stores the progress.
    pub(super) async fn commit(&mut self, receiver: &mut Receiver) -> Result<(), Error> {
        self.stored().await?;
        let progress = receiver.sync().await.map_err(|error| self.store_error(error))?;
        self.store(progress);
        self.stored().await
    }

    /// Starts a commit of the progress. No other commit may be in progress.
    fn store(&mut self, progress: DurableProgress) {
        self.storing = Some(Box::pin(self.session.commit(self.cx, self.target, progress)));
    }

    /// Waits for a commit in progress. Cancel-safe.
    async fn stored(&mut self) -> Result<(), Error> {
        match &mut self.storing {
            Some(storing) => {
                let stored = storing.await;
                self.end_storing(stored)
            }
            None => Ok(()),
        }
    }

    fn end_storing(&mut self, stored: Result<UploadSession, Error>) -> Result<(), Error> {
        self.storing = None;
        self.in_doubt |= stored.as_ref().is_err_and(Error::is_in_doubt);
        self.session = stored?;
        Ok(())
    }

    async fn stream(&mut self, receiver: &mut Option<Receiver>) -> Result<(), Error> {
        loop {
            match self.next().await? {
                BodyPiece::Bytes(buffer) => self.receive(receiver, buffer).await?,
                BodyPiece::End => {
                    let position = receiver.as_ref().map_or(self.begin, Receiver::written);
                    return self.check(position, true);
                }
                BodyPiece::Broken(error) => {
                    if let Some(receiver) = receiver.as_mut().filter(|_| self.resumable) {
                        self.commit(receiver).await?;
                    }
                    return Err(error);
                }
                BodyPiece::Superseded => return Err(self.target.superseded(self.session.received())),
            }
            // Checkpoint the progress, so that a crash does not force a full resend. For non-resumable bodies this only lets the receiver
            // drop states that it does not need any more.
            if let Some(receiver) = receiver.as_mut().filter(|_| self.storing.is_none())
                && let Some(progress) = receiver.synced()
                && self.resumable
            {
                self.store(progress);
            }
        }
    }

    /// Returns the next piece of the body. Drives a commit in progress meanwhile.
    async fn next(&mut self) -> Result<BodyPiece, Error> {
        while let Some(storing) = &mut self.storing {
            tokio::select! {
                biased;
                stored = storing => self.end_storing(stored)?,
                piece = self.intake.next() => return Ok(piece),
            }
        }
        Ok(self.intake.next().await)
    }

    async fn receive(&mut self, receiver: &mut Option<Receiver>, buffer: Buffer) -> Result<(), Error> {
        let receiver = match receiver {
            Some(receiver) => receiver,
            None => receiver.insert(self.open().await?),
        };
        self.check(receiver.written() + buffer.len() as u64, false)?;
        receiver.write(buffer).await.map_err(|error| self.store_error(error))
    }

    async fn open(&mut self) -> Result<Receiver, Error> {
        self.try_open().await?.ok_or_else(|| self.lost("its location can't be continued"))
    }

    /// Opens the session's location at the end of its stored progress, or a new location. Returns `None` if the location can't be resumed.
    pub(super) async fn try_open(&mut self) -> Result<Option<Receiver>, Error> {
        let (hasher, summer) = (self.session.hasher(self.algorithm)?, self.session.checksummer()?);
        let Some(location) = self.session.location() else {
            let location = self.cx.id();
            let writer = self.cx.blobs.create(location).await?;
            return Ok(Some(Receiver::new(location, writer, hasher, summer, DurableBytes::default())));
        };
        let durable = self.session.durable();
        match self.cx.blobs.resume(location, &durable).await {
            Ok(writer) => Ok(Some(Receiver::new(location, writer, hasher, summer, durable))),
            Err(blob::Error::Missing | blob::Error::State(_)) => Ok(None),
            Err(error) => Err(self.store_error(error)),
        }
    }

    /// Returns the error for a session whose bytes do not match its row. The client must start a new upload.
    pub(super) fn lost(&self, why: &'static str) -> Error {
        tracing::error!(upload.id = %self.target.id, why, "An upload is lost");
        self.target.not_found()
    }

    pub(super) fn progress(&self) -> UploadProgress {
        UploadProgress { id: self.target.id, received: self.session.received() }
    }

    /// Checks that a chunk has its length, and that the layer is within the limit. `position` is the number of the session's bytes including
    /// the received ones. `ended` is true if the body is complete.
    fn check(&self, position: u64, ended: bool) -> Result<(), Error> {
        let (came, received) = (position - self.begin, self.session.received());
        if let Some(BodyPlace::Chunk(at)) = self.at {
            let expected = at.len();
            if came > expected {
                return Err(self
                    .target
                    .invalid_part(format!("The part has more than the {expected} bytes of its range"), received));
            }
            if ended && came < expected {
                return Err(self
                    .target
                    .invalid_part(format!("The part has {came} of the {expected} bytes of its range"), received));
            }
        }
        within_layer_limit(self.cx, position)
    }

    /// Converts an error of the store. If a newer writer has the location, the client gets the error for that.
    pub(super) fn store_error(&self, error: blob::Error) -> Error {
        match error {
            blob::Error::Superseded => self.target.superseded(self.session.received()),
            other => other.into(),
        }
    }
}

/// Returns the error for a body that does not begin at the session's offset.
fn misplaced(target: &UploadTarget, first: u64, received: u64) -> Error {
    target.invalid_part(format!("The part begins at byte {first}, but the upload has {received} bytes"), received)
}

/// Removes bytes that no record names. A failure is only logged, because the sweep of [`crate::collect`] finds the bytes
/// later.
pub(super) async fn discard(cx: &Cx, location: Location) {
    if let Err(error) = cx.blobs.remove(location, None).await {
        tracing::warn!(%location, error = %error, "Bytes that are not needed any more could not be removed yet");
    }
}
