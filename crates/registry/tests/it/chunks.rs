//! Uploads in several requests: PATCH and UploadLayerPart (`ECR.md` B.4, A.3).

use super::support::*;
use bytes::Bytes;
use kernel::CommonError;
use kernel::limits::Limits;
use kernel::quirks::Quirks;
use oci::ChunkRange;
use registry::Error;
use registry::upload::{self, CompletionRules, UploadId};

fn chunk(first: usize, len: usize) -> ChunkRange {
    ChunkRange { first: first as u64, last: (first + len - 1) as u64 }
}

async fn patch(world: &World, id: UploadId, at: Option<ChunkRange>, bytes: &[u8]) -> Result<u64, Error> {
    let progress = upload::append(&world.cx, &app(), id, at.map(Into::into), &mut Pieces::new(bytes, 10_000)).await?;
    assert_eq!(progress.id, id);
    Ok(progress.received)
}

async fn part(world: &World, id: UploadId, first: usize, bytes: &[u8]) -> Result<u64, Error> {
    let at = chunk(first, bytes.len());
    Ok(upload::put_part(&world.cx, &app(), id, at, Bytes::copy_from_slice(bytes)).await?.received)
}

async fn received(world: &World, id: UploadId) -> u64 {
    upload::status(&world.cx, &app(), id).await.unwrap().received
}

#[tokio::test]
async fn a_layer_in_chunks_reads_back_on_every_store() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let bytes = layer_bytes(1, 3 * MIB + 12_345);
        let id = world.start().await;
        let mut at = 0;
        for len in [1, 5, 300_000, 262_144, 1_000_000] {
            let end = at + len;
            let reached = patch(&world, id, Some(chunk(at, len)), &bytes[at..end]).await.unwrap() as usize;
            // With S3's rules the bytes of an incomplete part are not kept, and the answer tells so.
            assert!(reached == end || store == Store::S3, "{store:?}");
            assert_eq!(received(&world, id).await, reached as u64);
            at = reached;
        }
        let digest = sha256(&bytes);
        let rest = chunk(at, bytes.len() - at);
        let mut body = Pieces::new(&bytes[at..], 70_000);
        upload::complete(&world.cx, &app(), id, &digest, Some(rest.into()), &mut body, CompletionRules::Docker)
            .await
            .unwrap();
        assert_eq!(world.read(&digest).await.unwrap(), bytes, "{store:?}");
        assert_eq!(world.locations().await, 1);
    }
}

#[tokio::test]
async fn a_streamed_patch_and_an_empty_put_make_a_layer() {
    for store in [Store::Fs, Store::RealFs, Store::Memory] {
        let world = World::new(store).await;
        for size in [1, 16 * KIB, 256 * KIB, 256 * KIB + 1, MIB] {
            let bytes = layer_bytes(size as u64, size);
            let (id, digest) = (world.start().await, sha256(&bytes));
            assert_eq!(patch(&world, id, None, &bytes).await.unwrap(), size as u64);
            close(&world.cx, id, &digest).await.unwrap();
            assert_eq!(world.read(&digest).await.unwrap(), bytes, "{store:?}, {size}");
        }
    }
}

#[tokio::test]
async fn an_upload_continues_after_a_restart() {
    for store in EVERY_STORE {
        let mut world = World::new(store).await;
        let bytes = layer_bytes(2, 2 * S3_PART + 100);
        let (id, digest) = (world.start().await, sha256(&bytes));
        patch(&world, id, None, &bytes[..S3_PART]).await.unwrap();
        world.restart().await;
        assert_eq!(received(&world, id).await, S3_PART as u64, "{store:?}");
        patch(&world, id, None, &bytes[S3_PART..2 * S3_PART]).await.unwrap();
        world.restart().await;
        let mut rest = whole(&bytes[2 * S3_PART..]);
        upload::complete(&world.cx, &app(), id, &digest, None, &mut rest, CompletionRules::Docker).await.unwrap();
        assert_eq!(world.read(&digest).await.unwrap(), bytes, "{store:?}");
    }
}

#[tokio::test]
async fn the_bytes_of_a_truncated_body_are_kept() {
    let world = World::new(Store::Fs).await;
    let bytes = layer_bytes(3, 600_000);
    let (id, digest) = (world.start().await, sha256(&bytes));
    let mut body = Pieces::new(&bytes[..400_001], 100_000).broken();
    let error = upload::append(&world.cx, &app(), id, None, &mut body).await.unwrap_err();
    assert!(matches!(error, Error::BodyTruncated(_)), "{error}");
    assert_eq!(received(&world, id).await, 400_001);
    patch(&world, id, Some(chunk(400_001, 199_999)), &bytes[400_001..]).await.unwrap();
    close(&world.cx, id, &digest).await.unwrap();
    assert_eq!(world.read(&digest).await.unwrap(), bytes);
}

