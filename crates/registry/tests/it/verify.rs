//! Verification of all layers: damaged layers are found and marked, layers without checksums get them, and no layer is removed.

use super::support::*;
use blob::faulty::EngineCall;
use blob::{Error as BlobError, Location};
use meta::records::layer;
use oci::Digest;
use registry::layer::Damage;
use registry::layer::verify::{self, VerifyEvent, VerifyFinding, VerifyOptions, VerifySummary};
use registry::upload;
use std::collections::BTreeMap;
use std::io;

/// Runs a verification. Returns one line per layer's digest or location.
async fn look(world: &World, look: VerifyOptions) -> (VerifySummary, BTreeMap<String, String>) {
    let stores = verify::VerifyStores { db: &world.cx.db, blobs: &*world.cx.blobs, now: world.cx.now() };
    let (mut found, mut done) = (BTreeMap::new(), 0);
    let before = world.list_locations().await;
    let mut tell = |event| match event {
        VerifyEvent::Done(bytes) => done += bytes,
        VerifyEvent::Found(finding) => {
            let (key, text) = match finding {
                VerifyFinding::Damaged { layer, damage, marked } => {
                    (layer.digest.to_string(), format!("{damage:?} {marked}"))
                }
                VerifyFinding::Marked { layer } => (layer.digest.to_string(), "marked".to_owned()),
                VerifyFinding::RightAgain { layer, unmarked } => {
                    (layer.digest.to_string(), format!("right {unmarked}"))
                }
                VerifyFinding::Unreadable { layer, .. } => (layer.digest.to_string(), "unreadable".to_owned()),
                VerifyFinding::Unrecorded { location, under_way, .. } => {
                    (location.to_string(), format!("stray {under_way}"))
                }
            };
            assert_eq!(found.insert(key, text), None, "it is said once");
        }
    };
    let summary = verify::all(&stores, look, &mut tell).await.unwrap();
    assert_eq!(done, summary.size);
    assert_eq!(verify::total(&world.cx.db).await.unwrap(), (summary.layers, summary.size));
    assert_eq!(world.list_locations().await, before, "nothing is removed");
    (summary, found)
}

const LOOK: VerifyOptions = VerifyOptions { bytes: false, mark: false };
const BYTES: VerifyOptions = VerifyOptions { bytes: true, mark: false };
const MARK: VerifyOptions = VerifyOptions { bytes: false, mark: true };
const BYTES_AND_MARK: VerifyOptions = VerifyOptions { bytes: true, mark: true };

/// Pushes small and large layers. Returns their bytes.
async fn layers(world: &World) -> Vec<(Digest, Vec<u8>)> {
    let mut all = Vec::new();
    for (seed, size) in [(1, 100), (2, 300_000), (3, 400_000), (4, 500_000), (5, 600_000), (6, 700_000)] {
        let bytes = layer_bytes(seed, size);
        all.push((world.put(&bytes).await, bytes));
    }
    all
}

async fn set(world: &World, digest: &Digest, bytes: Option<&[u8]>) {
    let location = Location(world.layer_row(digest).await.location.unwrap().0);
    world.set_stored(location, bytes).await;
}

#[tokio::test]
async fn an_intact_store_passes_every_verification() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        assert!(look(&world, BYTES_AND_MARK).await.0.well, "{store:?}: an empty one");
        layers(&world).await;
        for how in [LOOK, BYTES, MARK, BYTES_AND_MARK] {
            let (summary, found) = look(&world, how).await;
            let expected = VerifySummary { layers: 6, size: 2_500_100, checksums_added: 0, well: true };
            assert_eq!((summary, found), (expected, BTreeMap::new()), "{store:?}");
        }
    }
}

#[tokio::test]
async fn missing_short_long_and_altered_layers_are_reported_and_marked_only_on_request() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let all = layers(&world).await;
        set(&world, &all[1].0, None).await;
        set(&world, &all[2].0, Some(&all[2].1[..399_999])).await;
        set(&world, &all[3].0, Some(&[&all[3].1[..], b"x"].concat())).await;
        let mut altered = all[4].1.clone();
        altered[555_555] ^= 2;
        set(&world, &all[4].0, Some(&altered)).await;
        let small = world.layer_row(&all[0].0).await.id;
        let other = move |tx: &mut meta::Tx<'_>| {
            tx.layer_data_delete(small)?;
            tx.layer_data_insert(small, &[7; 100])
        };
        world.cx.db.write(other).await.unwrap();
        let expected = |how: VerifyOptions| -> BTreeMap<String, String> {
            let damages = [Damage::Altered, Damage::Missing, Damage::Short, Damage::Long, Damage::Altered];
            let seen = |(number, damage)| (number != 4 || how.bytes).then_some((number, damage));
            let found = damages.into_iter().enumerate().filter_map(seen);
            found.map(|(number, damage)| (all[number].0.to_string(), format!("{damage:?} {}", how.mark))).collect()
        };
        for how in [LOOK, BYTES, MARK] {
            let (summary, found) = look(&world, how).await;
            assert_eq!(found, expected(how), "{store:?}, {how:?}");
            assert!(!summary.well);
            for (digest, _) in &all {
                let marked = how.mark && found.contains_key(&digest.to_string());
                assert_eq!(world.layer_row(digest).await.damaged_at.is_some(), marked, "{store:?}, {how:?}");
            }
        }
        assert_eq!(look(&world, BYTES_AND_MARK).await.1, expected(BYTES_AND_MARK));
        for (digest, bytes) in &all {
            upload::put_whole(&world.cx, &app(), digest, &mut whole(bytes)).await.unwrap();
        }
        assert!(look(&world, BYTES).await.0.well, "{store:?}: all were pushed again");
    }
}

