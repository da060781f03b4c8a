//! A PostgreSQL server that is down, and one that hangs: calls fail in a bounded time, and all is well once it is back.
use crate::gate::Gate;
use crate::own_postgres::OwnPostgres;
use crate::transactions::{COUNTER_SET, COUNTER_TABLE, counters, get, insert};
use meta::{Db, Error, Lookup, PostgresConfig, Tx};
use std::time::Duration;

/// How long the waits of these tests may take: the least that is well above what a busy machine needs for an answer.
const LIMIT: Duration = Duration::from_secs(2);
/// No call of a test may take longer, whatever is wrong with the server.
const BOUND: Duration = Duration::from_secs(60);
/// The server's own limit would end the statement at the same time.
const NO_LIMIT: &str = "SET LOCAL statement_timeout = 0";
/// Longer than the limit.
const SLEEP: &str = "SELECT 1 FROM pg_sleep(4)";

async fn open(server: &OwnPostgres) -> Db {
    try_open(server).await.unwrap()
}

async fn try_open(server: &OwnPostgres) -> Result<Db, Error> {
    bounded(Db::postgres(PostgresConfig { url: server.url(), max_connections: 4, timeout: LIMIT, now_us: 0 })).await
}

async fn with_a_counter(server: &OwnPostgres) -> Db {
    let db = open(server).await;
    let table: &'static str = COUNTER_TABLE.replace("INTEGER", "BIGINT").replace(" STRICT", "").leak();
    db.write(move |tx| tx.execute(table, &[])).await.unwrap();
    insert(&db, 1, 0).await.unwrap();
    db
}

async fn bounded<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, call).await.expect("a call has no bound")
}

fn set(n: i64) -> impl Fn(&mut Tx<'_>) -> Result<(), Error> + Send + 'static {
    move |tx| tx.execute(COUNTER_SET, &[1.into(), n.into()]).map(drop)
}

fn look_up() -> Lookup<i64> {
    meta::records::job::next("upload_expire")
}

/// Every way to ask the store.
async fn assert_unreachable(db: &Db) {
    let unreachable = |error: Error| assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    unreachable(bounded(db.write(set(7))).await.unwrap_err());
    unreachable(bounded(db.read(|tx| get(tx, 1))).await.unwrap_err());
    unreachable(bounded(db.look_up(look_up())).await.unwrap_err());
    unreachable(bounded(db.check()).await.unwrap_err());
}

async fn assert_well(db: &Db, n: i64) {
    // What the outage left in the pools is found out by the first call that gets it.
    bounded(db.check()).await.unwrap();
    bounded(db.write(set(n))).await.unwrap();
    assert_eq!(bounded(counters(db)).await, [(1, n)]);
    bounded(db.look_up(look_up())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_unreachable_for_every_call_until_it_is_back() {
    let Some(server) = OwnPostgres::start() else { return };
    let db = with_a_counter(&server).await;
    bounded(db.look_up(look_up())).await.unwrap();
    server.stop();
    // The first calls meet connections that were lost, the next ones find nobody to connect to.
    assert_unreachable(&db).await;
    assert_unreachable(&db).await;
    let Err(error) = try_open(&server).await else { panic!("somebody answers") };
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    server.start_again();
    assert_well(&db, 3).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_unreachable_after_the_limit_and_all_is_well_when_it_goes_on() {
    let Some(server) = OwnPostgres::start() else { return };
    let db = with_a_counter(&server).await;
    bounded(db.look_up(look_up())).await.unwrap();
    server.freeze();
    // Connections that are open, then new ones.
    assert_unreachable(&db).await;
    assert_unreachable(&db).await;
    let Err(error) = try_open(&server).await else { panic!("somebody answers") };
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    server.thaw();
    assert_well(&db, 3).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_does_not_come_is_in_doubt() {
    let Some(server) = OwnPostgres::start() else { return };
    let db = with_a_counter(&server).await;
    let (writer, gate) = (db.clone(), Gate::default());
    let inside = gate.clone();
    let writing = tokio::spawn(async move {
        let work = move |tx: &mut Tx<'_>| {
            set(5)(tx)?;
            inside.pass();
            Ok::<(), Error>(())
        };
        writer.write(work).await
    });
    let arrival = gate.clone();
    tokio::task::spawn_blocking(move || arrival.await_arrival()).await.unwrap();
    server.freeze();
    gate.open();
    let error = bounded(writing).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::InDoubt(_)), "{error:?}");
    server.thaw();
    // It was committed, or it was not; nothing else.
    let found = bounded(counters(&db)).await;
    assert!(found == [(1, 0)] || found == [(1, 5)], "{found:?}");
    assert_well(&db, 6).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_nobody_s() {
    let Some(server) = OwnPostgres::start() else { return };
    let db = with_a_counter(&server).await;
    // More than there are connections, so that one that is not given up would be met again.
    for n in 0..4 {
        let sleep = |tx: &mut Tx<'_>| {
            tx.execute(NO_LIMIT, &[])?;
            tx.query(SLEEP, &[]).map(drop)
        };
        let late = bounded(db.write(sleep)).await.unwrap_err();
        assert!(matches!(late, Error::Unreachable(_)), "{late:?}");
        bounded(db.write(set(n))).await.unwrap();
        assert_eq!(bounded(counters(&db)).await, [(1, n)]);
    }
    db.close().await;
}
