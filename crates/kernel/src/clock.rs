//! The clock. All code takes the time from here.

use std::sync::Arc;
use std::time::Duration;

/// Microseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    pub fn plus(self, span: Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
    pub fn minus(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// A source of time. Tests have one whose time they set.
#[async_trait::async_trait]
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Time;
    /// Waits until the time is `until` or later.
    async fn sleep_until(&self, until: Time);
}

/// The operating system's clock.
pub struct SystemClock;

#[async_trait::async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
    async fn sleep_until(&self, until: Time) {
        let span = until.0.saturating_sub(self.now().0).max(0);
        tokio::time::sleep(Duration::from_micros(span.unsigned_abs())).await;
    }
}

pub type SharedClock = Arc<dyn Clock>;