#[tokio::test]
async fn the_mark_is_removed_if_the_bytes_are_right_again() {
    let world = World::new(Store::Fs).await;
    let all = layers(&world).await;
    let (digest, bytes) = &all[3];
    set(&world, digest, None).await;
    look(&world, MARK).await;
    set(&world, digest, Some(bytes)).await;
    for (how, expected) in [(LOOK, "marked"), (MARK, "marked"), (BYTES, "right false"), (BYTES_AND_MARK, "right true")]
    {
        let (summary, found) = look(&world, how).await;
        assert_eq!(found, BTreeMap::from([(digest.to_string(), expected.to_owned())]), "{how:?}");
        assert_eq!(summary.well, expected == "right true");
    }
    assert_eq!(look(&world, BYTES).await.1, BTreeMap::new());
    assert_eq!(&world.read(digest).await.unwrap(), bytes);
}

#[tokio::test]
async fn layers_without_checksums_get_them_when_they_are_read() {
    let world = World::new(Store::Fs).await;
    let all = layers(&world).await;
    for (digest, _) in &all {
        let id = world.layer_row(digest).await.id;
        world.cx.db.write(move |tx| tx.change(layer::forget_checksums(id))).await.unwrap();
    }
    // Wrong bytes get no checksums.
    let mut altered = all[5].1.clone();
    altered[0] ^= 1;
    set(&world, &all[5].0, Some(&altered)).await;
    assert_eq!(look(&world, BYTES).await.0.checksums_added, 5);
    for (digest, bytes) in &all[..5] {
        assert_eq!(world.layer_checksums(digest).await, Some(blob::checksum::of(bytes)));
    }
    assert_eq!(world.layer_checksums(&all[5].0).await, None);
    assert_eq!(look(&world, BYTES).await.0.checksums_added, 0);
}

#[tokio::test]
async fn right_bytes_with_wrong_checksums_are_reported_as_damaged() {
    let world = World::new(Store::Fs).await;
    let (digest, bytes) = layers(&world).await.remove(2);
    let row = world.layer_row(&digest).await;
    let wrong = blob::checksum::of(&layer_bytes(99, bytes.len()));
    world.cx.db.write(move |tx| tx.layer_move(row.id, row.size, row.location, &wrong)).await.unwrap();
    assert_eq!(look(&world, BYTES).await.1, BTreeMap::from([(digest.to_string(), "Checksums false".to_owned())]));
}

#[tokio::test]
async fn unreadable_layers_are_reported_and_never_marked() {
    let world = World::new(Store::Fs).await;
    let all = layers(&world).await;
    let emfile = BlobError::from_io("opening a layer's file", io::Error::from_raw_os_error(24));
    for call in [EngineCall::Stat, EngineCall::Read, EngineCall::Next] {
        world.faulty.fail(call, 2, emfile.clone());
        let (summary, found) = look(&world, BYTES_AND_MARK).await;
        assert_eq!(found, BTreeMap::from([(all[1].0.to_string(), "unreadable".to_owned())]), "{call:?}");
        assert!(!summary.well);
    }
    // Wrong bytes are read a second time.
    world.faulty.alter_reads(1);
    assert!(look(&world, BYTES_AND_MARK).await.0.well);
}

#[tokio::test]
async fn bytes_without_a_record_are_reported_but_new_ones_are_no_fault() {
    for store in [Store::Fs, Store::RealFs, Store::Memory] {
        let world = World::new(store).await;
        layers(&world).await;
        let id = world.start().await;
        upload::append(&world.cx, &app(), id, None, &mut whole(&layer_bytes(7, 1000))).await.unwrap();
        let stray = Location(world.cx.id());
        world.set_stored(stray, Some(b"left by a crash")).await;
        let (summary, found) = look(&world, LOOK).await;
        assert_eq!(found, BTreeMap::from([(stray.to_string(), "stray true".to_owned())]), "{store:?}");
        assert!(summary.well, "the session's bytes and young ones are no fault");
        world.clock.advance(48 * HOUR);
        let (summary, found) = look(&world, LOOK).await;
        assert_eq!(found, BTreeMap::from([(stray.to_string(), "stray false".to_owned())]), "{store:?}");
        assert!(!summary.well);
    }
}

#[tokio::test]
async fn a_store_of_many_pages_is_verified_completely() {
    let limits = kernel::limits::Limits { inline_layer_bytes: 0, ..Default::default() };
    let world = World::with(Store::Memory, 1, limits, Default::default()).await;
    let mut last = None;
    for number in 0..1203_u64 {
        last = Some(world.put(&number.to_be_bytes()).await);
    }
    set(&world, &last.unwrap(), None).await;
    let strays: Vec<_> = (0..3).map(|_| Location(world.cx.id())).collect();
    for stray in &strays {
        world.set_stored(*stray, Some(b"x")).await;
    }
    let (summary, found) = look(&world, BYTES).await;
    assert_eq!((summary.layers, found.len()), (1203, 4));
}
