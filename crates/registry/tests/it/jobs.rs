//! The runner of jobs with the kind that ends uploads. `job_kinds` tests it with other kinds.

use super::support::*;
use blob::Error as BlobError;
use blob::faulty::EngineCall;
use kernel::jobs::{self, JobKind as _, JobQueue};
use meta::records::job::JobRow;
use registry::JOB_KINDS;
use registry::upload::{self, UploadExpire, UploadId};
use std::time::Duration;
use tokio::sync::watch;

const SECOND: Duration = Duration::from_secs(1);

async fn enqueue(world: &World, id: UploadId) {
    let due = world.cx.now();
    world.cx.db.write(move |tx| jobs::enqueue(tx, &UploadExpire, &id.to_string(), due)).await.unwrap();
    JobQueue::of(&world.cx).ring();
}

async fn job(world: &World, id: UploadId) -> Option<JobRow> {
    world.cx.db.read(move |tx| tx.job_get(UploadExpire.name(), &id.to_string())).await.unwrap()
}

async fn written(world: &World) -> UploadId {
    let id = world.start().await;
    upload::append(&world.cx, &app(), id, None, &mut whole(&layer_bytes(1, S3_PART))).await.unwrap();
    id
}

async fn run_due(world: &World) -> usize {
    jobs::run_due(&world.cx.system, JOB_KINDS).await.unwrap()
}

#[tokio::test]
async fn expired_sessions_are_removed_with_their_bytes_but_not_with_layers() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        let (open, cancelled, complete) = (written(&world).await, written(&world).await, written(&world).await);
        world.faulty.fail(EngineCall::Remove, 1, BlobError::from_io("a fault", std::io::Error::other("a fault")));
        upload::cancel(&world.cx, &app(), cancelled).await.unwrap();
        let digest = sha256(&layer_bytes(1, S3_PART));
        close(&world.cx, complete, &digest).await.unwrap();
        assert_eq!(world.locations().await, 3, "the cancelled one's bytes could not be removed at once");
        world.clock.advance(24 * HOUR - SECOND);
        assert_eq!(run_due(&world).await, 0);
        world.clock.advance(SECOND);
        assert_eq!(run_due(&world).await, 3);
        for id in [open, cancelled, complete] {
            assert_eq!((world.row(id).await, job(&world, id).await), (None, None), "{store:?}");
        }
        assert_eq!(world.locations().await, 1);
        assert_eq!(world.read(&digest).await.unwrap(), layer_bytes(1, S3_PART), "{store:?}");
    }
}

#[tokio::test]
async fn expiry_ends_a_request_that_still_writes() {
    let world = World::new(Store::Fs).await;
    let id = written(&world).await;
    let (sender, mut body) = Slow::new();
    let cx = world.cx.clone();
    let request = tokio::spawn(async move { upload::append(&cx, &app(), id, None, &mut body).await });
    sender.send(vec![1; S3_PART].into()).await.unwrap();
    sender.send(vec![1; S3_PART].into()).await.unwrap();
    world.clock.advance(24 * HOUR);
    assert_eq!(run_due(&world).await, 1);
    drop(sender);
    assert!(request.await.unwrap().is_err());
    assert_eq!((world.row(id).await, world.locations().await), (None, 0));
}

#[tokio::test]
async fn a_job_that_is_enqueued_twice_runs_once_when_it_is_due() {
    let world = World::new(Store::Fs).await;
    let id = written(&world).await;
    let due = world.cx.now().plus(24 * HOUR);
    enqueue(&world, id).await;
    enqueue(&world, id).await;
    let row = job(&world, id).await.unwrap();
    assert_eq!((row.wanted, row.due_at), (3, world.cx.now().0), "the earlier time counts");
    assert_eq!(run_due(&world).await, 1);
    let row = job(&world, id).await.unwrap();
    assert_eq!((row.due_at, row.claimed_until), (due.0, None));
    assert!(world.row(id).await.is_some());
}

