//! A clock that stands still until a test moves it.

use kernel::clock::{Clock, Time};
use std::time::Duration;
use tokio::sync::watch;

/// A clock that a test advances. Sleepers wake when it reaches their time.
pub struct TestClock {
    now: watch::Sender<Time>,
}

impl TestClock {
    /// 2026-11-21T10:00:00Z, the time at which every test begins.
    pub const START: Time = Time(1_795_255_200_000_000);

    /// Advances the clock and wakes the sleepers that are due.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = now.plus(by));
    }
}

impl Default for TestClock {
    fn default() -> TestClock {
        TestClock { now: watch::Sender::new(TestClock::START) }
    }
}

#[async_trait::async_trait]
impl Clock for TestClock {
    fn now(&self) -> Time {
        *self.now.borrow()
    }

    async fn sleep_until(&self, until: Time) {
        // The sender lives as long as `self`, so waiting can't fail. If it did, returning at once would be wrong.
        if self.now.subscribe().wait_for(|now| *now >= until).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_clock_reaches_its_time_and_not_before() {
        let clock = Arc::new(TestClock::default());
        let until = clock.now().plus(Duration::from_secs(60));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(until).await }
        });
        clock.advance(Duration::from_secs(59));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
    }
}
