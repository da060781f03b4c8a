//! Damaged layers, whose stored bytes are missing or wrong. They are detected, count as missing, and are repaired by a push.

use super::support::*;
use blob::checksum::BLOCK_BYTES;
use blob::faulty::EngineCall;
use blob::{Error as BlobError, Location};
use kernel::{CommonError, Cx};
use oci::{Algorithm, ByteRange, Digest};
use registry::image::{self, NewImage, PushClient};
use registry::layer::{self, LayerOpening};
use registry::upload::{self, CompletionRules};
use registry::{Error, LayersNotFoundBy};
use serde_json::json;
use std::io;

/// The size of two whole parts with S3's rules, so that a PATCH keeps all bytes.
const SIZE: usize = 2 * S3_PART;

/// A kind of damage to a stored file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Removed,
    Emptied,
    Cut,
    FirstBit,
    LastBit,
    Longer,
}

use Harm::{Cut, Emptied, FirstBit, LastBit, Longer, Removed};

async fn harm(world: &World, harm: Harm, digest: &Digest, bytes: &[u8]) {
    let location = Location(world.layer_row(digest).await.location.unwrap().0);
    let mut bytes = bytes.to_vec();
    let last = bytes.len() - 1;
    match harm {
        Removed => return world.set_stored(location, None).await,
        Emptied => bytes.clear(),
        Cut => bytes.truncate(last),
        FirstBit => bytes[0] ^= 1,
        LastBit => bytes[last] ^= 0x80,
        Longer => bytes.push(0),
    }
    world.set_stored(location, Some(&bytes)).await;
}

/// The ways to push a layer's bytes.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// POST with a digest, or POST and one PUT.
    Whole,
    /// PATCH and an empty PUT.
    Chunked,
    /// InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload.
    Api,
}

const WAYS: [Way; 3] = [Way::Whole, Way::Chunked, Way::Api];

async fn push(cx: &Cx, way: Way, bytes: &[u8]) -> Result<Digest, Error> {
    let digest = sha256(bytes);
    if let Way::Whole = way {
        upload::put_whole(cx, &app(), &digest, &mut whole(bytes)).await?;
        return Ok(digest);
    }
    let id = upload::start(cx, &app(), Algorithm::Sha256).await?;
    match way {
        Way::Whole | Way::Chunked => {
            upload::append(cx, &app(), id, None, &mut whole(bytes)).await?;
            close(cx, id, &digest).await?;
        }
        Way::Api => {
            let range = oci::ChunkRange { first: 0, last: bytes.len() as u64 - 1 };
            upload::put_part(cx, &app(), id, range, bytes.to_vec().into()).await?;
            close_by_api(cx, id, &digest).await?;
        }
    }
    Ok(digest)
}

async fn put_image(cx: &Cx, digest: &Digest, size: usize) -> Result<(), Error> {
    let config = put_to(cx, &app(), b"{}").await;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest.to_string(), "size": size}],
    });
    let client = PushClient::Docker { containerd: false };
    let bytes = manifest.to_string().into_bytes();
    image::put(
        cx,
        &app(),
        NewImage { bytes, media_type: None, tags: vec!["v1".parse().unwrap()], digest: None, client },
    )
    .await
    .map(drop)
}

fn is_damaged<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::LayerDamaged { .. }))
}

/// Asserts that the layer counts as missing in every operation.
async fn counts_as_missing(world: &World, digest: &Digest, size: usize) {
    let (cx, id) = (&world.cx, world.layer_row(digest).await.id);
    assert!(world.layer_row(digest).await.damaged_at.is_some());
    assert!(layer::check(cx, &app(), vec![*digest]).await.unwrap().is_empty(), "HEAD");
    let several = layer::check(cx, &app(), vec![*digest, sha256(b"other")]).await.unwrap();
    assert!(several.is_empty(), "BatchCheckLayerAvailability");
    for found in [layer::find(cx, &app(), digest, false).await.map(drop), world.read(digest).await.map(drop)] {
        assert!(matches!(found, Err(Error::LayersNotFound { by: LayersNotFoundBy::Read, .. })));
    }
    assert!(layer::by_id(cx, id).await.unwrap().is_none(), "a signed URL");
    assert!(layer::open_by_id(&cx.system, id, None).await.unwrap().is_none(), "a signed URL");
    assert!(!layer::mount(cx, &app(), &name("other"), digest).await.unwrap(), "a mount");
    let refused = put_image(cx, digest, size).await;
    assert!(matches!(refused, Err(Error::LayersNotFound { by: LayersNotFoundBy::Manifest, .. })), "PutImage");
}

