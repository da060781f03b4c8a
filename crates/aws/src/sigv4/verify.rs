//! Holding a claim to the clock, the scope, the secret and the body.

use subtle::ConstantTimeEq;

use super::canonical::{self, Canonical, Scope};
use super::{Head, Presented, Rejection, TERMINATOR, UNSIGNED_PAYLOAD, date, sign};
use crate::Region;

/// A claim of which only the signature can still be wrong.
#[derive(Clone, Debug)]
pub struct Checked(Presented);

impl Presented {
    /// Checks all that needs neither the secret nor the body.
    ///
    /// That is: the time (± `max_skew_seconds`, or the presigned expiry of at most 7 days; a presigned request that states
    /// none lives as long as the skew), that `host`, every `x-amz-*` header present and the body are signed, and the scope.
    /// `services` are the service names that this endpoint accepts, `now_us` microseconds since 1970. The checks stand in
    /// the order in which AWS makes them.
    ///
    /// # Errors
    /// [`Rejection::Time`] or [`Rejection::Scope`]; [`Rejection::Incomplete`] for a stated life that can't be one.
    pub fn check(
        self,
        head: &Head<'_>,
        services: &[&str],
        now_us: i64,
        max_skew_seconds: i64,
    ) -> Result<Checked, Rejection> {
        self.check_time(now_us.div_euclid(1_000_000), max_skew_seconds)?;
        self.check_signed_headers(head)?;
        self.check_scope(services, &date::format(self.signed_at))?;
        if self.content_sha256.as_deref() == Some(UNSIGNED_PAYLOAD) {
            return Err(Rejection::Scope(format!(
                "The body must be signed: 'x-amz-content-sha256' must not be '{UNSIGNED_PAYLOAD}'."
            )));
        }
        Ok(Checked(self))
    }

    fn check_time(&self, now: i64, max_skew: i64) -> Result<(), Rejection> {
        let life = self.stated_life()?.unwrap_or(max_skew);
        let oldest = now.saturating_sub(life);
        let newest = now.saturating_add(max_skew);
        let [signed_at, now_text] = [self.signed_at, now].map(date::format);
        if self.signed_at < oldest {
            return Err(Rejection::Time(format!(
                "Signature expired: {signed_at} is now earlier than {} ({now_text} - {})",
                date::format(oldest),
                span(life)
            )));
        }
        if self.signed_at > newest {
            return Err(Rejection::Time(format!(
                "Signature not yet current: {signed_at} is still later than {} ({now_text} + {})",
                date::format(newest),
                span(max_skew)
            )));
        }
        Ok(())
    }

    fn check_signed_headers(&self, head: &Head<'_>) -> Result<(), Rejection> {
        if !self.signed_headers.contains("host") {
            return Err(Rejection::Scope(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".into(),
            ));
        }
        let unsigned = head
            .headers
            .iter()
            .map(|(name, _)| *name)
            .find(|name| name.starts_with("x-amz-") && !self.signed_headers.contains(*name));
        match unsigned {
            Some(name) => Err(Rejection::Scope(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."))),
            None => Ok(()),
        }
    }

    /// Checks all parts of the scope and names every one that is wrong.
    fn check_scope(&self, services: &[&str], amz_date: &str) -> Result<(), Rejection> {
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
        if faults.is_empty() { Ok(()) } else { Err(Rejection::Scope(faults.join(" "))) }
    }

    /// The last line of the canonical request, once the body is known to be the one that the request declares.
    fn payload_line(&self, body_sha256: [u8; 32]) -> Result<String, Rejection> {
        let hash = canonical::hex(&body_sha256);
        match &self.content_sha256 {
            None => Ok(hash),
            Some(declared) if declared.eq_ignore_ascii_case(&hash) => Ok(declared.clone()),
            Some(_) => Err(Rejection::Mismatch),
        }
    }
}

impl Checked {
    /// What the request claimed.
    pub fn presented(&self) -> &Presented {
        &self.0
    }

    /// Verifies the signature (compared in constant time) and with it the body; `head` is the one that was checked.
    ///
    /// # Errors
    /// [`Rejection::Mismatch`].
    pub fn verify(&self, head: &Head<'_>, secret: &str, body_sha256: [u8; 32]) -> Result<(), Rejection> {
        let payload = self.0.payload_line(body_sha256)?;
        self.verify_payload(head, secret, &payload)
    }

    /// Verifies the signature before the body has come, where the request states the body's hash: true if the signature is
    /// good, false for a request that does not state it. [`Checked::verify`] holds the body to it.
    ///
    /// # Errors
    /// [`Rejection::Mismatch`].
    pub fn verify_head(&self, head: &Head<'_>, secret: &str) -> Result<bool, Rejection> {
        match &self.0.content_sha256 {
            None => Ok(false),
            Some(stated) => self.verify_payload(head, secret, stated).map(|()| true),
        }
    }

    /// `payload` is the last line of the canonical request.
    fn verify_payload(&self, head: &Head<'_>, secret: &str, payload: &str) -> Result<(), Rejection> {
        let claim = &self.0;
        let canonical = Canonical::new(head, &claim.signed_headers, payload);
        let scope = Scope { date: &claim.scope_date, region: &claim.region, service: &claim.service };
        let key = sign::signing_key(secret, &scope);
        let amz_date = date::format(claim.signed_at);
        let matches = |query: &str| {
            let expected = sign::signature(&key, &canonical.string_to_sign(query, &amz_date, &scope));
            bool::from(expected.as_bytes().ct_eq(claim.signature.as_bytes()))
        };

        // A query can be spelled in several ways on the wire. The guide signs its strict spelling, botocore the one that it
        // sends. Both name the same parameters, so a signature over either is good.
        let strict = canonical::query_strict(head.query);
        if matches(&strict) {
            return Ok(());
        }
        let as_written = canonical::query_as_written(head.query);
        if as_written != strict && matches(&as_written) { Ok(()) } else { Err(Rejection::Mismatch) }
    }
}

/// `15 min.`, or seconds where the span is not of whole minutes.
fn span(seconds: i64) -> String {
    if seconds % 60 == 0 { format!("{} min.", seconds / 60) } else { format!("{seconds} sec.") }
}
