//! Tests of the fs engine on a disk that is full, read-only or failing.

use crate::support::{bytes, location, read, write};
use blob::disk::Disk;
use blob::faulty_disk::{DiskCall, FaultyDisk};
use blob::fs::FsEngine;
use blob::{Buffers, Engine, Error};
use std::sync::Arc;
use tokio::time::Instant;

async fn open(disk: &FaultyDisk) -> (FsEngine, Buffers) {
    let buffers = Buffers::new(4);
    (FsEngine::open("/layers", Arc::new(disk.clone()), buffers.clone()).await.unwrap(), buffers)
}

async fn put(engine: &FsEngine, buffers: &Buffers, number: u8, size: usize) -> Result<u64, Error> {
    let mut writer = engine.create(location(number)).await?;
    write(buffers, &mut *writer, &bytes(number.into(), size)).await?;
    writer.finish().await
}

#[tokio::test(start_paused = true)]
async fn open_files_are_bounded_and_a_read_that_times_out_fails_as_busy() {
    let buffers = Buffers::new(4).with_open_files(2);
    let engine = FsEngine::open("/layers", Arc::new(FaultyDisk::new()), buffers.clone()).await.unwrap();
    put(&engine, &buffers, 1, 10).await.unwrap();
    let open = || engine.read(location(1), 0..10);
    let (first, second) = (open().await.unwrap().unwrap(), open().await.unwrap().unwrap());
    let began = Instant::now();
    assert!(matches!(open().await, Err(Error::Busy)));
    assert!(began.elapsed() >= Buffers::PATIENCE);
    assert_eq!(buffers.waiting(), 0);
    // A waiting reader signals the task that ends stalled ones.
    buffers.starved().await;
    let ends = async {
        buffers.starved().await;
        assert_eq!(buffers.waiting(), 1);
        drop(first);
    };
    let (third, ()) = tokio::join!(open(), ends);
    drop(third.unwrap().unwrap());
    // A missing location uses up no permit.
    for _ in 0..3 {
        assert!(engine.read(location(2), 0..10).await.unwrap().is_none());
    }
    drop(second);
}

