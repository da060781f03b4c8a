//! Signed layer URLs, `/layers/ID?…`. Each is valid for one layer until it expires (DESIGN "Keys and tokens").

use crate::System;
use crate::clock::Time;
use crate::keys::Purpose;
use crate::layer::Layer;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meta::LayerId;
use subtle::ConstantTimeEq;

/// Digits of a layer's id in a URL.
const ID_DIGITS: usize = 32;
const MICROSECONDS: i64 = 1_000_000;

/// Returns the path and query of a URL for the layer. Anybody with the URL can read the layer, so it must never be logged.
pub fn sign(system: &System, layer: &Layer) -> String {
    let key = system.keys.current();
    let expires = system.now().plus(system.limits.layer_url_life).0 / MICROSECONDS;
    let signature = URL_SAFE_NO_PAD.encode(system.keys.mac_current(Purpose::LayerUrl, &message(layer.id, expires)));
    let id = u128::from_be_bytes(layer.id.0);
    format!("/layers/{id:032x}?key={key}&expires={expires}&signature={signature}")
}

/// A URL's claim, once its MAC and its time were found right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerUrlClaim {
    pub layer_id: LayerId,
    pub expires: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLayerUrl {
    #[error("the signature of this URL is invalid")]
    Signature,
    #[error("this URL has expired")]
    Expired,
}

/// Verifies the path after `/layers/` and the query. Any change of the signed URL is [`InvalidLayerUrl::Signature`].
pub fn verify(system: &System, path_id: &str, query: &str) -> Result<LayerUrlClaim, InvalidLayerUrl> {
    let (layer_id, claim) = parse_id(path_id).zip(parse_query(query)).ok_or(InvalidLayerUrl::Signature)?;
    let right = system
        .keys
        .mac(claim.key, Purpose::LayerUrl, &message(layer_id, claim.expires))
        .ok_or(InvalidLayerUrl::Signature)?;
    if !bool::from(right.ct_eq(&claim.signature)) {
        return Err(InvalidLayerUrl::Signature);
    }
    let expires = Time(claim.expires.saturating_mul(MICROSECONDS));
    if expires <= system.now() {
        return Err(InvalidLayerUrl::Expired);
    }
    Ok(LayerUrlClaim { layer_id, expires })
}

fn message(layer_id: LayerId, expires: i64) -> Vec<u8> {
    [layer_id.0.as_slice(), &expires.to_be_bytes()].concat()
}

struct SignedQuery {
    key: u32,
    /// Seconds since 1970.
    expires: i64,
    signature: [u8; 32],
}

fn parse_id(text: &str) -> Option<LayerId> {
    let spelled = text.len() == ID_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    spelled.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(|id| LayerId(id.to_be_bytes()))
}

fn parse_query(query: &str) -> Option<SignedQuery> {
    let mut members = query.split('&');
    let mut member = |name: &str| members.next()?.strip_prefix(name)?.strip_prefix('=');
    let (key, expires, signature) = (member("key")?, member("expires")?, member("signature")?);
    if members.next().is_some() {
        return None;
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?.try_into().ok()?;
    Some(SignedQuery { key: key.parse().ok()?, expires: expires.parse().ok()?, signature })
}
