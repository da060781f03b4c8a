//! Tests of SQLite on a full disk: a really full one, and `SQLITE_FULL` at each statement of a batch in turn.

use crate::gate::{Started, start};
use crate::group_commit::hold_writer;
use crate::store::{Engine, NOW_US, Store};
use meta::{Db, Error, SqliteConfig, Tx, Value};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::task::JoinSet;

const PART_TABLE: &str =
    "CREATE TABLE part (job INTEGER NOT NULL, n INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (job, n)) STRICT";
const PART_INSERT: &str = "INSERT INTO part (job, n, bytes) VALUES ($1, $2, $3)";
/// Inserts several rows with one statement. If it fails, SQLite undoes only this statement and leaves the transaction open.
const PART_COPY: &str = "INSERT INTO part (job, n, bytes) SELECT $1, n, bytes FROM part WHERE job = $2";
const PART_LIST: &str = "SELECT job, count(*) FROM part GROUP BY job ORDER BY job";
const PART_GET: &str = "SELECT bytes FROM part WHERE job = $1 AND n = $2";
const PAGES: &str = "PRAGMA page_count";
const INTEGRITY: &str = "PRAGMA integrity_check";

/// Returns the jobs in the table, each with its number of parts.
async fn jobs(db: &Db) -> Vec<(i64, i64)> {
    let rows = db.read(|tx| tx.query(PART_LIST, &[])).await.unwrap();
    rows.iter().map(|row| (row.get(0).unwrap(), row.get(1).unwrap())).collect()
}

async fn assert_sound(db: &Db) {
    let row = db.read(|tx| tx.query_opt(INTEGRITY, &[])).await.unwrap().unwrap();
    assert_eq!(row.get::<String>(0).unwrap(), "ok");
}

fn is_full<T: std::fmt::Debug>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Full(_)))
}

mod statements {
    //! `max_page_count` makes SQLite return `SQLITE_FULL` at a chosen page.
    use super::*;

    const JOBS: i64 = 16;
    const PARTS: i64 = 3;
    /// A little less than a page, so that each row needs one page.
    const BYTES: usize = 3_000;
    const NO_LIMIT: i64 = 4_294_967_294;
    /// The job that was committed before the disk filled.
    const EARLIER: i64 = -1;

    async fn limit_pages(db: &Db, pages: i64) {
        let pragma: &'static str = format!("PRAGMA max_page_count = {pages}").leak();
        db.write(move |tx| tx.query(pragma, &[]).map(drop)).await.unwrap();
    }

    async fn pages(db: &Db) -> i64 {
        db.write(|tx| tx.query_opt(PAGES, &[])).await.unwrap().unwrap().get(0).unwrap()
    }

    fn parts(tx: &mut Tx<'_>, job: i64, begun: &AtomicUsize) -> Result<(), Error> {
        for n in 0..PARTS {
            begun.fetch_add(1, Ordering::SeqCst);
            tx.execute(PART_INSERT, &[job.into(), n.into(), vec![7_u8; BYTES].into()])?;
        }
        Ok(())
    }

    fn copies(tx: &mut Tx<'_>, job: i64, begun: &AtomicUsize) -> Result<(), Error> {
        begun.fetch_add(1, Ordering::SeqCst);
        tx.execute(PART_COPY, &[job.into(), EARLIER.into()]).map(drop)
    }

