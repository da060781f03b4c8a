//! The published AWS Signature Version 4 test suite.

use std::fs;
use std::path::{Path, PathBuf};

use aws::sigv4::SignatureRejection;
use serde_json::Value;

use crate::request::Request;

/// The vectors that this crate does not pass, with the reason.
fn skipped(name: &str) -> Option<&'static str> {
    match name {
        _ if name.ends_with("-unnormalized") => Some("only S3 signs a path that is not normalized"),
        _ => None,
    }
}

/// The vectors with a session token that is added after signing. Here all `x-amz-*` headers must be signed.
const UNSIGNED_TOKEN: &str = "post-sts-header-after";

fn suite() -> PathBuf {
    let directory = std::env::var_os("ECRU_SIGV4_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/sigv4-vectors"), PathBuf::from);
    assert!(
        directory.join("VERSION").exists(),
        "The AWS SigV4 test suite is not in {}: run `scripts/sigv4-vectors {}` from the workspace, or `./test`.",
        directory.display(),
        "target/sigv4-vectors"
    );
    directory
}

/// Parses a request of the suite: a request line, headers that may be folded, an empty line, the body.
fn parse(text: &str) -> Request {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let line = lines.next().unwrap();
    let line = line.strip_suffix(" HTTP/1.1").unwrap_or(line);
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    for line in lines {
        if line.starts_with(' ') {
            headers.last_mut().unwrap().1.extend_from_slice(line.as_bytes());
        } else {
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_ascii_lowercase(), value.into()));
        }
    }
    Request { method: method.into(), path: path.into(), query: query.into(), headers, body: body.into() }
}

struct Vector {
    name: String,
    context: Value,
    header_signed: Request,
    /// The presigned request. Two vectors of an older form have none.
    query_signed: Option<Request>,
}

impl Vector {
    fn text(&self, pointer: &str) -> &str {
        self.context.pointer(pointer).and_then(Value::as_str).unwrap()
    }

    fn requests(&self) -> impl Iterator<Item = &Request> {
        std::iter::once(&self.header_signed).chain(&self.query_signed)
    }

    fn verify(&self, request: &Request) -> Result<(), SignatureRejection> {
        let now: jiff::Timestamp = self.text("/timestamp").parse().unwrap();
        let secret = self.text("/credentials/secret_access_key");
        let presented = request.verify(secret, self.text("/service"), now.as_second())?;
        assert_eq!(presented.access_key_id, self.text("/credentials/access_key_id"), "{}", self.name);
        assert_eq!(presented.region, self.text("/region"), "{}", self.name);
        let token = self.context.pointer("/credentials/token").and_then(Value::as_str);
        assert_eq!(presented.session_token.as_deref(), token, "{}", self.name);
        Ok(())
    }
}

fn vectors() -> Vec<Vector> {
    let suite = suite();
    let mut names: Vec<String> = fs::read_dir(&suite)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "VERSION" && skipped(name).is_none())
        .collect();
    names.sort();
    let read = |name: &str, file: &str| fs::read_to_string(suite.join(name).join(file)).ok();
    let vector = |name: String| Vector {
        context: context(&name).unwrap_or_else(|| serde_json::from_str(&read(&name, "context.json").unwrap()).unwrap()),
        header_signed: parse(&read(&name, "header-signed-request.txt").unwrap()),
        query_signed: read(&name, "query-signed-request.txt").as_deref().map(parse),
        name,
    };
    names.into_iter().map(vector).collect()
}

/// The context of the two vectors that have none: that of the suite, with the test keys of the AWS SDK.
fn context(name: &str) -> Option<Value> {
    let (id, secret, region, service, timestamp) = match name {
        "double-url-encode" => {
            ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-2", "lambda", "2021-05-11T15:40:45Z")
        }
        "double-encode-path" => {
            ("ANOTREAL", "notrealrnrELgWzOk3IfjzDKtFBhDby", "us-east-1", "service", "2015-08-30T12:36:00Z")
        }
        _ => return None,
    };
    Some(serde_json::json!({
        "credentials": { "access_key_id": id, "secret_access_key": secret },
        "region": region, "service": service, "timestamp": timestamp,
    }))
}

#[test]
fn the_published_vectors_verify_by_header_and_by_query() {
    let vectors = vectors();
    assert!(vectors.len() >= 33, "the suite has shrunk to {} vectors", vectors.len());
    for vector in vectors.iter().filter(|vector| vector.name != UNSIGNED_TOKEN) {
        for request in vector.requests() {
            assert_eq!(vector.verify(request), Ok(()), "{}", vector.name);
        }
    }
}

#[test]
fn the_published_vectors_with_another_secret_are_refused() {
    for mut vector in vectors() {
        vector.context["credentials"]["secret_access_key"] = "not the secret".into();
        for request in vector.requests() {
            assert!(vector.verify(request).is_err(), "{}", vector.name);
        }
    }
}

#[test]
fn a_session_token_that_was_added_after_signing_is_refused() {
    let vectors = vectors();
    let vector = vectors.iter().find(|vector| vector.name == UNSIGNED_TOKEN).unwrap();
    let query_signed = vector.query_signed.as_ref().unwrap();
    let unsigned = "'x-amz-security-token' must be a 'SignedHeader' in the AWS Authorization.";
    assert_eq!(vector.verify(&vector.header_signed), Err(SignatureRejection::Scope(unsigned.into())));
    assert_eq!(vector.verify(query_signed), Err(SignatureRejection::Mismatch));
}
