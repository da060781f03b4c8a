//! How far a long command is, on stderr: a bar on a terminal, a line for each tenth otherwise.
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

/// Characters of the bar between its brackets.
const WIDTH: usize = 30;
/// Steps of the whole after which a bar is drawn again: half a percent. No clock is asked.
pub const BAR_STEPS: u64 = 200;
/// The same for lines.
const LINE_STEPS: u64 = 10;

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
    /// The last step that was shown.
    shown: u64,
}

impl Progress {
    /// `what` is done to so many bytes.
    pub fn new(what: &'static str, total: u64) -> Progress {
        let style = if std::io::stderr().is_terminal() { Style::Bar } else { Style::Lines };
        Progress { what, total, style, state: Mutex::new(State { done: 0, shown: 0 }) }
    }

    /// So many bytes more are done.
    pub fn add(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += bytes;
        let steps = if self.style == Style::Bar { BAR_STEPS } else { LINE_STEPS };
        let step = steps * state.done.min(self.total) / self.total.max(1);
        if step > state.shown {
            state.shown = step;
            self.show(&self.text(state.done));
        }
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
        progress.add(3999);
        progress.add(5000);
        assert_eq!(progress.state.lock().unwrap().shown, LINE_STEPS);
    }
}
