//! kill -9 of a process that writes: what it acknowledged is there, and no transaction by half.
use crate::store::NOW_US;
use meta::{Db, Error, SqliteConfig};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const KILLS: u32 = 10;
const TASKS: i64 = 8;
/// Where the child writes; unset in the test itself.
const CHILD_DATABASE: &str = "ECRU_TEST_KILL_DATABASE";
/// The first id of the child's turn.
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

/// The child: writes from all tasks and tells each id that was acknowledged, until it is killed.
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

/// Runs the child until so many were acknowledged, kills it, and reads what it had still told.
fn acknowledged_until_killed(path: &Path, first: i64, count: usize) -> BTreeSet<i64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::what_a_killed_process_acknowledged_is_there_and_nothing_by_half", "--nocapture"])
        .env(CHILD_DATABASE, path)
        .env(CHILD_FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut told) = (String::new(), BTreeSet::new());
    while lines.read_line(&mut line).unwrap() > 0 {
        // A last line that the kill cut short was not told.
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
async fn what_a_killed_process_acknowledged_is_there_and_nothing_by_half() {
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
        // The kill comes after a number of acknowledgements that differs each time; where it strikes is the scheduler's.
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
        assert_eq!(lefts, ids(&db, RIGHT_LIST).await, "a transaction by half after kill {kill}");
        let row = db.read(|tx| tx.query_opt(INTEGRITY, &[])).await.unwrap().unwrap();
        assert_eq!(row.get::<String>(0).unwrap(), "ok");
        db.close().await;
    }
}
