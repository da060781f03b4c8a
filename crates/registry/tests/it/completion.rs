//! Completion of uploads (`ECR.md` B.4, A.3 CompleteLayerUpload).

use super::support::*;
use blob::Error as BlobError;
use blob::checksum;
use blob::faulty::EngineCall;
use kernel::CommonError;
use kernel::limits::Limits;
use kernel::quirks::Quirks;
use oci::{Algorithm, Digest};
use registry::upload::{self, BodyPlace, CompletionRules};
use registry::{Error, layer};

#[tokio::test]
async fn an_upload_in_one_request_writes_no_session() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let inline = world.limits.inline_layer_bytes;
        for (size, locations) in [(0, 0), (1, 0), (inline, 0), (inline + 1, 1), (2 * MIB, 2)] {
            let bytes = layer_bytes(size as u64, size);
            let (id, digest) = (world.start().await, sha256(&bytes));
            let mut body = Pieces::new(&bytes, 100_000);
            upload::complete(&world.cx, &app(), id, &digest, None, &mut body, CompletionRules::Docker).await.unwrap();
            assert!(world.row(id).await.is_none(), "{store:?}, {size}");
            assert_eq!(world.locations().await, locations, "{store:?}, {size}");
            assert_eq!(world.read(&digest).await.unwrap(), bytes);
        }
    }
}

#[tokio::test]
async fn a_completing_put_can_be_sent_again() {
    let world = World::new(Store::Fs).await;
    for size in [100, 300_000] {
        let bytes = layer_bytes(size, size as usize);
        let (id, digest) = (world.start().await, sha256(&bytes));
        for _ in 0..2 {
            let mut body = whole(&bytes);
            upload::complete(&world.cx, &app(), id, &digest, None, &mut body, CompletionRules::Docker).await.unwrap();
        }
        assert_eq!(world.read(&digest).await.unwrap(), bytes);
    }
    assert_eq!(world.locations().await, 1);
}

