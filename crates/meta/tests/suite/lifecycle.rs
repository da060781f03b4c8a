//! Tests of opening, checking and closing, and of databases with other versions.

use crate::store::{Store, on_both_engines};
use crate::transactions::{COUNTER_TABLE, counters, insert};
use meta::Error;
use tokio::task::JoinSet;

const VERSION_PUT: &str = "INSERT INTO schema_migration (version, name, applied_at) VALUES ($1, $2, $3)";
const VERSION_DELETE: &str = "DELETE FROM schema_migration WHERE version >= $1";
const VERSION_LIST: &str = "SELECT version, applied_at FROM schema_migration ORDER BY version";
const PROBE_GET: &str = "SELECT writes FROM probe";

on_both_engines! {
    async fn writes_are_there_after_reopening(store: &Store) {
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 10).await.unwrap();
        store.db.close().await;
        let again = store.again().await.unwrap();
        assert_eq!(counters(&again).await, [(1, 10)]);
        insert(&again, 2, 20).await.unwrap();
        assert_eq!(counters(&again).await, [(1, 10), (2, 20)]);
        again.close().await;
    }

    async fn two_stores_over_one_database_see_each_others_commits(store: &Store) {
        store.define(COUNTER_TABLE).await;
        let other = store.again().await.unwrap();
        insert(&store.db, 1, 10).await.unwrap();
        insert(&other, 2, 20).await.unwrap();
        assert_eq!(counters(&store.db).await, [(1, 10), (2, 20)]);
        assert_eq!(counters(&other).await, [(1, 10), (2, 20)]);
        other.close().await;
    }

    async fn migrations_are_recorded_once_with_their_time(store: &Store) {
        store.again().await.unwrap().close().await;
        let rows = store.db.read(|tx| tx.query(VERSION_LIST, &[])).await.unwrap();
        let found: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0).unwrap(), row.get(1).unwrap())).collect();
        assert!(!found.is_empty());
        let expected: Vec<(i64, i64)> = (1..).take(found.len()).map(|version| (version, crate::store::NOW_US)).collect();
        assert_eq!(found, expected);
    }

    async fn a_newer_database_is_refused(store: &Store) {
        store.db.write(|tx| tx.execute(VERSION_PUT, &[999.into(), "later".into(), 0.into()])).await.unwrap();
        match store.again().await {
            Err(Error::Newer { found: 999, known }) => assert!((1..999).contains(&known), "{known}"),
            other => panic!("{:?}", other.map(|db| db.engine())),
        }
    }

    async fn an_attached_store_reads_and_writes_beside_its_owner_and_migrates_nothing(store: &Store) {
        let beside = store.attach().await.unwrap();
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 10).await.unwrap();
        insert(&beside, 2, 20).await.unwrap();
        assert_eq!(counters(&store.db).await, [(1, 10), (2, 20)]);
        assert_eq!(counters(&beside).await, [(1, 10), (2, 20)]);
        beside.close().await;
        let known = store.db.read(|tx| tx.query(VERSION_LIST, &[])).await.unwrap().len() as i64;

        // A database with another version is refused and not changed.
        store.db.write(|tx| tx.execute(VERSION_PUT, &[999.into(), "later".into(), 0.into()])).await.unwrap();
        let newer = store.attach().await.err();
        assert!(matches!(newer, Some(Error::Newer { found: 999, known: k }) if k == known), "{newer:?}");
        store.db.write(move |tx| tx.execute(VERSION_DELETE, &[known.into()])).await.unwrap();
        let older = store.attach().await.err();
        assert!(matches!(older, Some(Error::Older { found, known: k }) if (found, k) == (known - 1, known)), "{older:?}");
        store.db.write(|tx| tx.execute(VERSION_DELETE, &[1.into()])).await.unwrap();
        let absent = store.attach().await.err();
        assert!(matches!(absent, Some(Error::Absent)), "{absent:?}");
        assert_eq!(store.db.read(|tx| tx.query(VERSION_LIST, &[])).await.unwrap().len(), 0);
    }

    async fn a_check_commits_a_write(store: &Store) {
        for writes in 1..=3_i64 {
            store.db.check().await.unwrap();
            let row = store.db.read(|tx| tx.query_opt(PROBE_GET, &[])).await.unwrap().unwrap();
            assert_eq!(row.get::<i64>(0).unwrap(), writes);
        }
    }

    async fn a_closed_store_refuses_work_and_can_be_closed_again(store: &Store) {
        store.define(COUNTER_TABLE).await;
        store.db.close().await;
        assert!(matches!(insert(&store.db, 1, 10).await, Err(Error::Closed)));
        let read = store.db.read(|tx| tx.query(VERSION_LIST, &[]).map(drop)).await;
        assert!(matches!(read, Err(Error::Closed)), "{read:?}");
        assert!(matches!(store.db.check().await, Err(Error::Closed)));
        store.db.close().await;
    }

    async fn closing_waits_for_running_transactions_and_loses_nothing_acknowledged(store: &Store) {
        store.define(COUNTER_TABLE).await;
        let mut tasks = JoinSet::new();
        for id in 0..100_i64 {
            let db = store.db.clone();
            tasks.spawn(async move {
                match insert(&db, id, id).await {
                    Ok(_) => Some((id, id)),
                    Err(Error::Closed) => None,
                    Err(error) => panic!("{error:?}"),
                }
            });
        }
        let first = tasks.join_next().await.unwrap().unwrap();
        store.db.close().await;
        let mut kept: Vec<(i64, i64)> = tasks.join_all().await.into_iter().chain([first]).flatten().collect();
        kept.sort_unstable();
        let again = store.again().await.unwrap();
        assert_eq!(counters(&again).await, kept);
        again.close().await;
    }

    async fn stats_count_jobs_and_commits(store: &Store) {
        let before = store.db.stats();
        for _ in 0..5 {
            store.db.check().await.unwrap();
        }
        let after = store.db.stats();
        assert_eq!(after.jobs - before.jobs, 5);
        assert_eq!(after.commits - before.commits, 5, "each transaction did not wait for the previous one");
        assert_eq!(after.retries, 0);
    }
}
