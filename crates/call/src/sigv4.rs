//! The AWS doors' callers: a signature's claim, of which all but the signature is checked before the body is read, and that
//! once it was (`ECR.md` 0).
use crate::Service;
use aws::Region;
use aws::sigv4::{Checked, Head, Presented, Rejection};
use http::header::HOST;
use http::request::Parts;
use kernel::CommonError;
use kernel::access::Caller;
use listen::addresses::HostName;
use listen::app::{App, Credential};

/// What a request claims, once its access key was found and nothing but its signature can be wrong.
pub struct Claim {
    checked: Checked,
    credential: Credential,
    region: Region,
}

/// Why a request has no caller. Display is the message that AWS gives.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// No such key, or a session that doesn't exist.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// The signature's region is not served, or not the host's.
    #[error("Credential should be scoped to a valid region. '{0}' is not one that this endpoint serves.")]
    Region(String),
    #[error(transparent)]
    Failed(#[from] CommonError),
}

impl Claim {
    /// Reads the claim of a request's head, looks its key up, and checks what needs no body: its time, its scope and what it
    /// signs. The caller is not known to be who it says until [`Claim::verify`].
    pub async fn read(app: &App, parts: &Parts, service: &Service) -> Result<Claim, Unauthenticated> {
        let presented = with_head(parts, Presented::read)?;
        let presented = if service.stated_life { presented } else { presented.without_stated_life() };
        let found = app.credential(&presented.access_key_id).await?;
        // Sessions don't exist yet, so no session token is one of ours; AWS answers a wrong one like a wrong key.
        let credential = found.filter(|_| presented.session_token.is_none()).ok_or(Unauthenticated::UnknownKey)?;
        let skew = i64::try_from(app.system.limits.clock_skew.as_secs()).unwrap_or(i64::MAX);
        let now = app.system.now().0;
        let checked = with_head(parts, |head| presented.check(head, &[service.signing_name], now, skew))?;
        let region = region(app, parts, &checked.presented().region, service)?;
        Ok(Claim { checked, credential, region })
    }

    /// The access key that the request claims to be signed by.
    pub fn access_key_id(&self) -> &str {
        &self.checked.presented().access_key_id
    }

    /// Verifies a signature that states its body's hash (`x-amz-content-sha256`) before the body is read: true if it is good,
    /// false for a request that does not state the hash. What is left then is that the body has it.
    pub fn verify_head(&self, parts: &Parts) -> Result<bool, Unauthenticated> {
        Ok(with_head(parts, |head| self.checked.verify_head(head, &self.credential.secret))?)
    }

    /// Holds the claim to the key's secret and to the body that came.
    pub fn verify(self, parts: &Parts, body_sha256: [u8; 32]) -> Result<(Caller, Region), Unauthenticated> {
        with_head(parts, |head| self.checked.verify(head, &self.credential.secret, body_sha256))?;
        Ok((self.credential.caller, self.region))
    }
}

/// The region that a call is about: the signature's, which must be the host's where the host names one.
fn region(app: &App, parts: &Parts, claimed: &str, service: &Service) -> Result<Region, Unauthenticated> {
    let refused = || Unauthenticated::Region(listen::loggable::excerpt(claimed));
    let region: Region = claimed.parse().map_err(|_| refused())?;
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let of_host = match app.addresses.host(host) {
        HostName::Registry(registry) => Some(registry.region),
        HostName::Api(region) => Some(region),
        HostName::Other => None,
    };
    let served = app.addresses.serves(&region) || service.global_region == Some(region.as_str());
    if served && of_host.is_none_or(|of_host| of_host == region) { Ok(region) } else { Err(refused()) }
}

/// Shows a request's head as signatures see it.
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
