//! The signals that stop the process.

use std::future::pending;
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Signals within this time after a counted one are treated as its repeats: `timeout` and a closing terminal signal both the
/// process and its group. Nobody presses Ctrl-C twice this fast.
const SAME_WISH: Duration = Duration::from_millis(100);

/// Receives SIGTERM, SIGINT and SIGHUP, which then no longer end the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// SIGHUP, which a closing terminal sends, stops the process unless [`Signals::take_hang_up`] has taken it.
    hang_up: Option<Signal>,
    wishes: Wishes,
}

/// Distinguishes a second request to stop from a repeat of the first.
#[derive(Default)]
struct Wishes {
    last: Option<Instant>,
}

impl Wishes {
    /// Whether a signal at this time is a new request to stop.
    fn counts(&mut self, at: Instant) -> bool {
        if self.last.is_some_and(|last| at.saturating_duration_since(last) < SAME_WISH) {
            return false;
        }
        self.last = Some(at);
        true
    }
}

impl Signals {
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: Some(signal(SignalKind::hangup())?),
            wishes: Wishes::default(),
        })
    }

    /// Takes SIGHUP for another use than stopping; `None` if it was taken already.
    pub fn take_hang_up(&mut self) -> Option<Signal> {
        self.hang_up.take()
    }

    /// Returns at the next signal that is not a repeat: see [`SAME_WISH`].
    pub async fn next(&mut self) {
        loop {
            self.any().await;
            if self.wishes.counts(Instant::now()) {
                return;
            }
        }
    }

    async fn any(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hang_up => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_come_together_are_one_wish() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut wishes = Wishes::default();
        for (milliseconds, counts) in [(0, true), (0, false), (99, false), (100, true), (150, false), (5_000, true)] {
            assert_eq!(wishes.counts(at(milliseconds)), counts, "{milliseconds} ms");
        }
    }
}
