//! Failing stores. No failed write is acknowledged or leaves data behind, and uploads continue after the failure.

use super::support::*;
use blob::Error as BlobError;
use blob::faulty::EngineCall;
use kernel::CommonError;
use registry::Error;
use registry::upload::{self, CompletionRules};

#[tokio::test]
async fn uploads_fail_on_a_full_disk_and_continue_when_it_has_space() {
    let world = World::new(Store::Fs).await;
    let bytes = layer_bytes(1, 600_000);
    let (id, digest) = (world.start().await, sha256(&bytes));
    upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[..300_000])).await.unwrap();
    world.disk.set_space(Some(100_000));
    let refused = [
        upload::put_whole(&world.cx, &app(), &digest, &mut whole(&bytes)).await,
        upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[300_000..])).await.map(drop),
        upload::complete(&world.cx, &app(), id, &digest, None, &mut whole(&bytes[300_000..]), CompletionRules::Docker)
            .await,
    ];
    for result in refused {
        assert!(matches!(result, Err(Error::Common(CommonError::Unavailable { .. }))));
    }
    assert_eq!(upload::status(&world.cx, &app(), id).await.unwrap().received, 300_000);
    assert_eq!(world.locations().await, 1, "only the session's");
    world.disk.set_space(None);
    upload::complete(&world.cx, &app(), id, &digest, None, &mut whole(&bytes[300_000..]), CompletionRules::Docker)
        .await
        .unwrap();
    assert_eq!(world.read(&digest).await.unwrap(), bytes);
}

#[tokio::test]
async fn uploads_fail_on_a_read_only_disk() {
    let world = World::new(Store::Fs).await;
    let bytes = layer_bytes(2, 100_000);
    world.disk.set_read_only(true);
    let error = upload::put_whole(&world.cx, &app(), &sha256(&bytes), &mut whole(&bytes)).await.unwrap_err();
    assert!(matches!(error, Error::Common(CommonError::Unavailable { .. })), "{error}");
    world.disk.set_read_only(false);
    let digest = world.put(&bytes).await;
    assert_eq!(world.read(&digest).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_failure_of_any_disk_call_loses_no_acknowledged_data() {
    for nth in 1.. {
        let world = World::new(Store::Fs).await;
        let bytes = layer_bytes(nth, 700_000);
        let (id, digest) = (world.start().await, sha256(&bytes));
        let before = world.disk.calls();
        world.disk.fail_nth(None, nth);
        let push = async {
            upload::append(&world.cx, &app(), id, None, &mut whole(&bytes[..300_000])).await?;
            let mut rest = whole(&bytes[300_000..]);
            upload::complete(&world.cx, &app(), id, &digest, None, &mut rest, CompletionRules::Docker).await
        };
        let pushed = push.await;
        let finished = world.disk.calls() - before < nth;
        if finished {
            pushed.unwrap();
            assert!(nth > 8, "the push has more calls than {nth}");
            return;
        }
        match pushed {
            Ok(()) => assert_eq!(world.read(&digest).await.unwrap(), bytes, "call {nth}"),
            Err(error) => assert!(matches!(error, Error::Common(CommonError::Server(_))), "call {nth}: {error}"),
        }
        // The client continues from the session's progress.
        let mut received = 0;
        match upload::status(&world.cx, &app(), id).await {
            Ok(status) => received = status.received as usize,
            Err(Error::UploadNotFound { .. }) => assert_eq!(world.read(&digest).await.unwrap(), bytes, "call {nth}"),
            Err(error) => panic!("call {nth}: {error}"),
        }
        let mut rest = whole(&bytes[received..]);
        upload::complete(&world.cx, &app(), id, &digest, None, &mut rest, CompletionRules::Docker).await.unwrap();
        assert_eq!(world.read(&digest).await.unwrap(), bytes, "call {nth}");
    }
}

#[tokio::test]
async fn reading_an_unreadable_layer_fails_and_returns_no_truncated_body() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let digest = world.put(&layer_bytes(3, 600_000)).await;
        world.faulty.set_unreadable_from(Some(300_000));
        let error = world.read(&digest).await.unwrap_err();
        assert!(matches!(error, Error::Common(CommonError::Server(_))), "{store:?}: {error}");
    }
}

#[tokio::test]
async fn a_push_succeeds_if_its_duplicate_bytes_can_not_be_dropped() {
    let world = World::new(Store::Fs).await;
    let bytes = layer_bytes(5, 100_000);
    let digest = world.put(&bytes).await;
    world.faulty.fail(EngineCall::Remove, 1, BlobError::from_io("a fault", std::io::Error::other("a fault")));
    world.put(&bytes).await;
    assert_eq!(world.locations().await, 2, "the sweep will find the second");
    assert_eq!(world.read(&digest).await.unwrap(), bytes);
}