#[tokio::test]
async fn a_completed_session_accepts_only_its_digest_again() {
    let world = World::new(Store::Fs).await;
    let bytes = layer_bytes(1, 100_000);
    let (id, digest) = (world.start().await, sha256(&bytes));
    upload::append(&world.cx, &app(), id, None, &mut whole(&bytes)).await.unwrap();
    close(&world.cx, id, &digest).await.unwrap();
    close(&world.cx, id, &digest).await.unwrap();
    close_by_api(&world.cx, id, &digest).await.unwrap();
    let mut rest = Pieces::new(&bytes, 1000);
    upload::complete(&world.cx, &app(), id, &digest, None, &mut rest, CompletionRules::Docker).await.unwrap();
    let again = [
        close(&world.cx, id, &sha256(b"other")).await,
        upload::append(&world.cx, &app(), id, None, &mut whole(b"more")).await.map(drop),
        upload::status(&world.cx, &app(), id).await.map(drop),
        upload::cancel(&world.cx, &app(), id).await,
    ];
    for result in again {
        assert!(matches!(result, Err(Error::UploadNotFound { .. })));
    }
    assert_eq!(world.read(&digest).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_wrong_digest_makes_no_layer_and_does_not_change_the_session() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let bytes = layer_bytes(2, 2 * S3_PART);
        let (digest, wrong) = (sha256(&bytes), sha256(b"wrong"));
        for size in [10, bytes.len()] {
            let error = upload::put_whole(&world.cx, &app(), &wrong, &mut whole(&bytes[..size])).await.unwrap_err();
            let computed = sha256(&bytes[..size]).to_string();
            assert!(matches!(error, Error::InvalidLayer { computed: c, .. } if c == computed), "{store:?}, {size}");
            assert_eq!(world.locations().await, 0, "{store:?}, {size}");
        }
        let id = world.start().await;
        upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[..S3_PART])).await.unwrap();
        for body in [&b"garbage"[..], b""] {
            let mut body = whole(body);
            let refused =
                upload::complete(&world.cx, &app(), id, &digest, None, &mut body, CompletionRules::Docker).await;
            assert!(matches!(refused, Err(Error::InvalidLayer { .. })));
            let status = upload::status(&world.cx, &app(), id).await.unwrap();
            assert_eq!(status.received, S3_PART as u64, "{store:?}");
        }
        let mut rest = whole(&bytes[S3_PART..]);
        upload::complete(&world.cx, &app(), id, &digest, None, &mut rest, CompletionRules::Docker).await.unwrap();
        assert_eq!(world.read(&digest).await.unwrap(), bytes, "{store:?}");
        assert!(layer::check(&world.cx, &app(), vec![wrong]).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_failed_put_does_not_change_the_session_also_if_its_body_was_long() {
    let world = World::new(Store::Fs).await;
    // More than the bytes after which a PATCH stores its progress.
    let bytes = layer_bytes(4, 70 * MIB);
    let (first, rest) = bytes.split_at(1000);
    let digest = sha256(&bytes);
    let id = world.start().await;
    upload::append(&world.cx, &app(), id, None, &mut whole(first)).await.unwrap();
    for (mut body, asked) in [(Pieces::new(rest, MIB), sha256(b"wrong")), (Pieces::new(rest, MIB).broken(), digest)] {
        let refused = upload::complete(&world.cx, &app(), id, &asked, None, &mut body, CompletionRules::Docker).await;
        assert!(matches!(refused, Err(Error::InvalidLayer { .. } | Error::BodyTruncated(_))));
        assert_eq!(upload::status(&world.cx, &app(), id).await.unwrap().received, first.len() as u64);
    }
    let mut again = Pieces::new(rest, MIB);
    upload::complete(&world.cx, &app(), id, &digest, None, &mut again, CompletionRules::Docker).await.unwrap();
    assert_eq!(world.read(&digest).await.unwrap(), bytes);
}

/// Some clients do this after a failed PATCH: they PUT the whole layer to the Location of the POST.
#[tokio::test]
async fn a_whole_layer_at_byte_0_replaces_the_bytes_of_the_session() {
    for store in EVERY_STORE {
        for (sent, size) in [(300_000, 500_000), (500_000, 500_000), (S3_PART, 1000), (S3_PART, S3_PART + 1)] {
            let world = World::new(store).await;
            let bytes = layer_bytes(1, size);
            let (id, digest, other) = (world.start().await, sha256(&bytes), layer_bytes(2, sent));
            upload::append(&world.cx, &app(), id, None, &mut whole(&other)).await.unwrap();
            let received = upload::status(&world.cx, &app(), id).await.unwrap().received;
            let close = async |body: &mut Pieces, asked: &Digest| {
                upload::complete(
                    &world.cx,
                    &app(),
                    id,
                    asked,
                    Some(BodyPlace::Offset(0)),
                    body,
                    CompletionRules::Docker,
                )
                .await
            };
            // A truncated body or one with another digest does not change the session.
            let mut broken = Pieces::new(&bytes, 70_000).broken();
            assert!(matches!(close(&mut broken, &digest).await, Err(Error::BodyTruncated(_))), "{store:?}");
            let wrong = close(&mut Pieces::new(&bytes, 70_000), &sha256(b"wrong")).await;
            assert!(matches!(wrong, Err(Error::InvalidLayer { .. })), "{store:?}");
            assert_eq!(upload::status(&world.cx, &app(), id).await.unwrap().received, received);
            close(&mut Pieces::new(&bytes, 70_000), &digest).await.unwrap();
            close(&mut Pieces::new(&bytes, 70_000), &digest).await.unwrap();
            assert_eq!(world.read(&digest).await.unwrap(), bytes, "{store:?}");
            assert_eq!(world.layer_checksums(&digest).await, Some(checksum::of(&bytes)), "{store:?}");
            let inline = size as u64 <= world.limits.inline_layer_bytes as u64;
            assert_eq!(world.locations().await, usize::from(!inline), "{store:?}, {sent} then {size}");
        }
    }
}

#[tokio::test]
async fn digests_of_both_algorithms_are_checked_for_every_session() {
    let (sha256, sha512) = (Algorithm::Sha256, Algorithm::Sha512);
    for store in EVERY_STORE {
        for (begun, asked) in [(sha256, sha512), (sha512, sha256), (sha512, sha512)] {
            let world = World::new(store).await;
            let bytes = layer_bytes(3, 2 * S3_PART);
            let digest = Digest::of(asked, &bytes);
            let wrong = Digest::of(asked, b"wrong");
            for whole_body in [false, true] {
                let id = upload::start(&world.cx, &app(), begun).await.unwrap();
                let sent = if whole_body { 0 } else { S3_PART };
                upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[..sent])).await.unwrap();
                let mut rest = whole(&bytes[sent..]);
                let refused =
                    upload::complete(&world.cx, &app(), id, &wrong, None, &mut rest, CompletionRules::Docker).await;
                assert!(matches!(refused, Err(Error::InvalidLayer { .. })), "{store:?}");
                // With S3's rules the object had to be finished before reading it, so no bytes can be appended.
                let id = match store {
                    Store::S3 if begun != asked && !whole_body => {
                        upload::cancel(&world.cx, &app(), id).await.unwrap();
                        let id = upload::start(&world.cx, &app(), begun).await.unwrap();
                        upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[..sent])).await.unwrap();
                        id
                    }
                    _ => id,
                };
                let mut rest = whole(&bytes[sent..]);
                upload::complete(&world.cx, &app(), id, &digest, None, &mut rest, CompletionRules::Docker)
                    .await
                    .unwrap();
            }
            assert_eq!(world.read(&digest).await.unwrap(), bytes, "{store:?}, {begun:?}, {asked:?}");
            assert_eq!(world.locations().await, 1);
        }
    }
}