#[tokio::test]
async fn the_progress_of_a_long_body_is_stored_while_it_arrives() {
    const EVERY: u64 = 32 * MIB as u64;
    for store in [Store::Memory, Store::S3, Store::Fs] {
        let world = World::new(store).await;
        let id = world.start().await;
        let (sender, mut body) = Slow::new();
        let cx = world.cx.clone();
        let request = tokio::spawn(async move { upload::append(&cx, &app(), id, None, &mut body).await });
        let piece = Bytes::from(vec![1; MIB]);
        let mut sent = 0;
        while received(&world, id).await == 0 {
            assert!(sent < 4 * EVERY, "{store:?}: nothing is stored");
            sender.send(piece.clone()).await.unwrap();
            sent += MIB as u64;
            // Send the rest slowly, so that the disk and the store can answer before the body ends.
            let mut looks = if sent < 2 * EVERY { 0 } else { 2_000 };
            while looks > 0 && received(&world, id).await == 0 {
                looks -= 1;
                tokio::task::yield_now().await;
            }
        }
        // The client disconnects, which ends the request.
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        let stored = received(&world, id).await;
        assert!((EVERY..=sent).contains(&stored), "{store:?}: {stored} of {sent}");
    }
}

#[tokio::test]
async fn a_chunk_at_a_wrong_offset_is_refused_with_the_last_valid_byte_and_changes_nothing() {
    let cases = [
        // The range, the sent bytes, and whether the session already has bytes.
        (chunk(1, 5), 5, 0),
        (chunk(0, 5), 5, 10),
        (chunk(9, 5), 5, 10),
        (chunk(11, 5), 5, 10),
        (chunk(10, 5), 4, 10),
        (chunk(10, 5), 6, 10),
        (chunk(10, 300_000), 299_999, 10),
        (chunk(0, 300_000), 300_001, 0),
        (chunk(0, 5), 0, 0),
    ];
    for (at, came, before) in cases {
        let world = World::new(Store::Fs).await;
        let bytes = layer_bytes(4, 400_000);
        let id = world.start().await;
        patch(&world, id, None, &bytes[..before]).await.unwrap();
        let locations = world.locations().await;
        match patch(&world, id, Some(at), &bytes[before..before + came]).await {
            Err(Error::InvalidLayerPart { last_valid_byte, id: named, .. }) => {
                assert_eq!(last_valid_byte, before.checked_sub(1).map(|byte| byte as u64), "{at:?}");
                assert_eq!(named, id.to_string());
            }
            other => panic!("{at:?} with {came} bytes: {other:?}"),
        }
        assert_eq!(received(&world, id).await, before as u64);
        assert_eq!(world.locations().await, locations, "{at:?} left bytes behind");
        if before > 0 {
            patch(&world, id, Some(chunk(before, 20)), &bytes[before..before + 20]).await.unwrap();
            close(&world.cx, id, &sha256(&bytes[..before + 20])).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_layer_over_the_limit_is_refused_while_it_arrives() {
    let limits = Limits { layer_bytes: 500_000, ..Limits::default() };
    let world = World::with(Store::Fs, 1, limits, Quirks::default()).await;
    let bytes = layer_bytes(5, 500_001);
    let error = upload::put_whole(&world.cx, &app(), &sha256(&bytes), &mut whole(&bytes)).await.unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { .. }), "{error}");
    assert_eq!(world.locations().await, 0);
    let id = world.start().await;
    patch(&world, id, None, &bytes[..300_000]).await.unwrap();
    let error = patch(&world, id, None, &bytes[300_000..]).await.unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { .. }), "{error}");
    patch(&world, id, None, &bytes[300_000..500_000]).await.unwrap();
    close(&world.cx, id, &sha256(&bytes[..500_000])).await.unwrap();
}

#[tokio::test]
async fn a_patch_without_bytes_stores_nothing() {
    let world = World::new(Store::Fs).await;
    let id = world.start().await;
    assert_eq!(patch(&world, id, None, &[]).await.unwrap(), 0);
    assert!(world.row(id).await.is_none());
    assert_eq!(world.locations().await, 0);
}

/// Small limits, which a test reaches with few bytes.
fn small_parts() -> Limits {
    Limits { layer_part_bytes: 200_000, layer_part_min_bytes: 50_000, layer_parts: 3, ..Limits::default() }
}