/// The number of locations.
type Located = usize;

async fn is_good(world: &World, digest: &Digest, bytes: &[u8], located: Located) {
    assert!(world.read(digest).await.unwrap() == bytes);
    let row = world.layer_row(digest).await;
    assert_eq!(row.damaged_at, None);
    assert_eq!(layer::check(&world.cx, &app(), vec![*digest]).await.unwrap().len(), 1);
    assert!(layer::mount(&world.cx, &app(), &name("other"), digest).await.unwrap());
    assert!(read(&world.cx, &name("other"), digest).await.unwrap() == bytes);
    put_image(&world.cx, digest, bytes.len()).await.unwrap();
    assert_eq!(world.locations().await, located, "nothing is left behind");
    assert_eq!(world.layer_checksums(digest).await, Some(blob::checksum::of(bytes)));
}

#[tokio::test]
async fn after_a_read_a_damaged_layer_counts_as_missing_until_any_push_repairs_it() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        world.repository(&world.cx, &name("other")).await;
        let cases = WAYS.into_iter().flat_map(|way| [Removed, Emptied, Cut, FirstBit, LastBit].map(|h| (way, h)));
        for (number, (way, harmed)) in (1..).zip(cases) {
            let bytes = layer_bytes(number, SIZE);
            let digest = world.put(&bytes).await;
            put_image(&world.cx, &digest, bytes.len()).await.unwrap();
            harm(&world, harmed, &digest, &bytes).await;
            assert!(is_damaged(world.read(&digest).await), "{store:?}, {harmed:?}");
            counts_as_missing(&world, &digest, bytes.len()).await;
            push(&world.cx, way, &bytes).await.unwrap();
            is_good(&world, &digest, &bytes, number as usize).await;
        }
    }
}

#[tokio::test]
async fn a_push_replaces_missing_bytes_without_an_earlier_read() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        world.repository(&world.cx, &name("other")).await;
        let cases = WAYS.into_iter().flat_map(|way| [Removed, Emptied, Cut, Longer].map(|h| (way, h)));
        for (number, (way, harmed)) in (1..).zip(cases) {
            let bytes = layer_bytes(number, SIZE);
            let digest = world.put(&bytes).await;
            harm(&world, harmed, &digest, &bytes).await;
            let before = world.layer_row(&digest).await.location;
            push(&world.cx, way, &bytes).await.unwrap();
            assert_ne!(world.layer_row(&digest).await.location, before, "{store:?}, {harmed:?}, {way:?}");
            is_good(&world, &digest, &bytes, number as usize).await;
        }
    }
}

#[tokio::test]
async fn a_duplicate_push_keeps_intact_bytes_and_drops_its_own() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        world.repository(&world.cx, &name("other")).await;
        for (number, way) in (1..).zip(WAYS) {
            let bytes = layer_bytes(number, SIZE);
            let digest = world.put(&bytes).await;
            let before = world.layer_row(&digest).await.location;
            let again = push(&world.cx, way, &bytes).await;
            match way {
                Way::Api => assert!(matches!(again, Err(Error::LayerAlreadyExists { .. }))),
                Way::Whole | Way::Chunked => assert_eq!(again.unwrap(), digest),
            }
            assert_eq!(world.layer_row(&digest).await.location, before);
            is_good(&world, &digest, &bytes, number as usize).await;
        }
    }
}