#[tokio::test]
async fn a_small_layer_can_have_a_sha512() {
    let world = World::new(Store::Fs).await;
    let digest = Digest::of(Algorithm::Sha512, b"config");
    upload::put_whole(&world.cx, &app(), &digest, &mut whole(b"config")).await.unwrap();
    assert_eq!(world.read(&digest).await.unwrap(), b"config");
    let other = sha256(b"config");
    let error = upload::put_whole(&world.cx, &app(), &digest, &mut whole(b"confit")).await.unwrap_err();
    assert!(matches!(error, Error::InvalidLayer { .. }));
    assert!(layer::check(&world.cx, &app(), vec![other]).await.unwrap().is_empty(), "a digest of another hash");
}

#[tokio::test]
async fn the_api_refuses_completions_that_docker_accepts() {
    let world = World::new(Store::Fs).await;
    let unwritten = world.start().await;
    let error = close_by_api(&world.cx, unwritten, &sha256(b"")).await.unwrap_err();
    assert!(matches!(error, Error::EmptyUpload { .. }), "{error}");
    close(&world.cx, unwritten, &sha256(b"")).await.unwrap();
    assert_eq!(world.read(&sha256(b"")).await.unwrap(), b"");

    let bytes = layer_bytes(4, 100_000);
    let digest = world.put(&bytes).await;
    let id = world.start().await;
    upload::append(&world.cx, &app(), id, None, &mut whole(&bytes)).await.unwrap();
    let error = close_by_api(&world.cx, id, &digest).await.unwrap_err();
    assert!(matches!(error, Error::LayerAlreadyExists { .. }), "{error}");
    let error = upload::status(&world.cx, &app(), id).await.unwrap_err();
    assert!(matches!(error, Error::UploadNotFound { .. }), "the session ended: {error}");
    assert_eq!(world.locations().await, 1, "its bytes are dropped");
    assert_eq!(world.read(&digest).await.unwrap(), bytes);
}

