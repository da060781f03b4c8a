//! The minimum rate at which a client must read or send while the server waits for it.

use std::time::Duration;

/// Maximum waiting time for one window of bytes.
pub const WINDOW_TIME: Duration = Duration::from_secs(60);
/// Bytes that must move in [`WINDOW_TIME`] of waiting: 9 kbit/s, slower than any link that pulls images. A slower client would
/// block one of the pooled buffers.
pub const WINDOW_BYTES: u64 = 64 * 1024;

/// The pace of one direction of a connection or body. Only time in which the client keeps the server waiting counts.
#[derive(Debug, Default)]
pub struct Pace {
    waited: Duration,
    moved: u64,
}

impl Pace {
    /// Returns how much longer this window may wait.
    pub fn left(&self) -> Duration {
        WINDOW_TIME.saturating_sub(self.waited)
    }

    /// Adds a wait that has ended.
    pub fn waited(&mut self, time: Duration) {
        self.waited = self.waited.saturating_add(time);
    }

    /// Adds moved bytes; enough of them begin a new window.
    pub fn moved(&mut self, bytes: u64) {
        self.moved = self.moved.saturating_add(bytes);
        if self.moved >= WINDOW_BYTES {
            *self = Pace::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_uses_a_window_up_and_only_enough_bytes_begin_another() {
        let mut pace = Pace::default();
        pace.waited(WINDOW_TIME / 2);
        pace.moved(WINDOW_BYTES - 1);
        assert_eq!(pace.left(), WINDOW_TIME / 2);
        pace.moved(1);
        assert_eq!(pace.left(), WINDOW_TIME);
        pace.waited(WINDOW_TIME * 2);
        assert_eq!(pace.left(), Duration::ZERO);
    }
}
