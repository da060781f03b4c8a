//! Tests of the guarantees of transactions, on both engines.

use crate::store::{Engine, Store, on_both_engines};
use meta::{Change, Db, Error, Lookup, Tx};
use std::sync::{Arc, Barrier};
use tokio::task::JoinSet;

pub const COUNTER_TABLE: &str = "CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT";
pub const COUNTER_INSERT: &str = "INSERT INTO counter (id, n) VALUES ($1, $2)";
pub const COUNTER_GET: &str = "SELECT n FROM counter WHERE id = $1";
pub const COUNTER_SET: &str = "UPDATE counter SET n = $2 WHERE id = $1";
pub const COUNTER_LIST: &str = "SELECT id, n FROM counter ORDER BY id";

const COUNTER_TRY: &str = "INSERT INTO counter (id, n) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";

fn counter(id: i64) -> Lookup<i64> {
    Lookup::new(COUNTER_GET, [id.into()], |row| row.get(0))
}

pub fn get(tx: &mut Tx<'_>, id: i64) -> Result<Option<i64>, Error> {
    tx.query_opt(COUNTER_GET, &[id.into()])?.map(|row| row.get(0)).transpose()
}

pub async fn insert(db: &Db, id: i64, n: i64) -> Result<u64, Error> {
    db.write(move |tx| tx.execute(COUNTER_INSERT, &[id.into(), n.into()])).await
}

pub async fn counters(db: &Db) -> Vec<(i64, i64)> {
    let list = |tx: &mut Tx<'_>| {
        let rows = tx.query(COUNTER_LIST, &[])?;
        rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Result<Vec<_>, Error>>()
    };
    db.read(list).await.unwrap()
}

/// A caller's own error, or the store's.
#[derive(Debug)]
enum Refusal {
    NotWanted,
    Store(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Store(error)
    }
}

