//! Streaming a body onto the end of a session.
use super::UploadProgress;
use super::body::{BodyPiece, BodySource, Intake, within_layer_limit};
use super::receiver::{DurableProgress, Receiver};
use super::session::{UploadSession, UploadTarget};
use super::writers::SessionLease;
use crate::{Cx, Error};
use blob::{Buffer, Durable, Location};
use oci::{Algorithm, ChunkRange};
use std::pin::Pin;

/// Where a body belongs in its upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPlace {
    /// Behind this many bytes, and of any length.
    Offset(u64),
    /// At this range, and of its length.
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

/// A body on its way to a session's location.
pub(super) struct Transfer<'a> {
    cx: &'a Cx,
    target: &'a UploadTarget,
    intake: Intake<'a>,
    pub session: UploadSession,
    /// Where the body is to be, if the request says so.
    at: Option<BodyPlace>,
    /// Bytes that the session had before this body.
    begin: u64,
    /// The hash of a session that has no bytes yet.
    algorithm: Algorithm,
    /// Whether what came is remembered if the rest does not come.
    resumable: bool,
    /// Progress that is being stored while more comes.
    storing: Option<Storing<'a>>,
    /// Nobody knows whether the last progress was stored: the store failed while it committed.
    in_doubt: bool,
}

/// A commit that is under way, which answers the session as it is then.
type Storing<'a> = Pin<Box<dyn Future<Output = Result<UploadSession, Error>> + Send + 'a>>;

/// What a body is to a session.
pub(super) struct Chunk {
    pub at: Option<BodyPlace>,
    pub algorithm: Algorithm,
    pub resumable: bool,
}

impl<'a> Transfer<'a> {
    /// [`Error::InvalidLayerPart`] for a body that does not begin where the session stands.
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

    /// Holds a closing body to the offset of the path that it was sent to. A body without bytes goes anywhere; one at byte 0 is
    /// the whole layer, so the upload starts over with it: what the session has until now is left out of this transfer, and
    /// stays the session's until the layer is recorded. Returns the location that is then to be discarded.
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

    /// The whole body, if it has no more than `max` bytes; else [`Transfer::run`] will stream it.
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

    /// Streams the body to its end and hands over what received it, unless there was nothing to receive. No byte behind the
    /// session's stored progress is certain yet.
    ///
    /// When it fails, what came of a resumable body that broke off is stored; everything else is as it was.
    pub(super) async fn run(&mut self) -> Result<Option<Receiver>, Error> {
        let mut receiver = None;
        if let Err(error) = self.stream(&mut receiver).await {
            // What the body failed with is what its client hears.
            let _ = self.stored().await;
            if let Some(receiver) = receiver {
                self.abandon(receiver.location()).await;
            }
            return Err(error);
        }
        Ok(receiver)
    }

    /// Removes a location that no row names: nobody would ever come back to it. One that a row may name is left to the sweep.
    pub(super) async fn abandon(&mut self, location: Location) {
        if !self.in_doubt && self.session.location() != Some(location) {
            discard(self.cx, location).await;
        }
    }

    /// Stores how far the session is, as far as the engine can make it durable.
    pub(super) async fn commit(&mut self, receiver: &mut Receiver) -> Result<(), Error> {
        self.stored().await?;
        let progress = receiver.sync().await.map_err(|error| self.store_error(error))?;
        self.store(progress);
        self.stored().await
    }

    /// Begins to store how far the session is, after what is being stored.
    fn store(&mut self, progress: DurableProgress) {
        self.storing = Some(Box::pin(self.session.commit(self.cx, self.target, progress)));
    }

    /// Waits until nothing is being stored. Whoever stops waiting loses nothing.
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
            // So that a long body that a crash cuts off need not be sent again whole. Of another body the receiver forgets what it
            // need not know any more.
            if let Some(receiver) = receiver.as_mut().filter(|_| self.storing.is_none())
                && let Some(progress) = receiver.synced()
                && self.resumable
            {
                self.store(progress);
            }
        }
    }

    /// What comes next of the body, while progress is being stored beside it.
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

    /// Opens the session's location where its stored progress ends, or a new one. `None` when the location can't be continued.
    pub(super) async fn try_open(&mut self) -> Result<Option<Receiver>, Error> {
        let (hasher, summer) = (self.session.hasher(self.algorithm)?, self.session.checksummer()?);
        let Some(location) = self.session.location() else {
            let location = self.cx.id();
            let writer = self.cx.blobs.create(location).await?;
            return Ok(Some(Receiver::new(location, writer, hasher, summer, Durable::default())));
        };
        let durable = self.session.durable();
        match self.cx.blobs.resume(location, &durable).await {
            Ok(writer) => Ok(Some(Receiver::new(location, writer, hasher, summer, durable))),
            Err(blob::Error::Missing | blob::Error::State(_)) => Ok(None),
            Err(error) => Err(self.store_error(error)),
        }
    }

    /// The session's bytes are not what its row says. The client can only begin again, and is told so.
    pub(super) fn lost(&self, why: &'static str) -> Error {
        tracing::error!(upload.id = %self.target.id, why, "An upload is lost");
        self.target.not_found()
    }

    pub(super) fn progress(&self) -> UploadProgress {
        UploadProgress { id: self.target.id, received: self.session.received() }
    }

    /// A chunk is as long as it says, and a layer no longer than the limit. `position`: bytes of the session with those that
    /// came; `ended`: no more will come.
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

    /// A failure of the store; that a newer writer has the location is the client's business.
    pub(super) fn store_error(&self, error: blob::Error) -> Error {
        match error {
            blob::Error::Superseded => self.target.superseded(self.session.received()),
            other => other.into(),
        }
    }
}

/// The failure of a body that does not begin where the session stands.
fn misplaced(target: &UploadTarget, first: u64, received: u64) -> Error {
    target.invalid_part(format!("The part begins at byte {first}, but the upload has {received} bytes"), received)
}

/// Removes bytes that no record names. A failure is no one's concern: the sweep finds them later.
pub(super) async fn discard(cx: &Cx, location: Location) {
    if let Err(error) = cx.blobs.remove(location, None).await {
        tracing::warn!(%location, error = %error, "Bytes that nobody needs could not be removed yet");
    }
}
