//! Tests of the job queue: claims, and the effect of each end of a job on its row.

use crate::gate::Gate;
use crate::store::{Engine, Store, on_both_engines};
use meta::records::job::{ClaimedJob, JobFailure, JobRow, PROGRESS_BYTES, next};
use meta::{Db, Error, Tx};
use tokio::task::JoinSet;

const KIND: &str = "tidy";

/// An end of a job, or a sign of life. Returns true if the claim was still valid.
type End = fn(&mut Tx<'_>, &ClaimedJob) -> Result<bool, Error>;

async fn enqueue(db: &Db, key: &str, due: i64) {
    let key = key.to_owned();
    db.write(move |tx| tx.job_enqueue(KIND, &key, due)).await.unwrap();
}

/// Claims the next job that is due at `now`, for 100 ticks. `claim` identifies this claim.
async fn claim(db: &Db, claim: u8, now: i64) -> Option<ClaimedJob> {
    db.claim(move |tx| tx.job_claim(KIND, [claim; 16], now, now + 100)).await.unwrap()
}

async fn row(db: &Db, key: &str) -> Option<JobRow> {
    let key = key.to_owned();
    db.read(move |tx| tx.job_get(KIND, &key)).await.unwrap()
}

async fn due(db: &Db) -> Option<i64> {
    db.look_up(next(KIND)).await.unwrap()
}

async fn write<T: Send + 'static>(db: &Db, work: impl Fn(&mut Tx<'_>) -> Result<T, Error> + Send + 'static) -> T {
    db.write(work).await.unwrap()
}

