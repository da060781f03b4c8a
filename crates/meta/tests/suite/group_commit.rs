//! Tests of SQLite's writer, which commits the transactions of many callers together.

use crate::gate::{Gate, Started, start};
use crate::store::{Engine, Store};
use crate::transactions::{COUNTER_INSERT, COUNTER_TABLE, counters, insert};
use meta::{Db, Error, Tx};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Stops the writer in a transaction until the gate opens.
pub async fn hold_writer(db: &Db) -> (Gate, Started<Result<(), Error>>) {
    let gate = Gate::default();
    let (db, inside) = (db.clone(), gate.clone());
    let held = start(async move {
        db.write(move |_| {
            inside.pass();
            Ok(())
        })
        .await
    })
    .await;
    tokio::task::block_in_place(|| gate.await_arrival());
    (gate, held)
}

async fn insert_started(db: &Db, id: i64) -> Started<Result<u64, Error>> {
    let db = db.clone();
    start(async move { insert(&db, id, id).await }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_writers_share_one_commit() {
    let store = Store::open(Engine::Sqlite).await.unwrap();
    store.define(COUNTER_TABLE).await;
    let (gate, held) = hold_writer(&store.db).await;
    let mut waiting = Vec::new();
    for id in 0..200 {
        waiting.push(insert_started(&store.db, id).await);
    }
    let before = store.db.stats();
    gate.open();
    held.await.unwrap();
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), 1);
    }
    let after = store.db.stats();
    assert_eq!(after.jobs - before.jobs, 201);
    assert_eq!(after.commits - before.commits, 2, "the waiting writers did not share one commit");
    assert_eq!(counters(&store.db).await.len(), 200);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_reruns_only_if_a_job_fails_after_writing() {
    let store = Store::open(Engine::Sqlite).await.unwrap();
    store.define(COUNTER_TABLE).await;
    for (writes, expected) in [(false, 1), (true, 2)] {
        let (gate, held) = hold_writer(&store.db).await;
        let runs = Arc::new(AtomicUsize::new(0));
        let (db, counted) = (store.db.clone(), runs.clone());
        let kept = start(async move {
            db.write(move |tx| {
                counted.fetch_add(1, Ordering::Relaxed);
                tx.execute(COUNTER_INSERT, &[i64::from(writes).into(), 0_i64.into()])
            })
            .await
        });
        let kept = kept.await;
        let db = store.db.clone();
        let refused = start(async move {
            db.write(move |tx| {
                if writes {
                    tx.execute(COUNTER_INSERT, &[7_i64.into(), 0_i64.into()])?;
                }
                Err::<(), Error>(Error::Busy)
            })
            .await
        });
        let refused = refused.await;
        gate.open();
        held.await.unwrap();
        assert_eq!(kept.await.unwrap(), 1);
        assert!(matches!(refused.await, Err(Error::Busy)));
        assert_eq!(runs.load(Ordering::Relaxed), expected);
    }
    assert_eq!(counters(&store.db).await, [(0, 0), (1, 0)]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_jobs_do_not_affect_the_rest_of_their_batch() {
    let store = Store::open(Engine::Sqlite).await.unwrap();
    store.define(COUNTER_TABLE).await;
    let (gate, held) = hold_writer(&store.db).await;
    let mut waiting = Vec::new();
    for id in 0..30_i64 {
        let db = store.db.clone();
        let work = async move {
            db.write(move |tx| {
                tx.execute(COUNTER_INSERT, &[id.into(), id.into()])?;
                match id % 3 {
                    0 => Ok(()),
                    1 => panic!("one of the group panics on purpose"),
                    _ => tx.execute(COUNTER_INSERT, &[id.into(), id.into()]).map(drop),
                }
            })
            .await
        };
        waiting.push(start(work).await);
    }
    let before = store.db.stats();
    gate.open();
    held.await.unwrap();
    for (id, answer) in waiting.into_iter().enumerate() {
        match (id % 3, answer.await) {
            (0, Ok(())) | (1, Err(Error::Panicked)) | (2, Err(Error::Store(..))) => {}
            (_, other) => panic!("transaction {id}: {other:?}"),
        }
    }
    assert_eq!(store.db.stats().commits - before.commits, 2);
    let expected: Vec<(i64, i64)> = (0..30).filter(|id| id % 3 == 0).map(|id| (id, id)).collect();
    assert_eq!(counters(&store.db).await, expected);
    store.close().await;
}

/// More writers than the queue and a batch have places for.
const CROWD: i64 = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn callers_beyond_the_queue_wait_and_are_served_unless_they_leave() {
    let store = Store::open(Engine::Sqlite).await.unwrap();
    store.define(COUNTER_TABLE).await;
    let (gate, held) = hold_writer(&store.db).await;
    let mut waiting = Vec::new();
    for id in 0..CROWD {
        waiting.push(insert_started(&store.db, id).await);
    }
    // The last callers have no place in the queue yet, so they leave nothing behind.
    let leave = waiting.split_off(waiting.len() - 10);
    drop(leave);
    gate.open();
    held.await.unwrap();
    for answer in waiting {
        answer.await.unwrap();
    }
    let expected: Vec<(i64, i64)> = (0..CROWD - 10).map(|id| (id, id)).collect();
    assert_eq!(counters(&store.db).await, expected);
    store.close().await;
}

#[tokio::test]
async fn a_caller_who_gets_no_place_in_the_queue_fails_as_busy_after_a_while() {
    let store = Store::open(Engine::Sqlite).await.unwrap();
    store.define(COUNTER_TABLE).await;
    let (holder, gate) = (store.db.clone(), Gate::default());
    let inside = gate.clone();
    let held = tokio::spawn(async move {
        let pass = move |_: &mut Tx<'_>| {
            inside.pass();
            Ok::<(), Error>(())
        };
        holder.write(pass).await
    });
    let arrival = gate.clone();
    tokio::task::spawn_blocking(move || arrival.await_arrival()).await.unwrap();
    // From here on the test controls the runtime's clock.
    tokio::time::pause();
    let mut waiting = Vec::new();
    for id in 0..CROWD {
        waiting.push(insert_started(&store.db, id).await);
    }
    let last = waiting.pop().unwrap();
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    let outcome = last.await;
    assert!(matches!(outcome, Err(Error::Busy)), "{outcome:?}");
    tokio::time::resume();
    gate.open();
    held.await.unwrap().unwrap();
    let mut stored = 0;
    for answer in waiting {
        match answer.await {
            Ok(_) => stored += 1,
            Err(Error::Busy) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(counters(&store.db).await.len(), stored);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_waiting_callers_fail_as_busy_at_once() {
    let store = Store::open(Engine::Sqlite).await.unwrap();
    store.define(COUNTER_TABLE).await;
    let (gate, held) = hold_writer(&store.db).await;
    let mut waiting = Vec::new();
    let refused = loop {
        let id = waiting.len() as i64;
        assert!(id < 100_000, "the number of waiting callers is not bounded");
        let mut answer = insert_started(&store.db, id).await;
        tokio::select! {
            biased;
            outcome = &mut answer => break outcome,
            () = std::future::ready(()) => waiting.push(answer),
        }
    };
    assert!(matches!(refused, Err(Error::Busy)), "{refused:?}");
    drop(waiting);
    gate.open();
    held.await.unwrap();
    insert(&store.db, -1, 0).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_stops_waiting_does_not_stop_the_others() {
    let store = Store::open(Engine::Sqlite).await.unwrap();
    store.define(COUNTER_TABLE).await;
    let (gate, held) = hold_writer(&store.db).await;
    let gone = insert_started(&store.db, 1).await;
    let stays = insert_started(&store.db, 2).await;
    drop(gone);
    gate.open();
    held.await.unwrap();
    stays.await.unwrap();
    assert!(counters(&store.db).await.contains(&(2, 2)));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_a_reader_kept_from_restarting_is_truncated_after_the_reader() {
    const LIMIT: u64 = 64 * 1024 * 1024;
    let store = Store::open(Engine::Sqlite).await.unwrap();
    store.define("CREATE TABLE large (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT").await;
    let put = |id: i64| {
        let bytes = meta::Value::from(vec![id as u8; 8 * 1024 * 1024]);
        store.db.write(move |tx| {
            tx.execute(
                "INSERT INTO large (id, bytes) VALUES ($1, $2) \
                 ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes",
                &[id.into(), bytes.clone()],
            )
        })
    };
    let gate = Gate::default();
    let (db, inside) = (store.db.clone(), gate.clone());
    let reading = tokio::spawn(async move {
        db.read(move |tx| {
            let before = tx.query("SELECT id FROM large", &[])?.len();
            inside.pass();
            Ok::<_, Error>((before, tx.query("SELECT id FROM large", &[])?.len()))
        })
        .await
    });
    tokio::task::block_in_place(|| gate.await_arrival());
    for id in 0..10 {
        put(id).await.unwrap();
    }
    assert!(store.log_length() > LIMIT, "the reader's snapshot did not keep the log from restarting");
    gate.open();
    assert_eq!(reading.await.unwrap().unwrap(), (0, 0));
    // A checkpoint copies the log in the background. The first commit after it restarts and truncates the log.
    let mut id = 10;
    while store.log_length() > LIMIT {
        put(id % 20).await.unwrap();
        id += 1;
        assert!(id < 1000, "the log is never truncated: {}", store.log_length());
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writer_has_the_settings_that_durability_needs() {
    let store = Store::open(Engine::Sqlite).await.unwrap();
    let settings = ["PRAGMA journal_mode", "PRAGMA synchronous", "PRAGMA foreign_keys", "PRAGMA fullfsync"];
    let mut found = Vec::new();
    for setting in settings {
        let row = store.db.write(move |tx| tx.query_opt(setting, &[])).await.unwrap().unwrap();
        found.push(row.get::<String>(0).or_else(|_| row.get::<i64>(0).map(|x| x.to_string())).unwrap());
    }
    assert_eq!(found, ["wal", "2", "1", "1"]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_emptied_at_the_end_and_the_database_is_a_single_file() {
    let store = Store::open(Engine::Sqlite).await.unwrap();
    store.define(COUNTER_TABLE).await;
    insert(&store.db, 1, 1).await.unwrap();
    store.db.close().await;
    let left: Vec<String> = store.files().into_iter().filter(|name| name != "ecru.db").collect();
    assert_eq!(left, Vec::<String>::new());
    store.close().await;
}