#[tokio::test]
async fn only_the_intact_blocks_of_a_damaged_layer_are_served() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let bytes = layer_bytes(4, 10 * BLOCK_BYTES + 5);
        let digest = world.put(&bytes).await;
        let location = Location(world.layer_row(&digest).await.location.unwrap().0);
        let mut wrong = bytes.clone();
        wrong[6 * BLOCK_BYTES + 9] ^= 4;
        world.set_stored(location, Some(&wrong)).await;
        let block = BLOCK_BYTES as u64;
        // Ranges next to the wrong block, and ranges that start or end within blocks.
        for (from, to) in
            [(0, 6 * block), (7, 5 * block + 3), (7 * block, 10 * block + 5), (9 * block - 1, 9 * block + 1)]
        {
            let asked = ByteRange::FromTo(from, to - 1);
            let LayerOpening::Opened(opened) = layer::open(&world.cx, &app(), &digest, Some(asked)).await.unwrap()
            else {
                panic!("{asked:?}")
            };
            assert!(collect(opened.bytes).await.unwrap() == bytes[from as usize..to as usize], "{store:?}, {asked:?}");
        }
        let LayerOpening::Opened(mut opened) = layer::open(&world.cx, &app(), &digest, None).await.unwrap() else {
            panic!()
        };
        let mut given = Vec::new();
        let error = loop {
            match opened.bytes.next().await {
                Ok(piece) => given.extend_from_slice(&piece.expect("it broke off")),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::LayerDamaged { .. }), "{error}");
        assert!(given == bytes[..6 * BLOCK_BYTES], "{store:?}: {} bytes were given", given.len());
        // The layer was marked before the answer ended.
        assert!(world.layer_row(&digest).await.damaged_at.is_some());
    }
}

#[tokio::test]
async fn no_byte_of_a_wrong_block_is_served() {
    let world = World::new(Store::Memory).await;
    world.repository(&world.cx, &name("other")).await;
    let bytes = layer_bytes(5, 3 * BLOCK_BYTES);
    let digest = world.put(&bytes).await;
    harm(&world, LastBit, &digest, &bytes).await;
    let asked = ByteRange::FromTo(2 * BLOCK_BYTES as u64, 2 * BLOCK_BYTES as u64);
    let LayerOpening::Opened(opened) = layer::open(&world.cx, &app(), &digest, Some(asked)).await.unwrap() else {
        panic!()
    };
    assert!(is_damaged(collect(opened.bytes).await));
    counts_as_missing(&world, &digest, bytes.len()).await;
}

#[tokio::test]
async fn a_layer_in_a_record_is_checked_marked_and_repaired_too() {
    for (way, harmed) in WAYS.into_iter().flat_map(|way| [Removed, Cut, FirstBit].map(|h| (way, h))) {
        for read_first in [true, false] {
            let world = World::new(Store::Fs).await;
            world.repository(&world.cx, &name("other")).await;
            let bytes = layer_bytes(6, 1000);
            let digest = world.put(&bytes).await;
            let (id, mut wrong) = (world.layer_row(&digest).await.id, bytes.clone());
            if harmed == Cut {
                wrong.pop();
            } else {
                wrong[0] ^= 1;
            }
            let harmful = move |tx: &mut meta::Tx<'_>| {
                tx.layer_data_delete(id)?;
                if harmed != Removed {
                    tx.layer_data_insert(id, &wrong)?;
                }
                Ok::<_, meta::Error>(())
            };
            world.cx.db.write(harmful).await.unwrap();
            if read_first {
                let middle = layer::open(&world.cx, &app(), &digest, Some(ByteRange::FromTo(500, 501))).await;
                assert!(is_damaged(middle.map(drop)), "{harmed:?}");
                counts_as_missing(&world, &digest, bytes.len()).await;
            }
            push(&world.cx, way, &bytes).await.unwrap();
            // The bytes of a session are at a location, also if they are few.
            is_good(&world, &digest, &bytes, if matches!(way, Way::Whole) { 0 } else { 1 }).await;
        }
    }
}

#[tokio::test]
async fn a_repair_may_move_a_layer_into_a_record_and_back() {
    let mut world = World::new(Store::Fs).await;
    let bytes = layer_bytes(7, 10_000);
    let digest = world.put(&bytes).await;
    for (inline, locations) in [(1, 1), (16 * KIB, 0), (1, 1)] {
        world.limits.inline_layer_bytes = inline;
        world.restart().await;
        let row = world.layer_row(&digest).await;
        assert!(
            world.cx.db.write(move |tx| tx.change(meta::records::layer::mark(row.id, row.location, 1))).await.unwrap()
        );
        world.put(&bytes).await;
        assert_eq!(world.read(&digest).await.unwrap(), bytes);
        assert_eq!(world.locations().await, locations);
        assert_eq!(world.layer_row(&digest).await.location.is_some(), locations == 1);
    }
}

