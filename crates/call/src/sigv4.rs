//! Authenticates callers of the AWS doors by SigV4. Everything except the signature itself is checked before the body is read;
//! the signature is checked after (`ECR.md` 0).

use crate::Service;
use aws::Region;
use aws::sigv4::{CheckedSignature, Head, PresentedSignature, SignatureRejection};
use http::header::HOST;
use http::request::Parts;
use kernel::CommonError;
use kernel::access::Caller;
use listen::addresses::HostName;
use listen::app::{App, Credential, InvalidSessionToken};

/// A request's claim to an identity. Its key exists and its time and scope are valid; only the signature is not verified yet.
/// Made by [`Claim::read`], consumed by [`Claim::verify`].
pub struct Claim {
    checked: CheckedSignature,
    credential: Credential,
    region: Region,
}

/// Why a request could not be authenticated. Display is AWS's message.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    #[error(transparent)]
    Rejected(#[from] SignatureRejection),
    /// The key or the session does not exist.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// The session that the key belongs to has expired.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// The signature's region is not served, or not the host's.
    #[error("Credential should be scoped to a valid region. '{0}' is not one that this endpoint serves.")]
    Region(String),
    #[error(transparent)]
    Failed(#[from] CommonError),
}

/// AWS answers an invalid session token like an invalid key.
impl From<InvalidSessionToken> for Unauthenticated {
    fn from(invalid: InvalidSessionToken) -> Unauthenticated {
        match invalid {
            InvalidSessionToken::Wrong => Unauthenticated::UnknownKey,
            InvalidSessionToken::Expired => Unauthenticated::ExpiredToken,
        }
    }
}

impl Claim {
    /// Reads a claim from a request's head, looks up its key, and checks its time, scope and signed headers. The caller is not
    /// authenticated until [`Claim::verify`].
    pub async fn read(app: &App, parts: &Parts, service: &Service) -> Result<Claim, Unauthenticated> {
        let presented = with_head(parts, PresentedSignature::read)?;
        let presented = if service.stated_life { presented } else { presented.without_stated_life() };
        let found = app.credential(&presented.access_key_id).await?;
        let credential = found.ok_or(Unauthenticated::UnknownKey)?;
        credential.check_session_token(presented.session_token.as_deref(), app.system.now())?;
        let skew = i64::try_from(app.system.limits.clock_skew.as_secs()).unwrap_or(i64::MAX);
        let now = app.system.now().0;
        let checked = with_head(parts, |head| presented.check(head, &[service.signing_name], now, skew))?;
        let region = region(app, parts, &checked.presented().region, service)?;
        Ok(Claim { checked, credential, region })
    }

    /// Returns the access key id that the request claims.
    pub fn access_key_id(&self) -> &str {
        &self.checked.presented().access_key_id
    }

    /// Verifies the signature before the body is read, if the request states its body's hash (`x-amz-content-sha256`). Returns
    /// false if it does not. The body's hash still has to be verified.
    pub fn verify_head(&self, parts: &Parts) -> Result<bool, Unauthenticated> {
        Ok(with_head(parts, |head| self.checked.verify_head(head, &self.credential.secret))?)
    }

    /// Verifies the signature with the key's secret and the hash of the received body. Records the use of the key for `service`.
    pub fn verify(
        self,
        app: &App,
        parts: &Parts,
        service: &Service,
        body_sha256: [u8; 32],
    ) -> Result<(Caller, Region), Unauthenticated> {
        with_head(parts, |head| self.checked.verify(head, &self.credential.secret, body_sha256))?;
        app.record_use(&self.credential.caller, service.signing_name, self.region.as_str());
        Ok((self.credential.caller, self.region))
    }
}

/// Returns the call's region: the signature's, which must match the host's if the host names one.
fn region(app: &App, parts: &Parts, claimed: &str, service: &Service) -> Result<Region, Unauthenticated> {
    let refused = || Unauthenticated::Region(kernel::excerpt(claimed, crate::REPEATED));
    let region: Region = claimed.parse().map_err(|_| refused())?;
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let of_host = match app.addresses.host(host) {
        HostName::Registry(registry) => registry.region().cloned(),
        HostName::Api(region) => Some(region),
        HostName::Other => None,
    };
    let served = app.addresses.serves(&region) || service.global_region == Some(region.as_str());
    if served && of_host.is_none_or(|of_host| of_host == region) { Ok(region) } else { Err(refused()) }
}

/// Calls `read` with a request's head in the form that signatures cover.
fn with_head<T>(parts: &Parts, read: impl FnOnce(&Head<'_>) -> T) -> T {
    let headers: Vec<(&str, &[u8])> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    read(&Head {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
    })
}
