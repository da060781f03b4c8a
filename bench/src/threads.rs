//! Runs work concurrently, in a thread for each connection.

use crate::Result;
use std::thread;

/// Runs `work` in `count` threads, with the thread's number as its argument. Returns all results, or the first failure.
pub fn each<T: Send>(count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || work(number))).collect();
        let joined = threads.into_iter().map(|thread| thread.join().map_err(|_| "a connection's thread panicked")?);
        joined.collect()
    })
}