async fn assert_stored(engine: &FsEngine, number: u8, size: usize) {
    let read = read(engine, location(number), 0..size as u64).await.unwrap().unwrap();
    assert!(read == bytes(number.into(), size), "location {number} came back changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_reported_and_the_engine_recovers_when_space_returns() {
    let disk = FaultyDisk::new();
    let (engine, buffers) = open(&disk).await;
    put(&engine, &buffers, 1, 10_000).await.unwrap();
    disk.set_space(Some(600_000));
    // The disk fills while writes are in progress, so `finish` reports it.
    assert!(matches!(put(&engine, &buffers, 2, 700_000).await, Err(Error::Full(_))));
    assert!(matches!(engine.check().await, Err(Error::Full(_))));
    disk.set_space(None);
    engine.check().await.unwrap();
    engine.remove(location(2), None).await.unwrap();
    put(&engine, &buffers, 3, 700_000).await.unwrap();
    assert_stored(&engine, 1, 10_000).await;
    assert_stored(&engine, 3, 700_000).await;
    assert_eq!(buffers.available(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_filled_the_disk_can_be_resumed_when_space_returns() {
    let disk = FaultyDisk::new();
    let (engine, buffers) = open(&disk).await;
    let mut writer = engine.create(location(1)).await.unwrap();
    write(&buffers, &mut *writer, &bytes(1, 5000)).await.unwrap();
    let durable = writer.sync().await.unwrap();
    disk.set_space(Some(100));
    write(&buffers, &mut *writer, &bytes(2, 5000)).await.unwrap();
    assert!(matches!(writer.sync().await, Err(Error::Full(_))));
    disk.set_space(None);
    assert!(matches!(writer.sync().await, Err(Error::Full(_))), "a writer that lost bytes synced");
    assert!(matches!(writer.finish().await, Err(Error::Full(_))), "a writer that lost bytes finished");
    let mut writer = engine.resume(location(1), &durable).await.unwrap();
    write(&buffers, &mut *writer, &bytes(3, 5000)).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), 10_000);
    assert!(read(&engine, location(1), 0..10_000).await.unwrap().unwrap() == [bytes(1, 5000), bytes(3, 5000)].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_reported_and_can_be_read() {
    let disk = FaultyDisk::new();
    let (engine, buffers) = open(&disk).await;
    put(&engine, &buffers, 1, 5000).await.unwrap();
    let mut writer = engine.create(location(2)).await.unwrap();
    let durable = writer.sync().await.unwrap();
    disk.set_read_only(true);
    write(&buffers, &mut *writer, b"late").await.unwrap();
    assert!(matches!(writer.finish().await, Err(Error::ReadOnly(_))));
    assert!(matches!(put(&engine, &buffers, 3, 1).await, Err(Error::ReadOnly(_))));
    assert!(matches!(engine.resume(location(2), &durable).await, Err(Error::ReadOnly(_))));
    assert!(matches!(engine.remove(location(1), None).await, Err(Error::ReadOnly(_))));
    assert!(matches!(engine.check().await, Err(Error::ReadOnly(_))));
    // An engine can be opened on a read-only disk too, because all directories exist.
    let (engine, _) = open(&disk).await;
    assert_stored(&engine, 1, 5000).await;
    disk.set_read_only(false);
    put(&engine, &buffers, 3, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fdatasync_is_never_followed_by_a_success() {
    let disk = FaultyDisk::new();
    let (engine, buffers) = open(&disk).await;
    let mut writer = engine.create(location(1)).await.unwrap();
    write(&buffers, &mut *writer, &bytes(1, 5000)).await.unwrap();
    disk.fail_nth(Some(DiskCall::SyncData), 1);
    assert!(matches!(writer.sync().await, Err(Error::Io("syncing a layer's file", _))));
    assert!(matches!(writer.sync().await, Err(Error::Io("syncing a layer's file", _))));
    let late = write(&buffers, &mut *writer, b"more").await;
    assert!(matches!(late, Err(Error::Io("syncing a layer's file", _))));
    assert!(matches!(writer.finish().await, Err(Error::Io("syncing a layer's file", _))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fdatasync_beside_the_writes_is_never_followed_by_a_success() {
    let disk = FaultyDisk::new();
    let (engine, buffers) = open(&disk).await;
    let engine = engine.syncing_every(5000);
    let mut writer = engine.create(location(1)).await.unwrap();
    disk.fail_nth(Some(DiskCall::SyncData), 1);
    // The write starts a sync that fails unobserved. A later sync of the disk would succeed.
    write(&buffers, &mut *writer, &bytes(1, 5000)).await.unwrap();
    assert!(matches!(writer.sync().await, Err(Error::Io("syncing a layer's file", _))));
    assert!(matches!(writer.finish().await, Err(Error::Io("syncing a layer's file", _))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_of_the_directory_fails_the_writer() {
    let disk = FaultyDisk::new();
    let (engine, buffers) = open(&disk).await;
    // The root's sync makes the directory durable. It is repeated after a failure, although the directory exists by then.
    for _ in 0..2 {
        disk.fail_nth(Some(DiskCall::SyncDir), 1);
        assert!(matches!(put(&engine, &buffers, 1, 10).await, Err(Error::Io("making a layers' directory", _))));
    }
    disk.fail_nth(Some(DiskCall::SyncDir), 2);
    assert!(matches!(put(&engine, &buffers, 1, 10).await, Err(Error::Io("syncing a layers' directory", _))));
}

/// Makes each disk call of an upload, its reading and its removal fail once. Each failure is reported, and a retry succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_any_disk_call_is_reported_and_a_retry_succeeds() {
    async fn course(engine: &FsEngine, buffers: &Buffers, bytes: &[u8]) -> Result<(), Error> {
        let (first, second) = bytes.split_at(2 * Buffers::SIZE);
        let mut writer = engine.create(location(1)).await?;
        write(buffers, &mut *writer, first).await?;
        let durable = writer.sync().await?;
        drop(writer);
        let mut writer = engine.resume(location(1), &durable).await?;
        write(buffers, &mut *writer, second).await?;
        let size = writer.finish().await?;
        assert!(read(engine, location(1), 0..size).await?.unwrap() == bytes);
        assert_eq!(engine.list(None, 1).await?, [location(1)]);
        engine.check().await?;
        engine.remove(location(1), None).await
    }
    let disk = FaultyDisk::new();
    let (engine, buffers) = open(&disk).await;
    let bytes = bytes(1, 2 * Buffers::SIZE + 100);
    let before = disk.calls();
    course(&engine, &buffers, &bytes).await.unwrap();
    let calls = disk.calls() - before;
    assert!(calls > 20, "the upload made only {calls} calls");
    for nth in 1..=calls {
        let disk = FaultyDisk::new();
        let (engine, buffers) = open(&disk).await;
        disk.fail_nth(None, nth);
        let failed = course(&engine, &buffers, &bytes).await;
        assert!(matches!(failed, Err(Error::Io(..))), "the failure of call {nth} returned {failed:?}");
        engine.remove(location(1), None).await.unwrap();
        course(&engine, &buffers, &bytes).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_replaces_the_file_that_a_crashed_check_left() {
    let disk = FaultyDisk::new();
    let (_, buffers) = open(&disk).await;
    disk.create_new("/layers/check-0".as_ref()).unwrap();
    let engine = FsEngine::open("/layers", Arc::new(disk.clone()), buffers).await.unwrap();
    engine.check().await.unwrap();
    let mut names = Vec::new();
    disk.list("/layers".as_ref(), &mut |name| names.push(name.to_owned())).unwrap();
    assert!(names.iter().all(|name| name.len() == 2), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_not_locations_are_not_listed() {
    let disk = FaultyDisk::new();
    let (engine, buffers) = open(&disk).await;
    put(&engine, &buffers, 1, 1).await.unwrap();
    let name = location(1).to_string();
    let wrong_directory = if name.ends_with("00") { "01" } else { "00" };
    for directory in ["/layers/00", "/layers/01"] {
        // One of the two may exist already.
        drop(disk.mkdir(directory.as_ref()));
    }
    for path in [
        format!("/layers/{wrong_directory}/{name}"),
        "/layers/00/lost+found".into(),
        format!("/layers/00/{}", name.to_uppercase()),
    ] {
        disk.create_new(path.as_ref()).unwrap();
    }
    assert_eq!(engine.list(None, 10).await.unwrap(), [location(1)]);
}
