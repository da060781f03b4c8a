//! Divides a pool's buffers among their owners, so that no owner can take the last buffers from all others.

use crate::{Buffers, Error, lock};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

/// The number of known owners above which the owners without claims are forgotten.
const NAMES: usize = 1024;
/// A pool of fewer buffers is shared without rules.
const LEAST_TO_SHARE: usize = 16;

/// The claims to all buffers of a pool.
///
/// While half of the buffers are free, every owner may claim more. After that an owner may hold three quarters of the pool divided by
/// the number of owners, and the last eighth is reserved for owners without a claim.
pub(crate) struct Shares {
    max: usize,
    /// Seeded at random.
    hasher: RandomState,
    state: Mutex<State>,
    /// Notified when a claim begins to wait.
    starved: Notify,
}

#[derive(Default)]
struct State {
    /// The number of claims in use.
    out: usize,
    /// The number of owners with a claim.
    owners: usize,
    /// The owners by their hashes. Two owners with one hash share, which no client can bring about on purpose.
    owners_by_hash: HashMap<u64, Weak<OwnerCount>>,
    /// The waiting claims of each owner, oldest first.
    queues: Vec<(Arc<OwnerCount>, VecDeque<oneshot::Sender<BufferClaim>>)>,
}

/// The number of claims of one owner. It changes only under the lock of [`State`].
#[derive(Default)]
struct OwnerCount(AtomicUsize);

impl Shares {
    pub(crate) fn new(max: usize) -> Arc<Shares> {
        Arc::new(Shares { max, hasher: RandomState::new(), state: Mutex::default(), starved: Notify::new() })
    }

    /// Returns the share of an owner, such as a caller or an address.
    pub(crate) fn of(self: &Arc<Shares>, owner: &(impl Hash + ?Sized)) -> BufferShare {
        let hash = self.hasher.hash_one(owner);
        let mut state = lock(&self.state);
        if state.owners_by_hash.len() >= NAMES {
            state.owners_by_hash.retain(|_, owner| owner.strong_count() > 0);
        }
        let owner = match state.owners_by_hash.get(&hash).and_then(Weak::upgrade) {
            Some(owner) => owner,
            None => {
                let new = Arc::<OwnerCount>::default();
                state.owners_by_hash.insert(hash, Arc::downgrade(&new));
                new
            }
        };
        BufferShare { shares: self.clone(), owner }
    }

    /// Returns the number of waiting claims.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.state).queues.iter().flat_map(|(_, queue)| queue).filter(|waiter| !waiter.is_closed()).count()
    }

    /// Waits until a claim has begun to wait since the last return.
    pub(crate) async fn starved(&self) {
        self.starved.notified().await;
    }

    /// Signals that a transfer has begun to wait.
    pub(crate) fn starve(&self) {
        self.starved.notify_one();
    }

    /// Returns true if an owner that holds `held` claims may have one more.
    fn allows(&self, state: &State, held: usize) -> bool {
        let (max, out) = (self.max, state.out);
        if out >= max {
            return false;
        }
        if max < LEAST_TO_SHARE || out < max / 2 || held == 0 {
            return true;
        }
        held < max * 3 / 4 / state.owners.max(1) && out < max - max / 8
    }

    fn grant(self: &Arc<Shares>, state: &mut State, owner: &Arc<OwnerCount>) -> BufferClaim {
        state.out += 1;
        state.owners += usize::from(owner.0.fetch_add(1, Relaxed) == 0);
        BufferClaim { shares: self.clone(), owner: owner.clone() }
    }

    /// Grants the free buffers to the waiting claims that the rules allow. The owner with the fewest claims comes first.
    fn hand_out(self: &Arc<Shares>, state: &mut State) -> Vec<(oneshot::Sender<BufferClaim>, BufferClaim)> {
        let mut granted = Vec::new();
        loop {
            // Forget the claims that were cancelled, at the front of each queue.
            for (_, queue) in &mut state.queues {
                while queue.front().is_some_and(oneshot::Sender::is_closed) {
                    queue.pop_front();
                }
            }
            state.queues.retain(|(_, queue)| !queue.is_empty());
            let held = |(owner, _): &(Arc<OwnerCount>, _)| owner.0.load(Relaxed);
            let next = (0..state.queues.len()).min_by_key(|at| held(&state.queues[*at]));
            let Some(next) = next.filter(|next| self.allows(state, held(&state.queues[*next]))) else { return granted };
            let (owner, queue) = &mut state.queues[next];
            let (owner, waiter) = (owner.clone(), queue.pop_front());
            if let Some(waiter) = waiter {
                granted.push((waiter, self.grant(state, &owner)));
            }
        }
    }
}