#[tokio::test]
async fn completing_an_existing_layer_by_the_api_restarts_its_grace_period() {
    let world = World::new(Store::Fs).await;
    let bytes = layer_bytes(5, 100_000);
    let digest = world.put(&bytes).await;
    world.clock.advance(60 * HOUR);
    assert!(layer::check(&world.cx, &app(), vec![digest]).await.unwrap().is_empty());
    let id = world.start().await;
    upload::append(&world.cx, &app(), id, None, &mut whole(&bytes)).await.unwrap();
    assert!(matches!(close_by_api(&world.cx, id, &digest).await, Err(Error::LayerAlreadyExists { .. })));
    assert_eq!(layer::check(&world.cx, &app(), vec![digest]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_registry_stores_one_copy_of_a_digest_and_shares_it_with_no_other() {
    let world = World::new(Store::Fs).await;
    world.repository(&world.cx, &name("other")).await;
    let abroad = world.registry("000000000000", "eu-west-1");
    world.repository(&abroad, &app()).await;
    let bytes = layer_bytes(6, 100_000);
    let digest = world.put(&bytes).await;
    assert!(
        layer::check(&world.cx, &name("other"), vec![digest]).await.unwrap().is_empty(),
        "a layer is its repository's"
    );
    put_to(&world.cx, &name("other"), &bytes).await;
    assert_eq!(world.locations().await, 1);
    put_to(&abroad, &app(), &bytes).await;
    assert_eq!(world.locations().await, 2);
    for (cx, name) in [(&world.cx, app()), (&world.cx, name("other")), (&abroad, app())] {
        assert_eq!(read(cx, &name, &digest).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn each_new_layer_of_a_repository_writes_one_event() {
    let world = World::new(Store::Fs).await;
    world.put(b"one").await;
    let digest = world.put(&layer_bytes(7, 50_000)).await;
    world.put(b"one").await;
    let events = world.events(&app()).await;
    let pushes: Vec<_> = events.iter().filter(|event| event.kind == "layer.push").collect();
    assert_eq!(pushes.len(), 2);
    assert_eq!(pushes[1].digest.as_deref(), Some(digest.to_bytes().as_slice()));
    assert_eq!(
        (pushes[1].detail.as_str(), pushes[1].actor.as_str()),
        (r#"{"size":50000}"#, "arn:aws:iam::000000000000:root")
    );
}

#[tokio::test]
async fn a_completion_that_failed_after_its_last_byte_can_be_repeated() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let bytes = layer_bytes(8, S3_PART);
        let (id, digest) = (world.start().await, sha256(&bytes));
        upload::append(&world.cx, &app(), id, None, &mut whole(&bytes)).await.unwrap();
        world.faulty.fail(EngineCall::Stat, 1, BlobError::from_io("a fault", std::io::Error::other("a fault")));
        let error = close(&world.cx, id, &digest).await.unwrap_err();
        assert!(matches!(error, Error::Common(CommonError::Server(_))), "{error}");
        assert!(layer::check(&world.cx, &app(), vec![digest]).await.unwrap().is_empty());
        close(&world.cx, id, &digest).await.unwrap();
        assert_eq!(world.read(&digest).await.unwrap(), bytes, "{store:?}");
    }
}

#[tokio::test]
async fn an_upload_whose_bytes_are_missing_is_not_completed() {
    let world = World::new(Store::Fs).await;
    let bytes = layer_bytes(9, 300_000);
    let (id, digest) = (world.start().await, sha256(&bytes));
    upload::append(&world.cx, &app(), id, None, &mut whole(&bytes)).await.unwrap();
    // A sweep could do this if it treated the session as abandoned.
    let gate = world.faulty.hold(EngineCall::Stat);
    let cx = world.cx.clone();
    let request = tokio::spawn(async move { close(&cx, id, &digest).await });
    gate.reached().await;
    let location = world.list_locations().await[0];
    world.cx.blobs.remove(location, None).await.unwrap();
    gate.open();
    assert!(matches!(request.await.unwrap(), Err(Error::UploadNotFound { .. })));
    assert!(layer::check(&world.cx, &app(), vec![digest]).await.unwrap().is_empty());
}

/// A body without an end.
struct Endless(u64);

#[async_trait::async_trait]
impl upload::BodySource for Endless {
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        self.0 += 1;
        assert!(self.0 < 1000, "the body is read on");
        Ok(Some(bytes::Bytes::from_static(&[0; 1000])))
    }
}

#[tokio::test]
async fn a_body_that_is_sent_again_is_read_up_to_the_largest_layer() {
    let limits = Limits { layer_bytes: 100_000, ..Limits::default() };
    let world = World::with(Store::Fs, 1, limits, Quirks::default()).await;
    let bytes = layer_bytes(1, 100_000);
    let (id, digest) = (world.start().await, sha256(&bytes));
    upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[..50_000])).await.unwrap();
    let mut rest = Pieces::new(&bytes[50_000..], 1000);
    upload::complete(&world.cx, &app(), id, &digest, None, &mut rest, CompletionRules::Docker).await.unwrap();
    let mut endless = Endless(0);
    let again = upload::complete(&world.cx, &app(), id, &digest, None, &mut endless, CompletionRules::Docker).await;
    assert!(matches!(again, Err(Error::LimitExceeded { setting: Some("layer_bytes"), .. })), "{again:?}");
    assert_eq!(endless.0, 101);
    assert_eq!(world.read(&digest).await.unwrap(), bytes);
}

#[tokio::test]
async fn the_largest_layer_that_may_live_in_a_record_fits_into_a_buffer() {
    let largest = blob::Buffers::SIZE - 1;
    let limits = Limits { inline_layer_bytes: largest, ..Limits::default() };
    let world = World::with(Store::Fs, 1, limits, Quirks::default()).await;
    for (size, locations) in [(largest, 0), (largest + 1, 1)] {
        let bytes = layer_bytes(size as u64, size);
        let digest = put_to(&world.cx, &app(), &bytes).await;
        assert_eq!(world.read(&digest).await.unwrap(), bytes);
        assert_eq!(world.locations().await, locations, "{size}");
    }
}