#[tokio::test]
async fn a_job_that_is_enqueued_while_it_runs_runs_again() {
    let world = World::new(Store::Fs).await;
    let id = written(&world).await;
    world.clock.advance(24 * HOUR);
    let gate = world.faulty.hold(EngineCall::Remove);
    let system = world.cx.system.clone();
    let runner = tokio::spawn(async move { jobs::run_due(&system, JOB_KINDS).await });
    gate.reached().await;
    assert_eq!(run_due(&world).await, 0, "it is claimed");
    enqueue(&world, id).await;
    assert_eq!(run_due(&world).await, 0, "it is claimed still");
    gate.open();
    assert_eq!(runner.await.unwrap().unwrap(), 2);
    assert_eq!(job(&world, id).await, None);
}

#[tokio::test]
async fn a_failed_job_is_retried_after_longer_and_longer_waits() {
    let world = World::new(Store::Fs).await;
    let id = written(&world).await;
    world.clock.advance(24 * HOUR);
    world.faulty.fail(EngineCall::Remove, 12, BlobError::from_io("removing a file", std::io::Error::other("a fault")));
    for (attempt, wait) in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600].into_iter().enumerate() {
        assert_eq!(run_due(&world).await, 1);
        let row = job(&world, id).await.unwrap();
        assert_eq!((row.attempts, row.due_at), (attempt as i64 + 1, world.cx.now().plus(wait * SECOND).0));
        assert_eq!(row.last_error.as_deref(), Some("An internal error occurred: removing a file: a fault"));
        world.clock.advance(wait * SECOND - Duration::from_micros(1));
        assert_eq!(run_due(&world).await, 0);
        world.clock.advance(Duration::from_micros(1));
    }
    assert_eq!(run_due(&world).await, 1);
    assert_eq!((job(&world, id).await, world.locations().await), (None, 0));
}

#[tokio::test]
async fn a_job_whose_runner_died_runs_again_after_the_claim_ends() {
    let mut world = World::new(Store::Fs).await;
    let id = written(&world).await;
    world.clock.advance(24 * HOUR);
    let (now, until) = (world.cx.now().0, world.cx.now().plus(300 * SECOND).0);
    let claim = move |tx: &mut meta::Tx<'_>| tx.job_claim(UploadExpire.name(), [9; 16], now, until);
    assert_eq!(world.cx.db.claim(claim).await.unwrap().unwrap().key, id.to_string());
    world.restart().await;
    world.clock.advance(299 * SECOND);
    assert_eq!(run_due(&world).await, 0);
    world.clock.advance(SECOND);
    assert_eq!(run_due(&world).await, 1);
    assert_eq!(job(&world, id).await, None);
}

#[tokio::test]
async fn the_claim_of_a_long_job_is_renewed() {
    let world = World::new(Store::Fs).await;
    let id = written(&world).await;
    world.clock.advance(24 * HOUR);
    let gate = world.faulty.hold(EngineCall::Remove);
    let system = world.cx.system.clone();
    let runner = tokio::spawn(async move { jobs::run_due(&system, JOB_KINDS).await });
    gate.reached().await;
    for _ in 0..5 {
        let before = job(&world, id).await.unwrap().claimed_until;
        world.clock.advance(200 * SECOND);
        while job(&world, id).await.unwrap().claimed_until == before {
            tokio::task::yield_now().await;
        }
        assert_eq!(run_due(&world).await, 0);
    }
    gate.open();
    assert_eq!(runner.await.unwrap().unwrap(), 1);
    assert_eq!(job(&world, id).await, None);
}

#[tokio::test]
async fn the_runner_wakes_by_time_and_by_the_bell_and_can_be_stopped() {
    let world = World::new(Store::Fs).await;
    let (stop, stopped) = watch::channel(false);
    let runner = tokio::spawn(jobs::run(world.cx.system.clone(), JOB_KINDS, stopped));
    let id = written(&world).await;
    world.clock.advance(24 * HOUR);
    while world.row(id).await.is_some() {
        tokio::task::yield_now().await;
    }
    let id = world.start().await;
    enqueue(&world, id).await;
    while job(&world, id).await.is_some() {
        tokio::task::yield_now().await;
    }
    stop.send_replace(true);
    runner.await.unwrap();
}
