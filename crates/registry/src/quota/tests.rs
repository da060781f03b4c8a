use super::*;
use std::task::{Context, Waker};

const NOW: Time = Time(1_000_000_000);

fn images(number: usize) -> QuotaSubject {
    let registry = RegistryId::private(aws::AccountId::DEFAULT, "us-east-1".parse().unwrap());
    QuotaSubject::Images { registry, repository: format!("app{number}").parse().unwrap() }
}

/// The images of one repository, whose counts are counted.
struct Store {
    quota: Quota,
    images: i64,
    limit: u64,
    counts: usize,
}

impl Store {
    fn new(images: i64, limit: u64) -> Store {
        Store { quota: Quota::default(), images, limit, counts: 0 }
    }

    async fn reserve(&mut self, now: Time, exists: bool) -> Option<Reservation> {
        let count = async || {
            self.counts += 1;
            Ok(self.images)
        };
        self.quota.reserve(images(0), self.limit, now, async || Ok(exists), count).await.unwrap()
    }

    /// Pushes so many new images, and returns how many were allowed.
    async fn push(&mut self, number: usize, now: Time) -> usize {
        let mut allowed = 0;
        for _ in 0..number {
            if self.reserve(now, false).await.is_some() {
                self.images += 1;
                allowed += 1;
            }
        }
        allowed
    }
}

#[tokio::test]
async fn a_quota_is_counted_seldom_and_never_exceeded() {
    for (images, limit, calls, allowed, counts) in [
        (0, 100_000, 1562, 1562, 1),
        (0, 100_000, 1563, 1563, 2),
        // A part of at least `LEAST` is used without a count.
        (99_000, 100_000, 936, 936, 15),
        // Near the limit and at the limit one count is enough.
        (99_936, 100_000, 100, 64, 1),
        (99_999, 100_000, 100, 1, 1),
        (100_000, 100_000, 100, 0, 1),
        (100_001, 100_000, 100, 0, 1),
        (0, 2, 3, 2, 1),
    ] {
        let mut store = Store::new(images, limit);
        assert_eq!((store.push(calls, NOW).await, store.counts), (allowed, counts), "{images} of {limit}");
    }
}

#[tokio::test]
async fn a_count_is_valid_for_its_lifetime_which_is_short_near_the_limit() {
    for (images, limit, life) in [(0, 100_000, COUNT_LIFE), (90, 100, NEAR_LIFE)] {
        let mut store = Store::new(images, limit);
        store.push(1, NOW).await;
        store.push(1, Time(NOW.plus(life).0 - 1)).await;
        assert_eq!(store.counts, 1);
        store.push(1, NOW.plus(life)).await;
        assert_eq!(store.counts, 2);
    }
    // What another node deleted is found by the next count.
    let mut store = Store::new(100, 100);
    assert_eq!(store.push(1, NOW).await, 0);
    store.images = 99;
    assert_eq!(store.push(2, NOW.plus(NEAR_LIFE)).await, 1);
}

#[tokio::test]
async fn what_was_deleted_or_not_created_can_be_created_without_a_count() {
    let mut store = Store::new(98, 100);
    let unused = store.reserve(NOW, false).await.unwrap();
    assert_eq!(store.push(2, NOW).await, 1);
    store.quota.give_back(unused);
    assert_eq!(store.push(2, NOW).await, 1);
    store.quota.deleted(&images(0), 3);
    assert_eq!(store.push(4, NOW).await, 3);
    // An image that exists is pushed again at the limit, and changes nothing.
    let again = store.reserve(NOW, true).await.unwrap();
    store.quota.give_back(again);
    assert_eq!((store.push(1, NOW).await, store.counts), (0, 1));
}

#[tokio::test]
async fn a_reservation_of_an_earlier_count_is_not_given_back_to_a_later_one() {
    let mut store = Store::new(99, 100);
    let old = store.reserve(NOW, false).await.unwrap();
    let later = NOW.plus(NEAR_LIFE);
    assert_eq!(store.push(1, later).await, 1);
    store.quota.give_back(old);
    assert_eq!(store.push(1, later).await, 0);
}

#[tokio::test]
async fn deletions_during_a_count_are_not_lost() {
    let quota = Quota::default();
    let full = quota.reserve(
        images(0),
        100,
        NOW,
        async || Ok(false),
        async || {
            quota.deleted(&images(0), 1);
            quota.deleted(&images(1), 1);
            Ok(100)
        },
    );
    assert!(full.await.unwrap().is_some());
    assert!(matches!(quota.take(&images(0), NOW), Taken::Full));
    // A repository that was deleted and made again is counted.
    let gone = quota.reserve(
        images(2),
        100,
        NOW,
        async || Ok(false),
        async || {
            quota.forget(&images(2));
            Ok(100)
        },
    );
    assert!(gone.await.unwrap().is_none());
    assert!(matches!(quota.take(&images(2), NOW), Taken::Unknown));
    quota.forget(&images(0));
    assert!(matches!(quota.take(&images(0), NOW), Taken::Unknown));
    assert!(lock(&quota.known).counting.is_empty());
}

#[tokio::test]
async fn concurrent_calls_share_a_count_and_a_cancelled_count_ends() {
    let quota = Quota::default();
    let never = quota.reserve(images(0), 100, NOW, async || Ok(false), async || std::future::pending().await);
    let mut never = Box::pin(never);
    assert!(never.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(never);
    assert!(lock(&quota.known).counting.is_empty());
    let counts = std::cell::Cell::new(0);
    let call = || {
        quota.reserve(
            images(0),
            100,
            NOW,
            async || Ok(false),
            async || {
                counts.set(counts.get() + 1);
                tokio::task::yield_now().await;
                Ok(99)
            },
        )
    };
    let (first, second) = tokio::join!(call(), call());
    assert_eq!((first.unwrap().is_some(), second.unwrap().is_some(), counts.get()), (true, false, 1));
}

#[test]
fn remembered_counts_are_bounded_and_old_ones_are_evicted() {
    let quota = Quota::default();
    let until = NOW.plus(COUNT_LIFE);
    let room = |until| Room { number: 0, left: 1, is_all: false, until };
    for number in 0..REMEMBERED + 10 {
        assert_eq!(quota.remember(images(number), room(until), NOW).is_some(), number < REMEMBERED);
    }
    assert_eq!(lock(&quota.known).rooms.len(), REMEMBERED);
    // A remembered subject is counted again.
    assert!(quota.remember(images(0), room(until), NOW).is_some());
    assert!(quota.remember(images(REMEMBERED), room(until.plus(COUNT_LIFE)), until).is_some());
    assert_eq!(lock(&quota.known).rooms.len(), 1);
}