#[tokio::test]
async fn a_layer_without_checksums_is_served_and_its_absence_is_detected() {
    for size in [1000, 300_000] {
        let world = World::new(Store::Fs).await;
        let bytes = layer_bytes(8, size);
        let digest = world.put(&bytes).await;
        let row = world.layer_row(&digest).await;
        let stored = (size <= 16 * KIB).then(|| bytes.clone());
        world
            .cx
            .db
            .write(move |tx| {
                tx.layer_data_delete(row.id)?;
                if let Some(bytes) = &stored {
                    tx.layer_data_insert(row.id, bytes)?;
                }
                tx.change(meta::records::layer::forget_checksums(row.id))
            })
            .await
            .unwrap();
        assert_eq!(world.layer_checksums(&digest).await, None);
        assert_eq!(world.read(&digest).await.unwrap(), bytes);
        if size > 16 * KIB {
            harm(&world, Removed, &digest, &bytes).await;
            assert!(is_damaged(world.read(&digest).await));
            world.put(&bytes).await;
            assert_eq!(world.read(&digest).await.unwrap(), bytes);
        }
    }
}

#[tokio::test]
async fn errors_of_the_store_mark_no_layer() {
    let failures = || {
        [
            BlobError::from_io("opening a layer's file", io::Error::from_raw_os_error(24)), // EMFILE
            BlobError::from_io("opening a layer's file", io::ErrorKind::PermissionDenied.into()),
            BlobError::from_io("reading a layer's file", io::Error::from_raw_os_error(5)), // EIO
            BlobError::Busy,
        ]
    };
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let bytes = layer_bytes(9, SIZE);
        let digest = world.put(&bytes).await;
        for (call, error) in
            [EngineCall::Read, EngineCall::Next].into_iter().flat_map(|call| failures().map(|error| (call, error)))
        {
            world.faulty.fail(call, 4, error.clone());
            let failed = world.read(&digest).await.unwrap_err();
            assert!(!matches!(failed, Error::LayerDamaged { .. } | Error::LayersNotFound { .. }), "{failed}");
            // Remove the faults that were not used.
            while world.read(&digest).await.is_err() {}
            assert_eq!(world.layer_row(&digest).await.damaged_at, None, "{store:?}, {call:?}, {error}");
        }
        // If the whole directory is missing, the bytes may come back with it.
        let location = Location(world.layer_row(&digest).await.location.unwrap().0);
        world.set_stored(location, None).await;
        world.faulty.fail(EngineCall::Present, 1, BlobError::Removed);
        let failed = world.read(&digest).await.unwrap_err();
        assert!(matches!(failed, Error::Common(CommonError::Unavailable { .. })), "{failed}");
        assert_eq!(world.layer_row(&digest).await.damaged_at, None);
        // A layer is also marked if the store is full and its write test fails.
        world.faulty.fail(EngineCall::Check, 1, BlobError::from_io("checking", io::ErrorKind::StorageFull.into()));
        assert!(is_damaged(world.read(&digest).await));
        world.put(&bytes).await;
        let location = Location(world.layer_row(&digest).await.location.unwrap().0);
        world.set_stored(location, Some(&bytes)).await;
        assert!(world.read(&digest).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn a_block_that_is_intact_at_the_second_read_is_served_and_not_marked() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let bytes = layer_bytes(10, SIZE);
        let digest = world.put(&bytes).await;
        world.faulty.alter_reads(1);
        assert!(world.read(&digest).await.unwrap() == bytes, "{store:?}");
        assert_eq!(world.layer_row(&digest).await.damaged_at, None);
        world.faulty.alter_reads(2);
        assert!(is_damaged(world.read(&digest).await), "{store:?}");
        assert!(world.layer_row(&digest).await.damaged_at.is_some());
    }
}

