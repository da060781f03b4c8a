//! The runner of jobs with test kinds: lanes, claims, attempts, progress and unknown kinds.

use super::support::*;
use kernel::System;
use kernel::jobs::{self, Job, JobError, JobKind, JobKinds, JobOutcome, JobQuery, JobQueue, JobRun, JobState, Lane};
use meta::Tx;
use meta::records::job::JobRow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

const SECOND: Duration = Duration::from_secs(1);
const CLAIM: Duration = Duration::from_secs(300);

/// A kind for tests. Each run waits for a permit. The key tells what it then does.
struct Toy {
    name: &'static str,
    lane: Lane,
    begun: AtomicUsize,
    permits: Semaphore,
}

impl Toy {
    /// Makes a kind without permits, so that its runs wait.
    fn held(name: &'static str, lane: Lane) -> &'static Toy {
        Box::leak(Box::new(Toy { name, lane, begun: AtomicUsize::new(0), permits: Semaphore::new(0) }))
    }

    /// Makes a kind with many permits, so that its runs do not wait.
    fn free(name: &'static str) -> &'static Toy {
        let toy = Toy::held(name, Lane::SHORT);
        toy.permits.add_permits(1000);
        toy
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    async fn enqueue(&self, world: &World, key: &str) {
        let (name, key, now) = (self.name, key.to_owned(), world.cx.now().0);
        world.cx.db.write(move |tx| tx.job_enqueue(name, &key, now)).await.unwrap();
        JobQueue::of(&world.cx).ring();
    }

    async fn row(&self, world: &World, key: &str) -> Option<JobRow> {
        let (name, key) = (self.name, key.to_owned());
        world.cx.db.read(move |tx| tx.job_get(name, &key)).await.unwrap()
    }
}

#[async_trait::async_trait]
impl JobKind for Toy {
    fn name(&self) -> &'static str {
        self.name
    }

    fn lane(&self) -> Lane {
        self.lane
    }

    fn attempts(&self) -> u32 {
        3
    }

    async fn run(&self, system: &System, job: &JobRun) -> Result<JobOutcome, JobError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.permits.acquire().await?.forget();
        match job.key() {
            "fails" => Err("a fault".into()),
            "panics" => panic!("a fault of the program"),
            "steps" => {
                let step = job.progress().unwrap_or_default().len();
                assert!(job.save_progress(&"x".repeat(step + 1)).await?);
                Ok(if step == 2 { JobOutcome::Done } else { JobOutcome::Again(system.now()) })
            }
            _ => Ok(JobOutcome::Done),
        }
    }
}

fn table(kinds: &[&'static dyn JobKind]) -> JobKinds {
    Vec::leak(kinds.to_vec())
}

/// Runs other tasks until the condition holds.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

/// Runs the runner in a task until the sender is dropped.
fn run(world: &World, kinds: JobKinds) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let (stop, stopped) = watch::channel(false);
    (stop, tokio::spawn(jobs::run(world.cx.system.clone(), kinds, stopped)))
}

async fn list(world: &World, kinds: JobKinds, dead_only: bool) -> Vec<Job> {
    let query = JobQuery { dead_only, after: None, limit: 100 };
    jobs::list(&world.cx.system, kinds, query).await.unwrap().0
}

#[tokio::test]
async fn long_jobs_use_no_workers_of_the_short_lane() {
    let world = World::new(Store::Memory).await;
    let (long, short) = (Toy::held("long", Lane::LONG), Toy::free("short"));
    let (stop, runner) = run(&world, table(&[long, short]));
    for number in 0..10 {
        long.enqueue(&world, &format!("{number}")).await;
    }
    until(|| long.begun() == Lane::LONG.workers).await;
    for number in 0..10 {
        short.enqueue(&world, &format!("{number}")).await;
    }
    until(|| short.begun() == 10).await;
    assert_eq!(long.begun(), Lane::LONG.workers, "a lane runs no more jobs than it has workers");
    long.permits.add_permits(10);
    until(|| long.begun() == 10).await;
    stop.send_replace(true);
    runner.await.unwrap();
    assert_eq!(list(&world, table(&[long, short]), false).await, []);
}

#[tokio::test]
async fn a_job_that_is_enqueued_while_it_runs_costs_no_transactions_until_it_ends() {
    let world = World::new(Store::Memory).await;
    let toy = Toy::held("toy", Lane::SHORT);
    let (_stop, _runner) = run(&world, table(&[toy]));
    toy.enqueue(&world, "key").await;
    until(|| toy.begun() == 1).await;
    toy.enqueue(&world, "key").await;
    let before = world.cx.db.stats().jobs;
    for _ in 0..60 {
        world.clock.advance(SECOND);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(world.cx.db.stats().jobs - before, 0, "write transactions in a minute");
    toy.permits.add_permits(2);
    until(|| toy.begun() == 2).await;
}

#[tokio::test]
async fn a_job_that_fails_too_often_is_dead_and_listed_until_it_is_retried() {
    let world = World::new(Store::Memory).await;
    let toy = Toy::free("toy");
    let kinds = table(&[toy]);
    for key in ["fails", "panics"] {
        toy.enqueue(&world, key).await;
    }
    for _ in 0..3 {
        assert_eq!(jobs::run_due(&world.cx.system, kinds).await.unwrap(), 2);
        world.clock.advance(600 * SECOND);
    }
    assert_eq!(jobs::run_due(&world.cx.system, kinds).await.unwrap(), 0);
    let dead = list(&world, kinds, true).await;
    let short: Vec<_> = dead.iter().map(|job| (job.key.as_str(), job.state, job.attempts, job.lane)).collect();
    assert_eq!(short, [("fails", JobState::Dead, 3, Some("short")), ("panics", JobState::Dead, 3, Some("short"))]);
    assert_eq!(dead[0].last_error.as_deref(), Some("a fault"));
    assert!(dead[1].last_error.as_deref().unwrap().starts_with("the job broke off"), "{dead:?}");
    let counts = JobQueue::of(&world.cx).counts();
    assert_eq!((counts.done, counts.failed, counts.given_up), (0, 6, 2));

    let retry = async |kind: &str, key| jobs::retry(&world.cx.system, kind, key).await.unwrap();
    assert_eq!((retry("other", None).await, retry("toy", Some("absent")).await), (0, 0));
    assert_eq!(retry("toy", Some("fails")).await, 1);
    assert_eq!(jobs::run_due(&world.cx.system, kinds).await.unwrap(), 1);
    assert_eq!(toy.row(&world, "fails").await.unwrap().attempts, 1);
    assert_eq!(retry("toy", None).await, 1, "only one is dead now");
    assert_eq!(list(&world, kinds, true).await, []);
}

#[tokio::test]
async fn all_dead_jobs_of_a_kind_are_retried_also_if_there_are_many() {
    let world = World::new(Store::Memory).await;
    let enqueue = |tx: &mut Tx<'_>| {
        for number in 0..1201 {
            tx.job_enqueue("toy", &format!("{number:04}"), 0)?;
            tx.job_enqueue("zoo", &format!("{number:04}"), 0)?;
        }
        tx.execute("UPDATE job SET dead_at = 1", &[]).map(drop)
    };
    world.cx.db.write(enqueue).await.unwrap();
    assert_eq!(jobs::retry(&world.cx.system, "toy", None).await.unwrap(), 1201);
    let dead = list(&world, &[], true).await;
    assert_eq!((dead.len(), dead[0].kind.as_str()), (100, "zoo"));
}

#[tokio::test]
async fn jobs_of_unknown_kinds_stay_in_the_queue() {
    let world = World::new(Store::Memory).await;
    let (newer, toy) = (Toy::free("a_newer_kind"), Toy::free("toy"));
    newer.enqueue(&world, "key").await;
    toy.enqueue(&world, "key").await;
    let row = newer.row(&world, "key").await;
    assert_eq!(jobs::run_due(&world.cx.system, table(&[toy])).await.unwrap(), 1);
    assert_eq!((newer.row(&world, "key").await, newer.begun()), (row, 0));
    let shown = &list(&world, table(&[toy]), false).await[0];
    assert_eq!((shown.state, shown.lane, shown.attempts), (JobState::Waiting, None, 0));
    assert_eq!(jobs::run_due(&world.cx.system, table(&[newer])).await.unwrap(), 1);
}

#[tokio::test]
async fn a_failed_renewal_is_repeated_before_the_claim_ends() {
    let world = World::new(Store::Memory).await;
    if world.cx.db.engine() != "sqlite" {
        return;
    }
    let toy = Toy::held("toy", Lane::SHORT);
    let kinds = table(&[toy]);
    toy.enqueue(&world, "key").await;
    let system = world.cx.system.clone();
    let runner = tokio::spawn(async move { jobs::run_due(&system, kinds).await });
    until(|| toy.begun() == 1).await;
    let claimed = toy.row(&world, "key").await.unwrap().claimed_until.unwrap();
    // Rename the table, so that the renewal fails.
    let define = async |sql: &'static str| world.cx.db.write(move |tx| tx.execute(sql, &[]).map(drop)).await.unwrap();
    define("ALTER TABLE job RENAME TO away").await;
    let before = world.cx.db.stats().statements;
    world.clock.advance(CLAIM / 2);
    until(|| world.cx.db.stats().statements > before).await;
    define("ALTER TABLE away RENAME TO job").await;
    assert_eq!(toy.row(&world, "key").await.unwrap().claimed_until, Some(claimed));
    // The claim is renewed soon. No other node takes the job when the first claim would have ended.
    for _ in 0..15 {
        world.clock.advance(10 * SECOND);
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(jobs::run_due(&world.cx.system, kinds).await.unwrap(), 0);
    toy.permits.add_permits(1);
    assert_eq!(runner.await.unwrap().unwrap(), 1);
    assert_eq!((toy.row(&world, "key").await, toy.begun()), (None, 1));
}

/// Claims the job like another node whose clock is a day ahead.
async fn steal(world: &World) -> Option<JobRow> {
    let now = world.cx.now().plus(24 * HOUR);
    let (now, until) = (now.0, now.plus(CLAIM).0);
    let stolen = world.cx.db.claim(move |tx| tx.job_claim("toy", [9; 16], now, until)).await.unwrap();
    let key = stolen.unwrap().key;
    world.cx.db.read(move |tx| tx.job_get("toy", &key)).await.unwrap()
}

#[tokio::test]
async fn a_runner_that_has_lost_its_claim_changes_nothing() {
    for key in ["ends", "fails", "steps"] {
        let world = World::new(Store::Memory).await;
        let toy = Toy::held("toy", Lane::SHORT);
        toy.enqueue(&world, key).await;
        let (system, kinds) = (world.cx.system.clone(), table(&[toy]));
        let runner = tokio::spawn(async move { jobs::run_due(&system, kinds).await });
        until(|| toy.begun() == 1).await;
        let stolen = steal(&world).await;
        toy.permits.add_permits(1);
        assert_eq!(runner.await.unwrap().unwrap(), 1);
        assert_eq!(toy.row(&world, key).await, stolen, "{key}");
    }
}

#[tokio::test]
async fn a_run_is_cancelled_if_the_renewal_finds_that_the_claim_is_lost() {
    let world = World::new(Store::Memory).await;
    let toy = Toy::held("toy", Lane::SHORT);
    toy.enqueue(&world, "key").await;
    let (system, kinds) = (world.cx.system.clone(), table(&[toy]));
    let runner = tokio::spawn(async move { jobs::run_due(&system, kinds).await });
    until(|| toy.begun() == 1).await;
    let stolen = steal(&world).await;
    world.clock.advance(CLAIM / 2);
    assert_eq!(runner.await.unwrap().unwrap(), 1, "it waits for nothing any more");
    assert_eq!(toy.row(&world, "key").await, stolen);
}

#[tokio::test]
async fn a_job_can_read_the_progress_of_its_last_run() {
    let world = World::new(Store::Memory).await;
    let toy = Toy::free("toy");
    toy.enqueue(&world, "steps").await;
    assert_eq!(jobs::run_due(&world.cx.system, table(&[toy])).await.unwrap(), 3);
    assert_eq!(toy.row(&world, "steps").await, None);
}

#[test]
fn the_names_of_kinds_are_unique_and_each_kind_has_attempts() {
    let mut names: Vec<_> = registry::JOB_KINDS.iter().map(|kind| kind.name()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    assert!(registry::JOB_KINDS.iter().all(|kind| kind.attempts() > 0 && kind.lane().workers > 0));
}
