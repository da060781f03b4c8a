//! Reading a call's body: bounded in bytes, and in what all calls hold at once. `body` bounds it in time.
use super::Refusal;
use bytes::Bytes;
use oci::{Algorithm, Hasher};
use registry::upload::Source;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The longest that a whole body may take: 28 MiB at 1 Mbit/s.
pub const BODY_TIME: Duration = Duration::from_secs(240);

/// What bodies may take of the process.
pub struct Budget<'a> {
    /// Bytes that all of them may hold at once.
    pub bytes: &'a Arc<Semaphore>,
    /// How long one waits for its room; then its caller is told to try again.
    pub patience: Duration,
}

impl<'a> Budget<'a> {
    pub fn new(bytes: &'a Arc<Semaphore>) -> Budget<'a> {
        Budget { bytes, patience: Duration::from_secs(30) }
    }
}

/// A body that came whole. It holds its room in the budget until it is dropped.
pub struct Received {
    pub bytes: Bytes,
    pub sha256: [u8; 32],
    _room: OwnedSemaphorePermit,
}

/// Reads a body of `limit` bytes at most. Its room in the budget is taken before the first byte is kept.
pub async fn receive(
    budget: Budget<'_>,
    body: &mut impl Source,
    declared: Option<u64>,
    limit: usize,
) -> Result<Received, Refusal> {
    let expected = match declared.map(usize::try_from) {
        Some(Ok(declared)) if declared <= limit => declared,
        Some(_) => return Err(Refusal::BodyTooLarge { limit }),
        None => limit,
    };
    let room = budget.bytes.clone().acquire_many_owned(u32::try_from(expected).unwrap_or(u32::MAX));
    let room = timeout(budget.patience, room).await.ok().and_then(Result::ok).ok_or(Refusal::Busy)?;
    let mut kept = Vec::with_capacity(expected);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    while let Some(piece) = body.next().await? {
        if kept.len() + piece.len() > limit {
            return Err(Refusal::BodyTooLarge { limit });
        }
        hasher.update(&piece);
        kept.extend_from_slice(&piece);
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(hasher.finish().hash());
    Ok(Received { bytes: Bytes::from(kept), sha256, _room: room })
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry::Error;

    const LIMIT: usize = 8;

    struct Pieces(Vec<Result<&'static [u8], Error>>);

    #[async_trait::async_trait]
    impl Source for Pieces {
        async fn next(&mut self) -> Result<Option<Bytes>, Error> {
            if self.0.is_empty() { Ok(None) } else { self.0.remove(0).map(|piece| Some(Bytes::from_static(piece))) }
        }
    }

    async fn read(
        budget: &Arc<Semaphore>,
        pieces: Vec<Result<&'static [u8], Error>>,
        declared: Option<u64>,
    ) -> Result<Received, Refusal> {
        receive(Budget::new(budget), &mut Pieces(pieces), declared, LIMIT).await
    }

    fn budget() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(16))
    }

    #[tokio::test]
    async fn a_body_comes_whole_with_its_hash_and_gives_its_room_back() {
        let budget = budget();
        let hash = oci::Digest::of(Algorithm::Sha256, b"abc");
        for (declared, room) in [(Some(3), 3), (None, LIMIT)] {
            let received = read(&budget, vec![Ok(b"ab"), Ok(b"c")], declared).await.unwrap();
            assert_eq!(received.bytes, "abc");
            assert_eq!(received.sha256, hash.hash());
            assert_eq!(budget.available_permits(), 16 - room);
            drop(received);
            assert_eq!(budget.available_permits(), 16);
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_declared_or_not() {
        for declared in [Some(9), Some(u64::MAX), None] {
            let outcome = read(&budget(), vec![Ok(b"12345"), Ok(b"6789")], declared).await;
            assert!(matches!(outcome, Err(Refusal::BodyTooLarge { limit: LIMIT })), "{declared:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused_and_gives_its_room_back() {
        let budget = budget();
        let outcome = read(&budget, vec![Ok(b"12"), Err(Error::BodyTruncated("reset".to_owned()))], Some(4)).await;
        assert!(matches!(outcome, Err(Refusal::Failed(Error::BodyTruncated(_)))));
        assert_eq!(budget.available_permits(), 16);
    }

    #[tokio::test]
    async fn a_call_that_finds_no_room_is_told_to_try_again() {
        let budget = budget();
        let _all = budget.clone().acquire_many_owned(16).await.unwrap();
        let impatient = Budget { bytes: &budget, patience: Duration::ZERO };
        let outcome = receive(impatient, &mut Pieces(vec![Ok(b"12")]), Some(2), LIMIT).await;
        assert!(matches!(outcome, Err(Refusal::Busy)));
    }
}
