//! Whether this process can serve: `/readyz`.
use crate::body::Chain;
use crate::outage::Outages;
use kernel::clock::Time;
use kernel::{CommonError, System};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long the answer of a check is given again, so that probes cost nothing.
const ANSWER_LIFE: Duration = Duration::from_secs(1);
/// The longest that one store may take to prove that it can be written.
const CHECK_TIME: Duration = Duration::from_secs(2);

type Answer = Result<(), Vec<String>>;

/// Remembers the last check for a moment, so that probes cost nothing.
pub struct Health {
    draining: AtomicBool,
    last: Mutex<Option<(Time, Answer)>>,
    /// One check at a time, however many ask.
    turn: Semaphore,
    /// What is wrong with the stores, for the log.
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
    /// From now on the answer is "draining".
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// `Ok` when both stores can be written within a bounded time and the process isn't draining; else the reasons.
    ///
    /// The reasons name no path and no address. An answer is up to a second old; one that all is well is given while a new check
    /// runs, too.
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
                // Somebody checks already. That all was well before is good enough; else the new answer is waited for.
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
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((system.now(), answer.clone()));
        drop(permit);
        answer
    }

    fn last(&self) -> Option<(Time, Answer)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remembered(&self, now: Time) -> Option<Answer> {
        // A clock that was set back makes no answer last longer.
        self.last().filter(|(at, _)| *at <= now && now <= at.plus(ANSWER_LIFE)).map(|(_, answer)| answer)
    }
}

/// Asks both stores at once.
async fn check(system: &System, outages: &Outages) -> Answer {
    let (metadata, layers) = tokio::join!(
        bounded("metadata", outages, async { system.db.check().await.map_err(CommonError::from) }),
        bounded("layers", outages, async { system.blobs.check().await.map_err(CommonError::from) }),
    );
    let problems: Vec<String> = [metadata, layers].into_iter().flatten().collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// What is wrong with a store; `None` when nothing is. Its cause goes to the log, since probes are not authenticated.
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
        CommonError::Unavailable { message, .. } => (format!("{store}: {message}"), (*message).to_owned()),
        CommonError::Busy => (format!("{store}: busy"), format!("{store}: busy")),
        _ => (format!("{store}: it fails"), format!("{store}: it fails")),
    };
    outages.found(&found, &format_args!("{store}: {}", Chain(&error)));
    Some(reason)
}
