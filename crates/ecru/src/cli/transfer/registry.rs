//! A repository of a registry, as both sides of a transfer speak to it (OCI distribution-spec 1.1).

mod address;
mod upload;

use super::TransferError;
use super::content::{self, Content};
use super::error::shown;
use super::login::{Asked, LOGIN_HINT, Login};
use address::{next_page, resolve, same_origin, starts_at};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LINK, LOCATION, RANGE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use listen::outbound::Authorities;
use listen::outbound::agent::{self, Agent, Payload};
use oci::{Algorithm, Descriptor, Digest, Manifest, MediaType};
use serde::Deserialize;
use std::time::Duration;

/// Redirects at most that one request follows.
const MAX_REDIRECTS: usize = 5;
/// The times that a request is sent before its failure counts.
const MAX_TRIES: u32 = 4;
/// The wait before the second try; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait that a registry may ask for by Retry-After.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Tags of one page that are asked for.
const TAGS_PAGE: u32 = 1000;
/// Pages at most of one list.
const MAX_PAGES: usize = 1000;
/// The largest page of a list, error or other short answer, in bytes.
const MAX_ANSWER_BYTES: usize = Manifest::MAX_BYTES;

const AGENT: &str = concat!("ecru/", env!("CARGO_PKG_VERSION"));
static CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// One repository of one registry.
pub struct Registry {
    agent: Agent,
    /// Scheme and authority.
    base: Uri,
    /// The registry as its user named it.
    host: String,
    repository: String,
    login: Login,
}

/// A manifest as a registry has it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

/// One request, without what its place on the way adds.
struct Ask<'a> {
    method: Method,
    /// For errors: `the manifest v1`.
    what: &'a str,
    headers: HeaderMap,
    body: Bytes,
}

impl<'a> Ask<'a> {
    fn new(method: Method, what: &'a str) -> Ask<'a> {
        Ask { method, what, headers: HeaderMap::new(), body: Bytes::new() }
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Ask<'a> {
        self.headers.append(name, value);
        self
    }
}

impl Registry {
    /// `base` is the registry's scheme and authority; `host` is what its user calls it.
    pub fn new(base: Uri, host: String, repository: String, login: Login, authorities: Authorities) -> Registry {
        Registry { agent: Agent::new(authorities), base, host, repository, login }
    }

