//! Many connections at once: a thread for each.
use crate::Result;
use std::thread;

/// Runs the same in so many threads, which are told their number, and returns what each found. The first failure is the whole's.
pub fn each<T: Send>(count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || work(number))).collect();
        let joined = threads.into_iter().map(|thread| thread.join().map_err(|_| "a connection's thread broke")?);
        joined.collect()
    })
}
