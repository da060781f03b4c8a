//! Signed layer URLs: `/layers/ID?…`, good for one layer until they expire.
use crate::clock::Time;
use crate::{System, layer::Layer};

/// The path and query of a URL for the layer, without the base.
pub fn sign(_system: &System, _layer: &Layer) -> String { todo!() }

/// A URL's claim, once its MAC and its time were found right.
pub struct Signed {
    pub layer_id: [u8; 16],
    pub expires: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLayerUrl {
    #[error("the signature of this URL is not right")]
    Signature,
    #[error("this URL has expired")]
    Expired,
}

/// Verifies the part behind `/layers/` and the query.
pub fn verify(_system: &System, _path_id: &str, _query: &str) -> Result<Signed, InvalidLayerUrl> { todo!() }