    type Work = fn(&mut Tx<'_>, i64, &AtomicUsize) -> Result<(), Error>;

    /// Runs 16 jobs as one batch, with space for `room` more pages. Returns the outcome of each job, and the number of started statements.
    async fn group(db: &Db, room: i64, work: Work) -> (Vec<Result<(), Error>>, usize) {
        let begun = Arc::new(AtomicUsize::new(0));
        limit_pages(db, pages(db).await + room).await;
        let (gate, held) = hold_writer(db).await;
        let mut waiting: Vec<Started<Result<(), Error>>> = Vec::new();
        for job in 0..JOBS {
            let (db, begun) = (db.clone(), begun.clone());
            waiting.push(start(async move { db.write(move |tx| work(tx, job, &begun)).await }).await);
        }
        gate.open();
        held.await.unwrap();
        let mut told = Vec::new();
        for answer in waiting {
            told.push(answer.await);
        }
        (told, begun.load(Ordering::SeqCst))
    }

    /// Checks that every job with the outcome `Ok` is complete, and that no other job left anything.
    async fn assert_kept(db: &Db, told: &[Result<(), Error>], context: &str) {
        let kept = (0..JOBS).zip(told).filter(|(_, outcome)| outcome.is_ok()).map(|(job, _)| (job, PARTS));
        let expected: Vec<(i64, i64)> = std::iter::once((EARLIER, PARTS)).chain(kept).collect();
        assert_eq!(jobs(db).await, expected, "{context}");
    }

    async fn open() -> Store {
        let store = Store::open(Engine::Sqlite).await.unwrap();
        store.define(PART_TABLE).await;
        store.db.write(|tx| parts(tx, EARLIER, &AtomicUsize::new(0))).await.unwrap();
        store
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_at_each_statement_of_a_batch_loses_nothing_acknowledged() {
        let store = open().await;
        let mut struck = BTreeSet::new();
        for room in 0.. {
            let (told, begun) = group(&store.db, room, parts).await;
            if told.iter().all(Result::is_ok) {
                assert_kept(&store.db, &told, "the group that found room").await;
                break;
            }
            // SQLite ended the transaction, so every job of the batch failed.
            assert!(told.iter().all(is_full), "room for {room} pages: {told:?}");
            assert_kept(&store.db, &told, &format!("room for {room} pages")).await;
            struck.insert(begun);
            limit_pages(&store.db, NO_LIMIT).await;
            store.db.check().await.unwrap();
        }
        let every: BTreeSet<usize> = (1..=(JOBS * PARTS) as usize).collect();
        assert_eq!(struck, every, "the disk was not full at each statement");
        assert_sound(&store.db).await;
        store.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_that_leaves_the_transaction_open_fails_only_the_job_that_met_it() {
        let store = open().await;
        let mut partly = 0;
        for room in 0.. {
            let (told, _) = group(&store.db, room, copies).await;
            assert!(told.iter().all(|outcome| outcome.is_ok() || is_full(outcome)), "room for {room} pages: {told:?}");
            assert_kept(&store.db, &told, &format!("room for {room} pages")).await;
            let kept = told.iter().filter(|outcome| outcome.is_ok()).count();
            if kept == told.len() {
                break;
            }
            partly += usize::from(kept > 0);
            limit_pages(&store.db, NO_LIMIT).await;
            store.db.write(|tx| tx.execute("DELETE FROM part WHERE job >= 0", &[])).await.unwrap();
        }
        assert!(partly > 0, "no batch was kept in part");
        assert_sound(&store.db).await;
        store.close().await;
    }
}

/// A small file system, unmounted on drop.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Tmpfs {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(directory.path());
        run(mount);
        Tmpfs(directory)
    }

    fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}")]).arg(self.0.path());
        run(mount);
    }

    fn database(&self) -> SqliteConfig {
        SqliteConfig { path: self.0.path().join("ecru.db"), now_us: NOW_US }
    }

    /// Fills the file system with a file. Removing the file frees the space.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        while std::io::Write::write(&mut file, &[0; 512]).is_ok() {}
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.0.path().display());
        }
    }
}

fn run(mut mount: Command) {
    let output = mount.output().expect("this test needs the program `mount`");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test mounts a tmpfs, so it must run as root: {said}");
}

async fn put(db: &Db, job: i64, size: usize) -> Result<(), Error> {
    let bytes = Value::from(vec![job as u8; size]);
    db.write(move |tx| tx.execute(PART_INSERT, &[job.into(), 0.into(), bytes.clone()]).map(drop)).await
}

