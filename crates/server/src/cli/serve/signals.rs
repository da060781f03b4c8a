//! What tells the process to stop.
use std::future::pending;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT and SIGHUP, received from here on instead of ending the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// A terminal that closes tells to stop, unless the signal has another meaning.
    hang_up: Option<Signal>,
}

impl Signals {
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: Some(signal(SignalKind::hangup())?),
        })
    }

    /// Gives SIGHUP another meaning than to stop; `None` when it has one already.
    pub fn take_hang_up(&mut self) -> Option<Signal> {
        self.hang_up.take()
    }

    /// Returns at the next one.
    pub async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hang_up => {}
        }
    }
}
