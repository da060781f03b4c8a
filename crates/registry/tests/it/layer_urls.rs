//! Signed layer URLs.

use super::support::*;
use kernel::random;
use registry::layer;
use registry::layer_url::{self, InvalidLayerUrl};
use std::time::Duration;

/// Makes a world with a layer and signs a URL. Returns the layer's id, and the last segment and the query of the URL.
async fn signed() -> (World, meta::LayerId, String, String) {
    let world = World::new(Store::Fs).await;
    let digest = world.put(b"layer").await;
    let layer = layer::find(&world.cx, &app(), &digest, false).await.unwrap();
    let url = layer_url::sign(&world.cx, &layer);
    let (id, query) = url.strip_prefix("/layers/").unwrap().split_once('?').unwrap();
    (world, layer.id, id.to_owned(), query.to_owned())
}

#[tokio::test]
async fn a_url_is_valid_for_its_layer_until_it_expires() {
    let (world, id, path, query) = signed().await;
    let claim = layer_url::verify(&world.cx, &path, &query).unwrap();
    assert_eq!((claim.layer_id, claim.expires), (id, world.cx.now().plus(HOUR)));
    assert!(layer::open_by_id(&world.cx.system, claim.layer_id, None).await.unwrap().is_some());
    world.clock.advance(HOUR - Duration::from_micros(1));
    layer_url::verify(&world.cx, &path, &query).unwrap();
    world.clock.advance(Duration::from_micros(1));
    assert_eq!(layer_url::verify(&world.cx, &path, &query).unwrap_err(), InvalidLayerUrl::Expired);
}

#[tokio::test]
async fn a_changed_url_is_refused() {
    let (world, _, path, query) = signed().await;
    let other = format!("{:032x}", u128::from_be_bytes(random::id(world.random.as_ref(), world.cx.now())));
    let seconds = world.cx.now().plus(HOUR).0 / 1_000_000;
    let changed = [
        (other, query.clone()),
        (path.to_uppercase(), query.clone()),
        (path[1..].to_owned(), query.clone()),
        (format!("{path}0"), query.clone()),
        (path.clone(), query.replace(&seconds.to_string(), &(seconds + 1).to_string())),
        (path.clone(), query.replace("key=1", "key=2")),
        (path.clone(), query.replace("signature=", "signature=A")),
        (path.clone(), query[..query.len() - 1].to_owned()),
        (path.clone(), format!("{query}&key=1")),
        (path.clone(), String::new()),
        (path.clone(), format!("expires={seconds}")),
    ];
    for (path, query) in changed {
        let refused = layer_url::verify(&world.cx, &path, &query);
        assert_eq!(refused.unwrap_err(), InvalidLayerUrl::Signature, "{path}?{query}");
    }
}

#[tokio::test]
async fn an_unknown_layer_can_not_be_opened_by_id() {
    let world = World::new(Store::Fs).await;
    assert!(layer::open_by_id(&world.cx.system, world.cx.id(), None).await.unwrap().is_none());
}