on_both_engines! {
    async fn concurrent_claims_take_each_job_once(store: &Store) {
        for key in 0..40 {
            enqueue(&store.db, &format!("{key}"), key).await;
        }
        let before = store.db.stats();
        let mut claims = JoinSet::new();
        for number in 0..50 {
            let db = store.db.clone();
            claims.spawn(async move { claim(&db, number, 1000).await.map(|job| job.key) });
        }
        let mut keys: Vec<String> = claims.join_all().await.into_iter().flatten().collect();
        keys.sort();
        let mut expected: Vec<String> = (0..40).map(|key| format!("{key}")).collect();
        expected.sort();
        assert_eq!(keys, expected);
        assert_eq!(store.db.stats().retries, before.retries, "claims must not conflict");
    }

    async fn the_loser_of_a_claim_changes_nothing(store: &Store) {
        enqueue(&store.db, "key", 0).await;
        let loser = claim(&store.db, 1, 0).await.unwrap();
        assert_eq!(claim(&store.db, 2, 99).await, None);
        let winner = claim(&store.db, 2, 100).await.unwrap();
        let held = row(&store.db, "key").await;
        assert_eq!(held.as_ref().and_then(|row| row.claimed_until), Some(200));

        let ends: [End; 5] = [
            |tx, job| tx.job_renew(job, 900),
            |tx, job| tx.job_progress(job, "half"),
            |tx, job| tx.job_done(job, 150),
            |tx, job| tx.job_again(job, 900, 150),
            |tx, job| Ok(tx.job_failed(job, 900, "a fault", Some(150))? != JobFailure::ClaimLost),
        ];
        for end in ends {
            let lost = loser.clone();
            assert!(!write(&store.db, move |tx| end(tx, &lost)).await);
            assert_eq!(row(&store.db, "key").await, held);
        }
        // The winner is done, and the job was enqueued and claimed again. The loser still can't change it.
        write(&store.db, move |tx| tx.job_done(&winner, 150)).await;
        enqueue(&store.db, "key", 160).await;
        let third = claim(&store.db, 3, 160).await.unwrap();
        let held = row(&store.db, "key").await;
        for end in ends {
            let lost = loser.clone();
            assert!(!write(&store.db, move |tx| end(tx, &lost)).await);
            assert_eq!(row(&store.db, "key").await, held);
        }
        for end in &ends[..3] {
            let (end, third) = (*end, third.clone());
            assert!(write(&store.db, move |tx| end(tx, &third)).await);
        }
        assert_eq!(row(&store.db, "key").await, None);
    }

    async fn a_job_enqueued_while_it_runs_is_not_due_before_it_ends(store: &Store) {
        enqueue(&store.db, "key", 0).await;
        let job = claim(&store.db, 1, 10).await.unwrap();
        assert_eq!(due(&store.db).await, Some(110), "the job is not due at the end of the claim");
        enqueue(&store.db, "key", 20).await;
        assert_eq!(due(&store.db).await, Some(110));
        write(&store.db, { let job = job.clone(); move |tx| tx.job_renew(&job, 300) }).await;
        assert_eq!(due(&store.db).await, Some(300));
        write(&store.db, move |tx| tx.job_again(&job, 900, 30)).await;
        assert_eq!(due(&store.db).await, Some(30), "the job does not run once more");
        let job = claim(&store.db, 1, 30).await.unwrap();
        write(&store.db, move |tx| tx.job_again(&job, 900, 40)).await;
        assert_eq!(due(&store.db).await, Some(900));
    }

    async fn a_dead_job_is_not_due_until_it_is_enqueued_or_retried(store: &Store) {
        for again in [false, true] {
            enqueue(&store.db, "key", 0).await;
            let job = claim(&store.db, 1, 0).await.unwrap();
            let failure = write(&store.db, move |tx| tx.job_failed(&job, 50, "a fault", Some(7))).await;
            assert_eq!(failure, JobFailure::GivenUp);
            let dead = row(&store.db, "key").await.unwrap();
            let told = (dead.dead_at, dead.attempts, dead.last_error.as_deref(), dead.claimed_until);
            assert_eq!(told, (Some(7), 1, Some("a fault"), None));
            assert_eq!((due(&store.db).await, claim(&store.db, 2, 1000).await), (None, None));
            let listed = |dead| write(&store.db, move |tx| tx.job_list(dead, ("", ""), 10));
            assert_eq!(listed(true).await, [dead]);
            match again {
                true => enqueue(&store.db, "key", 60).await,
                false => assert!(write(&store.db, |tx| tx.job_retry(KIND, "key", 60)).await),
            }
            let alive = row(&store.db, "key").await.unwrap();
            assert_eq!((alive.dead_at, alive.attempts, alive.due_at), (None, 0, 60));
            assert_eq!(listed(true).await, []);
            assert!(!write(&store.db, |tx| tx.job_retry(KIND, "key", 70)).await, "it is not dead");
            let job = claim(&store.db, 2, 60).await.unwrap();
            write(&store.db, move |tx| tx.job_done(&job, 0)).await;
            // A retry does not enqueue the job, so only the other job is wanted once more.
            assert_eq!(row(&store.db, "key").await, None);
        }
    }

    async fn a_job_enqueued_during_its_last_attempt_does_not_die(store: &Store) {
        enqueue(&store.db, "key", 0).await;
        let job = claim(&store.db, 1, 0).await.unwrap();
        enqueue(&store.db, "key", 0).await;
        let failure = write(&store.db, move |tx| tx.job_failed(&job, 50, "a fault", Some(7))).await;
        assert_eq!(failure, JobFailure::WillRetry);
        let row = row(&store.db, "key").await.unwrap();
        assert_eq!((row.dead_at, row.due_at, row.attempts), (None, 50, 0), "what was enqueued has no attempts of its own");
    }

    async fn a_claim_that_ends_by_itself_counts_as_a_failed_attempt(store: &Store) {
        enqueue(&store.db, "key", 0).await;
        for crashes in 0..3 {
            let now = 100 * crashes;
            assert_eq!(claim(&store.db, 1, now).await.unwrap().attempts, crashes);
        }
        let job = claim(&store.db, 1, 300).await.unwrap();
        write(&store.db, move |tx| tx.job_again(&job, 310, 310)).await;
        assert_eq!(claim(&store.db, 1, 310).await.unwrap().attempts, 0);
    }

    async fn progress_is_bounded_and_kept_until_the_job_is_done(store: &Store) {
        enqueue(&store.db, "key", 0).await;
        let mut job = claim(&store.db, 1, 0).await.unwrap();
        let full = "x".repeat(PROGRESS_BYTES);
        for end in [
            (|tx, job| tx.job_again(job, 10, 10)) as End,
            |tx, job| Ok(tx.job_failed(job, 10, "a fault", None)? == JobFailure::WillRetry),
        ] {
            let (held, text) = (job.clone(), full.clone());
            assert!(write(&store.db, move |tx| tx.job_progress(&held, &text)).await);
            let (held, text) = (job.clone(), format!("{full}x"));
            let refused = store.db.write(move |tx| tx.job_progress(&held, &text)).await;
            assert!(matches!(refused, Err(Error::Store(..))), "{refused:?}");
            write(&store.db, move |tx| end(tx, &job)).await;
            job = claim(&store.db, 1, 10).await.unwrap();
            assert_eq!(job.progress.as_ref(), Some(&full));
        }
        // The job is done, but was enqueued meanwhile, so the next run starts from the beginning.
        enqueue(&store.db, "key", 0).await;
        write(&store.db, move |tx| tx.job_done(&job, 20)).await;
        assert_eq!(claim(&store.db, 1, 20).await.unwrap().progress, None);
    }

    async fn jobs_are_listed_by_kind_and_key_in_pages(store: &Store) {
        for key in ["b", "a", "c"] {
            enqueue(&store.db, key, 0).await;
        }
        write(&store.db, |tx| tx.job_enqueue("other", "z", 0)).await;
        let keys = |after: (&'static str, &'static str), limit| {
            let db = store.db.clone();
            async move {
                let rows = db.read(move |tx| tx.job_list(false, after, limit)).await.unwrap();
                rows.into_iter().map(|row| row.key).collect::<Vec<_>>()
            }
        };
        assert_eq!(keys(("", ""), 2).await, ["z", "a"]);
        assert_eq!(keys(("tidy", "a"), 2).await, ["b", "c"]);
        assert_eq!(keys(("tidy", "c"), 2).await, [""; 0]);
    }
}

#[tokio::test]
async fn on_postgresql_a_claim_skips_a_job_that_another_claim_has_locked() {
    let Some(store) = Store::open(Engine::Postgres).await else { return };
    enqueue(&store.db, "first", 0).await;
    enqueue(&store.db, "second", 1).await;
    let gate = Gate::default();
    let (db, held) = (store.db.clone(), gate.clone());
    let first = tokio::spawn(async move {
        db.claim(move |tx| {
            let job = tx.job_claim(KIND, [1; 16], 5, 100)?;
            held.pass();
            Ok::<_, Error>(job)
        })
        .await
    });
    let arrived = gate.clone();
    tokio::task::spawn_blocking(move || arrived.await_arrival()).await.unwrap();
    assert_eq!(claim(&store.db, 2, 5).await.unwrap().key, "second");
    assert_eq!(claim(&store.db, 3, 5).await, None);
    gate.open();
    assert_eq!(first.await.unwrap().unwrap().unwrap().key, "first");
    store.close().await;
}
