//! Limits repeated warnings and errors: the first of each place in the code are written, the rest are counted.
//!
//! If one call can cause a warning, a thousand calls can cause a thousand a second, which would bury the rest of the log. Access
//! lines are not warnings and are always written.

use kernel::lock;
use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// The time over which lines are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Maximum lines of one place in the code that are written per window.
const LINES: u32 = 10;
/// Maximum characters of the line that represents the counted ones.
const SHOWN: usize = 200;
/// The log target of lines that report counts.
const TARGET: &str = "ecru::repeats";

/// Counts warnings and errors by their place in the code, which bounds the number of entries. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Repeats(Arc<Shared>);

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    /// Notified when the first line is only counted, and at the end.
    some: Condvar,
}

#[derive(Default)]
struct Seen {
    windows: HashMap<Identifier, Window>,
    closed: bool,
}

/// The recent lines of one place in the code.
struct Window {
    began: Instant,
    written: u32,
    counted: u64,
    level: Level,
    /// The last line that was written, without its fields.
    line: String,
}

/// Lines that were counted but not written.
#[derive(Debug, PartialEq)]
struct Counted {
    level: Level,
    count: u64,
    line: String,
}

impl Repeats {
    /// Starts the thread that reports how many lines were counted.
    pub(super) fn start() -> io::Result<Repeats> {
        let repeats = Repeats::default();
        let shared = repeats.0.clone();
        thread::Builder::new().name("log-repeats".to_owned()).spawn(move || shared.run())?;
        Ok(repeats)
    }

    /// Reports the counts at once, and ends the thread.
    pub(super) fn close(&self) {
        let mut seen = self.0.lock();
        seen.closed = true;
        let counted = seen.counted(None);
        drop(seen);
        self.0.some.notify_one();
        counted.into_iter().for_each(Counted::say);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    fn run(&self) {
        let mut seen = self.lock();
        loop {
            let quiet = |seen: &mut Seen| !seen.closed && seen.windows.values().all(|window| window.counted == 0);
            seen = self.some.wait_while(seen, quiet).unwrap_or_else(PoisonError::into_inner);
            let waited = self.some.wait_timeout_while(seen, WINDOW, |seen| !seen.closed);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
            if seen.closed {
                return;
            }
            let counted = seen.counted(Some(Instant::now()));
            drop(seen);
            counted.into_iter().for_each(Counted::say);
            seen = self.lock();
        }
    }
}

impl Seen {
    /// Returns whether to write a line; otherwise counts it. Calls `line` only if it is written.
    fn admits(&mut self, place: &Metadata<'_>, line: impl FnOnce() -> String, now: Instant) -> bool {
        let fresh = || Window { began: now, written: 0, counted: 0, level: *place.level(), line: String::new() };
        let window = self.windows.entry(place.callsite()).or_insert_with(fresh);
        if window.counted == 0 && now.duration_since(window.began) >= WINDOW {
            *window = fresh();
        }
        if window.written == LINES {
            window.counted += 1;
            return false;
        }
        window.written += 1;
        if window.written == LINES {
            window.line = line();
        }
        true
    }

    /// Takes the counts of windows that have ended by `now`, or of all windows.
    fn counted(&mut self, now: Option<Instant>) -> Vec<Counted> {
        let over = |window: &Window| now.is_none_or(|now| now.duration_since(window.began) >= WINDOW);
        let over = self.windows.extract_if(|_, window| window.counted > 0 && over(window));
        over.map(|(_, Window { level, counted, line, .. })| Counted { level, count: counted, line }).collect()
    }
}

impl Counted {
    fn say(self) {
        let Counted { level, count, line } = self;
        let seconds = WINDOW.as_secs();
        if level == Level::ERROR {
            tracing::error!(target: TARGET, "… {count} more in the last {seconds} s like: {line}");
        } else {
            tracing::warn!(target: TARGET, "… {count} more in the last {seconds} s like: {line}");
        }
    }
}

impl<S: Subscriber> Filter<S> for Repeats {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    /// A layer that can reject events must be asked each time: for a place that is always enabled, tracing-subscriber skips the
    /// pass in which it records its filters' decisions.
    fn callsite_enabled(&self, place: &'static Metadata<'static>) -> Interest {
        if is_counted(place) { Interest::sometimes() } else { Interest::always() }
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let place = event.metadata();
        if !is_counted(place) {
            return true;
        }
        let mut seen = self.0.lock();
        let admitted = seen.admits(place, || message(event), Instant::now());
        drop(seen);
        if !admitted {
            self.0.some.notify_one();
        }
        admitted
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        None
    }
}

fn is_counted(place: &Metadata<'_>) -> bool {
    *place.level() <= Level::WARN && place.target() != TARGET
}

/// Returns an event's message without its fields.
fn message(event: &Event<'_>) -> String {
    struct Message(String);
    impl Visit for Message {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            if field.name() == "message" {
                // Writing to a String fails only if the value's Debug fails.
                let _ = write!(self.0, "{value:?}");
            }
        }
    }
    let mut message = Message(String::new());
    event.record(&mut message);
    message.0.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::super::lines::Lines;
    use super::*;
    use std::sync::mpsc;
    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

    struct Told(mpsc::Sender<String>);

    impl io::Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written while `log` runs, and the log's end.
    fn written(log: impl FnOnce(&Repeats)) -> Vec<String> {
        let (told, written) = mpsc::channel();
        let (lines, gathering) = Lines::to(Told(told)).unwrap();
        let repeats = Repeats::default();
        let layer = fmt::layer().with_writer(lines).with_ansi(false).without_time().with_filter(repeats.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            log(&repeats);
            repeats.close();
        });
        drop(gathering);
        written.try_iter().collect::<String>().lines().map(str::to_owned).collect()
    }

    #[test]
    fn warnings_that_repeat_are_counted_and_requests_are_not() {
        let lines = written(|_| {
            for number in 0..1000 {
                tracing::warn!(number, "A store is full");
                tracing::info!(number, "request");
            }
            tracing::error!("another place");
        });
        let of = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        assert_eq!((of("WARN"), of("INFO"), of("another place")), (11, 1000, 1), "{lines:?}");
        let last = lines.iter().find(|line| line.contains('…')).unwrap();
        assert!(last.contains("… 990 more in the last 10 s like: A store is full"), "{last}");
    }

    #[test]
    fn after_its_window_a_place_is_written_again() {
        let lines = written(|repeats| {
            for round in 0..3 {
                for _ in 0..LINES + 5 {
                    tracing::error!(round, "failed");
                }
                // The window's end comes without waiting for it.
                let over = Instant::now() + WINDOW;
                let counted = repeats.0.lock().counted(Some(over));
                assert_eq!(counted, [Counted { level: Level::ERROR, count: 5, line: "failed".to_owned() }]);
            }
            assert!(repeats.0.lock().windows.is_empty());
        });
        assert_eq!(lines.len(), 3 * usize::try_from(LINES).unwrap());
    }

    #[test]
    fn a_place_that_was_never_over_its_number_begins_a_window_with_its_next_line() {
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            let span = tracing::warn_span!("place");
            let (mut seen, began) = (Seen::default(), Instant::now());
            for step in 0..10 * LINES {
                let now = began + step * WINDOW / (LINES - 1);
                assert!(seen.admits(span.metadata().unwrap(), String::new, now), "{step}");
            }
        });
    }
}
