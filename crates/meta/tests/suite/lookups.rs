//! Tests of look-ups: they find at most one row, see earlier commits, and survive a lost connection.

use crate::store::{Engine, Store, on_both_engines};
use crate::transactions::{COUNTER_SET, COUNTER_TABLE, insert};
use meta::{Db, Error, Lookup, PostgresConfig, Value};
use tokio::task::JoinSet;

const COUNTER_GET: &str = "SELECT n FROM counter WHERE id = $1";
const COUNTERS: &str = "SELECT n FROM counter ORDER BY id";
const BY_NAME: &str =
    "SELECT 1 FROM repository WHERE name = $1 AND account = 'a' AND region = 'r' AND deleted_at IS NULL";
const SETTINGS: &str = "SELECT concat_ws(' ', current_setting('transaction_isolation'), \
     current_setting('transaction_read_only'), current_setting('enable_seqscan'), current_setting('plan_cache_mode'))";
const END_OTHERS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
const END_SELF: &str = "SELECT pg_terminate_backend(pg_backend_pid())";

fn counter(id: i64) -> Lookup<i64> {
    Lookup::new(COUNTER_GET, [id.into()], |row| row.get(0))
}

fn text(sql: &'static str) -> Lookup<String> {
    Lookup::new(sql, [], |mut row| row.take(0))
}

fn number(sql: &'static str) -> Lookup<i64> {
    Lookup::new(sql, [], |row| row.get(0))
}

on_both_engines! {
    async fn a_row_is_found_alone_and_in_a_transaction(store: &Store) {
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 10).await.unwrap();
        assert_eq!(store.db.look_up(counter(1)).await.unwrap(), Some(10));
        assert_eq!(store.db.look_up(counter(2)).await.unwrap(), None);
        let inside = store.db.write(|tx| {
            tx.execute(COUNTER_SET, &[1.into(), 11.into()])?;
            Ok::<_, Error>((tx.look_up(counter(1))?, tx.look_up(counter(2))?))
        });
        assert_eq!(inside.await.unwrap(), (Some(11), None));
    }

    async fn every_look_up_sees_earlier_commits(store: &Store) {
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 0).await.unwrap();
        for n in 1..=20_i64 {
            store.db.write(move |tx| tx.execute(COUNTER_SET, &[1.into(), n.into()])).await.unwrap();
            let mut tasks = JoinSet::new();
            for _ in 0..8 {
                let db = store.db.clone();
                tasks.spawn(async move { db.look_up(counter(1)).await.unwrap() });
            }
            assert_eq!(tasks.join_all().await, [Some(n); 8]);
        }
    }

    async fn several_rows_a_nul_and_a_wrong_column_are_errors_and_the_next_look_up_works(store: &Store) {
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 10).await.unwrap();
        insert(&store.db, 2, 20).await.unwrap();
        let by_name = |name: Value| Lookup::new(BY_NAME, [name], |row| row.get::<i64>(0));
        let wrong = Lookup::new(COUNTER_GET, [1.into()], |row| row.get::<String>(0));
        let several = store.db.look_up(number(COUNTERS)).await;
        assert!(matches!(several, Err(Error::Store(..))), "{several:?}");
        let nul = store.db.look_up(by_name("a\0b".into())).await;
        assert!(matches!(nul, Err(Error::Store(..))), "{nul:?}");
        let column = store.db.look_up(wrong).await;
        assert!(matches!(column, Err(Error::Column(0))), "{column:?}");
        assert!(store.db.look_up(number("SELECT n FROM no_table")).await.is_err());
        assert_eq!(store.db.look_up(by_name("a".into())).await.unwrap(), None);
        assert_eq!(store.db.look_up(counter(2)).await.unwrap(), Some(20));
    }

    async fn several_rows_of_a_look_up_fail_its_transaction(store: &Store) {
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 10).await.unwrap();
        insert(&store.db, 2, 20).await.unwrap();
        let hiding = store.db.write(|tx| {
            tx.execute(COUNTER_SET, &[1.into(), 11.into()])?;
            Ok::<_, Error>(tx.look_up(number(COUNTERS)).is_ok())
        });
        assert!(matches!(hiding.await, Err(Error::Poisoned)));
        assert_eq!(store.db.look_up(counter(1)).await.unwrap(), Some(10));
    }

    async fn a_closed_store_refuses_look_ups(store: &Store) {
        store.define(COUNTER_TABLE).await;
        store.db.look_up(counter(1)).await.unwrap();
        store.db.close().await;
        let closed = store.db.look_up(counter(1)).await;
        assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn look_ups_reconnect_after_the_server_dropped_every_connection() {
    let Some(store) = Store::open(Engine::Postgres).await else { return };
    store.define(COUNTER_TABLE).await;
    insert(&store.db, 1, 10).await.unwrap();
    let other = store.again().await.unwrap();
    for _ in 0..5 {
        let mut tasks = JoinSet::new();
        for _ in 0..64 {
            let db = store.db.clone();
            tasks.spawn(async move { db.look_up(counter(1)).await });
        }
        for found in tasks.join_all().await {
            assert_eq!(found.unwrap(), Some(10));
        }
        other.read(|tx| tx.query(END_OTHERS, &[]).map(drop)).await.unwrap();
    }
    other.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_fails_if_its_connections_are_lost_repeatedly_and_the_next_one_works() {
    let Some(store) = Store::open(Engine::Postgres).await else { return };
    let lost = store.db.look_up(number(END_SELF)).await;
    assert!(matches!(lost, Err(Error::Unreachable(..))), "{lost:?}");
    store.define(COUNTER_TABLE).await;
    assert_eq!(store.db.look_up(counter(1)).await.unwrap(), None);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_of_look_ups_do_not_depend_on_the_servers() {
    let Some(store) = Store::open(Engine::Postgres).await else { return };
    let alter: &'static str =
        format!("ALTER DATABASE {} SET default_transaction_isolation = 'serializable'", store.name()).leak();
    store.db.write(move |tx| tx.execute(alter, &[])).await.unwrap();
    let again = store.again().await.unwrap();
    let settings = again.look_up(text(SETTINGS)).await.unwrap().unwrap();
    assert_eq!(settings, "read committed on off force_generic_plan");
    again.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn look_ups_and_transactions_get_connections_even_if_few_are_allowed() {
    let Some(store) = Store::open(Engine::Postgres).await else { return };
    store.define(COUNTER_TABLE).await;
    for allowed in [1, 2, 5, 16] {
        let config = PostgresConfig {
            url: store.url(),
            max_connections: allowed,
            timeout: std::time::Duration::from_secs(10),
            now_us: 0,
        };
        let db = Db::postgres(config).await.unwrap();
        let mut tasks = JoinSet::new();
        for id in 0..50 {
            let (looking, writing) = (db.clone(), db.clone());
            tasks.spawn(async move { looking.look_up(counter(id)).await.map(drop) });
            tasks.spawn(async move { writing.write(move |tx| tx.look_up(counter(id)).map(drop)).await });
        }
        for ended in tasks.join_all().await {
            ended.unwrap();
        }
        db.close().await;
    }
    store.close().await;
}