async fn assert_readable(db: &Db, acknowledged: &BTreeSet<i64>, size: usize) {
    for &job in acknowledged {
        let row = db.read(move |tx| tx.query_opt(PART_GET, &[job.into(), 0.into()])).await.unwrap();
        let bytes: Vec<u8> = row.unwrap_or_else(|| panic!("job {job} was acknowledged and is gone")).get(0).unwrap();
        assert!(bytes == vec![job as u8; size], "the bytes of job {job} differ");
    }
    let there: BTreeSet<i64> = jobs(db).await.into_iter().map(|(job, _)| job).collect();
    assert_eq!(&there, acknowledged, "a job that was not acknowledged exists, or the reverse");
}

/// More acknowledgements than the small disk can store. If there are so many, some are false.
const BEYOND: usize = 10_000;

/// Writes from eight tasks until each finds the disk full. Returns the acknowledged jobs.
async fn write_until_full(db: &Db, size: usize) -> BTreeSet<i64> {
    let mut tasks = JoinSet::new();
    for task in 0..8_i64 {
        let db = db.clone();
        tasks.spawn(async move {
            let mut acknowledged = BTreeSet::new();
            for job in (task * 1_000_000).. {
                match put(&db, job, size).await {
                    Ok(()) => assert!(acknowledged.insert(job) && acknowledged.len() < BEYOND),
                    Err(Error::Full(_)) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
            acknowledged
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_really_full_disk_acknowledged_jobs_stay_and_writes_succeed_when_space_returns() {
    const SIZE: usize = 20_000;
    let disk = Tmpfs::mount("2m");
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 256 * 1024]).unwrap();
    let db = Db::sqlite(disk.database()).await.unwrap();
    db.write(|tx| tx.execute(PART_TABLE, &[])).await.unwrap();
    let mut acknowledged = write_until_full(&db, SIZE).await;
    assert!(acknowledged.len() > 10, "{acknowledged:?}");
    assert_readable(&db, &acknowledged, SIZE).await;

    // No byte is left. Failed batches left free space in the log, so use that up first, with big jobs and with small ones.
    let filler = disk.fill();
    let mut more = -1_000..;
    while put(&db, more.start, SIZE).await.is_ok() {
        acknowledged.extend(more.next());
        assert!(acknowledged.len() < BEYOND);
    }
    let mut checks = 0..BEYOND;
    while db.check().await.is_ok() {
        assert!(checks.next().is_some());
    }
    for job in -20..0 {
        let outcome = put(&db, job, SIZE).await;
        assert!(is_full(&outcome), "{outcome:?}");
    }
    let check = db.check().await;
    assert!(is_full(&check), "a store that can't write is ready: {check:?}");
    assert_readable(&db, &acknowledged, SIZE).await;

    std::fs::remove_file(filler).unwrap();
    std::fs::remove_file(ballast).unwrap();
    db.check().await.unwrap();
    disk.remount("size=16m");
    for job in -100..0 {
        put(&db, job, SIZE).await.unwrap();
        acknowledged.insert(job);
    }
    assert_readable(&db, &acknowledged, SIZE).await;
    db.close().await;

    let again = Db::sqlite(disk.database()).await.unwrap();
    assert_readable(&again, &acknowledged, SIZE).await;
    assert_sound(&again).await;
    again.close().await;
}

/// The reserve that the tests request. On their small disk it is 8 MiB.
const KEEP_BACK: u64 = 32 * 1024 * 1024;

async fn delete(db: &Db, job: i64) -> Result<(), Error> {
    db.write_to_free(move |tx| tx.execute("DELETE FROM part WHERE job = $1", &[job.into()]).map(drop)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_deletions_succeed_and_nothing_else_uses_their_reserve() {
    const SIZE: usize = 20_000;
    let disk = Tmpfs::mount("64m");
    let reserve = disk.0.path().join("ecru.db-reserve");
    let db = Db::sqlite(disk.database()).await.unwrap();
    db.write(|tx| tx.execute(PART_TABLE, &[])).await.unwrap();
    let jobs: Vec<i64> = (0..1_000).collect();
    for &job in &jobs {
        put(&db, job, SIZE).await.unwrap();
    }
    db.close().await;

    // The log is empty now, so nothing can be committed without more space.
    let db = Db::sqlite(disk.database()).await.unwrap();
    db.keep_back(KEEP_BACK);
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 8 * 1024 * 1024);
    let filler = disk.fill();
    let added = put(&db, -1, SIZE).await;
    assert!(is_full(&added), "{added:?}");
    assert!(reserve.exists(), "a job that only adds data used the reserve");

    // Delete everything, one by one and in batches. The log must be emptied many times.
    let (one_by_one, together) = jobs.split_at(jobs.len() / 2);
    for &job in one_by_one {
        delete(&db, job).await.unwrap();
        assert!(!reserve.exists());
        let check = db.check().await;
        assert!(is_full(&check), "a job that adds data used the space of the next deletion: {check:?}");
    }
    let mut deletions = JoinSet::new();
    for job in together.iter().copied() {
        let db = db.clone();
        deletions.spawn(async move { delete(&db, job).await });
    }
    for deleted in deletions.join_all().await {
        deleted.unwrap();
    }
    assert_readable(&db, &BTreeSet::new(), SIZE).await;

    // When there is space again, all jobs succeed and the reserve exists again.
    std::fs::remove_file(filler).unwrap();
    disk.remount("size=160m");
    put(&db, 1, SIZE).await.unwrap();
    assert!(reserve.exists());
    db.close().await;
    let again = Db::sqlite(disk.database()).await.unwrap();
    assert_readable(&again, &BTreeSet::from([1]), SIZE).await;
    assert_sound(&again).await;
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_on_a_full_disk_uses_the_reserve() {
    let disk = Tmpfs::mount("64m");
    let db = Db::sqlite(disk.database()).await.unwrap();
    db.keep_back(KEEP_BACK);
    db.write(|tx| tx.execute(PART_TABLE, &[])).await.unwrap();
    put(&db, 1, 10).await.unwrap();
    db.close().await;
    let filler = disk.fill();
    for _ in 0..3 {
        let db = Db::sqlite(disk.database()).await.unwrap();
        db.keep_back(KEEP_BACK);
        assert_readable(&db, &BTreeSet::from([1]), 10).await;
        let added = put(&db, 2, 10).await;
        assert!(is_full(&added), "{added:?}");
        db.close().await;
    }
    let db = Db::sqlite(disk.database()).await.unwrap();
    db.keep_back(KEEP_BACK);
    delete(&db, 1).await.unwrap();
    std::fs::remove_file(filler).unwrap();
    put(&db, 3, 10).await.unwrap();
    assert_readable(&db, &BTreeSet::from([3]), 10).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_on_a_full_disk_fails_as_full_and_opening_afterwards_works() {
    let disk = Tmpfs::mount("2m");
    let db = Db::sqlite(disk.database()).await.unwrap();
    db.write(|tx| tx.execute(PART_TABLE, &[])).await.unwrap();
    put(&db, 1, 10).await.unwrap();
    db.close().await;
    let filler = disk.fill();
    let opened = Db::sqlite(disk.database()).await.map(|db| db.engine());
    assert!(is_full(&opened), "{opened:?}");
    std::fs::remove_file(filler).unwrap();
    let db = Db::sqlite(disk.database()).await.unwrap();
    assert_readable(&db, &BTreeSet::from([1]), 10).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_reported_as_read_only() {
    let disk = Tmpfs::mount("2m");
    Db::sqlite(disk.database()).await.unwrap().close().await;
    disk.remount("ro");
    let opened = Db::sqlite(disk.database()).await.map(|db| db.engine());
    assert!(matches!(opened, Err(Error::ReadOnly(_))), "{opened:?}");
    disk.remount("rw");
    Db::sqlite(disk.database()).await.unwrap().close().await;
}
