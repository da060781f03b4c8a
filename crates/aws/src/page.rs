//! Page tokens: opaque to clients, bound to the listing that made them.

/// Makes and opens page tokens with a key derived from the root key.
pub struct PageTokens;

impl PageTokens {
    pub fn new(_key: [u8; 32]) -> PageTokens { todo!() }
    /// A token that holds `cursor` (the last key seen) and is good only for `listing`, which names the operation, the
    /// registry, the repository and the filter. URL-safe text.
    pub fn seal(&self, _listing: &str, _cursor: &[u8]) -> String { todo!() }
    /// The cursor of a token that [`PageTokens::seal`] made for the same listing.
    pub fn open(&self, _listing: &str, _token: &str) -> Result<Vec<u8>, InvalidPageToken> { todo!() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not one of this listing's")]
pub struct InvalidPageToken;
