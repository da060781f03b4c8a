//! Checks of a claim: time, scope, signed headers, signature and body.

use subtle::ConstantTimeEq;

use super::canonical::{self, Canonical, Scope};
use super::{Head, PresentedSignature, SignatureRejection, TERMINATOR, UNSIGNED_PAYLOAD, date, sign};
use crate::Region;

/// A claim that has passed all checks except those of the signature and the body. [`PresentedSignature::check`] makes it.
#[derive(Clone, Debug)]
pub struct CheckedSignature(PresentedSignature);

impl PresentedSignature {
    /// Checks everything that needs neither the secret nor the body, in AWS's order.
    ///
    /// The time must be within `max_skew_seconds`, or for a presigned request with `X-Amz-Expires` within this life. `host`, all
    /// `x-amz-*` headers and the body must be signed. The scope must name one of `services`. `now_us` is in microseconds since 1970.
    ///
    /// # Errors
    /// [`SignatureRejection::Time`] or [`SignatureRejection::Scope`]. [`SignatureRejection::Incomplete`] if `X-Amz-Expires` is invalid.
    pub fn check(
        self,
        head: &Head<'_>,
        services: &[&str],
        now_us: i64,
        max_skew_seconds: i64,
    ) -> Result<CheckedSignature, SignatureRejection> {
        self.check_time(now_us.div_euclid(1_000_000), max_skew_seconds)?;
        self.check_signed_headers(head)?;
        self.check_scope(services, &date::format(self.signed_at))?;
        if self.content_sha256.as_deref() == Some(UNSIGNED_PAYLOAD) {
            return Err(SignatureRejection::Scope(format!(
                "The body must be signed: 'x-amz-content-sha256' must not be '{UNSIGNED_PAYLOAD}'."
            )));
        }
        Ok(CheckedSignature(self))
    }

    fn check_time(&self, now: i64, max_skew: i64) -> Result<(), SignatureRejection> {
        let life = self.stated_life()?.unwrap_or(max_skew);
        let oldest = now.saturating_sub(life);
        let newest = now.saturating_add(max_skew);
        let [signed_at, now_text] = [self.signed_at, now].map(date::format);
        if self.signed_at < oldest {
            return Err(SignatureRejection::Time(format!(
                "Signature expired: {signed_at} is now earlier than {} ({now_text} - {})",
                date::format(oldest),
                span(life)
            )));
        }
        if self.signed_at > newest {
            return Err(SignatureRejection::Time(format!(
                "Signature not yet current: {signed_at} is still later than {} ({now_text} + {})",
                date::format(newest),
                span(max_skew)
            )));
        }
        Ok(())
    }

    fn check_signed_headers(&self, head: &Head<'_>) -> Result<(), SignatureRejection> {
        if !self.signed_headers.contains("host") {
            return Err(SignatureRejection::Scope(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".into(),
            ));
        }
        let unsigned = head
            .headers
            .iter()
            .map(|(name, _)| *name)
            .find(|name| name.starts_with("x-amz-") && !self.signed_headers.contains(*name));
        match unsigned {
            Some(name) => {
                Err(SignatureRejection::Scope(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")))
            }
            None => Ok(()),
        }
    }

    /// Checks the scope. The error names every wrong part.
    fn check_scope(&self, services: &[&str], amz_date: &str) -> Result<(), SignatureRejection> {
        let mut faults = Vec::new();
        if self.region.parse::<Region>().is_err() {
            faults.push("Credential should be scoped to a valid region.".into());
        }
        if !services.contains(&self.service.as_str()) {
            faults.push(format!("Credential should be scoped to correct service: '{}'.", services.join("' or '")));
        }
        if self.terminator != TERMINATOR {
            faults.push(format!("Credential should be scoped with a valid terminator: '{TERMINATOR}'."));
        }
        if amz_date.get(..8) != Some(self.scope_date.as_str()) {
            faults.push(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', from '{amz_date}'.",
                self.scope_date,
                amz_date.get(..8).unwrap_or_default()
            ));
        }
        if faults.is_empty() { Ok(()) } else { Err(SignatureRejection::Scope(faults.join(" "))) }
    }

    /// The last line of the canonical request. Checks first that the body has the hash that the request declares.
    fn payload_line(&self, body_sha256: [u8; 32]) -> Result<String, SignatureRejection> {
        let hash = canonical::hex(&body_sha256);
        match &self.content_sha256 {
            None => Ok(hash),
            Some(declared) if declared.eq_ignore_ascii_case(&hash) => Ok(declared.clone()),
            Some(_) => Err(SignatureRejection::Mismatch),
        }
    }
}

impl CheckedSignature {
    /// The claim.
    pub fn presented(&self) -> &PresentedSignature {
        &self.0
    }

    /// Verifies the body's hash, and the signature in constant time. `head` must be the head that was checked.
    ///
    /// # Errors
    /// [`SignatureRejection::Mismatch`].
    pub fn verify(&self, head: &Head<'_>, secret: &str, body_sha256: [u8; 32]) -> Result<(), SignatureRejection> {
        let payload = self.0.payload_line(body_sha256)?;
        self.verify_payload(head, secret, &payload)
    }

    /// Verifies the signature before the body arrives, if the request declares the body's hash. Returns true if the signature is valid,
    /// and false if the request declares no hash. [`CheckedSignature::verify`] must still check the body.
    ///
    /// # Errors
    /// [`SignatureRejection::Mismatch`].
    pub fn verify_head(&self, head: &Head<'_>, secret: &str) -> Result<bool, SignatureRejection> {
        match &self.0.content_sha256 {
            None => Ok(false),
            Some(stated) => self.verify_payload(head, secret, stated).map(|()| true),
        }
    }

    /// `payload` is the last line of the canonical request.
    fn verify_payload(&self, head: &Head<'_>, secret: &str, payload: &str) -> Result<(), SignatureRejection> {
        let claim = &self.0;
        let canonical = Canonical::new(head, &claim.signed_headers, payload);
        let scope = Scope { date: &claim.scope_date, region: &claim.region, service: &claim.service };
        let key = sign::signing_key(secret, &scope);
        let amz_date = date::format(claim.signed_at);
        let matches = |query: &str| {
            let expected = sign::signature(&key, &canonical.string_to_sign(query, &amz_date, &scope));
            bool::from(expected.as_bytes().ct_eq(claim.signature.as_bytes()))
        };

        // A query string can be encoded in several ways. The guide signs the strict encoding, botocore signs the encoding that it sends.
        // Both encode the same parameters, so either signature is valid.
        let strict = canonical::query_strict(head.query);
        if matches(&strict) {
            return Ok(());
        }
        let as_written = canonical::query_as_written(head.query);
        if as_written != strict && matches(&as_written) { Ok(()) } else { Err(SignatureRejection::Mismatch) }
    }
}

/// The text of a duration: `15 min.`, or seconds if it is not a number of whole minutes.
fn span(seconds: i64) -> String {
    if seconds % 60 == 0 { format!("{} min.", seconds / 60) } else { format!("{seconds} sec.") }
}
