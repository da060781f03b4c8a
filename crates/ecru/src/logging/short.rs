//! Log lines for a terminal: the time of day, and each request in one line of the screen.
//!
//! `10:06:54 PUT app:v1 400 TAG_INVALID 1.3ms docker/20.10`, followed by the reason if there is room. All other fields of a
//! request are only in the other formats.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kernel::abridged;
use kernel::clock::{Clock as _, SystemClock};
use listen::access_log::{self, HUNG_UP};
use std::fmt::{self, Debug, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Compact, Format, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Characters of a line if the terminal's width is unknown.
const WIDTH: usize = 80;
/// Minimum characters of a request's subject, however narrow the terminal is.
const SUBJECT: usize = 16;
/// Minimum characters of a reason; a shorter one says nothing.
const REASON: usize = 16;
/// Hex digits of a digest that are shown, as docker shows them.
const DIGEST: usize = 12;
/// Characters of a client's name and version.
const AGENT: usize = 24;

/// Writes requests as short lines, and all other lines with the time of day.
pub(super) struct Short {
    clock: LocalTime,
    others: Format<Compact, LocalTime>,
    /// Characters of the terminal's line.
    width: fn() -> usize,
}

impl Short {
    pub(super) fn new() -> Short {
        let clock = LocalTime(TimeZone::system());
        let others = tracing_subscriber::fmt::format().compact().with_target(false).with_timer(clock.clone());
        Short { clock, others, width: terminal_width }
    }
}

impl<S, N> FormatEvent<S, N> for Short
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if event.metadata().target() != access_log::TARGET {
            return self.others.format_event(context, to, event);
        }
        let mut request = Request::default();
        event.record(&mut request);
        self.clock.format_time(&mut to)?;
        let colours = to.has_ansi_escapes();
        // The time and a space come before it.
        let room = (self.width)().saturating_sub(TIME + 1);
        writeln!(to, " {}", request.line(room, colours))
    }
}

/// Characters of the time of day.
const TIME: usize = 8;

/// The local time of day, to the second.
#[derive(Clone)]
struct LocalTime(TimeZone);

impl FormatTime for LocalTime {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        let now = Timestamp::from_microsecond(SystemClock.now().0).unwrap_or_default().to_zoned(self.0.clone());
        write!(to, "{:02}:{:02}:{:02}", now.hour(), now.minute(), now.second())
    }
}

/// Returns the current width of stderr's terminal.
fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(WIDTH)
}

/// The fields of an access line that a terminal shows.
#[derive(Default)]
struct Request {
    door: String,
    method: String,
    path: String,
    operation: String,
    agent: String,
    code: String,
    reason: String,
    status: u64,
    micros: u64,
}

