//! What a transfer says while it runs: lines on stdout, and on a terminal a bar on stderr that gives way to them.

use crate::cli::progress::{BAR_STEPS, bar};
use kernel::lock;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex};

/// Shared by all that moves bytes.
#[derive(Clone)]
pub struct Progress(Arc<Mutex<State>>);

struct State {
    terminal: bool,
    /// What is copied now, such as `3/12 app:v1`.
    label: String,
    /// Bytes of it that are to be moved, and that were.
    total: u64,
    moved: u64,
    /// Bytes of the whole run.
    moved_in_all: u64,
    /// The step of the whole that was last drawn; none where no bar is on the screen.
    drawn: Option<u128>,
}

impl Progress {
    /// Draws a bar only where stderr is a terminal that can move its cursor.
    pub fn new() -> Progress {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = io::stderr().is_terminal() && !dumb;
        let label = String::new();
        let state = State { terminal, label, total: 0, moved: 0, moved_in_all: 0, drawn: None };
        Progress(Arc::new(Mutex::new(state)))
    }

    /// Begins something of `total` bytes.
    pub fn begin(&self, label: String, total: u64) {
        self.with(|state| {
            (state.label, state.total, state.moved, state.drawn) = (label, total, 0, None);
            state.draw();
        });
    }

    /// Counts bytes that were moved.
    pub fn moved(&self, bytes: u64) {
        self.with(|state| {
            state.moved += bytes;
            state.moved_in_all += bytes;
            state.draw();
        });
    }

    /// Counts bytes that need not be moved.
    pub fn skipped(&self, bytes: u64) {
        self.with(|state| {
            state.total = state.total.saturating_sub(bytes);
            state.draw();
        });
    }

    /// Bytes that were moved in the whole run.
    pub fn moved_in_all(&self) -> u64 {
        self.with(|state| state.moved_in_all)
    }

    /// Writes a line to stdout, without the bar in its way.
    pub fn line(&self, text: &str) {
        self.with(|state| {
            state.clear();
            let mut stdout = io::stdout().lock();
            // Nobody is left to read it where this fails.
            let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        });
    }

    /// Writes a line to stderr.
    pub fn warn(&self, text: &str) {
        self.with(|state| {
            state.clear();
            let _ = writeln!(io::stderr(), "{text}");
        });
    }

    /// Removes the bar.
    pub fn end(&self) {
        self.with(State::clear);
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut lock(&self.0))
    }
}

impl State {
    fn draw(&mut self) {
        let step = u128::from(BAR_STEPS) * u128::from(self.moved.min(self.total)) / u128::from(self.total.max(1));
        if !self.terminal || self.drawn == Some(step) {
            return;
        }
        self.drawn = Some(step);
        let text = bar(&self.label, self.moved.min(self.total), self.total);
        let _ = write!(io::stderr(), "\r\x1b[K{text}").and_then(|()| io::stderr().flush());
    }

    fn clear(&mut self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        self.drawn = None;
    }
}
