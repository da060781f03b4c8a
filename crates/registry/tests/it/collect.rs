//! What goes for good, when, and what stays.

use super::support::*;
use kernel::clock::Time;
use kernel::limits::Limits;
use meta::HoldId;
use oci::{Digest, Reference};
use registry::collect::{self, Collected, Due};
use registry::image::{self, ImageRef, NewImage, PushClient};
use registry::repository;
use serde_json::json;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Pushes an image with a large layer, whose bytes have a location, and a small config, whose bytes are in its record.
async fn push(world: &World, seed: u64, tag: &str) -> (Digest, Digest) {
    let bytes = layer_bytes(seed, 40_000);
    let config = world.put(format!("{{\"seed\":{seed}}}").as_bytes()).await;
    let layer = world.put(&bytes).await;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(),
            "size": format!("{{\"seed\":{seed}}}").len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.to_string(), "size": bytes.len(),
        }],
    });
    let (bytes, tags) = (manifest.to_string().into_bytes(), vec![tag.parse().unwrap()]);
    let new = NewImage { bytes, media_type: None, tags, digest: None, client: PushClient::Api };
    (image::put(&world.cx, &app(), new).await.unwrap().digest, layer)
}

async fn delete(world: &World, digest: &Digest) {
    let id = ImageRef { digest: Some(digest.to_string()), tag: None };
    let (deleted, failures) = image::delete_batch(&world.cx, &app(), vec![id]).await.unwrap();
    assert!(!deleted.is_empty() && failures.is_empty(), "{failures:?}");
}

async fn collected(world: &World) -> Collected {
    collect::run(&world.cx.system, Due::now(&world.cx.system)).await.unwrap()
}

#[tokio::test]
async fn a_deleted_image_goes_after_its_window_and_its_layers_after_their_grace() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let limits = Limits::default();
        let (kept, kept_layer) = push(&world, 1, "kept").await;
        let (gone, gone_layer) = push(&world, 2, "gone").await;
        delete(&world, &gone).await;
        assert_eq!((collected(&world).await, world.locations().await), (Collected::default(), 2), "{store:?}");
        // The window ends: the image's rows go, and the grace of its layers begins.
        world.clock.advance(limits.undelete_window);
        assert_eq!(collected(&world).await, Collected { images: 1, ..Collected::default() });
        assert_eq!(world.read(&gone_layer).await.unwrap().len(), 40_000, "a layer within its grace is there");
        world.clock.advance(limits.grace);
        let bytes = 40_000 + u64::try_from("{\"seed\":2}".len()).unwrap();
        assert_eq!(collected(&world).await, Collected { layers: 2, layer_bytes: bytes, ..Collected::default() });
        assert_eq!(world.locations().await, 1, "{store:?}");
        assert!(world.read(&gone_layer).await.is_err());
        assert_eq!(world.read(&kept_layer).await.unwrap(), layer_bytes(1, 40_000));
        let reference = Reference::Digest(kept);
        assert!(image::head(&world.cx, &app(), &reference).await.unwrap().is_some());
        // Nothing is left to do, and the layer can be pushed again.
        assert_eq!(collected(&world).await, Collected::default());
        assert_eq!(push(&world, 2, "again").await, (gone, gone_layer));
        assert_eq!(world.read(&gone_layer).await.unwrap(), layer_bytes(2, 40_000));
    }
}

#[tokio::test]
async fn a_layer_stays_while_any_image_references_it_a_deleted_one_too() {
    let world = World::new(Store::Memory).await;
    let limits = Limits::default();
    let (first, layer) = push(&world, 1, "one").await;
    // A second image of the same layers, in another repository.
    let other = name("other");
    world.repository(&world.cx, &other).await;
    put_to(&world.cx, &other, &layer_bytes(1, 40_000)).await;
    put_to(&world.cx, &other, b"{\"seed\":1}").await;
    let manifest = image::pull(&world.cx, &app(), &Reference::Digest(first)).await.unwrap().unwrap().manifest;
    let new =
        || NewImage { bytes: manifest.clone(), media_type: None, tags: vec![], digest: None, client: PushClient::Api };
    image::put(&world.cx, &other, new()).await.unwrap();
    delete(&world, &first).await;
    world.clock.advance(limits.undelete_window + limits.grace);
    collected(&world).await;
    world.clock.advance(limits.grace);
    assert_eq!(collected(&world).await, Collected::default(), "the other repository's image needs both layers");
    // The other is deleted: its references count until its own window has ended.
    let id = ImageRef { digest: Some(first.to_string()), tag: None };
    image::delete_batch(&world.cx, &other, vec![id]).await.unwrap();
    world.clock.advance(limits.undelete_window - Duration::from_secs(1));
    assert_eq!(collected(&world).await, Collected::default());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(collected(&world).await.images, 1);
    world.clock.advance(limits.grace);
    assert_eq!(collected(&world).await.layers, 2);
    assert!(world.read(&layer).await.is_err());
}

