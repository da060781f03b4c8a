//! The canonical request and the string to sign (IAM user guide, "Create a signed AWS API request").

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use percent_encoding::{AsciiSet, percent_decode, percent_encode};

use super::{ALGORITHM, Head, TERMINATOR};

/// All characters except the unreserved ones of RFC 3986.
const STRICT: &AsciiSet = crate::percent::RESERVED;
const STRICT_BUT_SLASH: &AsciiSet = &STRICT.remove(b'/');

/// The query parameter of the signature. It is never part of the signed text.
pub(super) const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// A credential scope: `20261121/us-east-1/ecr/aws4_request`.
pub(super) struct Scope<'a> {
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

impl Scope<'_> {
    pub(super) fn text(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

/// The lines of a canonical request except the query, of which there are two forms.
pub(super) struct Canonical {
    method_and_path: Vec<u8>,
    headers_and_payload: Vec<u8>,
}

impl Canonical {
    /// `payload` is the last line: the body's hash, or the value of `x-amz-content-sha256`.
    pub(super) fn new(head: &Head<'_>, signed_headers: &BTreeSet<String>, payload: &str) -> Canonical {
        let mut method_and_path = head.method.as_bytes().to_vec();
        method_and_path.push(b'\n');
        method_and_path.extend_from_slice(path(head.path).as_bytes());
        let mut headers_and_payload = headers(head, signed_headers);
        headers_and_payload.push(b'\n');
        headers_and_payload.extend_from_slice(names(signed_headers).as_bytes());
        headers_and_payload.push(b'\n');
        headers_and_payload.extend_from_slice(payload.as_bytes());
        Canonical { method_and_path, headers_and_payload }
    }

    /// The text whose HMAC is the signature, for one form of the query.
    pub(super) fn string_to_sign(&self, query: &str, amz_date: &str, scope: &Scope<'_>) -> String {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&self.method_and_path);
        hash.update(b"\n");
        hash.update(query.as_bytes());
        hash.update(b"\n");
        hash.update(&self.headers_and_payload);
        format!("{ALGORITHM}\n{amz_date}\n{}\n{}", scope.text(), hex(hash.finish().as_ref()))
    }
}

/// The canonical path: without `.`, `..` and empty segments, and encoded once more. All services except S3 do so.
fn path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let mut normalized = format!("/{}", segments.join("/"));
    if path.ends_with('/') && !segments.is_empty() {
        normalized.push('/');
    }
    percent_encode(normalized.as_bytes(), STRICT_BUT_SLASH).to_string()
}

/// The pairs of name and value in a query string, not decoded. A pair without `=` has an empty value.
pub(super) fn query_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = if query.is_empty() { None } else { Some(query.split('&')) };
    pairs.into_iter().flatten().map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Decodes a name or value of a query string. `+` is a space. `%` without two hex digits stays as it is.
pub(super) fn query_decode(text: &str) -> Vec<u8> {
    let spaced: Vec<u8> = text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&spaced).collect()
}

/// The canonical query of the guide: each pair is decoded and encoded strictly, then the pairs are sorted. It has no signature.
pub(super) fn query_strict(query: &str) -> String {
    let encode = |text: &str| percent_encode(&query_decode(text), STRICT).to_string();
    let pairs = query_pairs(query).filter(|pair| *pair != ("", "")).map(|(name, value)| (encode(name), encode(value)));
    query_join(pairs.filter(|(name, _)| name != SIGNATURE_PARAMETER).collect())
}

/// The canonical query of botocore: the pairs are sorted and not encoded again. It has no signature.
pub(super) fn query_as_written(query: &str) -> String {
    let signature = |name: &str| query_decode(name) == SIGNATURE_PARAMETER.as_bytes();
    query_join(query_pairs(query).filter(|(name, _)| !signature(name)).collect())
}

fn query_join<T: AsRef<str> + Ord>(mut pairs: Vec<(T, T)>) -> String {
    pairs.sort();
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", name.as_ref(), value.as_ref())).collect();
    pairs.join("&")
}

/// The canonical headers: one line per signed header, sorted by name. Values are trimmed, white space becomes one space, and values of
/// repeated headers are joined by commas.
///
/// A signed header that the request lacks has no line. The list of names still has it, so its signature can't match.
fn headers(head: &Head<'_>, signed_headers: &BTreeSet<String>) -> Vec<u8> {
    let mut sorted: Vec<&(&str, &[u8])> = head.headers.iter().collect();
    // A stable sort keeps the values of a repeated header in their order on the wire.
    sorted.sort_by_key(|(name, _)| *name);
    let mut lines = Vec::new();
    for name in signed_headers {
        let start = sorted.partition_point(|(other, _)| *other < name.as_str());
        let values = sorted[start..].iter().take_while(|(other, _)| other == name);
        let values: Vec<Vec<u8>> = values.map(|(_, value)| collapsed(value)).collect();
        if !values.is_empty() {
            lines.extend_from_slice(name.as_bytes());
            lines.push(b':');
            lines.extend_from_slice(&values.join(&b','));
            lines.push(b'\n');
        }
    }
    lines
}

fn collapsed(value: &[u8]) -> Vec<u8> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}

/// The list of signed headers, for the canonical request and the claim.
pub(super) fn names(signed_headers: &BTreeSet<String>) -> String {
    signed_headers.iter().map(String::as_str).collect::<Vec<_>>().join(";")
}

/// Encodes the pairs as a query string, in their order.
pub(super) fn query_encode(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| percent_encode(text.as_bytes(), STRICT).to_string();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
