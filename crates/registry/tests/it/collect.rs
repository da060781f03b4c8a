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

/// An index of an image, with a tag.
async fn push_index(world: &World, child: &Digest, tag: &str) -> Digest {
    let reference = Reference::Digest(*child);
    let size = image::head(&world.cx, &app(), &reference).await.unwrap().unwrap().size;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": child.to_string(), "size": size,
        }],
    });
    let (bytes, tags) = (index.to_string().into_bytes(), vec![tag.parse().unwrap()]);
    let new = NewImage { bytes, media_type: None, tags, digest: None, client: PushClient::Api };
    image::put(&world.cx, &app(), new).await.unwrap().digest
}

async fn head(world: &World, name: &str) -> Option<Digest> {
    let reference = match name.parse() {
        Ok(digest) => Reference::Digest(digest),
        Err(_) => Reference::Tag(name.parse().unwrap()),
    };
    image::head(&world.cx, &app(), &reference).await.unwrap().map(|head| head.digest)
}

#[tokio::test]
async fn an_index_comes_back_with_what_it_lists_and_with_the_tags_that_are_free() {
    let world = World::new(Store::Memory).await;
    let (child, layer) = push(&world, 1, "child").await;
    let index = push_index(&world, &child, "v1").await;
    let retag = ImageRef { digest: Some(index.to_string()), tag: None };
    image::delete_batch(&world.cx, &app(), vec![retag]).await.unwrap();
    delete(&world, &child).await;
    // One of the tags is used again.
    let (other, _) = push(&world, 2, "child").await;
    let listed = image::list_deleted(&world.cx, &app(), None, 10).await.unwrap().items;
    let told: Vec<_> = listed.iter().map(|image| (image.digest, image.tags.clone())).collect();
    let mut expected = vec![(child, vec!["child".to_owned()]), (index, vec!["v1".to_owned()])];
    expected.sort_by_key(|(digest, _)| digest.to_bytes());
    assert_eq!(told, expected);

    let restored = image::restore(&world.cx, &app(), &index).await.unwrap();
    assert_eq!((restored.images, restored.tags), (vec![index, child], vec!["v1".to_owned()]));
    assert_eq!(restored.taken, ["child"]);
    assert_eq!((head(&world, "v1").await, head(&world, "child").await), (Some(index), Some(other)));
    assert_eq!(head(&world, &child.to_string()).await, Some(child));
    assert_eq!(world.read(&layer).await.unwrap(), layer_bytes(1, 40_000));
    // It lives: nothing happens.
    assert_eq!(image::restore(&world.cx, &app(), &index).await.unwrap(), image::RestoredImages::default());
    assert_eq!(image::list_deleted(&world.cx, &app(), None, 10).await.unwrap().items.len(), 0);
    // Nothing of it is due later.
    world.clock.advance(Limits::default().undelete_window * 2);
    assert_eq!(collected(&world).await, Collected::default());
}

#[tokio::test]
async fn after_its_window_or_a_purge_an_image_can_not_be_restored() {
    let world = World::new(Store::Memory).await;
    let limits = Limits::default();
    let (late, _) = push(&world, 1, "late").await;
    let (secret, layer) = push(&world, 2, "secret").await;
    let (sharing, _) = push(&world, 3, "sharing").await;
    let gone = async |digest: &Digest| {
        let refused = image::restore(&world.cx, &app(), digest).await.unwrap_err();
        assert!(matches!(refused, registry::Error::ImageNotFound { .. }), "{refused:?}");
    };
    gone(&sha256(b"never pushed")).await;
    // What lives can't be purged.
    assert!(image::purge(&world.cx, &app(), &secret).await.is_err());
    for digest in [&late, &secret, &sharing] {
        delete(&world, digest).await;
    }
    let purged = image::purge(&world.cx, &app(), &secret).await.unwrap();
    assert_eq!((purged.freed, purged.shared), (40_000 + 10, vec![]));
    gone(&secret).await;
    // Its layers go after their grace, or at once.
    assert!(world.read(&layer).await.is_ok());
    let at_once = collect::run(&world.cx.system, Due::at_once(&world.cx.system)).await.unwrap();
    assert_eq!((at_once.images, at_once.layers), (2, 6), "{at_once:?}");
    assert!(world.read(&layer).await.is_err());
    gone(&late).await;
    // The window's end is exact.
    let (last, _) = push(&world, 4, "last").await;
    delete(&world, &last).await;
    world.clock.advance(limits.undelete_window - Duration::from_micros(1));
    assert_eq!(image::restore(&world.cx, &app(), &last).await.unwrap().images, [last]);
    delete(&world, &last).await;
    world.clock.advance(limits.undelete_window);
    gone(&last).await;
}

