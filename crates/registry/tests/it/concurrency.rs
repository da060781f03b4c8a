//! Concurrent requests on one session and on one digest.

use super::support::*;
use bytes::Bytes;
use kernel::{CommonError, Cx};
use meta::records;
use registry::Error;
use registry::upload::{self, CompletionRules, UploadId, UploadProgress};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A PATCH whose body is sent by the test.
fn slow_patch(cx: &Cx, id: UploadId) -> (mpsc::Sender<Bytes>, JoinHandle<Result<UploadProgress, Error>>) {
    let (sender, mut body) = Slow::new();
    let cx = cx.clone();
    (sender, tokio::spawn(async move { upload::append(&cx, &app(), id, None, &mut body).await }))
}

/// Sends whole buffers until the request has written some of them.
async fn send(sender: &mpsc::Sender<Bytes>, byte: u8) {
    for _ in 0..4 {
        sender.send(vec![byte; S3_PART].into()).await.unwrap();
    }
}

fn is_superseded(error: &Error) -> bool {
    matches!(error, Error::InvalidLayerPart { .. })
}

#[tokio::test]
async fn of_two_concurrent_patches_the_newer_wins() {
    for store in EVERY_STORE {
        for written_before in [false, true] {
            let world = World::new(store).await;
            let id = world.start().await;
            let bytes = layer_bytes(1, 3 * S3_PART);
            let sent = if written_before { S3_PART } else { 0 };
            upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[..sent])).await.unwrap();
            let (sender, older) = slow_patch(&world.cx, id);
            send(&sender, 7).await;
            upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[sent..])).await.unwrap();
            let error = older.await.unwrap().unwrap_err();
            assert!(is_superseded(&error), "{store:?}: {error}");
            close(&world.cx, id, &sha256(&bytes)).await.unwrap();
            assert_eq!(world.read(&sha256(&bytes)).await.unwrap(), bytes, "{store:?}");
            assert_eq!(world.locations().await, 1, "{store:?}: the older one's bytes are gone");
        }
    }
}

#[tokio::test]
async fn a_request_on_another_node_takes_over_the_session() {
    for store in EVERY_STORE {
        for written_before in [false, true] {
            let world = World::new(store).await;
            let other = world.second_node().await;
            let id = world.start().await;
            let bytes = layer_bytes(2, 3 * S3_PART);
            let sent = if written_before { S3_PART } else { 0 };
            upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[..sent])).await.unwrap();
            let (sender, older) = slow_patch(&world.cx, id);
            send(&sender, 7).await;
            upload::append(&other, &app(), id, None, &mut whole(&bytes[sent..])).await.unwrap();
            drop(sender);
            let error = older.await.unwrap().unwrap_err();
            assert!(is_superseded(&error), "{store:?}: {error}");
            close(&world.cx, id, &sha256(&bytes)).await.unwrap();
            assert_eq!(world.read(&sha256(&bytes)).await.unwrap(), bytes, "{store:?}");
            assert_eq!(world.locations().await, 1, "{store:?}");
        }
    }
}

#[tokio::test]
async fn a_node_with_an_outdated_row_can_not_take_over_the_session() {
    let world = World::new(Store::Fs).await;
    let id = world.start().await;
    let row = async || world.cx.db.look_up(records::upload::by_id(id)).await.unwrap().unwrap();
    upload::append(&world.cx, &app(), id, None, &mut whole(b"one")).await.unwrap();
    let older = row().await;
    let progress = records::upload::UploadRow { received: 6, ..older.clone() };
    assert!(world.cx.db.write(move |tx| tx.upload_progress(&progress)).await.unwrap(), "in the same turn");
    let newer = row().await;
    assert_eq!(older.turn, newer.turn);
    let take = async |row: records::upload::UploadRow| {
        let take = move || records::upload::take(row.id, row.turn, row.received);
        world.cx.db.write(move |tx| tx.change(take())).await.unwrap()
    };
    assert!(!take(older).await);
    assert!(take(newer).await);
}