on_both_engines! {
    async fn no_increment_of_concurrent_tasks_is_lost(store: &Store) {
        const TASKS: i64 = 16;
        const ROWS: i64 = 5;
        const EACH: i64 = 20;
        store.define(COUNTER_TABLE).await;
        for id in 0..ROWS {
            insert(&store.db, id, 0).await.unwrap();
        }
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let db = store.db.clone();
            tasks.spawn(async move {
                for turn in 0..EACH {
                    let id = (task + turn) % ROWS;
                    let increment = move |tx: &mut Tx<'_>| {
                        let n = get(tx, id)?.unwrap_or_default();
                        tx.execute(COUNTER_SET, &[id.into(), (n + 1).into()])
                    };
                    // A call may fail with Busy on such a contended row. Retry, as a client does.
                    while let Err(error) = db.write(increment).await {
                        assert!(matches!(error, Error::Busy), "{error:?}");
                    }
                }
            });
        }
        tasks.join_all().await;
        let sum: i64 = counters(&store.db).await.iter().map(|(_, n)| n).sum();
        assert_eq!(sum, TASKS * EACH);
    }

    async fn a_sent_statement_runs_before_the_next_one_and_before_the_commit(store: &Store) {
        store.define(COUNTER_TABLE).await;
        let work = |tx: &mut Tx<'_>| {
            // More statements than an engine queues.
            for id in 0..1000_i64 {
                tx.send(COUNTER_INSERT, [id.into(), 0.into()])?;
                tx.send(COUNTER_SET, [id.into(), (id * 2).into()])?;
            }
            let seen = get(tx, 999)?;
            tx.send(COUNTER_INSERT, [1000.into(), 2000.into()])?;
            Ok::<_, Error>(seen)
        };
        assert_eq!(store.db.write(work).await.unwrap(), Some(1998));
        let expected: Vec<(i64, i64)> = (0..=1000).map(|id| (id, id * 2)).collect();
        assert_eq!(counters(&store.db).await, expected);
    }

    async fn a_failed_sent_statement_fails_the_transaction(store: &Store) {
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 1).await.unwrap();
        for more in [false, true] {
            let work = move |tx: &mut Tx<'_>| {
                tx.send(COUNTER_INSERT, [2.into(), 2.into()])?;
                tx.send(COUNTER_INSERT, [1.into(), 2.into()])?;
                tx.send(COUNTER_INSERT, [3.into(), 2.into()])?;
                if more {
                    get(tx, 1)?;
                }
                Ok::<_, Error>(())
            };
            let failed = store.db.write(work).await;
            assert!(matches!(failed, Err(Error::Store(..))), "{failed:?}");
            assert_eq!(counters(&store.db).await, [(1, 1)]);
        }
        insert(&store.db, 2, 2).await.unwrap();
    }

    async fn each_of_several_look_ups_finds_its_own_row(store: &Store) {
        store.define(COUNTER_TABLE).await;
        let fill = |tx: &mut Tx<'_>| (0..600_i64).try_for_each(|id| tx.send(COUNTER_INSERT, [id.into(), (-id).into()]));
        store.db.write(fill).await.unwrap();
        let wanted: Vec<i64> = (0..600).rev().chain([700, 5, 5]).collect();
        let expected: Vec<Option<i64>> = wanted.iter().map(|id| Some(-id).filter(|n| *n > -600)).collect();
        let before = store.db.stats();
        let found = store.db.read(move |tx| tx.look_up_each(wanted.iter().map(|id| counter(*id)))).await.unwrap();
        assert_eq!(found, expected);
        let after = store.db.stats();
        assert_eq!(after.statements - before.statements, 603);
        assert!(after.exchanges - before.exchanges <= 2, "hundreds of look-ups were not sent together");
        assert!(store.db.read(|tx| tx.look_up_each(std::iter::empty::<Lookup<i64>>())).await.unwrap().is_empty());
    }

    async fn a_queued_look_up_sees_earlier_statements_and_can_be_answered_in_any_order(store: &Store) {
        store.define(COUNTER_TABLE).await;
        let before = store.db.stats().exchanges;
        let work = |tx: &mut Tx<'_>| {
            let none = tx.ask(counter(1))?;
            let new = tx.attempt(Change::new(COUNTER_TRY, [1.into(), 10.into()]))?;
            let ten = tx.ask(counter(1))?;
            let again = tx.attempt(Change::new(COUNTER_TRY, [1.into(), 11.into()]))?;
            tx.send(COUNTER_SET, [1.into(), 12.into()])?;
            let twelve = tx.ask(counter(1))?;
            let never_answered = tx.ask(counter(1))?;
            drop(never_answered);
            Ok::<_, Error>((
                tx.answer(twelve)?,
                tx.succeeded(again)?,
                tx.answer(none)?,
                tx.succeeded(new)?,
                tx.look_up(counter(1))?,
                tx.answer(ten)?,
            ))
        };
        let found = store.db.write(work).await.unwrap();
        assert_eq!(found, (Some(12), false, None, true, Some(12), Some(10)));
        assert_eq!(store.db.stats().exchanges - before, if store.engine == Engine::Postgres { 3 } else { 0 });
    }

    async fn a_failed_queued_look_up_fails_its_answer_and_the_transaction(store: &Store) {
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 10).await.unwrap();
        let hiding = store.db.write(|tx| {
            let taken = tx.attempt(Change::new(COUNTER_SET, [1.into(), 11.into()]));
            let duplicate = tx.attempt(Change::new(COUNTER_INSERT, [1.into(), 1.into()]));
            let outcome = duplicate.and_then(|duplicate| tx.succeeded(duplicate));
            assert!(outcome.is_err());
            assert!(matches!(taken.and_then(|taken| tx.succeeded(taken)), Ok(true) | Err(Error::Poisoned)));
            Ok::<_, Error>(())
        });
        assert!(hiding.await.is_err());
        assert_eq!(counters(&store.db).await, [(1, 10)]);
    }

    async fn exactly_one_of_several_concurrent_inserts_of_a_key_succeeds(store: &Store) {
        const RACERS: i64 = 16;
        const KEYS: i64 = 20;
        store.define(COUNTER_TABLE).await;
        let mut tasks = JoinSet::new();
        for racer in 0..RACERS {
            let db = store.db.clone();
            tasks.spawn(async move {
                let mut won = Vec::new();
                for key in 0..KEYS {
                    // Half of the tasks look the key up first, the others rely on the unique index.
                    let look = racer % 2 == 0;
                    let claim = move |tx: &mut Tx<'_>| -> Result<bool, Error> {
                        if look && get(tx, key)?.is_some() {
                            return Ok(false);
                        }
                        tx.execute(COUNTER_INSERT, &[key.into(), racer.into()])?;
                        Ok(true)
                    };
                    let outcome = loop {
                        match db.write(claim).await {
                            Err(Error::Busy) => {}
                            outcome => break outcome,
                        }
                    };
                    match outcome {
                        Ok(true) => won.push((key, racer)),
                        Ok(false) if look => {}
                        Err(Error::Store(..)) if !look => {}
                        other => panic!("racer {racer} for key {key}: {other:?}"),
                    }
                }
                won
            });
        }
        let mut won = tasks.join_all().await.concat();
        won.sort_unstable();
        assert_eq!(won.len(), KEYS as usize);
        assert_eq!(counters(&store.db).await, won);
    }

    async fn a_closures_own_error_rolls_back_and_is_returned_unchanged(store: &Store) {
        store.define(COUNTER_TABLE).await;
        let refused = store.db.write(|tx| {
            tx.execute(COUNTER_INSERT, &[1.into(), 1.into()])?;
            Err::<(), Refusal>(Refusal::NotWanted)
        });
        assert!(matches!(refused.await, Err(Refusal::NotWanted)));
        assert_eq!(counters(&store.db).await, []);
    }

    async fn failed_transactions_do_not_affect_concurrent_ones(store: &Store) {
        store.define(COUNTER_TABLE).await;
        let mut tasks = JoinSet::new();
        for id in 0..60_i64 {
            let db = store.db.clone();
            tasks.spawn(async move {
                let outcome = db.write(move |tx| {
                    tx.execute(COUNTER_INSERT, &[id.into(), id.into()])?;
                    match id % 4 {
                        0 => Err(Refusal::NotWanted),
                        1 => panic!("one of the transactions panics on purpose"),
                        2 => Ok(tx.execute(COUNTER_INSERT, &[id.into(), id.into()])?),
                        _ => Ok(1),
                    }
                });
                match (id % 4, outcome.await) {
                    (0, Err(Refusal::NotWanted)) => {}
                    (1, Err(Refusal::Store(Error::Panicked))) => {}
                    (2, Err(Refusal::Store(Error::Store(..)))) => {}
                    (3, Ok(1)) => {}
                    (_, other) => panic!("transaction {id}: {other:?}"),
                }
            });
        }
        tasks.join_all().await;
        let expected: Vec<(i64, i64)> = (0..60).filter(|id| id % 4 == 3).map(|id| (id, id)).collect();
        assert_eq!(counters(&store.db).await, expected);
    }

    async fn a_panic_in_a_read_is_caught_and_the_next_read_works(store: &Store) {
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 10).await.unwrap();
        for _ in 0..20 {
            let outcome: Result<(), Error> = store.db.read(|tx| {
                get(tx, 1)?;
                panic!("a read that panics on purpose");
            }).await;
            assert!(matches!(outcome, Err(Error::Panicked)), "{outcome:?}");
        }
        assert_eq!(counters(&store.db).await, [(1, 10)]);
    }

    async fn after_a_failed_statement_nothing_more_runs_and_all_is_rolled_back(store: &Store) {
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 10).await.unwrap();
        let swallowed = store.db.write(|tx| {
            tx.execute(COUNTER_INSERT, &[2.into(), 20.into()])?;
            let duplicate = tx.execute(COUNTER_INSERT, &[1.into(), 11.into()]);
            assert!(matches!(duplicate, Err(Error::Store(..))), "{duplicate:?}");
            let further = tx.execute(COUNTER_INSERT, &[3.into(), 30.into()]);
            assert!(matches!(further, Err(Error::Poisoned)), "{further:?}");
            assert!(matches!(get(tx, 1), Err(Error::Poisoned)));
            Ok::<(), Error>(())
        }).await;
        assert!(matches!(swallowed, Err(Error::Poisoned)), "{swallowed:?}");
        assert_eq!(counters(&store.db).await, [(1, 10)]);
    }

    async fn a_read_sees_one_snapshot_while_others_write(store: &Store) {
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 10).await.unwrap();
        // The barrier is passed once after the first read, and once after the write.
        let meeting = Arc::new(Barrier::new(2));
        let (db, reader) = (store.db.clone(), meeting.clone());
        let reading = tokio::spawn(async move {
            db.read(move |tx| {
                let before = get(tx, 1)?;
                reader.wait();
                reader.wait();
                Ok::<_, Error>((before, get(tx, 1)?, get(tx, 2)?))
            }).await
        });
        let db = store.db.clone();
        let writing = tokio::spawn(async move {
            tokio::task::block_in_place(|| meeting.wait());
            db.write(|tx| {
                tx.execute(COUNTER_SET, &[1.into(), 11.into()])?;
                tx.execute(COUNTER_INSERT, &[2.into(), 20.into()])
            }).await.unwrap();
            tokio::task::block_in_place(|| meeting.wait());
        });
        assert_eq!(reading.await.unwrap().unwrap(), (Some(10), Some(10), None));
        writing.await.unwrap();
        assert_eq!(counters(&store.db).await, [(1, 11), (2, 20)]);
    }

    async fn a_read_transaction_cannot_write(store: &Store) {
        store.define(COUNTER_TABLE).await;
        let outcome = store.db.read(|tx| tx.execute(COUNTER_INSERT, &[1.into(), 1.into()])).await;
        assert!(matches!(outcome, Err(Error::ReadOnly(_))), "{outcome:?}");
        assert_eq!(counters(&store.db).await, []);
        insert(&store.db, 1, 1).await.unwrap();
    }

    async fn a_transaction_reads_its_own_writes(store: &Store) {
        store.define(COUNTER_TABLE).await;
        let seen = store.db.write(|tx| {
            tx.execute(COUNTER_INSERT, &[1.into(), 10.into()])?;
            tx.execute(COUNTER_SET, &[1.into(), 11.into()])?;
            get(tx, 1)
        }).await;
        assert_eq!(seen.unwrap(), Some(11));
    }

    async fn two_rows_instead_of_one_are_an_error(store: &Store) {
        store.define(COUNTER_TABLE).await;
        insert(&store.db, 1, 10).await.unwrap();
        insert(&store.db, 2, 20).await.unwrap();
        let outcome = store.db.read(|tx| tx.query_opt(COUNTER_LIST, &[]).map(drop)).await;
        assert!(matches!(outcome, Err(Error::Store(..))), "{outcome:?}");
    }

    async fn a_wrong_number_of_parameters_is_an_error(store: &Store) {
        store.define(COUNTER_TABLE).await;
        for params in [vec![], vec![1.into()], vec![1.into(), 2.into(), 3.into()]] {
            let outcome = store.db.write(move |tx| tx.execute(COUNTER_INSERT, &params)).await;
            assert!(matches!(outcome, Err(Error::Store(..))), "{outcome:?}");
        }
        assert_eq!(counters(&store.db).await, []);
    }
}
