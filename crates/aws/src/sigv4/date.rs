//! The two formats of a request's time: `20261121T103000Z` and the HTTP `Date` header.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

const BASIC_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// Formats a time in seconds since 1970 as `20261121T103000Z`. A time after year 9999 is written as the end of 9999.
pub(super) fn format(seconds: i64) -> String {
    let moment = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    moment.strftime(BASIC_FORMAT).to_string()
}

/// Parses `YYYYMMDDTHHMMSSZ` to seconds since 1970.
pub(super) fn parse_basic(text: &str) -> Option<i64> {
    let shape_fits = text.len() == 16
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    if !shape_fits {
        return None;
    }
    let civil = DateTime::strptime(BASIC_FORMAT, text).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// Parses a `Date` header to seconds since 1970. It has an HTTP date, or the basic format that some signers use.
pub(super) fn parse_date_header(text: &str) -> Option<i64> {
    if let Some(seconds) = parse_basic(text) {
        return Some(seconds);
    }
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(|moment| moment.as_second())
}