#[tokio::test]
async fn of_many_concurrent_requests_one_wins_and_the_session_continues() {
    let world = World::new(Store::Fs).await;
    let id = world.start().await;
    let bodies: Vec<_> = (0..8).map(|seed| layer_bytes(seed, 2 * S3_PART)).collect();
    let requests: Vec<_> = bodies
        .iter()
        .map(|bytes| {
            let (cx, mut body) = (world.cx.clone(), Pieces::new(bytes, 10_000));
            tokio::spawn(async move { upload::append(&cx, &app(), id, None, &mut body).await })
        })
        .collect();
    let mut stored = Vec::new();
    for (bytes, request) in bodies.iter().zip(requests) {
        match request.await.unwrap() {
            // A request that ended before the next one started has its bytes in the session.
            Ok(progress) => stored.push((progress.received, bytes)),
            Err(error) => assert!(is_superseded(&error), "{error}"),
        }
    }
    stored.sort_unstable_by_key(|(received, _)| *received);
    assert!(!stored.is_empty(), "the newest wins");
    let all: Vec<u8> = stored.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    close(&world.cx, id, &sha256(&all)).await.unwrap();
    assert_eq!(world.read(&sha256(&all)).await.unwrap(), all);
}

#[tokio::test]
async fn a_cancellation_ends_a_writing_request() {
    let world = World::new(Store::Fs).await;
    for written_before in [false, true] {
        let id = world.start().await;
        if written_before {
            upload::append(&world.cx, &app(), id, None, &mut whole(b"bytes")).await.unwrap();
        }
        let (sender, request) = slow_patch(&world.cx, id);
        send(&sender, 7).await;
        upload::cancel(&world.cx, &app(), id).await.unwrap();
        assert!(is_superseded(&request.await.unwrap().unwrap_err()));
        assert_eq!(world.locations().await, 0);
    }
}

#[tokio::test]
async fn a_put_that_is_cancelled_on_another_node_makes_no_layer() {
    let world = World::new(Store::Fs).await;
    let other = world.second_node().await;
    let (id, bytes) = (world.start().await, layer_bytes(3, S3_PART));
    let (sender, mut body) = Slow::new();
    let (cx, digest) = (world.cx.clone(), sha256(&bytes));
    let request = tokio::spawn(async move {
        upload::complete(&cx, &app(), id, &digest, None, &mut body, CompletionRules::Docker).await
    });
    sender.send(bytes[..10].to_vec().into()).await.unwrap();
    sender.send(bytes[10..].to_vec().into()).await.unwrap();
    upload::cancel(&other, &app(), id).await.unwrap();
    drop(sender);
    assert!(matches!(request.await.unwrap(), Err(Error::UploadNotFound { .. })));
    assert!(matches!(world.read(&digest).await, Err(Error::LayersNotFound { .. })));
    assert_eq!(world.locations().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_pushes_of_one_digest_store_one_copy() {
    for store in EVERY_STORE {
        for size in [100, S3_PART + 1] {
            let world = World::new(store).await;
            let bytes = layer_bytes(4, size);
            let digest = sha256(&bytes);
            let pushes: Vec<_> = (0..8)
                .map(|client| {
                    let (cx, bytes) = (world.cx.clone(), bytes.clone());
                    tokio::spawn(async move {
                        let mut body = Pieces::new(&bytes, 50_000);
                        if client % 2 == 0 {
                            return upload::put_whole(&cx, &app(), &digest, &mut body).await;
                        }
                        let id = upload::start(&cx, &app(), digest.algorithm()).await?;
                        upload::complete(&cx, &app(), id, &digest, None, &mut body, CompletionRules::Docker).await
                    })
                })
                .collect();
            for push in pushes {
                push.await.unwrap().unwrap();
            }
            assert_eq!(world.locations().await, usize::from(size > 100), "{store:?}, {size}");
            assert_eq!(world.read(&digest).await.unwrap(), bytes);
        }
    }
}

#[tokio::test]
async fn a_completion_by_the_api_that_lost_its_session_can_be_retried() {
    let world = World::new(Store::Fs).await;
    let other = world.second_node().await;
    let (id, bytes) = (world.start().await, layer_bytes(5, 100_000));
    upload::append(&world.cx, &app(), id, None, &mut whole(&bytes)).await.unwrap();
    let gate = world.faulty.hold(blob::faulty::EngineCall::Stat);
    let (cx, digest) = (world.cx.clone(), sha256(&bytes));
    let request = tokio::spawn(async move { close_by_api(&cx, id, &digest).await });
    gate.reached().await;
    close_by_api(&other, id, &digest).await.unwrap();
    gate.open();
    assert!(matches!(request.await.unwrap(), Err(Error::Common(CommonError::Busy))));
    close_by_api(&world.cx, id, &digest).await.unwrap();
    assert_eq!(world.read(&digest).await.unwrap(), bytes);
}
