//! Tracks outages of the stores. Each outage is logged once when it begins and once when it ends, however many calls are refused
//! meanwhile.

use crate::health::Health;
use kernel::lock;
use kernel::{CommonError, ErrorChain, System};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;

/// How often the stores are checked during an outage.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The current outages of the stores, as calls and checks have found them.
#[derive(Default)]
pub struct Outages {
    /// The reasons that were logged; at most as many as the domain has messages.
    reasons: Mutex<BTreeSet<String>>,
    begun: Notify,
    /// Number of current reasons, for metrics.
    pub current: Gauge,
    /// Calls that were refused because of an outage.
    pub refused: Counter,
}

impl Outages {
    /// Records a failed call. Returns true if an outage caused it, so that the caller need not log it.
    pub fn refused(&self, error: &CommonError) -> bool {
        let CommonError::Unavailable { message, .. } = error else { return false };
        self.refused.inc();
        self.found(message, &ErrorChain(error));
        true
    }

    /// Records what is wrong with a store, and logs it if it is new. Each outage has one ERROR line.
    pub fn found(&self, reason: &str, cause: &dyn std::fmt::Display) {
        let mut reasons = lock(&self.reasons);
        if reasons.contains(reason) {
            return;
        }
        if reasons.is_empty() {
            tracing::error!("A store fails, and calls that need it are refused until it works again: {cause}");
        } else {
            tracing::warn!("While a store fails, this is found too: {cause}");
        }
        reasons.insert(reason.to_owned());
        self.current.set(i64::try_from(reasons.len()).unwrap_or(i64::MAX));
        self.begun.notify_one();
    }

    /// Ends all outages.
    fn end(&self) {
        lock(&self.reasons).clear();
        self.current.set(0);
        tracing::info!(refused = self.refused.get(), "The stores work again");
    }
}

/// Checks the stores during each outage until they are back. Never returns.
pub async fn watch(health: &Health, system: &System) {
    loop {
        health.outages.begun.notified().await;
        loop {
            system.clock.sleep_until(system.now().plus(ASK_EVERY)).await;
            match health.ready(system).await {
                Ok(()) => break health.outages.end(),
                Err(_) => continue,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;

    /// The lines that `work` logs, each by its level and its beginning.
    fn logged(work: impl FnOnce()) -> Vec<String> {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false);
        tracing::subscriber::with_default(subscriber.with_writer(move || writer.clone()).finish(), work);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim_start().to_owned()).collect()
    }

    fn unavailable(message: &'static str) -> CommonError {
        CommonError::Unavailable { message, cure: "", source: Box::new(io::Error::other("refused")) }
    }

    #[test]
    fn an_outage_is_one_error_however_many_calls_it_refuses_and_its_end_is_said_once() {
        let outages = Outages::default();
        let lines = logged(|| {
            for _ in 0..100 {
                assert!(outages.refused(&unavailable("the database is gone")));
                assert!(outages.refused(&unavailable("it was lost meanwhile")));
            }
            assert!(
                !outages.refused(&CommonError::Busy)
                    && !outages.refused(&CommonError::server(io::Error::other("a fault")))
            );
            assert_eq!((outages.current.get(), outages.refused.get()), (2, 200));
            outages.end();
            assert_eq!(outages.current.get(), 0);
            assert!(outages.refused(&unavailable("the database is gone")));
        });
        let levels: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(levels, ["ERROR", "WARN", "INFO", "ERROR"], "{lines:#?}");
        assert!(lines[0].contains("the database is gone: refused"), "{}", lines[0]);
    }
}
