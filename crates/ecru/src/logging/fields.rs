//! Writes the fields of a line as `name=value`, as tracing-subscriber does but at less cost. For output that is not a terminal.
//!
//! tracing-subscriber's visitor writes every name and text through several layers of formatting for colours and escapes, which do
//! not occur here. For an access line of twelve fields that was an eighth of a small request's instructions. Rare values are
//! still left to it.

use std::error::Error;
use std::fmt::{self, Debug};
use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

pub(super) struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, to: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { to, is_empty: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'w> {
    to: Writer<'w>,
    is_empty: bool,
    result: fmt::Result,
}

impl Visitor<'_> {
    fn write(&mut self, write: impl FnOnce(&mut Writer<'_>, bool) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = write(&mut self.to, std::mem::take(&mut self.is_empty));
        }
    }

    /// Writes a field with the library's visitor.
    fn otherwise(&mut self, record: impl FnOnce(&mut DefaultVisitor<'_>)) {
        self.write(|to, is_empty| {
            let mut visitor = DefaultVisitor::new(to.by_ref(), is_empty);
            record(&mut visitor);
            visitor.finish()
        });
    }
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" || !value.bytes().all(is_plain) {
            return self.otherwise(|visitor| visitor.record_str(field, value));
        }
        self.write(|to, is_empty| {
            name(to, is_empty, field)?;
            to.write_char('"')?;
            to.write_str(value)?;
            to.write_char('"')
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(|to, is_empty| {
            name(to, is_empty, field)?;
            write!(to, "{value}")
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(|to, is_empty| {
            name(to, is_empty, field)?;
            to.write_str(if value { "true" } else { "false" })
        });
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.otherwise(|visitor| visitor.record_error(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.otherwise(|visitor| visitor.record_debug(field, value));
    }
}

/// Whether a byte needs no escape within quotation marks.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

fn name(to: &mut Writer<'_>, is_empty: bool, field: &Field) -> fmt::Result {
    if !is_empty {
        to.write_char(' ')?;
    }
    to.write_str(field.name())?;
    to.write_char('=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing::Subscriber;
    use tracing_subscriber::fmt;
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Written;

        fn make_writer(&self) -> Written {
            self.clone()
        }
    }

    /// What a program says that logs in every way.
    fn say(subscriber: impl Subscriber + Send + Sync + 'static) {
        tracing::subscriber::with_default(subscriber, || {
            let broken = io::Error::other("a \"quoted\" cause");
            let span = tracing::info_span!("request", request.id = "01a1", size = 7_u64);
            let _inside = span.enter();
            tracing::info!("no field");
            tracing::info!(door = "docker", http.status = 200_u16, http.whole = true, micros = 12_u64, "request");
            tracing::info!(text = "ä \"b\" \\ \u{1b}[31m \n", empty = "", peer = %"127.0.0.1", seen = ?Some(1), "odd {}", 1);
            tracing::warn!(minus = -1, part = 0.5, large = u128::MAX, "numbers");
            tracing::error!(error = &broken as &dyn Error, "failed");
            tracing::info!(only = "fields");
        });
    }

    #[test]
    fn lines_are_those_of_the_library() {
        let (ours, theirs) = (Written::default(), Written::default());
        let lines = || fmt().without_time().with_ansi(false);
        say(lines().fmt_fields(Fields).with_writer(ours.clone()).finish());
        say(lines().with_writer(theirs.clone()).finish());
        let text = |written: Written| String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let ours = text(ours);
        assert_eq!(ours.lines().count(), 6, "{ours}");
        assert_eq!(ours, text(theirs));
    }
}
