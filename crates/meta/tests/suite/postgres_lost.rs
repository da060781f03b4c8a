//! Tests of a PostgreSQL server that is down or hangs: calls fail within a limit, and succeed again once the server is back.

use crate::gate::Gate;
use crate::own_postgres::OwnPostgres;
use crate::transactions::{COUNTER_SET, COUNTER_TABLE, counters, get, insert};
use meta::{Db, Error, Lookup, PostgresConfig, Tx};
use std::time::Duration;

/// The limit of waits in these tests, well above the time that a busy machine needs for an answer.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest time that any call of a test may take.
const BOUND: Duration = Duration::from_secs(60);
/// Turns off the server's own limit, which would end the statement at the same time.
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

/// Checks every kind of call to the store.
async fn assert_unreachable(db: &Db) {
    let unreachable = |error: Error| assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    unreachable(bounded(db.write(set(7))).await.unwrap_err());
    unreachable(bounded(db.read(|tx| get(tx, 1))).await.unwrap_err());
    unreachable(bounded(db.look_up(look_up())).await.unwrap_err());
    unreachable(bounded(db.check()).await.unwrap_err());
}

async fn assert_well(db: &Db, n: i64) {
    // The first call that gets a connection from before the outage notices that it is lost.
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
    // The first calls find lost connections, the next ones can't connect.
    assert_unreachable(&db).await;
    assert_unreachable(&db).await;
    let Err(error) = try_open(&server).await else { panic!("somebody answers") };
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    server.start_again();
    assert_well(&db, 3).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_server_is_unreachable_after_the_limit_and_calls_succeed_when_it_resumes() {
    let Some(server) = OwnPostgres::start() else { return };
    let db = with_a_counter(&server).await;
    bounded(db.look_up(look_up())).await.unwrap();
    server.freeze();
    // First with open connections, then with new ones.
    assert_unreachable(&db).await;
    assert_unreachable(&db).await;
    let Err(error) = try_open(&server).await else { panic!("somebody answers") };
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    server.thaw();
    assert_well(&db, 3).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_in_doubt() {
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
    // The transaction is committed or rolled back as a whole.
    let found = bounded(counters(&db)).await;
    assert!(found == [(1, 0)] || found == [(1, 5)], "{found:?}");
    assert_well(&db, 6).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_never_mistaken_for_another() {
    let Some(server) = OwnPostgres::start() else { return };
    let db = with_a_counter(&server).await;
    // Make more calls than there are connections, so that a connection that was not closed would be used again.
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
