//! Collects log lines for a moment, so that many of them need only one write.
//!
//! One write per line was a twentieth of a small request's processor time. A warning or an error is written at once, together
//! with all lines before it.

use kernel::lock;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Maximum time that a line waits for others. A killed process (SIGKILL) loses at most the lines of this time.
const GATHER_TIME: Duration = Duration::from_millis(5);
/// If more bytes wait, the thread that adds a line writes them all, so a slow reader of the log slows the writers down.
const WAITING_BYTES: usize = 64 * 1024;

/// A buffer of lines in front of `W`. Cheap to clone.
pub(super) struct Lines<W>(Arc<Shared<W>>);

struct Shared<W> {
    waiting: Mutex<Waiting>,
    /// Notified when the first line begins to wait.
    some: Condvar,
    out: Mutex<Out<W>>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Whether collecting has ended, so that each line is written at once.
    closed: bool,
}

struct Out<W> {
    to: W,
    /// Empty between writes; kept to reuse its memory.
    lines: Vec<u8>,
}

/// Collects lines until dropped, which writes them all.
#[must_use]
pub struct Gathering(Box<dyn Fn() + Send + Sync>);

impl<W: Write + Send + 'static> Lines<W> {
    /// Starts the thread that writes the lines.
    pub(super) fn to(out: W) -> io::Result<(Lines<W>, Gathering)> {
        let out = Mutex::new(Out { to: out, lines: Vec::new() });
        let lines = Lines(Arc::new(Shared { waiting: Mutex::default(), some: Condvar::new(), out }));
        let (writer, last) = (lines.0.clone(), lines.0.clone());
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run())?;
        Ok((lines, Gathering(Box::new(move || last.close()))))
    }
}

impl Gathering {
    /// Adds an action to run first when this is dropped.
    pub(super) fn after(mut self, first: impl Fn() + Send + Sync + 'static) -> Gathering {
        let last = mem::replace(&mut self.0, Box::new(|| ()));
        Gathering(Box::new(move || {
            first();
            last();
        }))
    }
}

impl<W: Write> Shared<W> {
    fn run(&self) {
        loop {
            let waiting =
                self.some.wait_while(lock(&self.waiting), |waiting| waiting.lines.is_empty() && !waiting.closed);
            if waiting.unwrap_or_else(PoisonError::into_inner).closed {
                return;
            }
            thread::sleep(GATHER_TIME);
            self.write();
        }
    }

    fn add(&self, line: &[u8], at_once: bool) {
        let mut waiting = lock(&self.waiting);
        let first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        let now = at_once || waiting.closed || waiting.lines.len() >= WAITING_BYTES;
        drop(waiting);
        if now {
            self.write();
        } else if first {
            self.some.notify_one();
        }
    }

    /// Writes the waiting lines. They keep their order, because they are taken under the lock of the output.
    fn write(&self) {
        let mut out = lock(&self.out);
        let Out { to, lines } = &mut *out;
        mem::swap(lines, &mut lock(&self.waiting).lines);
        // There is nowhere to report a failure to write the log.
        let _ = to.write_all(lines);
        lines.clear();
    }

    fn close(&self) {
        lock(&self.waiting).closed = true;
        self.some.notify_one();
        self.write();
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Receives one line.
pub(super) struct Line<'a, W> {
    lines: &'a Shared<W>,
    at_once: bool,
}

impl<'a, W: Write + 'a> MakeWriter<'a> for Lines<W> {
    type Writer = Line<'a, W>;

    fn make_writer(&'a self) -> Line<'a, W> {
        Line { lines: &self.0, at_once: true }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a, W> {
        Line { lines: &self.0, at_once: *event.level() <= Level::WARN }
    }
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.add(line, self.at_once);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Tells each write to a channel.
    struct Told(mpsc::Sender<String>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines() -> (Lines<Told>, Gathering, mpsc::Receiver<String>) {
        let (told, written) = mpsc::channel();
        let (lines, gathering) = Lines::to(Told(told)).unwrap();
        (lines, gathering, written)
    }

    #[test]
    fn lines_are_written_in_their_order_and_none_is_lost() {
        let (lines, gathering, written) = lines();
        for number in 0..100 {
            lines.0.add(format!("{number}\n").as_bytes(), number % 10 == 9);
        }
        drop((gathering, lines));
        let all: String = written.iter().collect();
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_line_that_nobody_follows_is_written_all_the_same() {
        let (lines, _gathering, written) = lines();
        for line in ["one\n", "two\n"] {
            lines.0.add(line.as_bytes(), false);
            assert_eq!(written.recv().unwrap(), line);
        }
    }

    #[test]
    fn a_warning_is_there_when_it_was_logged_with_what_came_before() {
        let (lines, _gathering, written) = lines();
        let to = lines.0.clone();
        // The collecting thread can't write meanwhile.
        let waits = lock(&lines.0.out);
        lines.0.add(b"a request\n", false);
        let warning = thread::spawn(move || to.add(b"a warning\n", true));
        while !lock(&lines.0.waiting).lines.ends_with(b"a warning\n") {
            thread::yield_now();
        }
        drop(waits);
        warning.join().unwrap();
        assert_eq!(written.try_iter().collect::<String>(), "a request\na warning\n");
    }

    #[test]
    fn what_waits_is_bounded_and_after_the_end_nothing_waits() {
        let (lines, gathering, written) = lines();
        lines.0.add(&[b'a'; WAITING_BYTES], false);
        assert_eq!(written.try_iter().map(|text| text.len()).sum::<usize>(), WAITING_BYTES);
        drop(gathering);
        lines.0.add(b"late\n", false);
        assert_eq!(written.try_iter().last().unwrap(), "late\n");
    }
}
