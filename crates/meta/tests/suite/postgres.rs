//! Tests of cases that only PostgreSQL has: conflicts, lost connections, and its own types.

use crate::gate::{Gate, start};
use crate::store::{Engine, Store};
use crate::transactions::{COUNTER_INSERT, COUNTER_SET, COUNTER_TABLE, counters, get, insert};
use meta::{Db, Error, PostgresConfig, Tx};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

const SUM: &str = "SELECT sum(n) FROM counter";
const SUM_CAST: &str = "SELECT CAST(sum(n) AS BIGINT) FROM counter";
const SETTINGS: &str = "SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation'), \
     current_setting('transaction_read_only'), current_setting('enable_seqscan'), current_setting('jit'), \
     current_setting('plan_cache_mode')";
const END_SELF: &str = "SELECT pg_terminate_backend(pg_backend_pid())";
const END_OTHERS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";

/// Counts the runs of a transaction.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicU32>);

impl Runs {
    /// Counts a run; 1 is the first.
    fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

async fn open() -> Option<Store> {
    let store = Store::open(Engine::Postgres).await?;
    store.define(COUNTER_TABLE).await;
    insert(&store.db, 1, 0).await.unwrap();
    Some(store)
}

fn increment(tx: &mut Tx<'_>) -> Result<i64, Error> {
    let n = get(tx, 1)?.unwrap_or_default() + 1;
    tx.execute(COUNTER_SET, &[1.into(), n.into()])?;
    Ok(n)
}

/// Reads the counter, lets another caller change it in the runs that `rival` names, then writes it.
async fn increment_with_a_rival(db: &Db, runs: &Runs, rival: fn(u32) -> bool) -> Result<i64, Error> {
    let (inner, runtime, runs) = (db.clone(), Handle::current(), runs.clone());
    let work = move |tx: &mut Tx<'_>| {
        let n = get(tx, 1)?.unwrap_or_default() + 1;
        if rival(runs.next()) {
            runtime.block_on(inner.write(increment))?;
        }
        tx.execute(COUNTER_SET, &[1.into(), n.into()])?;
        Ok(n)
    };
    db.write(work).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflicting_transaction_runs_again_and_sees_the_others_write() {
    let Some(store) = open().await else { return };
    let runs = Runs::default();
    assert_eq!(increment_with_a_rival(&store.db, &runs, |run| run <= 2).await.unwrap(), 3);
    assert_eq!(runs.count(), 3);
    assert_eq!(store.db.stats().retries, 2);
    assert_eq!(counters(&store.db).await, [(1, 3)]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_conflicts_fail_as_busy_and_are_rolled_back() {
    let Some(store) = open().await else { return };
    let runs = Runs::default();
    let outcome = increment_with_a_rival(&store.db, &runs, |_| true).await;
    assert!(matches!(outcome, Err(Error::Busy)), "{outcome:?}");
    assert!(runs.count() > 2);
    assert_eq!(counters(&store.db).await, [(1, runs.count().into())], "not only the rival's increments are there");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_that_hides_a_conflict_runs_again_too() {
    let Some(store) = open().await else { return };
    let runs = Runs::default();
    let (db, runtime, counted) = (store.db.clone(), Handle::current(), runs.clone());
    let hiding = move |tx: &mut Tx<'_>| {
        let n = get(tx, 1)?.unwrap_or_default() + 1;
        if counted.next() == 1 {
            runtime.block_on(db.write(increment))?;
        }
        Ok::<_, Error>(tx.execute(COUNTER_SET, &[1.into(), n.into()]).is_ok())
    };
    assert!(store.db.write(hiding).await.unwrap());
    assert_eq!(runs.count(), 2);
    assert_eq!(counters(&store.db).await, [(1, 2)]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_inserted_between_look_up_and_insert_is_seen_by_the_next_run() {
    let Some(store) = open().await else { return };
    let runs = Runs::default();
    let (db, runtime, counted) = (store.db.clone(), Handle::current(), runs.clone());
    let claim = move |tx: &mut Tx<'_>| {
        if get(tx, 2)?.is_some() {
            return Ok::<_, Error>(false);
        }
        if counted.next() == 1 {
            runtime.block_on(insert(&db, 2, 20))?;
        }
        tx.execute(COUNTER_INSERT, &[2.into(), 21.into()])?;
        Ok(true)
    };
    assert!(!store.db.write(claim).await.unwrap());
    assert_eq!(runs.count(), 1, "the second run did not find the key");
    assert_eq!(counters(&store.db).await, [(1, 0), (2, 20)]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_duplicate_key_is_an_error_of_the_closure_after_few_runs() {
    let Some(store) = open().await else { return };
    let runs = Runs::default();
    let counted = runs.clone();
    let duplicate = store.db.write(move |tx| {
        counted.next();
        tx.execute(COUNTER_INSERT, &[1.into(), 1.into()])
    });
    let Err(error @ Error::Store(..)) = duplicate.await else { panic!("the key was taken twice") };
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("23505"), "{cause}");
    assert!(!format!("{error:?}").contains("Key ("), "the error shows the row's values: {error:?}");
    assert!((2..=4).contains(&runs.count()), "{}", runs.count());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_in_a_transaction_costs_one_more_run() {
    let Some(store) = open().await else { return };
    let runs = Runs::default();
    let counted = runs.clone();
    let outcome = store.db.write(move |tx| {
        let n = increment(tx)?;
        if counted.next() == 1 {
            tx.query(END_SELF, &[])?;
        }
        Ok::<_, Error>(n)
    });
    assert_eq!(outcome.await.unwrap(), 1);
    assert_eq!(runs.count(), 2);
    assert_eq!(counters(&store.db).await, [(1, 1)]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeatedly_lost_connections_are_an_error_and_the_store_recovers() {
    let Some(store) = open().await else { return };
    let outcome = store.db.write(|tx| {
        increment(tx)?;
        tx.query(END_SELF, &[]).map(drop)
    });
    let outcome = outcome.await;
    assert!(matches!(outcome, Err(Error::Unreachable(..))), "{outcome:?}");
    assert_eq!(counters(&store.db).await, [(1, 0)]);
    assert_eq!(store.db.write(increment).await.unwrap(), 1);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_reconnect_after_the_server_dropped_every_connection() {
    let Some(store) = open().await else { return };
    let other = store.again().await.unwrap();
    for turn in 1..=5 {
        // Fill both pools first, so that there are connections to lose.
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let db = store.db.clone();
            tasks.spawn(async move { db.read(|tx| get(tx, 1)).await.unwrap() });
        }
        tasks.join_all().await;
        other.read(|tx| tx.query(END_OTHERS, &[]).map(drop)).await.unwrap();
        assert_eq!(store.db.write(increment).await.unwrap(), turn);
        store.db.read(|tx| get(tx, 1)).await.unwrap();
    }
    other.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_numeric_column_is_refused_with_a_remedy() {
    let Some(store) = open().await else { return };
    let Err(error) = store.db.read(|tx| tx.query(SUM, &[])).await else { panic!("a numeric was read") };
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("cast it to BIGINT"), "{cause}");
    let row = store.db.read(|tx| tx.query_opt(SUM_CAST, &[])).await.unwrap().unwrap();
    assert_eq!(row.get::<i64>(0).unwrap(), 0);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_have_the_settings_that_isolation_and_durability_need() {
    let Some(store) = open().await else { return };
    let settings = |tx: &mut Tx<'_>| {
        let row = tx.query_opt(SETTINGS, &[])?.unwrap();
        (0..6).map(|column| row.get(column)).collect::<Result<Vec<String>, Error>>()
    };
    let written = store.db.write(settings).await.unwrap();
    assert_eq!(written, ["on", "serializable", "off", "off", "off", "force_generic_plan"]);
    let read = store.db.read(settings).await.unwrap();
    assert_eq!(read, ["on", "repeatable read", "on", "off", "off", "force_generic_plan"]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn synchronous_commit_is_turned_on() {
    let Some(store) = open().await else { return };
    let alter: &'static str = format!("ALTER DATABASE {} SET synchronous_commit = off", store.name()).leak();
    store.db.write(move |tx| tx.execute(alter, &[])).await.unwrap();
    let again = store.again().await.unwrap();
    let row = again.write(|tx| tx.query_opt(SETTINGS, &[])).await.unwrap().unwrap();
    assert_eq!(row.get::<String>(0).unwrap(), "on");
    again.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_together_migrate_once() {
    let Some(database) = crate::database::Database::create().await else { return };
    let mut nodes = JoinSet::new();
    for _ in 0..8 {
        let config = PostgresConfig {
            url: database.url(),
            max_connections: 2,
            timeout: std::time::Duration::from_secs(10),
            now_us: 1,
        };
        nodes.spawn(Db::postgres(config));
    }
    for node in nodes.join_all().await {
        let node = node.unwrap();
        node.check().await.unwrap();
        node.close().await;
    }
    database.remove().await;
}

#[tokio::test]
async fn a_caller_who_gets_no_connection_fails_as_busy_after_a_while() {
    let Some(store) = open().await else { return };
    let one =
        PostgresConfig { url: store.url(), max_connections: 1, timeout: std::time::Duration::from_secs(10), now_us: 0 };
    let db = Db::postgres(one).await.unwrap();
    let gate = Gate::default();
    let (holder, inside) = (db.clone(), gate.clone());
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
    let waiting = db.clone();
    let waiting = start(async move { waiting.write(increment).await }).await;
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    let outcome = waiting.await;
    assert!(matches!(outcome, Err(Error::Busy)), "{outcome:?}");
    tokio::time::resume();
    gate.open();
    held.await.unwrap().unwrap();
    assert_eq!(db.write(increment).await.unwrap(), 1);
    db.close().await;
    store.close().await;
}

#[tokio::test]
async fn the_error_of_a_missing_server_does_not_show_the_password() {
    // Nothing listens on port 1.
    let url = "postgres://ecru:hush@127.0.0.1:1/ecru".to_owned();
    let Err(error) = Db::postgres(PostgresConfig {
        url,
        max_connections: 1,
        timeout: std::time::Duration::from_secs(10),
        now_us: 0,
    })
    .await
    else {
        panic!("something answers on port 1")
    };
    assert!(matches!(error, Error::Unreachable(..)), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("hush"));
}
