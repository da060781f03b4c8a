//! A client of the docker door.

use crate::TestApp;
use crate::http::{Answer, Call};
use crate::image::{Image, digest};
use crate::secure::TlsClient;
use base64::Engine as _;
use bytes::Bytes;

/// A docker client with an optional password.
#[derive(Clone)]
pub struct Docker<'a> {
    pub app: &'a TestApp,
    password: Option<String>,
    /// The Host header; `None` means the listener's address.
    pub host: Option<String>,
    pub user_agent: String,
    /// `None`: plain HTTP.
    tls: Option<TlsClient>,
}

impl<'a> Docker<'a> {
    pub fn new(app: &'a TestApp, password: Option<String>) -> Docker<'a> {
        Docker { app, password, host: None, user_agent: "testkit".to_owned(), tls: None }
    }
    /// Returns the client with another Host header.
    pub fn at(mut self, host: &str) -> Docker<'a> {
        self.host = Some(host.to_owned());
        self
    }
    /// Returns the client with another User-Agent.
    pub fn agent(mut self, user_agent: &str) -> Docker<'a> {
        user_agent.clone_into(&mut self.user_agent);
        self
    }
    /// Returns the client over TLS.
    pub fn over(mut self, client: TlsClient) -> Docker<'a> {
        self.tls = Some(client);
        self
    }

    /// Builds a call with this client's Host, User-Agent and Authorization.
    pub fn call(&self, method: &str, target: impl Into<String>) -> Call {
        let mut call = Call::new(method, target).header("user-agent", self.user_agent.clone());
        if let Some(host) = &self.host {
            call = call.header("host", host.clone());
        }
        match &self.password {
            Some(password) => {
                let user = base64::prelude::BASE64_STANDARD.encode(format!("AWS:{password}"));
                call.header("authorization", format!("Basic {user}"))
            }
            None => call,
        }
    }

    pub async fn send(&self, call: Call) -> Answer {
        let what = format!("{} {}", call.method, call.target);
        let head = call.method == "HEAD";
        let answer = match &self.tls {
            None => call.send(self.app.address).await,
            Some(client) => client.send(&call).await,
        };
        check(&what, head, &answer);
        answer
    }
    pub async fn get(&self, target: &str) -> Answer {
        self.send(self.call("GET", target)).await
    }
    pub async fn head(&self, target: &str) -> Answer {
        self.send(self.call("HEAD", target)).await
    }
    pub async fn delete(&self, target: &str) -> Answer {
        self.send(self.call("DELETE", target)).await
    }
    pub async fn post(&self, target: &str, body: impl Into<Bytes>) -> Answer {
        self.send(self.call("POST", target).body(body)).await
    }
    pub async fn put(&self, target: &str, body: impl Into<Bytes>) -> Answer {
        self.send(self.call("PUT", target).body(body)).await
    }
    /// Sends a chunk without Content-Range, as docker does.
    pub async fn patch(&self, target: &str, body: impl Into<Bytes>) -> Answer {
        self.send(self.call("PATCH", target).header("content-type", "application/octet-stream").body(body)).await
    }
    /// Sends a chunk with its Content-Range.
    pub async fn patch_at(&self, target: &str, first: usize, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let range = format!("{first}-{}", first + body.len() - 1);
        let call = self
            .call("PATCH", target)
            .header("content-type", "application/octet-stream")
            .header("content-range", range);
        self.send(call.body(body)).await
    }

    /// Opens an upload and returns its path.
    pub async fn start_upload(&self, repository: &str) -> String {
        location(&self.post(&format!("/v2/{repository}/blobs/uploads/"), "").await.expect(202))
    }

    /// Pushes a blob as docker does (POST, PATCH, PUT) and returns its digest.
    pub async fn push_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let upload = self.start_upload(repository).await;
        let upload = location(&self.patch(&upload, bytes.to_vec()).await.expect(202));
        self.put(&with_query(&upload, &format!("digest={digest}")), "").await.expect(201);
        digest
    }

    /// Pushes an image's blobs.
    pub async fn push_blobs(&self, repository: &str, image: &Image) {
        for blob in &image.blobs {
            self.push_blob(repository, blob).await;
        }
    }

    /// PUTs a manifest under a tag or digest.
    pub async fn put_manifest(&self, repository: &str, reference: &str, image: &Image) -> Answer {
        let call = self
            .call("PUT", format!("/v2/{repository}/manifests/{reference}"))
            .header("content-type", image.media_type);
        self.send(call.body(image.manifest.clone())).await
    }

    /// Pushes an image with its blobs and manifest.
    pub async fn push(&self, repository: &str, reference: &str, image: &Image) {
        self.push_blobs(repository, image).await;
        let answer = self.put_manifest(repository, reference, image).await.expect(201);
        assert_eq!(answer.header("docker-content-digest"), Some(image.digest().as_str()));
    }

    /// Pulls an image completely and compares every byte with what was pushed.
    pub async fn pull(&self, repository: &str, reference: &str, expected: &Image) {
        let manifest = self.get(&format!("/v2/{repository}/manifests/{reference}")).await.expect(200);
        assert_eq!(manifest.body, expected.manifest);
        assert_eq!(manifest.header("content-type"), Some(expected.media_type));
        assert_eq!(manifest.header("docker-content-digest"), Some(expected.digest().as_str()));
        for blob in &expected.blobs {
            let got = self.get(&format!("/v2/{repository}/blobs/{}", digest(blob))).await.expect(200);
            assert_eq!(got.body, *blob);
        }
    }
}