#[tokio::test]
async fn only_the_last_part_of_a_layer_may_be_small() {
    let cases: [(&[usize], bool); 5] = [
        (&[200_000, 50_000, 1], true),
        (&[1], true),
        (&[49_999, 50_000], false),
        (&[50_000, 1, 1], false),
        (&[1, 60_000, 60_000], false),
    ];
    for (sizes, complete) in cases {
        let world = World::with(Store::Fs, 1, small_parts(), Quirks::default()).await;
        let id = world.start().await;
        let bytes = layer_bytes(6, sizes.iter().sum());
        let mut at = 0;
        for size in sizes {
            assert_eq!(part(&world, id, at, &bytes[at..at + size]).await.unwrap(), (at + size) as u64);
            at += size;
        }
        match close_by_api(&world.cx, id, &sha256(&bytes)).await {
            Ok(()) if complete => assert_eq!(world.read(&sha256(&bytes)).await.unwrap(), bytes),
            Err(Error::LayerPartTooSmall { min: 50_000 }) if !complete => {
                close(&world.cx, id, &sha256(&bytes)).await.expect("docker takes parts of any size");
            }
            other => panic!("{sizes:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_part_must_be_within_the_apis_limits() {
    let world = World::with(Store::Fs, 1, small_parts(), Quirks::default()).await;
    let id = world.start().await;
    let bytes = layer_bytes(7, 300_000);
    let error = part(&world, id, 0, &bytes[..200_001]).await.unwrap_err();
    assert!(
        matches!(&error, Error::Common(CommonError::InvalidParameter { member, .. }) if member == "layerPartBlob"),
        "{error}"
    );
    let mismatched = upload::put_part(&world.cx, &app(), id, chunk(0, 10), Bytes::from_static(b"nine byte")).await;
    assert!(matches!(mismatched, Err(Error::InvalidLayerPart { last_valid_byte: None, .. })));
    for at in [0, 60_000, 120_000] {
        part(&world, id, at, &bytes[at..at + 60_000]).await.unwrap();
    }
    let error = part(&world, id, 180_000, &bytes[180_000..240_000]).await.unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { .. }), "{error}");
    assert_eq!(received(&world, id).await, 180_000);
}

#[tokio::test]
async fn the_last_part_can_be_sent_again() {
    let world = World::new(Store::Fs).await;
    let (id, bytes) = (world.start().await, layer_bytes(8, 30_000));
    part(&world, id, 0, &bytes[..10_000]).await.unwrap();
    part(&world, id, 10_000, &bytes[10_000..20_000]).await.unwrap();
    assert_eq!(part(&world, id, 10_000, &bytes[10_000..20_000]).await.unwrap(), 20_000);
    for (first, len) in [(0, 10_000), (5_000, 10_000), (15_000, 10_000), (20_001, 10)] {
        let error = part(&world, id, first, &bytes[..len]).await.unwrap_err();
        assert!(matches!(error, Error::InvalidLayerPart { last_valid_byte: Some(19_999), .. }), "{first}: {error}");
    }
    part(&world, id, 20_000, &bytes[20_000..]).await.unwrap();
    assert_eq!(world.row(id).await.unwrap().parts, 3);
    close(&world.cx, id, &sha256(&bytes)).await.unwrap();
}

#[tokio::test]
async fn a_session_accepts_chunks_of_both_apis() {
    let world = World::new(Store::Fs).await;
    let (id, bytes) = (world.start().await, layer_bytes(9, 12 * MIB));
    part(&world, id, 0, &bytes[..6 * MIB]).await.unwrap();
    patch(&world, id, None, &bytes[6 * MIB..6 * MIB + 10]).await.unwrap();
    part(&world, id, 6 * MIB + 10, &bytes[6 * MIB + 10..]).await.unwrap();
    close_by_api(&world.cx, id, &sha256(&bytes)).await.unwrap();
    assert_eq!(world.read(&sha256(&bytes)).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_part_that_is_sent_again_with_other_bytes_is_refused() {
    for store in [Store::Fs, Store::RealFs, Store::Memory] {
        let world = World::new(store).await;
        let (id, bytes) = (world.start().await, layer_bytes(10, 5 * MIB + 200_000));
        let refused = async |first: usize, other: usize| {
            let mut part_bytes = bytes[first..].to_vec();
            part_bytes[other - first] ^= 1;
            let error = part(&world, id, first, &part_bytes).await.unwrap_err();
            let told = format!("The upload has other bytes from byte {first} to byte {}", bytes.len() - 1);
            assert!(error.to_string().contains(&told), "{store:?}: {error}");
            assert!(matches!(error, Error::InvalidLayerPart { .. }), "{store:?}: {error}");
        };
        part(&world, id, 0, &bytes[..5 * MIB]).await.unwrap();
        part(&world, id, 5 * MIB, &bytes[5 * MIB..]).await.unwrap();
        // The first byte, one in the middle, and the last one, which is in an incomplete block.
        for other in [5 * MIB, 5 * MIB + 150_000, bytes.len() - 1] {
            refused(5 * MIB, other).await;
        }
        // The same bytes in another part, and not from a block's beginning.
        refused(5 * MIB - 1000, bytes.len() - 1).await;
        assert_eq!(part(&world, id, 5 * MIB, &bytes[5 * MIB..]).await.unwrap(), bytes.len() as u64);
        assert_eq!(part(&world, id, 5 * MIB - 1000, &bytes[5 * MIB - 1000..]).await.unwrap(), bytes.len() as u64);
        close(&world.cx, id, &sha256(&bytes)).await.unwrap();
    }
}