#[tokio::test]
async fn a_deleted_repository_comes_back_whole_and_a_protected_one_is_not_deleted() {
    let world = World::new(Store::Memory).await;
    let limits = Limits::default();
    let (first, layer) = push(&world, 1, "v1").await;
    repository::set_protected(&world.cx, &app(), true).await.unwrap();
    let refused = repository::delete(&world.cx, &app(), true).await.unwrap_err().to_string();
    assert!(refused.contains("is protected from deletion; `ecru repository unprotect team/app`"), "{refused}");
    repository::set_protected(&world.cx, &app(), false).await.unwrap();
    repository::delete(&world.cx, &app(), true).await.unwrap();
    // Its name is taken: it comes back under another one.
    world.repository(&world.cx, &app()).await;
    let taken = repository::restore(&world.cx, &app(), &app()).await.unwrap_err();
    assert!(matches!(taken, registry::Error::RepositoryAlreadyExists { .. }), "{taken:?}");
    let new = name("team/back");
    repository::restore(&world.cx, &app(), &new).await.unwrap();
    let found = image::head(&world.cx, &new, &Reference::Tag("v1".parse().unwrap())).await.unwrap();
    assert_eq!(found.map(|head| head.digest), Some(first));
    assert_eq!(read(&world.cx, &new, &layer).await.unwrap(), layer_bytes(1, 40_000));
    // There is no other, and one past its window does not come back.
    assert!(repository::restore(&world.cx, &app(), &name("third")).await.is_err());
    repository::delete(&world.cx, &new, true).await.unwrap();
    world.clock.advance(limits.undelete_window);
    let gone = repository::restore(&world.cx, &new, &new).await.unwrap_err();
    assert!(matches!(gone, registry::Error::RepositoryNotFound { .. }), "{gone:?}");
}

#[tokio::test]
async fn a_repository_whose_collection_began_is_not_restored_and_its_collection_goes_on() {
    let world = World::new(Store::Memory).await;
    let limits = Limits::default();
    push(&world, 1, "v1").await;
    let id = repository::get(&world.cx, &app()).await.unwrap().id;
    repository::delete(&world.cx, &app(), true).await.unwrap();
    // A collection that does not wait for the window claims it, and breaks off.
    let now = world.cx.now().0;
    let claimed: Result<_, meta::Error> = world.cx.db.write(move |tx| tx.collect_claim_repository(now)).await;
    assert_eq!(claimed.unwrap(), Some(id));
    let refused = repository::restore(&world.cx, &app(), &app()).await.unwrap_err();
    assert!(matches!(refused, registry::Error::RepositoryNotFound { .. }), "{refused:?}");
    assert_eq!(collected(&world).await, Collected { repositories: 1, ..Collected::default() });
    // One that was restored before is not claimed.
    world.repository(&world.cx, &app()).await;
    repository::delete(&world.cx, &app(), true).await.unwrap();
    repository::restore(&world.cx, &app(), &app()).await.unwrap();
    world.clock.advance(limits.undelete_window * 2);
    assert_eq!(collected(&world).await.repositories, 0);
    repository::get(&world.cx, &app()).await.unwrap();
}

#[tokio::test]
async fn an_index_whose_image_was_purged_comes_back_and_says_what_is_missing() {
    let world = World::new(Store::Memory).await;
    let (child, _) = push(&world, 1, "child").await;
    let index = push_index(&world, &child, "v1").await;
    delete(&world, &index).await;
    delete(&world, &child).await;
    image::purge(&world.cx, &app(), &child).await.unwrap();
    let restored = image::restore(&world.cx, &app(), &index).await.unwrap();
    assert_eq!((restored.images, restored.missing), (vec![index], vec![child]));
}

#[tokio::test]
async fn bytes_that_can_not_be_removed_stop_nothing_else() {
    let world = World::new(Store::Memory).await;
    for seed in 1..=3 {
        world.put(&layer_bytes(seed, 40_000)).await;
    }
    world.clock.advance(Limits::default().grace);
    let fault = || blob::Error::from_io("a fault", std::io::Error::other("a fault"));
    world.faulty.fail(blob::faulty::EngineCall::Remove, 1, fault());
    // The layer whose bytes stayed has no record, and is swept in the same run.
    let done = collected(&world).await;
    assert_eq!((done.layers, done.strays, world.locations().await), (3, 1, 0));
}
