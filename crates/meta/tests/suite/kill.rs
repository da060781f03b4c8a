//! Kills a writing process with SIGKILL. Every acknowledged transaction must exist, and none in part.

use crate::store::NOW_US;
use meta::{Db, Error, SqliteConfig};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const KILLS: u32 = 10;
const TASKS: i64 = 8;
/// The directory in which the child writes. Unset in the test itself.
const CHILD_DATABASE: &str = "ECRU_TEST_KILL_DATABASE";
/// The first id that the child writes.
const CHILD_FIRST: &str = "ECRU_TEST_KILL_FIRST";

const LEFT_TABLE: &str = "CREATE TABLE lefts (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT";
const RIGHT_TABLE: &str = "CREATE TABLE rights (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT";
const LEFT_INSERT: &str = "INSERT INTO lefts (id, bytes) VALUES ($1, $2)";
const RIGHT_INSERT: &str = "INSERT INTO rights (id, bytes) VALUES ($1, $2)";
const LEFT_LIST: &str = "SELECT id FROM lefts";
const RIGHT_LIST: &str = "SELECT id FROM rights";
const INTEGRITY: &str = "PRAGMA integrity_check";

async fn open(path: &Path) -> Db {
    Db::sqlite(SqliteConfig { path: path.to_owned(), now_us: NOW_US }).await.unwrap()
}

async fn ids(db: &Db, sql: &'static str) -> BTreeSet<i64> {
    let rows = db.read(move |tx| tx.query(sql, &[])).await.unwrap();
    rows.iter().map(|row| row.get(0).unwrap()).collect()
}

/// Runs in the child: writes from all tasks and prints each acknowledged id, until it is killed.
async fn write_until_killed(path: &Path, first: i64) {
    let db = open(path).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let db = db.clone();
        tasks.spawn(async move {
            for id in (first + task..).step_by(TASKS as usize) {
                let size = 50 + (id.unsigned_abs() as usize * 37) % 9_000;
                let write = db.write(move |tx| {
                    tx.execute(LEFT_INSERT, &[id.into(), vec![1_u8; size].into()])?;
                    tx.execute(RIGHT_INSERT, &[id.into(), vec![2_u8; size].into()])?;
                    Ok::<_, Error>(())
                });
                write.await.unwrap();
                let mut out = std::io::stdout().lock();
                out.write_all(format!("acknowledged {id}\n").as_bytes()).unwrap();
                out.flush().unwrap();
            }
        });
    }
    tasks.join_all().await;
}

/// Runs the child until it has acknowledged `count` ids, kills it, and returns all ids that it printed.
fn acknowledged_until_killed(path: &Path, first: i64, count: usize) -> BTreeSet<i64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::a_kill_loses_no_acknowledged_transaction_and_leaves_none_in_part", "--nocapture"])
        .env(CHILD_DATABASE, path)
        .env(CHILD_FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut told) = (String::new(), BTreeSet::new());
    while lines.read_line(&mut line).unwrap() > 0 {
        // An incomplete last line does not count.
        if let Some(id) = line.strip_prefix("acknowledged ").and_then(|rest| rest.strip_suffix('\n')) {
            told.insert(id.parse().unwrap());
            if told.len() == count {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "the child ended by itself: {status}");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_no_acknowledged_transaction_and_leaves_none_in_part() {
    if let Ok(path) = std::env::var(CHILD_DATABASE) {
        let first = std::env::var(CHILD_FIRST).unwrap().parse().unwrap();
        return write_until_killed(Path::new(&path), first).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ecru.db");
    let db = open(&path).await;
    db.write(|tx| tx.execute(LEFT_TABLE, &[]).and_then(|_| tx.execute(RIGHT_TABLE, &[]))).await.unwrap();
    db.close().await;
    let mut acknowledged = BTreeSet::new();
    for kill in 0..KILLS {
        // Kill after a different number of acknowledgements each time. The exact moment depends on the scheduler.
        let count = 1 + (kill as usize * 83) % 400;
        let child_path = path.clone();
        let first = i64::from(kill) * 1_000_000;
        let child = tokio::task::spawn_blocking(move || acknowledged_until_killed(&child_path, first, count));
        let told = child.await.unwrap();
        assert!(told.len() >= count);
        acknowledged.extend(told);

        let db = open(&path).await;
        let lefts = ids(&db, LEFT_LIST).await;
        let lost: Vec<&i64> = acknowledged.difference(&lefts).collect();
        assert!(lost.is_empty(), "acknowledged and lost after kill {kill}: {lost:?}");
        assert_eq!(lefts, ids(&db, RIGHT_LIST).await, "a transaction exists in part after kill {kill}");
        let row = db.read(|tx| tx.query_opt(INTEGRITY, &[])).await.unwrap().unwrap();
        assert_eq!(row.get::<String>(0).unwrap(), "ok");
        db.close().await;
    }
}