#[tokio::test]
async fn a_push_that_uses_a_layer_within_its_grace_keeps_it() {
    let world = World::new(Store::Memory).await;
    let limits = Limits::default();
    let (gone, layer) = push(&world, 1, "v1").await;
    delete(&world, &gone).await;
    world.clock.advance(limits.undelete_window);
    collected(&world).await;
    // A moment before the grace ends, the same layers are pushed again.
    world.clock.advance(limits.grace - Duration::from_secs(1));
    push(&world, 1, "v1").await;
    world.clock.advance(limits.grace * 2);
    assert_eq!(collected(&world).await, Collected::default());
    assert_eq!(world.read(&layer).await.unwrap(), layer_bytes(1, 40_000));
}

#[tokio::test]
async fn a_layer_that_was_never_in_an_image_goes_after_its_grace() {
    let world = World::new(Store::Fs).await;
    let limits = Limits::default();
    world.put(&layer_bytes(1, 40_000)).await;
    world.clock.advance(limits.grace - Duration::from_secs(1));
    assert_eq!(collected(&world).await.layers, 0);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(collected(&world).await, Collected { layers: 1, layer_bytes: 40_000, ..Collected::default() });
    assert_eq!(world.locations().await, 0);
}

#[tokio::test]
async fn a_deleted_repository_goes_with_all_that_it_holds() {
    let world = World::new(Store::Memory).await;
    let limits = Limits::default();
    for seed in 0..25 {
        push(&world, seed, &format!("v{seed}")).await;
    }
    let id = repository::get(&world.cx, &app()).await.unwrap().id;
    repository::delete(&world.cx, &app(), true).await.unwrap();
    // The name can be used again at once, and nothing of the new repository goes.
    world.repository(&world.cx, &app()).await;
    let (new, _) = push(&world, 100, "new").await;
    world.clock.advance(limits.undelete_window);
    let done = collected(&world).await;
    assert_eq!((done.repositories, done.layers), (1, 0), "its images go with it");
    let rows = world.cx.db.read(move |tx| tx.collect_repository_images(id, 100)).await;
    assert_eq!(rows.unwrap(), []);
    world.clock.advance(limits.grace);
    assert_eq!(collected(&world).await.layers, 50);
    assert!(image::head(&world.cx, &app(), &Reference::Digest(new)).await.unwrap().is_some());
    assert_eq!(world.locations().await, 1);
}

#[tokio::test]
async fn while_a_backup_holds_the_layers_none_goes() {
    let world = World::new(Store::Memory).await;
    world.put(&layer_bytes(1, 40_000)).await;
    world.clock.advance(Limits::default().grace);
    let hold: HoldId = world.cx.id();
    collect::hold(&world.cx.db, hold, world.cx.now()).await.unwrap();
    assert_eq!(collected(&world).await, Collected { held: true, ..Collected::default() });
    collect::release(&world.cx.db, hold).await.unwrap();
    assert_eq!(collected(&world).await.layers, 1);
    // A hold whose holder died ends by itself.
    world.put(&layer_bytes(2, 40_000)).await;
    world.clock.advance(Limits::default().grace);
    collect::hold(&world.cx.db, world.cx.id(), world.cx.now()).await.unwrap();
    world.clock.advance(collect::HOLD);
    assert_eq!(collected(&world).await.layers, 1);
}

#[tokio::test]
async fn bytes_without_a_record_go_when_they_are_old_and_an_open_upload_keeps_its_own() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let limits = Limits::default();
        let stray = blob::Location(world.cx.id());
        world.set_stored(stray, Some(b"left by a crash")).await;
        world.clock.advance(limits.sweep_age - Duration::from_secs(1));
        let upload = world.start().await;
        registry::upload::append(&world.cx, &app(), upload, None, &mut whole(&layer_bytes(1, S3_PART))).await.unwrap();
        assert_eq!(collected(&world).await.strays, 0, "{store:?}");
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(collected(&world).await.strays, 1, "{store:?}");
        assert_eq!(collect::sweep(&world.cx.system, Time(i64::MAX)).await.unwrap(), 0, "{store:?}: an upload's bytes");
    }
}

#[tokio::test]
async fn old_events_go() {
    let world = World::new(Store::Memory).await;
    push(&world, 1, "v1").await;
    world.clock.advance(401 * DAY);
    push(&world, 2, "v2").await;
    assert!(collected(&world).await.events > 0);
    assert_eq!(collected(&world).await.events, 0);
    let registry = world.cx.registry.key();
    let left = world.cx.db.read(move |tx| {
        let id = tx.repository_by_name(&registry, app().as_str())?.unwrap().id;
        tx.event_pushes(id, None, 10)
    });
    let left: Result<Vec<_>, meta::Error> = left.await;
    assert_eq!(left.unwrap().len(), 1, "the second push's");
}