impl Visit for Request {
    fn record_str(&mut self, field: &Field, value: &str) {
        let kept = match field.name() {
            "door" => &mut self.door,
            "http.method" => &mut self.method,
            "url.path" => &mut self.path,
            "operation" => &mut self.operation,
            "user_agent" => &mut self.agent,
            "refusal.code" => &mut self.code,
            "refusal.reason" => &mut self.reason,
            _ => return,
        };
        value.clone_into(kept);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "http.status" => self.status = value,
            "micros" => self.micros = value,
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl Request {
    /// Formats the line after its time, within `room` characters if possible.
    fn line(&self, room: usize, colours: bool) -> String {
        let mut answer = self.status.to_string();
        if !self.code.is_empty() {
            answer = format!("{answer} {}", self.code);
        }
        let mut end = format!(" {}", duration(self.micros));
        let (agent, subject) = (agent(&self.agent), self.subject());
        let mut fixed = answer.chars().count() + end.chars().count() + 1;
        // The client is left out first: the subject is more useful.
        if !agent.is_empty() && subject.chars().count() + fixed + agent.len() < room {
            end = format!("{end} {agent}");
            fixed += agent.chars().count() + 1;
        }
        let subject = shortened(&subject, room.saturating_sub(fixed).max(SUBJECT));
        let left = room.saturating_sub(subject.chars().count() + fixed + 2);
        let reason = if self.status == u64::from(HUNG_UP) { "the client hung up" } else { &self.reason };
        if !reason.is_empty() && left >= REASON.min(reason.chars().count()) {
            let _ = write!(end, "  {}", abridged(reason, left));
        }
        match (colours, self.status) {
            (true, 500..) => format!("{subject} \u{1b}[31m{answer}\u{1b}[0m{end}"),
            (true, 400..) => format!("{subject} \u{1b}[33m{answer}\u{1b}[0m{end}"),
            _ => format!("{subject} {answer}{end}"),
        }
    }

    /// Returns the subject of a request: an AWS API operation, or what a registry API path refers to, in docker's notation.
    fn subject(&self) -> String {
        if self.operation.len() > 1 {
            return self.operation.clone();
        }
        let means = self.path.strip_prefix("/v2/").filter(|_| self.door == "docker").and_then(meaning);
        format!("{} {}", self.method, means.unwrap_or_else(|| self.path.clone()))
    }
}

/// Returns what a path below `/v2/` refers to; `None` if it names no repository.
fn meaning(path: &str) -> Option<String> {
    if let Some(name) = path.strip_suffix("/tags/list") {
        return Some(format!("{name} tags"));
    }
    if let Some((name, reference)) = path.rsplit_once("/manifests/") {
        let joined = if reference.contains(':') { '@' } else { ':' };
        return Some(format!("{name}{joined}{}", short_digest(reference)));
    }
    if let Some((name, _)) = path.rsplit_once("/blobs/uploads") {
        return Some(format!("{name} upload"));
    }
    for (part, word) in [("/blobs/", "layer"), ("/referrers/", "referrers of")] {
        if let Some((name, digest)) = path.rsplit_once(part) {
            return Some(format!("{name} {word} {}", short_digest(digest)));
        }
    }
    None
}

/// Shortens a digest to `sha256:0123456789ab`; returns any other text unchanged.
fn short_digest(text: &str) -> String {
    match text.split_once(':') {
        Some((algorithm, hash)) => format!("{algorithm}:{}", hash.get(..DIGEST).unwrap_or(hash)),
        None => text.to_owned(),
    }
}

/// Returns the short client name of a User-Agent: `docker/20.10` for `docker/20.10.24+dfsg1`.
fn agent(text: &str) -> String {
    let product = text.split(' ').next().unwrap_or_default();
    let short = match product.split_once('/') {
        Some((name, version)) => {
            let number = |c: char| c != '.' && !c.is_ascii_digit();
            let version = version.split(number).next().unwrap_or_default();
            let parts: Vec<&str> = version.split('.').filter(|part| !part.is_empty()).take(2).collect();
            if parts.is_empty() { name.to_owned() } else { format!("{name}/{}", parts.join(".")) }
        }
        None => product.to_owned(),
    };
    abridged(&short, AGENT)
}

/// `0.3ms`, `12ms`, `1.3s`.
fn duration(micros: u64) -> String {
    let tenths = |value: u64, unit: u64| format!("{}.{}", value / unit, value % unit * 10 / unit);
    match micros {
        0..10_000 => format!("{}ms", tenths(micros, 1000)),
        10_000..1_000_000 => format!("{}ms", micros / 1000),
        1_000_000..100_000_000 => format!("{}s", tenths(micros, 1_000_000)),
        _ => format!("{}s", micros / 1_000_000),
    }
}

/// Returns the text, or its two ends with an ellipsis between: an image's name ends with its tag.
fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let (first, last) = (kept - kept / 2, kept / 2);
    text.chars().take(first).chain(['…']).chain(text.chars().skip(count - last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, status: u64) -> Request {
        let door = if path.starts_with("/v2") { "docker" } else { "process" };
        let text = str::to_owned;
        Request {
            door: text(door),
            method: text(method),
            path: text(path),
            operation: text("-"),
            agent: text("docker/20.10.24+dfsg1 go/go1.19.8 git-commit/5d6db84 kernel/6.18.44 os/linux arch/amd64"),
            status,
            micros: 1_312,
            ..Request::default()
        }
    }

    #[test]
    fn a_request_is_one_line_that_names_what_was_asked() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (method, path, expected) in [
            ("PUT", "/v2/app/manifests/v1".to_owned(), "PUT app:v1"),
            ("GET", format!("/v2/team/app/manifests/{digest}"), "GET team/app@sha256:abababababab"),
            ("HEAD", format!("/v2/app/blobs/{digest}"), "HEAD app layer sha256:abababababab"),
            ("POST", "/v2/app/blobs/uploads/".to_owned(), "POST app upload"),
            ("PATCH", "/v2/app/blobs/uploads/0191".to_owned(), "PATCH app upload"),
            ("GET", "/v2/manifests/blobs/tags/list".to_owned(), "GET manifests/blobs tags"),
            ("GET", format!("/v2/app/referrers/{digest}"), "GET app referrers of sha256:abababababab"),
            ("GET", "/v2/".to_owned(), "GET /v2/"),
            ("GET", "/livez".to_owned(), "GET /livez"),
        ] {
            let line = request(method, &path, 200).line(71, false);
            assert_eq!(line, format!("{expected} 200 1.3ms docker/20.10"));
        }
        let call = Request { operation: "CreateRepository".to_owned(), ..request("POST", "/", 200) };
        assert_eq!(call.line(71, false), "CreateRepository 200 1.3ms docker/20.10");
    }

    #[test]
    fn a_refusal_says_its_code_and_why_as_far_as_there_is_room() {
        let refused = |reason: &str| Request {
            code: "TAG_INVALID".to_owned(),
            reason: reason.to_owned(),
            ..request("PUT", "/v2/app/manifests/v1", 400)
        };
        let line = "PUT app:v1 400 TAG_INVALID 1.3ms docker/20.10";
        let reason = "the tag 'v1' is immutable and holds another image";
        assert_eq!(refused(reason).line(200, false), format!("{line}  {reason}"));
        assert_eq!(refused(reason).line(71, false), format!("{line}  the tag 'v1' is immutab…"));
        assert_eq!(refused(reason).line(50, false), line);
        assert_eq!(refused("").line(71, false), line);
        assert_eq!(refused("").line(71, true), "PUT app:v1 \u{1b}[33m400 TAG_INVALID\u{1b}[0m 1.3ms docker/20.10");
        let gone = request("GET", "/v2/app/manifests/v1", HUNG_UP.into()).line(71, false);
        assert_eq!(gone, "GET app:v1 499 1.3ms docker/20.10  the client hung up");
    }

    #[test]
    fn a_long_name_keeps_its_ends_and_the_line_fits() {
        for width in [40, 60, 71, 120] {
            let path = format!("/v2/{}/manifests/v1", "team/".repeat(50));
            let line = request("PUT", &path, 201).line(width, false);
            assert_eq!(line.chars().count(), width, "{line}");
            assert!(line.starts_with("PUT team") && line.contains("…") && line.contains(":v1 201 1.3ms"), "{line}");
        }
    }

    #[test]
    fn clients_and_durations_are_short() {
        for (text, expected) in [
            ("aws-cli/1.46.3 md/Botocore#1.2", "aws-cli/1.46"),
            ("containers/5.32 (github.com/containers/image)", "containers/5.32"),
            ("buildkit/v0.13", "buildkit"),
            ("Go-http-client/1.1", "Go-http-client/1.1"),
            ("curl", "curl"),
            ("", ""),
            ("a-client-with-a-very-long-name-of-its-own/1", "a-client-with-a-very-lo…"),
        ] {
            assert_eq!(agent(text), expected);
        }
        for (micros, expected) in [
            (0, "0.0ms"),
            (950, "0.9ms"),
            (9_999, "9.9ms"),
            (10_000, "10ms"),
            (999_999, "999ms"),
            (1_300_000, "1.3s"),
            (140_000_000, "140s"),
        ] {
            assert_eq!(duration(micros), expected);
        }
    }
}
