//! The checksums of a layer's blocks. They are stored with every layer, also for uploads in several requests, and read in windows.

use super::support::*;
use blob::checksum::{self, BLOCK_BYTES};
use bytes::Bytes;
use kernel::Cx;
use meta::records::layer::FIRST_CHECKSUMS;
use oci::{Algorithm, ByteRange, Digest, Hasher};
use registry::Error;
use registry::layer::{self, LayerOpening};
use registry::upload::{self, BodySource, CompletionRules};

/// The lengths of a body's pieces: shorter than a block, ending with a block, longer than a buffer.
const LENGTHS: [usize; 7] = [1, 1000, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 7, S3_PART, S3_PART + 1];

#[tokio::test]
async fn interrupted_and_resumed_uploads_have_the_checksums_of_one_pass() {
    for store in [Store::Fs, Store::SyncingFs, Store::RealFs, Store::Memory] {
        for seed in 0..6 {
            let mut world = World::with(store, seed, Default::default(), Default::default()).await;
            let id = world.start().await;
            let mut sent = Vec::new();
            for _ in 0..1 + world.random.below(6) {
                let piece = layer_bytes(seed, LENGTHS[world.random.below(LENGTHS.len())]);
                let mut body = Pieces::new(&piece, 100_000);
                if world.random.below(3) == 0 {
                    body = body.broken();
                }
                // The bytes of a truncated body are kept.
                let appended = upload::append(&world.cx, &app(), id, None, &mut body).await;
                assert!(matches!(appended, Ok(_) | Err(Error::BodyTruncated(_))), "{store:?}, {seed}");
                sent.extend_from_slice(&piece);
                let row = world.row(id).await.unwrap();
                assert_eq!(row.received, sent.len() as i64, "{store:?}, {seed}");
                assert_eq!(row.checksums, Some(checksum::of(&sent)), "{store:?}, {seed}");
                if world.random.below(3) == 0 {
                    world.restart().await;
                }
            }
            let last = layer_bytes(seed, world.random.below(2) * 77_777);
            sent.extend_from_slice(&last);
            let digest = sha256(&sent);
            let mut body = Pieces::new(&last, 10_000);
            upload::complete(&world.cx, &app(), id, &digest, None, &mut body, CompletionRules::Docker).await.unwrap();
            assert_eq!(world.layer_checksums(&digest).await, Some(checksum::of(&sent)), "{store:?}, {seed}");
            assert_eq!(world.row(id).await.unwrap().checksums, None, "an ended session keeps none");
            assert_eq!(world.read(&digest).await.unwrap(), sent);
        }
    }
}

#[tokio::test]
async fn a_layer_has_checksums_whatever_its_size_and_its_hash() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        for size in [0, 1, 16 * KIB, 16 * KIB + 1, BLOCK_BYTES, 600_000] {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let bytes = layer_bytes(size as u64, size);
                let digest = Digest::of(algorithm, &bytes);
                let put = if store == Store::S3 {
                    upload::put_whole(&world.cx, &app(), &digest, &mut whole(&bytes)).await
                } else {
                    // The session computes SHA-256. For a SHA-512 digest the bytes are read again.
                    let id = world.start().await;
                    upload::append(&world.cx, &app(), id, None, &mut whole(&bytes)).await.unwrap();
                    close(&world.cx, id, &digest).await
                };
                put.unwrap();
                let stored = world.layer_checksums(&digest).await;
                assert_eq!(stored, Some(checksum::of(&bytes)), "{store:?}, {size}, {algorithm:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_session_without_checksums_continues_and_its_layer_has_them() {
    for store in [Store::Fs, Store::RealFs, Store::Memory] {
        let world = World::new(store).await;
        let bytes = layer_bytes(1, 700_000);
        let (id, digest) = (world.start().await, sha256(&bytes));
        upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[..300_000])).await.unwrap();
        let mut row = world.row(id).await.unwrap();
        row.checksums = None;
        assert!(world.cx.db.write(move |tx| tx.upload_progress(&row)).await.unwrap());
        upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[300_000..600_000])).await.unwrap();
        let mut rest = whole(&bytes[600_000..]);
        upload::complete(&world.cx, &app(), id, &digest, None, &mut rest, CompletionRules::Docker).await.unwrap();
        assert_eq!(world.layer_checksums(&digest).await, Some(checksum::of(&bytes)), "{store:?}");
    }
}

/// A large body whose buffers contain their number. It is generated while it is read.
struct Numbered {
    next: u64,
    count: u64,
}

fn numbered(number: u64) -> Vec<u8> {
    number.to_be_bytes().repeat(S3_PART / 8)
}

#[async_trait::async_trait]
impl BodySource for Numbered {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let number = self.next;
        self.next += 1;
        Ok((number < self.count).then(|| numbered(number).into()))
    }
}

async fn range(cx: &Cx, digest: &Digest, from: u64, to: u64) -> Result<Vec<u8>, Error> {
    match layer::open(cx, &app(), digest, Some(ByteRange::FromTo(from, to))).await? {
        LayerOpening::Opened(opened) => collect(opened.bytes).await,
        LayerOpening::Unsatisfiable { size } => panic!("{from} to {to} of {size}"),
    }
}

#[tokio::test]
async fn blocks_after_the_first_window_of_checksums_are_checked_too() {
    let blocks = (FIRST_CHECKSUMS - checksum::HEAD_BYTES) / checksum::SUM_BYTES;
    let buffers = (blocks * BLOCK_BYTES / S3_PART + 3) as u64;
    let world = World::new(Store::RealFs).await;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    (0..buffers).for_each(|number| hasher.update(&numbered(number)));
    let digest = hasher.finish();
    upload::put_whole(&world.cx, &app(), &digest, &mut Numbered { next: 0, count: buffers }).await.unwrap();
    let last = (buffers - 1) * S3_PART as u64;
    for number in [0, buffers - 4, buffers - 2] {
        let from = number * S3_PART as u64;
        let read = range(&world.cx, &digest, from + 1, from + S3_PART as u64).await.unwrap();
        let expected = [&numbered(number)[1..], &numbered(number + 1)[..1]].concat();
        assert!(read == expected, "buffer {number}");
    }
    // The last byte of the layer.
    let location = world.list_locations().await[0];
    let path = world.path(location);
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[1], last + S3_PART as u64 - 1).unwrap();
    range(&world.cx, &digest, last, last).await.unwrap();
    let error = range(&world.cx, &digest, last + S3_PART as u64 - 1, u64::MAX).await.unwrap_err();
    assert!(matches!(error, Error::LayerDamaged { .. }), "{error}");
}
