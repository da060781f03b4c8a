//! A caller's transaction in the form in which an engine runs it.

use crate::{Error, Tx};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

/// A caller's transaction. An engine runs it, perhaps more than once, and then answers it once.
pub(crate) trait Job: Send {
    /// Runs the closure. Returns true if its changes may be committed.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;

    /// Returns true if the transaction frees space. On a full disk it may then use the reserve.
    fn frees(&self) -> bool;

    /// Sends the caller the result of the last run, or `failure` instead. Called after the commit, or when there can't be one.
    fn answer(self: Box<Self>, failure: Option<Error>);
}

/// Runs a closure once. Catches a panic, and replaces the `Ok` of a closure that ignored the error of a statement.
pub(crate) fn run<T, E, F>(work: &F, tx: &mut Tx<'_>) -> Result<T, E>
where
    F: Fn(&mut Tx<'_>) -> Result<T, E>,
    E: From<Error>,
{
    // Unwind safety: after a panic nothing of the closure is used again, because its transaction is rolled back.
    match catch_unwind(AssertUnwindSafe(|| work(tx))) {
        Err(_) => Err(Error::Panicked.into()),
        Ok(Ok(_)) if tx.failure().is_some() => Err(Error::Poisoned.into()),
        Ok(result) => result,
    }
}

struct Work<T, E, F> {
    work: F,
    frees: bool,
    result: Option<Result<T, E>>,
    caller: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Work<T, E, F>
where
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let result = run(&self.work, tx);
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn frees(&self) -> bool {
        self.frees
    }

    fn answer(self: Box<Self>, failure: Option<Error>) {
        let result = match failure {
            Some(failure) => Err(failure.into()),
            None => self.result.unwrap_or_else(|| Err(Error::Closed.into())),
        };
        // The caller may be gone. The commit stays.
        drop(self.caller.send(result));
    }
}

/// Wraps a closure as a job, and returns the receiver of its answer. For `frees` see [`Job::frees`].
pub(crate) fn job<T, E, F>(work: F, frees: bool) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    (Box::new(Work { work, frees, result: None, caller }), answer)
}