#[tokio::test]
async fn of_two_concurrent_pushes_that_repair_a_layer_one_keeps_its_bytes() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        world.repository(&world.cx, &name("other")).await;
        let bytes = layer_bytes(11, SIZE);
        let digest = world.put(&bytes).await;
        harm(&world, Removed, &digest, &bytes).await;
        // Both have synced their bytes and now check the stored ones.
        let pushes = [(); 2].map(|()| {
            let (gates, cx, bytes) =
                ([EngineCall::Stat; 2].map(|call| world.faulty.hold(call)), world.cx.clone(), bytes.clone());
            (gates, tokio::spawn(async move { push(&cx, Way::Whole, &bytes).await }))
        });
        let mut last = Vec::new();
        let mut ended = Vec::new();
        for ([own, theirs], task) in pushes {
            own.open();
            last.push(theirs);
            ended.push(task);
        }
        for gate in last {
            gate.open();
        }
        for task in ended {
            assert_eq!(task.await.unwrap().unwrap(), digest);
        }
        is_good(&world, &digest, &bytes, 1).await;
    }
}

#[tokio::test]
async fn a_reader_continues_at_the_new_location_after_a_repair() {
    let world = World::new(Store::Memory).await;
    let bytes = layer_bytes(12, 4 * S3_PART);
    let digest = world.put(&bytes).await;
    let location = Location(world.layer_row(&digest).await.location.unwrap().0);
    let mut wrong = bytes.clone();
    wrong[3 * S3_PART] ^= 1;
    world.set_stored(location, Some(&wrong)).await;
    let LayerOpening::Opened(mut opened) = layer::open(&world.cx, &app(), &digest, None).await.unwrap() else {
        panic!()
    };
    let mut given = opened.bytes.next().await.unwrap().unwrap().to_vec();
    let row = world.layer_row(&digest).await;
    assert!(world.cx.db.write(move |tx| tx.change(meta::records::layer::mark(row.id, row.location, 1))).await.unwrap());
    world.put(&bytes).await;
    given.extend(collect(opened.bytes).await.unwrap());
    assert!(given == bytes);
    assert_eq!(world.layer_row(&digest).await.damaged_at, None);
}

#[tokio::test]
async fn a_push_on_a_node_without_the_bytes_of_another_node_replaces_them() {
    let world = World::new(Store::Fs).await;
    let bytes = layer_bytes(13, 300_000);
    let digest = world.put(&bytes).await;
    let other = world.node_with_layers_of_its_own().await;
    push(&other, Way::Whole, &bytes).await.unwrap();
    assert!(read(&other, &app(), &digest).await.unwrap() == bytes);
    let location = Location(world.layer_row(&digest).await.location.unwrap().0);
    assert!(other.blobs.stat(location).await.unwrap().is_some());
}

#[tokio::test]
async fn a_completed_session_refuses_its_digest_if_the_layer_is_damaged() {
    for harmed in [Removed, FirstBit] {
        let world = World::new(Store::Fs).await;
        let bytes = layer_bytes(14, 300_000);
        let (id, digest) = (world.start().await, sha256(&bytes));
        upload::append(&world.cx, &app(), id, None, &mut whole(&bytes)).await.unwrap();
        close(&world.cx, id, &digest).await.unwrap();
        close(&world.cx, id, &digest).await.unwrap();
        harm(&world, harmed, &digest, &bytes).await;
        if harmed == FirstBit {
            assert!(is_damaged(world.read(&digest).await));
        }
        let mut body = whole(&bytes);
        let replay = upload::complete(&world.cx, &app(), id, &digest, None, &mut body, CompletionRules::Docker).await;
        assert!(matches!(replay, Err(Error::UploadNotFound { .. })));
        world.put(&bytes).await;
        assert!(world.read(&digest).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn unreadable_stored_bytes_are_replaced_by_verified_ones() {
    let world = World::new(Store::Fs).await;
    let bytes = layer_bytes(15, 300_000);
    let digest = world.put(&bytes).await;
    let own = world.faulty.hold(EngineCall::Stat);
    let (cx, again) = (world.cx.clone(), bytes.clone());
    let pushing = tokio::spawn(async move { push(&cx, Way::Whole, &again).await });
    own.reached().await;
    let theirs = world.faulty.hold(EngineCall::Stat);
    own.open();
    theirs.reached().await;
    world.faulty.fail(
        EngineCall::Stat,
        1,
        BlobError::from_io("opening a layer's file", io::Error::from_raw_os_error(5)),
    );
    theirs.open();
    pushing.await.unwrap().unwrap();
    assert_eq!(world.locations().await, 1);
    assert!(world.read(&digest).await.unwrap() == bytes);
}