/// Returns the path and query of a Location header, with or without a host.
#[track_caller]
pub fn location(answer: &Answer) -> String {
    let location = answer.header("location").unwrap_or_else(|| panic!("no Location in {:?}", answer.headers));
    match location.split_once("://") {
        Some((_, rest)) => rest[rest.find('/').expect("a path")..].to_owned(),
        None => location.to_owned(),
    }
}

/// Adds a parameter to a target.
pub fn with_query(target: &str, parameter: &str) -> String {
    let separator = if target.contains('?') { '&' } else { '?' };
    format!("{target}{separator}{parameter}")
}

/// The codes in OCI distribution-spec "Error Codes" and `ECR.md` B.10.
const CODES: &[&str] = &[
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DENIED",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "PAGINATION_NUMBER_INVALID",
    "SIZE_INVALID",
    "TAG_INVALID",
    "TOOMANYREQUESTS",
    "UNAUTHORIZED",
    "UNKNOWN",
    "UNSUPPORTED",
];

/// Checks an answer of the door against `ECR.md` B.1 and B.2.
fn check(what: &str, head: bool, answer: &Answer) {
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"), "{what}: {answer:?}");
    if answer.status < 400 {
        return;
    }
    assert!(
        // HTTP/2 has no reason phrase.
        answer.http2 || answer.reason.contains(": ") && answer.reason.len() <= 200,
        "{what}: the reason phrase is {:?}",
        answer.reason
    );
    if head {
        return;
    }
    if answer.status == 401 {
        assert_eq!(answer.text(), "Not Authorized\n", "{what}");
        return;
    }
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"), "{what}");
    assert!(answer.text().ends_with('\n'), "{what}: no newline at the end");
    assert!(CODES.contains(&answer.code().as_str()), "{what}: {}", answer.text());
    let message = answer.message();
    assert!(!message.is_empty(), "{what}: {}", answer.text());
    if answer.http2 {
        return;
    }
    // The reason phrase may say nothing that the body does not say (`ECR.md` B.2).
    let body = folded(&message);
    let phrase = folded(&answer.reason);
    let (_, said) = phrase.split_once(": ").expect("a reason phrase of the registry");
    for word in said.split(' ').map(|word| word.trim_matches([',', ';', ':', '\'', '.'])) {
        assert!(GLUE.contains(&word) || body.contains(word), "{what}: '{word}' of '{phrase}' is not in '{message}'");
    }
}

/// Words of reason phrases that the body need not contain.
const GLUE: &[&str] = &["no", "such", "the", "in", "is", "and", "others", "on"];

/// Reduces a text to what a reason phrase can contain, in lower case.
fn folded(text: &str) -> String {
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c.to_ascii_lowercase() } else { '?' }).collect()
}