    /// `HOST/REPO`
    pub fn display(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn repository(&self) -> &str {
        &self.repository
    }

    pub fn login(&self) -> &Login {
        &self.login
    }

    /// The digest that a reference names, as HEAD tells it; `None` where there is no such manifest, or where the answer names no digest.
    pub async fn digest_of(&self, reference: &str) -> Result<Option<Digest>, TransferError> {
        let what = format!("the manifest {reference}");
        let ask = Ask::new(Method::HEAD, &what).header(ACCEPT, manifest_types());
        let (response, _) = self.ask(ask, &self.path(&format!("manifests/{reference}"))).await?;
        match response.status() {
            StatusCode::OK => {
                let digest =
                    response.headers().get(&CONTENT_DIGEST).and_then(|value| value.to_str().ok()?.parse().ok());
                Ok(digest)
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refused(response, &what).await),
        }
    }

    /// A manifest by tag or digest. Its bytes are those of the digest.
    pub async fn manifest(&self, reference: &str) -> Result<Option<Stored>, TransferError> {
        let what = format!("the manifest {reference}");
        let ask = Ask::new(Method::GET, &what).header(ACCEPT, manifest_types());
        let (response, uri) = self.ask(ask, &self.path(&format!("manifests/{reference}"))).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.refused(response, &what).await),
        }
        let header = |name: &HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let media_type = header(&CONTENT_TYPE).unwrap_or_default();
        // By tag the registry says the digest, which may be of another algorithm than the usual one.
        let claimed: Option<Digest> = header(&CONTENT_DIGEST).and_then(|text| text.parse().ok());
        let expected = reference.parse().ok().or(claimed);
        let bytes = agent::read(response, Manifest::MAX_BYTES, &uri).await?.into_body();
        let actual = Digest::of(expected.map_or(Algorithm::Sha256, |digest: Digest| digest.algorithm()), &bytes);
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            let what = format!("{what} of {}", self.display());
            return Err(TransferError::digest(what, expected, actual));
        }
        Ok(Some(Stored { digest: actual, media_type, bytes }))
    }

    /// True where the repository shows a blob.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, TransferError> {
        let what = format!("the layer {digest}");
        let (response, _) = self.ask(Ask::new(Method::HEAD, &what), &self.path(&format!("blobs/{digest}"))).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refused(response, &what).await),
        }
    }

    /// A blob's bytes from `offset` on. They are not checked.
    pub async fn blob(&self, digest: &Digest, offset: u64) -> Result<Content, TransferError> {
        let what = format!("the layer {digest}");
        let mut ask = Ask::new(Method::GET, &what);
        if offset > 0 {
            ask = ask.header(RANGE, text_header(&format!("bytes={offset}-"))?);
        }
        let (response, uri) = self.ask(ask, &self.path(&format!("blobs/{digest}"))).await?;
        let skipped = match response.status() {
            StatusCode::OK => offset,
            StatusCode::PARTIAL_CONTENT if starts_at(response.headers(), offset) => 0,
            StatusCode::NOT_FOUND => {
                return Err(TransferError::Missing { from: self.display(), what: format!("layer {digest}") });
            }
            _ => return Err(self.refused(response, &what).await),
        };
        let pieces = agent::pieces(response.into_body(), uri).map_err(TransferError::from).boxed();
        Ok(content::skip(pieces, skipped))
    }

    /// All tags, in the order of the registry. Fails if the registry has no such repository.
    pub async fn tags(&self) -> Result<Vec<String>, TransferError> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let first = self.path(&format!("tags/list?n={TAGS_PAGE}"));
        let exists = self.pages(first, "the list of tags", |page| {
            let page: Tags = serde_json::from_slice(page).ok()?;
            tags.extend(page.tags.unwrap_or_default());
            Some(())
        });
        match exists.await? {
            true => Ok(tags),
            false => Err(TransferError::NoRepository(self.display())),
        }
    }

    /// Who refers to a manifest, by the referrers API, else by the tag that stands in its place (distribution-spec "Referrers Tag
    /// Schema").
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, TransferError> {
        let mut found = Vec::new();
        let first = self.path(&format!("referrers/{subject}"));
        let answered = self.pages(first, "the list of referrers", |page| {
            let index = Manifest::parse(page, Some(MediaType::OCI_INDEX)).ok()?;
            found.extend(index.manifests);
            Some(())
        });
        match answered.await {
            Ok(true) => return Ok(found),
            Ok(false) => {}
            // Registries from before 1.1 refuse the path in ways of their own.
            Err(error @ TransferError::Refused { .. }) if error.is_of_one_image() => {}
            Err(error) => return Err(error),
        }
        let Some(stored) = self.manifest(&referrers_tag(subject)).await? else { return Ok(Vec::new()) };
        let index = Manifest::parse(&stored.bytes, Some(&stored.media_type));
        Ok(index.map(|index| index.manifests).unwrap_or_default())
    }

    /// Follows a list's pages; false where the first of them does not exist.
    async fn pages(
        &self,
        first: Uri,
        what: &str,
        mut take: impl FnMut(&[u8]) -> Option<()>,
    ) -> Result<bool, TransferError> {
        let protocol =
            |reason: &str| TransferError::Protocol { host: self.host.clone(), reason: format!("{what}: {reason}") };
        let mut next = Some(first);
        for page in 0..MAX_PAGES {
            let Some(at) = next.take() else { return Ok(true) };
            let (response, uri) = self.ask(Ask::new(Method::GET, what), &at).await?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND if page == 0 => return Ok(false),
                _ => return Err(self.refused(response, what).await),
            }
            // Another host gets no login, so that a next page there would be of no use.
            let link = response.headers().get(LINK).and_then(|value| value.to_str().ok());
            next = link
                .and_then(next_page)
                .and_then(|target| resolve(&at, target))
                .filter(|next| same_origin(next, &self.base));
            let body = agent::read(response, MAX_ANSWER_BYTES, &uri).await?.into_body();
            take(&body).ok_or_else(|| protocol("it can't be read"))?;
        }
        Err(protocol("it does not end"))
    }

    /// Puts a manifest under a tag or its digest.
    pub async fn put_manifest(&self, reference: &str, stored: &Stored) -> Result<(), TransferError> {
        let what = format!("the manifest {reference}");
        let mut ask = Ask::new(Method::PUT, &what).header(CONTENT_TYPE, text_header(&stored.media_type)?);
        ask.body = stored.bytes.clone();
        let (response, uri) = self.ask(ask, &self.path(&format!("manifests/{reference}"))).await?;
        match response.status() {
            StatusCode::CREATED => {
                agent::read(response, MAX_ANSWER_BYTES, &uri).await?;
                Ok(())
            }
            _ => Err(self.refused(response, &what).await),
        }
    }

    /// An address of this repository. Names and references are of characters that need no escape.
    fn path(&self, rest: &str) -> Uri {
        let path = format!("/v2/{}/{rest}", self.repository);
        resolve(&self.base, &path).unwrap_or_else(|| self.base.clone())
    }

    /// An address that was noted earlier, if it is one of this registry's.
    pub fn noted(&self, path: &str) -> Option<Uri> {
        resolve(&self.base, path).filter(|uri| same_origin(uri, &self.base))
    }

    /// Sends a request whose body is at hand: again after a failure that may pass, with a login where one is wanted, along redirects.
    /// Returns the answer, whatever its status, and the address that gave it.
    async fn ask(&self, ask: Ask<'_>, to: &Uri) -> Result<(Response<Incoming>, Uri), TransferError> {
        let mut wait = FIRST_WAIT;
        for _ in 1..MAX_TRIES {
            let asked_wait = match self.ask_once(&ask, to).await {
                Ok((response, uri)) => {
                    let busy =
                        [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY];
                    if !busy.contains(&response.status()) {
                        return Ok((response, uri));
                    }
                    let seconds =
                        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                    seconds.map(Duration::from_secs)
                }
                Err(error) if error.is_passing() => None,
                Err(error) => return Err(error),
            };
            tokio::time::sleep(asked_wait.unwrap_or(wait).min(MAX_WAIT)).await;
            wait *= 2;
        }
        self.ask_once(&ask, to).await
    }

    async fn ask_once(&self, ask: &Ask<'_>, to: &Uri) -> Result<(Response<Incoming>, Uri), TransferError> {
        let mut at = to.clone();
        let mut trusted = true;
        let mut renewed = 0;
        let mut redirects = 0;
        loop {
            // Only the registry itself gets its login; what a redirect leads to elsewhere gets none, and never again.
            trusted &= same_origin(&at, &self.base);
            let sent = if trusted { self.login.header().await? } else { None };
            let request = self.request(&ask.method, &at, sent.as_ref(), &ask.headers);
            let response = self.agent.send(built(request, agent::whole(ask.body.clone()))?).await?;
            match response.status() {
                // A token for a wider scope may have to follow a password, and a new token an old one.
                StatusCode::UNAUTHORIZED if trusted && renewed < 2 => {
                    renewed += 1;
                    let asked =
                        Asked { agent: &self.agent, base: &self.base, host: &self.host, repository: &self.repository };
                    if !self.login.renew(&asked, sent.as_ref(), response.headers()).await? {
                        return Ok((response, at));
                    }
                }
                status if status.is_redirection() && (ask.method == Method::GET || ask.method == Method::HEAD) => {
                    redirects += 1;
                    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                    let next = location.and_then(|location| resolve(&at, location));
                    let safe =
                        |next: &Uri| next.scheme_str() == Some("https") || self.base.scheme_str() == Some("http");
                    let next = next.filter(safe).filter(|_| redirects <= MAX_REDIRECTS);
                    at = next.ok_or_else(|| TransferError::Protocol {
                        host: self.host.clone(),
                        reason: format!("{}: it redirects to where no request may go", ask.what),
                    })?;
                }
                _ => return Ok((response, at)),
            }
        }
    }

    fn request(
        &self,
        method: &Method,
        to: &Uri,
        authorization: Option<&HeaderValue>,
        headers: &HeaderMap,
    ) -> http::request::Builder {
        let mut request = Request::builder().method(method).uri(to).header(USER_AGENT, AGENT);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request
    }

    /// The error of an answer, with the registry's own words.
    async fn refused(&self, response: Response<Incoming>, what: &str) -> TransferError {
        let status = response.status();
        let body =
            agent::read(response, MAX_ANSWER_BYTES, &self.base).await.map(Response::into_body).unwrap_or_default();
        let message = message(&body);
        if status == StatusCode::UNAUTHORIZED {
            if let Some(user) = self.login.user() {
                return TransferError::Password { host: self.host.clone(), user: user.to_owned() };
            }
            let hint = if message.is_empty() { LOGIN_HINT.to_owned() } else { format!("{message}. {LOGIN_HINT}") };
            return TransferError::Login { host: self.host.clone(), hint };
        }
        TransferError::Refused { host: self.host.clone(), what: what.to_owned(), status, message }
    }
}

