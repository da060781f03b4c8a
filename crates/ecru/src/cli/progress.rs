//! How far a long command is, on stderr: a bar on a terminal, at most one line a minute otherwise.

use kernel::lock;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Characters of the bar between its brackets.
const WIDTH: usize = 30;
/// Steps of the whole after which a bar is drawn again: half a percent. No clock is asked.
pub const BAR_STEPS: u64 = 200;
/// The time between two lines. A command that is faster writes none: what it did follows at its end.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Counts bytes of a known total. Several tasks may add at once.
pub struct Progress {
    what: &'static str,
    total: u64,
    style: Style,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Bar,
    Lines,
}

struct State {
    done: u64,
    /// The last step of the bar that was shown.
    shown: u64,
    /// When the last line was written, or the work began.
    line_at: Instant,
}

impl Progress {
    /// `what` is done to so many bytes.
    pub fn new(what: &'static str, total: u64) -> Progress {
        let style = if std::io::stderr().is_terminal() { Style::Bar } else { Style::Lines };
        Progress { what, total, style, state: Mutex::new(State { done: 0, shown: 0, line_at: Instant::now() }) }
    }

    /// So many bytes more are done.
    pub fn add(&self, bytes: u64) {
        if let Some(text) = self.count(bytes) {
            self.show(&text);
        }
    }

    /// Counts bytes, and returns what is to be shown now.
    fn count(&self, bytes: u64) -> Option<String> {
        let mut state = lock(&self.state);
        state.done += bytes;
        let due = match self.style {
            Style::Bar => {
                let step = BAR_STEPS * state.done.min(self.total) / self.total.max(1);
                std::mem::replace(&mut state.shown, step) < step
            }
            Style::Lines if state.line_at.elapsed() < LINE_EVERY => false,
            Style::Lines => {
                state.line_at = Instant::now();
                true
            }
        };
        due.then(|| self.text(state.done))
    }

    /// Ends the line of a bar, so that what is printed next begins a line of its own.
    pub fn end(&self) {
        if self.style == Style::Bar {
            self.show("\n");
        }
    }

    fn text(&self, done: u64) -> String {
        match self.style {
            Style::Lines => format!("{}: {}\n", self.what, amount(done, self.total).trim_start()),
            Style::Bar => format!("\r{}  ", bar(self.what, done, self.total)),
        }
    }

    /// Nobody may be there to read it, which is no reason to end.
    fn show(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }
}

/// `Layers [####----]  50 %  1.0 kB of 2.0 kB`
pub fn bar(what: &str, done: u64, total: u64) -> String {
    let full = WIDTH * usize::try_from(percent(done, total)).unwrap_or(100) / 100;
    format!("{what} [{}{}] {}", "#".repeat(full), "-".repeat(WIDTH - full), amount(done, total))
}

fn amount(done: u64, total: u64) -> String {
    format!("{:3} %  {} of {}", percent(done, total), bytes(done), bytes(total))
}

fn percent(done: u64, total: u64) -> u64 {
    let percent = 100 * u128::from(done.min(total)) / u128::from(total.max(1));
    u64::try_from(percent).unwrap_or(100)
}

/// An amount of bytes as a person reads it, such as `1.5 MB`.
pub fn bytes(count: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} bytes");
    }
    let (mut tenths, mut unit) = (count / 100, 0);
    while tenths >= 10_000 && unit + 1 < units.len() {
        (tenths, unit) = (tenths / 1000, unit + 1);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_their_unit() {
        for (count, expected) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (1_234_567, "1.2 MB"),
            (999_999, "999.9 kB"),
            (5_400_000_000_000, "5.4 TB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_reads_one_line_a_minute_and_a_fast_command_writes_none() {
        let mut progress = Progress::new("Layers", 100_000);
        progress.style = Style::Lines;
        let mut lines = Vec::new();
        for _ in 0..100 {
            lines.extend(progress.count(1000));
        }
        assert!(lines.is_empty(), "{lines:?}");
        let mut progress = Progress::new("Layers", 100_000);
        progress.style = Style::Lines;
        for _ in 0..100 {
            tokio::time::advance(Duration::from_secs(2)).await;
            lines.extend(progress.count(1000));
        }
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "Layers:  30 %  30.0 kB of 100.0 kB\n".replace(":  ", ": "));
    }

    #[test]
    fn a_bar_fills_up_and_lines_tell_the_same() {
        let mut progress = Progress::new("Layers", 4000);
        progress.style = Style::Bar;
        assert_eq!(
            progress.text(2000),
            format!("\rLayers [{}{}]  50 %  2.0 kB of 4.0 kB  ", "#".repeat(15), "-".repeat(15))
        );
        progress.style = Style::Lines;
        assert_eq!(progress.text(4000), "Layers: 100 %  4.0 kB of 4.0 kB\n");
        progress.style = Style::Bar;
        let drawn = (0..8000).filter_map(|_| progress.count(1)).count();
        assert_eq!(drawn as u64, BAR_STEPS, "no more than the whole is drawn");
    }
}
