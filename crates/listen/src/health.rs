//! Checks whether this process can serve: `/readyz`.

use crate::outage::Outages;
use kernel::clock::Time;
use kernel::lock;
use kernel::{CommonError, ErrorChain, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a check's result is reused, so that frequent probes are cheap.
const ANSWER_LIFE: Duration = Duration::from_secs(1);
/// Maximum time of a store's write check.
const CHECK_TIME: Duration = Duration::from_secs(2);

type Answer = Result<(), Vec<String>>;

/// Checks the stores and caches the last result.
pub struct Health {
    draining: AtomicBool,
    last: Mutex<Option<(Time, Answer)>>,
    /// Serializes checks, however many probes arrive.
    turn: Semaphore,
    /// The current outages of the stores.
    pub outages: Outages,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            draining: AtomicBool::new(false),
            last: Mutex::new(None),
            turn: Semaphore::new(1),
            outages: Outages::default(),
        }
    }
}

impl Health {
    /// Makes every later answer "draining".
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Returns `Ok` if both stores can be written in bounded time and the process is not draining; otherwise the reasons.
    ///
    /// Reasons contain no paths or addresses. A result may be a second old. While a new check runs, an earlier `Ok` is returned.
    pub async fn ready(&self, system: &System) -> Answer {
        if self.draining.load(Ordering::Relaxed) {
            return Err(vec!["draining: this process is stopping".to_owned()]);
        }
        if let Some(answer) = self.remembered(system.now()) {
            return answer;
        }
        let permit = match self.turn.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => {
                // Another check is running. Return an earlier `Ok`; otherwise wait for the new result.
                if let Some((_, Ok(()))) = self.last() {
                    return Ok(());
                }
                self.turn.acquire().await.ok()
            }
        };
        if let Some(answer) = self.remembered(system.now()) {
            return answer;
        }
        let answer = check(system, &self.outages).await;
        *lock(&self.last) = Some((system.now(), answer.clone()));
        drop(permit);
        answer
    }

    fn last(&self) -> Option<(Time, Answer)> {
        lock(&self.last).clone()
    }

    fn remembered(&self, now: Time) -> Option<Answer> {
        // Results from the future are ignored, so that a clock set back does not extend them.
        self.last().filter(|(at, _)| *at <= now && now <= at.plus(ANSWER_LIFE)).map(|(_, answer)| answer)
    }
}

/// Checks both stores in parallel.
async fn check(system: &System, outages: &Outages) -> Answer {
    let (metadata, layers) = tokio::join!(
        bounded("metadata", outages, async { system.db.check().await.map_err(CommonError::from) }),
        bounded("layers", outages, async { system.blobs.check().await.map_err(CommonError::from) }),
    );
    let problems: Vec<String> = [metadata, layers].into_iter().flatten().collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Returns what is wrong with a store, if anything. The cause is only logged, because probes are not authenticated.
async fn bounded(
    store: &str,
    outages: &Outages,
    check: impl Future<Output = Result<(), CommonError>>,
) -> Option<String> {
    let Ok(checked) = tokio::time::timeout(CHECK_TIME, check).await else {
        let reason = format!("{store}: no answer in {} s", CHECK_TIME.as_secs());
        outages.found(&reason, &reason);
        return Some(reason);
    };
    let error = checked.err()?;
    let (reason, found) = match &error {
        CommonError::Unavailable { message, cure, .. } => {
            (format!("{store}: {message}; {cure}"), (*message).to_owned())
        }
        CommonError::Busy => (format!("{store}: busy"), format!("{store}: busy")),
        _ => (format!("{store}: it fails"), format!("{store}: it fails")),
    };
    outages.found(&found, &format_args!("{store}: {}", ErrorChain(&error)));
    Some(reason)
}