fn built(request: http::request::Builder, body: Payload) -> Result<Request<Payload>, TransferError> {
    request.body(body).map_err(|error| TransferError::Usage(format!("the request can't be sent: {error}")))
}

fn manifest_types() -> HeaderValue {
    static TYPES: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| MediaType::MANIFESTS.join(", "));
    HeaderValue::from_str(&TYPES).unwrap_or(HeaderValue::from_static("*/*"))
}

fn text_header(text: &str) -> Result<HeaderValue, TransferError> {
    HeaderValue::from_str(text).map_err(|_| TransferError::Usage(format!("'{}' can't stand in a header", shown(text))))
}

/// `sha256-<hex>`: the tag that lists a manifest's referrers where there is no API for them.
pub fn referrers_tag(subject: &Digest) -> String {
    format!("{}-{}", subject.algorithm().name(), subject.hex())
}

/// The code and message of an error's body, or its text.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<OneError>,
    }
    #[derive(Deserialize)]
    struct OneError {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    match serde_json::from_slice::<Errors>(body) {
        Ok(Errors { errors }) => {
            let texts: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.code, error.message)).collect();
            shown(&texts.join("; "))
        }
        // A page of HTML tells nobody anything.
        Err(_) if body.starts_with(b"<") => String::new(),
        Err(_) => shown(&String::from_utf8_lossy(body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_shown_in_one_line() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\nway"}]}"#;
        assert_eq!(message(body), "DENIED: no way");
        assert_eq!(message(b"<html>"), "");
        assert_eq!(message(b"toomanyrequests"), "toomanyrequests");
    }
}
