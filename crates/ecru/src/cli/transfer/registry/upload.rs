//! Uploads of blobs to a registry.

use super::address::{received, resolve, same_origin};
use super::{Ask, MAX_ANSWER_BYTES, Registry, built};
use crate::cli::transfer::TransferError;
use crate::cli::transfer::content::Content;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use listen::outbound::agent;
use oci::{Algorithm, Digest, MediaType};

impl Registry {
    /// Mounts a blob of another repository, or opens an upload where that can't be: the upload's address.
    pub async fn start_upload(&self, digest: &Digest, from: Option<&str>) -> Result<Option<Uri>, TransferError> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(from) = from {
            query.append_pair("mount", &digest.to_string()).append_pair("from", from);
        }
        if digest.algorithm() != Algorithm::Sha256 {
            query.append_pair("digest-algorithm", digest.algorithm().name());
        }
        let (what, query) = ("an upload", query.finish());
        let separator = if query.is_empty() { "" } else { "?" };
        let at = self.path(&format!("blobs/uploads/{separator}{query}"));
        let (response, uri) = self.ask(Ask::new(Method::POST, what), &at).await?;
        match response.status() {
            StatusCode::CREATED => Ok(None),
            StatusCode::ACCEPTED => Ok(Some(self.upload_location(&response, &uri)?)),
            _ => Err(self.refused(response, what).await),
        }
    }

    /// Where an upload stands: its address and its bytes. `None` where it has ended.
    pub async fn upload_status(&self, upload: &Uri) -> Result<Option<(Uri, u64)>, TransferError> {
        let (response, uri) = self.ask(Ask::new(Method::GET, "the state of an upload"), upload).await?;
        match response.status() {
            StatusCode::NO_CONTENT => {
                let received = response.headers().get(RANGE).and_then(|value| value.to_str().ok()).and_then(received);
                let received = received.ok_or_else(|| TransferError::Protocol {
                    host: self.host.clone(),
                    reason: "it does not say where an upload stands".to_owned(),
                })?;
                Ok(Some((self.upload_location(&response, &uri)?, received)))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refused(response, "the state of an upload").await),
        }
    }

    /// Sends `length` bytes to an upload; returns the upload's next address.
    pub async fn append(&self, upload: &Uri, content: Content, length: u64) -> Result<Uri, TransferError> {
        let what = "the bytes of a layer";
        let sent = self.login.header().await?;
        let mut request = self.request(&Method::PATCH, upload, sent.as_ref(), &HeaderMap::new());
        if let Some(headers) = request.headers_mut() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(MediaType::OCTET_STREAM));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let response = self.agent.send(built(request, agent::streamed(content))?).await?;
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::CREATED | StatusCode::NO_CONTENT => {
                self.upload_location(&response, upload)
            }
            _ => Err(self.refused(response, what).await),
        }
    }

    /// Ends an upload, which the registry then holds to its digest.
    pub async fn finish_upload(&self, upload: &Uri, digest: &Digest) -> Result<(), TransferError> {
        let separator = if upload.query().is_some() { '&' } else { '?' };
        let at: Uri = format!("{upload}{separator}digest={digest}").parse().map_err(|_| self.no_location())?;
        let (response, uri) = self.ask(Ask::new(Method::PUT, "the end of an upload"), &at).await?;
        match response.status() {
            StatusCode::CREATED => {
                agent::read(response, MAX_ANSWER_BYTES, &uri).await?;
                Ok(())
            }
            _ => Err(self.refused(response, "the end of an upload").await),
        }
    }

    fn upload_location<T>(&self, response: &Response<T>, asked: &Uri) -> Result<Uri, TransferError> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.and_then(|location| resolve(asked, location));
        location.filter(|location| same_origin(location, &self.base)).ok_or_else(|| self.no_location())
    }

    fn no_location(&self) -> TransferError {
        TransferError::Protocol {
            host: self.host.clone(),
            reason: "it does not say where an upload goes on".to_owned(),
        }
    }
}
