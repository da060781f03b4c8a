//! Helpers that stop a transaction at a known point, without a clock.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};

/// A gate that transactions wait at until it is opened. Clones share the gate.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    waiting: bool,
    open: bool,
}

impl Gate {
    /// Blocks the thread until the gate is open.
    pub fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.waiting = true;
        changed.notify_all();
        drop(changed.wait_while(state, |state| !state.open).unwrap());
    }

    /// Blocks the thread until a transaction waits at the gate.
    pub fn await_arrival(&self) {
        let (state, changed) = &*self.0;
        drop(changed.wait_while(state.lock().unwrap(), |state| !state.waiting).unwrap());
    }

    pub fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().open = true;
        changed.notify_all();
    }
}

/// A future that was polled once, so that its request is in progress.
pub type Started<T> = Pin<Box<dyn Future<Output = T>>>;

/// Polls `future` once.
pub async fn start<T: 'static>(future: impl Future<Output = T> + 'static) -> Started<T> {
    let mut future: Started<T> = Box::pin(future);
    let mut ready = None;
    std::future::poll_fn(|context| {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
            ready = Some(value);
        }
        std::task::Poll::Ready(())
    })
    .await;
    match ready {
        Some(value) => Box::pin(std::future::ready(value)),
        None => future,
    }
}
