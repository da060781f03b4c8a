//! What a transfer says while it runs: lines on stdout, and on a terminal a bar on stderr.
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Time between two drawings of the bar.
const DRAWN_EVERY: Duration = Duration::from_millis(100);
/// Characters of the bar itself.
const BAR_WIDTH: u64 = 24;

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
    drawn: Option<Instant>,
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
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn draw(&mut self) {
        if !self.terminal || self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAWN_EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let text = bar(&self.label, self.moved, self.total);
        let _ = write!(io::stderr(), "\r\x1b[K{text}").and_then(|()| io::stderr().flush());
    }

    fn clear(&mut self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        self.drawn = None;
    }
}

/// `[=====>                  ]  25%  12.0 MiB of 48.0 MiB  3/12 v1`
fn bar(label: &str, moved: u64, total: u64) -> String {
    let moved = moved.min(total);
    let share = |of: u64| {
        if total == 0 { 0 } else { u64::try_from(u128::from(moved) * u128::from(of) / u128::from(total)).unwrap_or(of) }
    };
    let full = usize::try_from(share(BAR_WIDTH)).unwrap_or_default();
    let mut drawn = "=".repeat(full);
    if full < BAR_WIDTH as usize {
        drawn.push('>');
    }
    format!(
        "[{drawn:width$}] {:3}%  {} of {}  {label}",
        share(100),
        size(moved),
        size(total),
        width = BAR_WIDTH as usize
    )
}

/// `12.3 MiB`
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_binary_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (12 * 1024 * 1024 + 400_000, "12.3 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_bar_fills_with_what_was_moved() {
        assert_eq!(bar("v1", 0, 0), "[>                       ]   0%  0 B of 0 B  v1");
        assert_eq!(bar("v1", 512, 1024), "[============>           ]  50%  512 B of 1.0 KiB  v1");
        assert_eq!(bar("v1", 2048, 1024), "[========================] 100%  1.0 KiB of 1.0 KiB  v1");
    }
}
