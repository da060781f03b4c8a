//! The life cycle of an upload session: its id, its row, its end.

use super::support::*;
use oci::Algorithm;
use registry::upload::{self, CompletionRules, UploadId};
use registry::{Error, repository};

fn is_unknown(error: &Error) -> bool {
    matches!(error, Error::UploadNotFound { .. })
}

#[tokio::test]
async fn starting_writes_nothing_and_needs_a_repository() {
    let world = World::new(Store::Fs).await;
    let id = world.start().await;
    assert!(world.row(id).await.is_none());
    assert_eq!(upload::status(&world.cx, &app(), id).await.unwrap().received, 0);
    let error = upload::start(&world.cx, &name("none"), Algorithm::Sha256).await.unwrap_err();
    assert!(matches!(error, Error::RepositoryNotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_made_up_id_or_one_of_another_repository_is_unknown_to_every_call() {
    let world = World::new(Store::Fs).await;
    world.repository(&world.cx, &name("other")).await;
    let neighbour = world.registry("000000000000", "eu-west-1");
    let stranger = world.registry("111111111111", "us-east-1");
    for cx in [&neighbour, &stranger] {
        world.repository(cx, &app()).await;
    }
    let mut ids = vec![UploadId([0; 16]), "f47ac10b-58cc-4372-a567-0e02b2c3d479".parse().unwrap()];
    ids.push(upload::start(&world.cx, &name("other"), Algorithm::Sha256).await.unwrap());
    for cx in [&neighbour, &stranger] {
        ids.push(upload::start(cx, &app(), Algorithm::Sha256).await.unwrap());
    }
    let digest = sha256(b"bytes");
    let (cx, app) = (&world.cx, &app());
    for id in ids {
        let at = oci::ChunkRange { first: 0, last: 4 };
        let refused = [
            upload::status(cx, app, id).await.map(drop),
            upload::append(cx, app, id, None, &mut whole(b"bytes")).await.map(drop),
            upload::put_part(cx, app, id, at, bytes::Bytes::from_static(b"bytes")).await.map(drop),
            upload::complete(cx, app, id, &digest, None, &mut whole(b"bytes"), CompletionRules::Docker).await,
            upload::cancel(cx, app, id).await,
        ];
        for result in refused {
            assert!(is_unknown(&result.unwrap_err()), "{id}");
        }
        assert!(world.row(id).await.is_none());
    }
}

#[tokio::test]
async fn a_session_expires_whether_it_has_a_row_or_not() {
    let world = World::new(Store::Fs).await;
    let (unwritten, written) = (world.start().await, world.start().await);
    upload::append(&world.cx, &app(), written, None, &mut whole(b"bytes")).await.unwrap();
    world.clock.advance(24 * HOUR - std::time::Duration::from_secs(1));
    for id in [unwritten, written] {
        upload::status(&world.cx, &app(), id).await.unwrap();
    }
    world.clock.advance(std::time::Duration::from_secs(1));
    for id in [unwritten, written] {
        assert!(is_unknown(&upload::status(&world.cx, &app(), id).await.unwrap_err()));
        assert!(is_unknown(&upload::append(&world.cx, &app(), id, None, &mut whole(b"x")).await.unwrap_err()));
        assert!(is_unknown(&close(&world.cx, id, &sha256(b"bytes")).await.unwrap_err()));
        assert!(is_unknown(&upload::cancel(&world.cx, &app(), id).await.unwrap_err()));
    }
}

#[tokio::test]
async fn a_cancelled_session_is_unknown_and_its_bytes_are_removed() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let (written, unwritten) = (world.start().await, world.start().await);
        upload::append(&world.cx, &app(), written, None, &mut whole(&layer_bytes(1, S3_PART))).await.unwrap();
        for id in [written, unwritten] {
            upload::cancel(&world.cx, &app(), id).await.unwrap();
            assert!(is_unknown(&upload::status(&world.cx, &app(), id).await.unwrap_err()));
            assert!(is_unknown(&upload::append(&world.cx, &app(), id, None, &mut whole(b"x")).await.unwrap_err()));
            assert!(is_unknown(&close(&world.cx, id, &sha256(b"")).await.unwrap_err()));
            assert!(is_unknown(&upload::cancel(&world.cx, &app(), id).await.unwrap_err()));
        }
        assert_eq!(world.locations().await, 0, "{store:?}");
    }
}

#[tokio::test]
async fn a_session_ends_with_its_repository() {
    let world = World::new(Store::Fs).await;
    let id = world.start().await;
    upload::append(&world.cx, &app(), id, None, &mut whole(b"bytes")).await.unwrap();
    repository::delete(&world.cx, &app(), false).await.unwrap();
    let error = close(&world.cx, id, &sha256(b"bytes")).await.unwrap_err();
    assert!(matches!(error, Error::RepositoryNotFound { .. }), "{error}");
    // A new repository with the same name is another repository.
    world.repository(&world.cx, &app()).await;
    assert!(is_unknown(&close(&world.cx, id, &sha256(b"bytes")).await.unwrap_err()));
}

#[tokio::test]
async fn an_upload_fails_if_its_repository_is_deleted_while_the_bytes_arrive() {
    let world = World::new(Store::Fs).await;
    let bytes = layer_bytes(1, 300_000);
    let (sender, mut body) = Slow::new();
    let (cx, digest) = (world.cx.clone(), sha256(&bytes));
    let request = tokio::spawn(async move { upload::put_whole(&cx, &app(), &digest, &mut body).await });
    sender.send(bytes[..150_000].to_vec().into()).await.unwrap();
    sender.send(bytes[150_000..].to_vec().into()).await.unwrap();
    repository::delete(&world.cx, &app(), false).await.unwrap();
    world.repository(&world.cx, &app()).await;
    drop(sender);
    let error = request.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::RepositoryNotFound { .. }), "{error}");
    assert_eq!(world.locations().await, 0);
}
