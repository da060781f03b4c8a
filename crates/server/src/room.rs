//! Room in the budget of all bodies that are held in memory whole, [`crate::app::CALL_BODY_BYTES`].
use bytes::Bytes;
use registry::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The longest wait for room; then the client is told to try again.
pub const ROOM_TIME: Duration = Duration::from_secs(30);

/// Bytes that are taken of the budget until this is dropped.
pub struct Room(OwnedSemaphorePermit);

impl Room {
    /// Takes room for `bytes`, waiting [`ROOM_TIME`] at most; then [`Error::Busy`].
    pub async fn take(budget: &Arc<Semaphore>, bytes: usize) -> Result<Room, Error> {
        let permit = budget.clone().acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX));
        timeout(ROOM_TIME, permit).await.ok().and_then(Result::ok).map(Room).ok_or(Error::Busy)
    }

    /// The same bytes, which hold their own room until the last of them was sent. What was taken beyond them is given back now;
    /// what they have beyond that is the answer's form, and not counted.
    pub fn hold(mut self, bytes: Vec<u8>) -> Bytes {
        let beyond = self.0.num_permits().saturating_sub(bytes.len());
        drop(self.0.split(beyond));
        Bytes::from_owner(Held { bytes, _room: self })
    }
}

struct Held {
    bytes: Vec<u8>,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_hold_their_room_until_the_last_of_them_is_gone() {
        let budget = Arc::new(Semaphore::new(10));
        let bytes = Room::take(&budget, 8).await.unwrap().hold(vec![7; 3]);
        assert_eq!(budget.available_permits(), 7);
        let part = bytes.slice(1..2);
        drop(bytes);
        assert_eq!((&part[..], budget.available_permits()), (&[7][..], 7));
        drop(part);
        assert_eq!(budget.available_permits(), 10);
        drop(Room::take(&budget, 2).await.unwrap().hold(vec![7; 9]));
        assert_eq!(budget.available_permits(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_is_told_to_try_again() {
        let budget = Arc::new(Semaphore::new(10));
        let _all = Room::take(&budget, 10).await.unwrap();
        assert!(matches!(Room::take(&budget, 1).await, Err(Error::Busy)));
    }
}