/// One owner's share of a pool's buffers. Clones belong to the same owner.
#[derive(Clone)]
pub struct BufferShare {
    shares: Arc<Shares>,
    owner: Arc<OwnerCount>,
}

impl BufferShare {
    /// Claims a buffer, which the caller takes from the pool afterwards. Waits for at most [`Buffers::PATIENCE`], then fails with
    /// [`Error::Busy`].
    ///
    /// Cancel-safe.
    pub async fn claim(&self) -> Result<BufferClaim, Error> {
        let waiter = {
            let mut state = lock(&self.shares.state);
            // This does not overtake a waiting claim: if the rules allowed a waiting claim, it would have been granted.
            if self.shares.allows(&state, self.owner.0.load(Relaxed)) {
                return Ok(self.shares.grant(&mut state, &self.owner));
            }
            let (sender, waiter) = oneshot::channel();
            match state.queues.iter_mut().find(|(owner, _)| Arc::ptr_eq(owner, &self.owner)) {
                Some((_, queue)) => {
                    // Drop cancelled claims, which would pile up while no buffer becomes free.
                    queue.retain(|waiter| !waiter.is_closed());
                    queue.push_back(sender);
                }
                None => state.queues.push((self.owner.clone(), VecDeque::from([sender]))),
            }
            waiter
        };
        self.shares.starve();
        timeout(Buffers::PATIENCE, waiter).await.ok().and_then(Result::ok).ok_or(Error::Busy)
    }
}

/// The right to hold one buffer, counted in its owner's share until it is dropped.
pub struct BufferClaim {
    shares: Arc<Shares>,
    owner: Arc<OwnerCount>,
}

impl Drop for BufferClaim {
    fn drop(&mut self) {
        let granted = {
            let mut state = lock(&self.shares.state);
            state.out -= 1;
            state.owners -= usize::from(self.owner.0.fetch_sub(1, Relaxed) == 1);
            if state.queues.is_empty() { Vec::new() } else { self.shares.hand_out(&mut state) }
        };
        // Send outside the lock: if the receiver is gone, the claim is dropped at once, which takes the lock again.
        for (waiter, claim) in granted {
            drop(waiter.send(claim));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    /// Returns the output of a future that is ready at its first poll.
    fn now<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Makes as many claims as the share allows without waiting.
    fn all(share: &BufferShare) -> Vec<BufferClaim> {
        std::iter::from_fn(|| now(pin!(share.claim())).and_then(Result::ok)).collect()
    }

    #[tokio::test]
    async fn a_greedy_owner_leaves_a_buffer_to_every_other_owner() {
        let shares = Shares::new(64);
        let greedy = all(&shares.of("greedy"));
        assert_eq!(greedy.len(), 48, "three quarters");
        let second = all(&shares.of("second"));
        assert_eq!(second.len(), 8, "the last eighth is for owners without a claim");
        let others: Vec<_> = (0..8).map(|number| all(&shares.of(&format!("other {number}")))).collect();
        assert!(others.iter().all(|claims| claims.len() == 1), "{:?}", others.iter().map(Vec::len).collect::<Vec<_>>());
        assert!(all(&shares.of("late")).is_empty(), "64 are out");
        drop((greedy, second));
        assert_eq!(lock(&shares.state).out, 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_buffer_goes_to_the_owner_with_the_fewest_claims() {
        let shares = Shares::new(16);
        let (many, few) = (shares.of("many"), shares.of("few"));
        let (mut held, mut one) = (all(&many), all(&few));
        assert_eq!((held.len(), one.len()), (12, 2));
        let (mut first, mut second) = (pin!(many.claim()), pin!(few.claim()));
        assert!(now(first.as_mut()).is_none() && now(second.as_mut()).is_none());
        assert_eq!(shares.waiting(), 2);
        held.truncate(9);
        assert!(now(first.as_mut()).is_none(), "it holds more than its half");
        one.push(now(second.as_mut()).unwrap().unwrap());
        assert_eq!(shares.waiting(), 1);
        held.truncate(4);
        assert!(now(first.as_mut()).is_some());
        assert_eq!(shares.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_times_out_fails_as_busy_and_a_cancelled_one_leaves_nothing() {
        let shares = Shares::new(1);
        let (one, two) = (shares.of("one"), shares.of("two"));
        let held = one.claim().await.unwrap();
        assert!(matches!(two.claim().await, Err(Error::Busy)));
        shares.starved().await;
        let mut waits = Box::pin(two.claim());
        assert!(now(waits.as_mut()).is_none());
        drop(waits);
        drop(held);
        assert_eq!((shares.waiting(), lock(&shares.state).out), (0, 0));
        two.claim().await.unwrap();
    }
}
