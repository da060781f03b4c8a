//! Reads a call's body within its size limit and the memory budget of all calls. `RequestBody` enforces the time limit.

use super::Refusal;
use bytes::Bytes;
use listen::body::BodySource;
use listen::memory::{self, Budget, Lease, NotRead, Owner};
use oci::{Algorithm, Hasher};
use std::time::Duration;

/// Maximum time for a whole body: 28 MiB at 1 Mbit/s.
pub const BODY_TIME: Duration = Duration::from_secs(240);
/// Maximum bytes of a small body. Nearly all calls have one.
pub const SMALL_BODY_BYTES: u64 = 64 * 1024;
/// Maximum time for a small body: 64 KiB at 9 kbit/s, the minimum pace.
pub const SMALL_BODY_TIME: Duration = Duration::from_secs(60);

/// A complete body. It holds its memory budget until dropped.
pub struct Received {
    lease: Lease,
    pub sha256: [u8; 32],
}

impl Received {
    /// Returns the body of an authenticated caller, with its lease moved to the budget of such calls.
    pub async fn accept(self, calls: &Budget, owner: Owner) -> Result<(Bytes, Lease), Refusal> {
        let mut lease = self.lease.move_to(calls, owner).await?;
        Ok((lease.finish()?.into(), lease))
    }

    /// Returns the body, to find out what it asks for.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Refusal> {
        Ok(self.lease.finish()?)
    }
}

/// Reads a body of at most `limit` bytes into its lease.
pub async fn receive(
    mut lease: Lease,
    body: &mut impl BodySource,
    declared: Option<u64>,
    limit: usize,
) -> Result<Received, Refusal> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let read = memory::read(&mut lease, body, declared, limit, |piece| hasher.update(piece)).await;
    read.map_err(|why| match why {
        NotRead::TooLarge => Refusal::BodyTooLarge { limit },
        NotRead::Truncated(cause) => Refusal::BodyTruncated(cause),
        NotRead::Failed(error) => error.into(),
    })?;
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(hasher.finish().hash());
    Ok(Received { lease, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::CommonError;
    use registry::Error;

    const LIMIT: usize = 8;

    struct Pieces(Vec<Result<&'static [u8], Error>>);

    #[async_trait::async_trait]
    impl BodySource for Pieces {
        async fn next(&mut self) -> Result<Option<Bytes>, Error> {
            if self.0.is_empty() { Ok(None) } else { self.0.remove(0).map(|piece| Some(Bytes::from_static(piece))) }
        }
    }

    fn owner() -> Owner {
        Owner::stranger("10.0.0.1".parse().unwrap())
    }

    async fn read(
        budget: &Budget,
        pieces: Vec<Result<&'static [u8], Error>>,
        declared: Option<u64>,
    ) -> Result<Received, Refusal> {
        receive(budget.receive(owner()), &mut Pieces(pieces), declared, LIMIT).await
    }

    fn budget() -> Budget {
        Budget::new("test", 16)
    }

    #[tokio::test]
    async fn a_body_comes_whole_with_its_hash_and_gives_its_room_back() {
        let (budget, calls) = (budget(), budget());
        let hash = oci::Digest::of(Algorithm::Sha256, b"abc");
        for (declared, room) in [(Some(3), 3), (None, LIMIT)] {
            let received = read(&budget, vec![Ok(b"ab"), Ok(b"c")], declared).await.unwrap();
            assert_eq!(received.sha256, hash.hash());
            assert_eq!((budget.free(), calls.free()), (16 - room, 16));
            let (bytes, lease) = received.accept(&calls, owner()).await.unwrap();
            assert_eq!(bytes, "abc");
            assert_eq!((budget.free(), calls.free()), (16, 16 - room));
            drop(lease);
            assert_eq!(calls.free(), 16);
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
        assert!(matches!(outcome, Err(Refusal::BodyTruncated(_))));
        assert_eq!(budget.free(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_finds_no_room_is_told_to_try_again() {
        let budget = budget();
        let _all = budget.take(owner(), 16).await.unwrap();
        let refusal = read(&budget, vec![Ok(b"12")], Some(2)).await.err().unwrap();
        assert!(matches!(refusal.common(), Some(CommonError::Busy)), "{refusal:?}");
    }
}
