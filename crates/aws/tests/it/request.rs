//! An owned request that a test can change before verification.

use aws::sigv4::{Head, PresentedSignature, SignatureRejection};
use aws_lc_rs::digest;

pub const SKEW_SECONDS: i64 = 15 * 60;

#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn with_head<T>(&self, f: impl FnOnce(&Head<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        f(&Head { method: &self.method, path: &self.path, query: &self.query, headers: &headers })
    }

    pub fn read(&self) -> Result<PresentedSignature, SignatureRejection> {
        self.with_head(PresentedSignature::read)
    }

    /// Parses, checks and verifies the claim, as a door does. `now` is in seconds.
    pub fn verify(&self, secret: &str, service: &str, now: i64) -> Result<PresentedSignature, SignatureRejection> {
        self.with_head(|head| {
            let checked = PresentedSignature::read(head)?.check(head, &[service], now * 1_000_000, SKEW_SECONDS)?;
            checked.verify(head, secret, sha256(&self.body))?;
            Ok(checked.presented().clone())
        })
    }

    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_slice())
    }

    pub fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.into()));
    }

    /// The same request with the first `from` of its authorization header replaced.
    pub fn with_authorization(&self, from: &str, to: &str) -> Request {
        let mut changed = self.clone();
        let written = String::from_utf8(self.header("authorization").unwrap().to_vec()).unwrap();
        assert!(written.contains(from), "{from:?} is not in the authorization header");
        changed.set_header("authorization", &written.replacen(from, to, 1));
        changed
    }
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap()
}
