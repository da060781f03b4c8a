//! Tests of a database whose files are removed or replaced while it is open. No write to a removed file may be acknowledged.

use crate::transactions::{COUNTER_TABLE, get, insert};
use meta::{Db, Error, SqliteConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// A database in a subdirectory of the test's directory.
struct TestDirectory {
    outer: TempDir,
    db: Db,
}

impl TestDirectory {
    async fn new() -> TestDirectory {
        let outer = tempfile::tempdir().unwrap();
        std::fs::create_dir(outer.path().join("data")).unwrap();
        let path = outer.path().join("data/ecru.db");
        let db = Db::sqlite(SqliteConfig { path, now_us: 0 }).await.unwrap();
        db.write(|tx| tx.execute(COUNTER_TABLE, &[])).await.unwrap();
        insert(&db, 1, 10).await.unwrap();
        assert_eq!(db.read(|tx| get(tx, 1)).await.unwrap(), Some(10));
        TestDirectory { outer, db }
    }

    fn data(&self) -> PathBuf {
        self.outer.path().join("data")
    }
}

async fn assert_removed(db: &Db, what: &str) {
    for _ in 0..2 {
        for outcome in [
            insert(db, 2, 20).await.map(drop),
            db.write_to_free(|tx| tx.execute("DELETE FROM counter", &[])).await.map(drop),
            db.check().await,
            db.read(|tx| get(tx, 1)).await.map(drop),
            db.look_up(meta::records::job::next("upload_expire")).await.map(drop),
        ] {
            assert!(matches!(outcome, Err(Error::Removed)), "{what}: {outcome:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_to_a_removed_or_replaced_database_fails_as_removed() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("its directory is removed", |data| std::fs::remove_dir_all(data).unwrap()),
        ("its directory is moved away, and an empty one takes its place", |data| {
            std::fs::rename(data, data.with_extension("old")).unwrap();
            std::fs::create_dir(data).unwrap();
        }),
        ("its file is removed", |data| std::fs::remove_file(data.join("ecru.db")).unwrap()),
        ("its file is replaced", |data| {
            std::fs::rename(data.join("ecru.db"), data.join("ecru.old")).unwrap();
            std::fs::copy(data.join("ecru.old"), data.join("ecru.db")).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let directory = TestDirectory::new().await;
        harm(&directory.data());
        assert_removed(&directory.db, what).await;
        directory.db.close().await;
        assert!(
            !directory.data().join("ecru.db").exists() || what.ends_with("file is replaced"),
            "{what}: it was made anew"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_to_a_removed_log_is_acknowledged() {
    let directory = TestDirectory::new().await;
    std::fs::remove_file(directory.data().join("ecru.db-wal")).unwrap();
    let outcome = insert(&directory.db, 2, 20).await;
    assert!(matches!(outcome, Err(Error::Removed)), "{outcome:?}");
    directory.db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_that_began_after_the_removal_is_acknowledged() {
    let directory = TestDirectory::new().await;
    let removed = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 1..=8_i64 {
        let (db, removed) = (directory.db.clone(), removed.clone());
        writers.spawn(async move {
            for n in 0.. {
                let was_removed = removed.load(Ordering::SeqCst);
                match insert(&db, writer * 1_000_000 + n, n).await {
                    Ok(_) => assert!(!was_removed, "a write was acknowledged after the removal"),
                    Err(Error::Removed) => return n,
                    Err(error) => panic!("{error:?}"),
                }
            }
            unreachable!("the numbers do not end")
        });
    }
    // Wait until some writes have succeeded.
    while directory.db.stats().jobs < 100 {
        tokio::task::yield_now().await;
    }
    std::fs::remove_dir_all(directory.data()).unwrap();
    removed.store(true, Ordering::SeqCst);
    assert!(writers.join_all().await.into_iter().sum::<i64>() > 0);
    directory.db.close().await;
}
