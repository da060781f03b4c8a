//! The costs of operations in the metadata store, as numbers of transactions, statements and round trips. No test measures time.

use crate::support::{Store, World, app, layer_bytes, on_postgres, put_to, sha256, whole};
use kernel::Cx;
use kernel::limits::Limits;
use kernel::quirks::Quirks;
use oci::{Algorithm, Digest, Reference};
use registry::image::{self, ImageRef, NewImage, PushClient};
use registry::repository::{self, Encryption, NewRepository, TagMutability};
use registry::upload::{self, CompletionRules};
use registry::{Error, layer};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

/// The number of write transactions, of statements, and of round trips to PostgreSQL.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    writes: u64,
    statements: u64,
    exchanges: u64,
}

/// A cost on both engines. Only PostgreSQL has round trips.
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

/// The manifest of an image with these blobs, of which the first is the config.
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
async fn an_image_costs_one_write_transaction_and_a_fixed_number_of_round_trips() {
    let world = World::new(Store::Fs).await;
    let cx = &world.cx;
    for (count, statements, again) in [(2, 16, 11), (100, 322, 109)] {
        let mut blobs = Vec::new();
        for layer in 0..=count {
            blobs.push(put_to(cx, &app(), &layer_bytes(1000 * count + layer, 100)).await);
        }
        let tag = format!("layers-{count}");
        // The first push of a process counts the images of the repository.
        put(cx, manifest(&blobs[1..]), "other").await;
        let push = put(cx, manifest(&blobs), &tag);
        assert_eq!(cost(cx, push).await, of(1, statements, 4), "{count} layers");
        // The tag already names the image.
        assert_eq!(cost(cx, put(cx, manifest(&blobs), &tag)).await, of(1, again, 7), "{count} layers again");
        let reference: Reference = tag.parse().unwrap();
        assert_eq!(cost(cx, image::pull(cx, &app(), &reference)).await, of(0, 1, 1));
    }
}

#[tokio::test]
async fn neither_a_push_near_the_quota_of_images_nor_a_refusal_at_it_counts_them() {
    let limits = Limits { images_per_repository: 10, ..Limits::default() };
    let world = World::with(Store::Fs, 1, limits, Quirks::default()).await;
    let cx = &world.cx;
    let mut images = Vec::new();
    for number in 0..12 {
        images.push(manifest(&[put_to(cx, &app(), &layer_bytes(number, 100)).await]));
    }
    put(cx, images[0].clone(), "v0").await;
    for (number, image) in images.iter().enumerate().take(10).skip(1) {
        assert_eq!(cost(cx, put(cx, image.clone(), &format!("v{number}"))).await, of(1, 10, 4), "image {number}");
    }
    // The refusal only looks up the platform and whether the image exists.
    let refused = |image: &Vec<u8>| {
        let client = PushClient::Docker { containerd: false };
        let new =
            NewImage { bytes: image.clone(), media_type: None, tags: vec!["v".parse().unwrap()], digest: None, client };
        async { assert!(matches!(image::put(cx, &app(), new).await, Err(Error::LimitExceeded { .. }))) }
    };
    assert_eq!(cost(cx, refused(&images[10])).await, of(0, 3, 3));
    // An image that exists can have another tag. A deleted one leaves its place to another.
    put(cx, images[0].clone(), "again").await;
    let first = ImageRef { digest: Some(sha256(&images[1]).to_string()), tag: None };
    image::delete_batch(cx, &app(), vec![first]).await.unwrap();
    assert_eq!(cost(cx, put(cx, images[10].clone(), "v10")).await, of(1, 10, 4));
    assert_eq!(cost(cx, refused(&images[11])).await, of(0, 3, 3));
}

/// Runs a push in one group with another transaction on SQLite. Returns the push's result, the number of runs of the other transaction,
/// and the number of commits.
async fn grouped(world: &World, new: NewImage, name: &str) -> (Result<(), Error>, usize, u64) {
    let (cx, before) = (&world.cx, world.cx.db.stats().commits);
    // Block the writer, so that both wait in its queue.
    let (reached, arrival) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let (db, runs) = (cx.db.clone(), Arc::new(AtomicUsize::new(0)));
    let holder = tokio::spawn(async move {
        let hold = move |_: &mut meta::Tx<'_>| {
            reached.send(()).unwrap();
            held.lock().unwrap().recv().unwrap();
            Ok::<_, meta::Error>(())
        };
        db.write(hold).await
    });
    tokio::task::yield_now().await;
    arrival.recv().unwrap();
    let (db, counted) = (cx.db.clone(), runs.clone());
    let other = tokio::spawn(async move {
        let count = move |_: &mut meta::Tx<'_>| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, meta::Error>(())
        };
        db.write(count).await
    });
    let (cx, name) = (cx.clone(), crate::support::name(name));
    let push = tokio::spawn(async move { image::put(&cx, &name, new).await.map(drop) });
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    holder.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    let outcome = push.await.unwrap();
    (outcome, runs.load(Ordering::Relaxed), world.cx.db.stats().commits - before)
}

#[tokio::test]
async fn a_refused_push_does_not_repeat_the_other_transactions_of_its_group() {
    if on_postgres() {
        return;
    }
    let world = World::new(Store::Fs).await;
    let fixed = NewRepository {
        name: crate::support::name("fixed"),
        mutability: TagMutability::Immutable,
        scan_on_push: false,
        encryption: Encryption::Aes256,
        tags: Vec::new(),
    };
    repository::create(&world.cx, fixed).await.unwrap();
    let mut blobs = Vec::new();
    for number in 0..3 {
        blobs.push(put_to(&world.cx, &crate::support::name("fixed"), &layer_bytes(number, 100)).await);
    }
    let absent = sha256(b"absent");
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": absent.to_string(), "size": 9}],
    });
    let image = |blobs: &[Digest], tags: &[&str]| NewImage {
        bytes: manifest(blobs),
        media_type: None,
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        digest: None,
        client: PushClient::Docker { containerd: false },
    };
    // The first push creates the tag and counts the images of the repository.
    image::put(&world.cx, &crate::support::name("fixed"), image(&blobs[..2], &["v1"])).await.unwrap();

    let accepted = grouped(&world, image(&blobs[1..], &["v2"]), "fixed").await;
    assert!(accepted.0.is_ok(), "{:?}", accepted.0);
    assert_eq!((accepted.1, accepted.2), (1, 2), "one commit holds the writer, and one carries both");
    for (case, new, tag_is_refused) in [
        ("an immutable tag", image(&blobs, &["v1"]), true),
        ("an immutable tag behind a new one", image(&blobs, &["new", "v1"]), true),
        ("a missing layer", image(&[blobs[0], absent], &["new"]), false),
        ("a missing layer and an immutable tag", image(&[blobs[0], absent], &["v1"]), true),
        ("a missing image", NewImage { bytes: index.to_string().into_bytes(), ..image(&blobs, &["new"]) }, false),
    ] {
        let (refused, runs, commits) = grouped(&world, new, "fixed").await;
        match refused.unwrap_err() {
            Error::ImageTagAlreadyExists { .. } => assert!(tag_is_refused, "{case}"),
            Error::LayersNotFound { .. } | Error::ReferencedImagesNotFound { .. } => assert!(!tag_is_refused, "{case}"),
            other => panic!("{case}: {other:?}"),
        }
        assert_eq!((runs, commits), (1, 2), "{case}");
    }
}
