//! What an operation asks of the metadata store: a guard of its speed that counts and does not measure.
use crate::support::{Store, World, app, layer_bytes, on_postgres, put_to, sha256, whole};
use oci::{Algorithm, Digest, Reference};
use registry::image::{self, NewImage, PushClient};
use registry::upload::{self, CompletionRules};
use registry::{Cx, layer};
use serde_json::json;

/// Transactions that write; statements of all; how often PostgreSQL's answer is waited for.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    writes: u64,
    statements: u64,
    exchanges: u64,
}

/// A cost on both engines; only PostgreSQL has exchanges.
fn of(writes: u64, statements: u64, exchanges: u64) -> Cost {
    Cost { writes, statements, exchanges: if on_postgres() { exchanges } else { 0 } }
}

async fn cost(cx: &Cx, what: impl Future) -> Cost {
    let before = cx.db.stats();
    what.await;
    let after = cx.db.stats();
    Cost {
        writes: after.jobs - before.jobs,
        statements: after.statements - before.statements,
        exchanges: after.exchanges - before.exchanges,
    }
}

/// The manifest of an image of these blobs, the config first.
fn manifest(blobs: &[Digest]) -> Vec<u8> {
    let descriptor =
        |digest: &Digest, media_type: &str| json!({"mediaType": media_type, "digest": digest.to_string(), "size": 100});
    let layers = blobs[1..].iter().map(|digest| descriptor(digest, "application/vnd.oci.image.layer.v1.tar+gzip"));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(&blobs[0], "application/vnd.oci.image.config.v1+json"),
        "layers": layers.collect::<Vec<_>>(),
    });
    manifest.to_string().into_bytes()
}

async fn put(cx: &Cx, bytes: Vec<u8>, tag: &str) {
    let client = PushClient::Docker { containerd: false };
    let new = NewImage { bytes, media_type: None, tags: vec![tag.parse().unwrap()], digest: None, client };
    image::put(cx, &app(), new).await.unwrap();
}

#[tokio::test]
async fn a_small_layer_costs_one_write_transaction() {
    let world = World::new(Store::Fs).await;
    let cx = &world.cx;
    let bytes = layer_bytes(1, 10_240);
    let digest = sha256(&bytes);
    assert_eq!(cost(cx, layer::check(cx, &app(), vec![digest])).await, of(0, 1, 1));
    assert_eq!(cost(cx, upload::start(cx, &app(), Algorithm::Sha256)).await, of(0, 1, 1));
    let id = upload::start(cx, &app(), Algorithm::Sha256).await.unwrap();
    let put = async {
        upload::complete(cx, &app(), id, &digest, None, &mut whole(&bytes), CompletionRules::Docker).await.unwrap();
    };
    assert_eq!(cost(cx, put).await, of(1, 5, 3));
}

#[tokio::test]
async fn an_image_costs_one_write_transaction_and_no_more_exchanges_for_more_layers() {
    let world = World::new(Store::Fs).await;
    let cx = &world.cx;
    for (count, statements, again) in [(2, 16, 11), (100, 322, 109)] {
        let mut blobs = Vec::new();
        for layer in 0..=count {
            blobs.push(put_to(cx, &app(), &layer_bytes(1000 * count + layer, 100)).await);
        }
        let tag = format!("layers-{count}");
        // The first push counts the images of the repository.
        put(cx, manifest(&blobs[1..]), "other").await;
        let push = put(cx, manifest(&blobs), &tag);
        assert_eq!(cost(cx, push).await, of(1, statements, 4), "{count} layers");
        // Its tag holds it already.
        assert_eq!(cost(cx, put(cx, manifest(&blobs), &tag)).await, of(1, again, 7), "{count} layers again");
        let reference: Reference = tag.parse().unwrap();
        assert_eq!(cost(cx, image::pull(cx, &app(), &reference)).await, of(0, 1, 1));
    }
}
