//! A write transaction on its way to an engine.
use crate::{Error, Tx};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

/// A caller's write transaction: run by an engine, perhaps more than once, then answered once.
pub(crate) trait Job: Send {
    /// Runs the closure; `true` if its changes may be committed.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;

    /// Whether it frees something, so that it may use the space that is kept back on a full disk.
    fn frees(&self) -> bool;

    /// Gives the caller the result of the last run, or `failure` in its place. After a commit, or when none can be.
    fn answer(self: Box<Self>, failure: Option<Error>);
}

/// Runs a closure once: a panic is caught, and a closure that swallowed a statement's error does not get its `Ok`.
pub(crate) fn run<T, E, F>(work: &F, tx: &mut Tx<'_>) -> Result<T, E>
where
    F: Fn(&mut Tx<'_>) -> Result<T, E>,
    E: From<Error>,
{
    // Nothing of a closure that panicked is used again: its transaction is rolled back.
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
        // A caller that went away learns nothing; what was committed stays.
        drop(self.caller.send(result));
    }
}

/// A closure as a job, and where its answer arrives. `frees`: see [`Job::frees`].
pub(crate) fn job<T, E, F>(work: F, frees: bool) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    (Box::new(Work { work, frees, result: None, caller }), answer)
}
