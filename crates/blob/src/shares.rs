//! Who may hold how many of the pool's buffers, so that nobody takes the last ones from everybody else.
use crate::{Buffers, Error, lock};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

/// Names of owners that are kept before those of owners that are gone are removed.
const NAMES: usize = 1024;
/// A pool of fewer buffers is shared without rules.
const LEAST_TO_SHARE: usize = 16;

/// Claims to all buffers of a pool. As long as half of them are free, anybody may claim more. After that an owner may hold as many
/// as three quarters of the pool divided by the number of owners, and the last eighth is for owners that hold none.
pub(crate) struct Shares {
    max: usize,
    state: Mutex<State>,
    /// Someone began to wait.
    starved: Notify,
}

#[derive(Default)]
struct State {
    /// Claims that are held.
    out: usize,
    /// Owners that hold a claim.
    owners: usize,
    names: HashMap<Box<str>, Weak<OwnerCount>>,
    /// Who waits, each owner's in its own order.
    queues: Vec<(Arc<OwnerCount>, VecDeque<oneshot::Sender<Claim>>)>,
}

/// How many claims an owner holds. Changed only under the lock of [`State`].
#[derive(Default)]
struct OwnerCount(AtomicUsize);

impl Shares {
    pub(crate) fn new(max: usize) -> Arc<Shares> {
        Arc::new(Shares { max, state: Mutex::default(), starved: Notify::new() })
    }

    /// The share of an owner, whatever it is: a caller, an address.
    pub(crate) fn of(self: &Arc<Shares>, owner: &str) -> Share {
        let mut state = lock(&self.state);
        if state.names.len() >= NAMES {
            state.names.retain(|_, owner| owner.strong_count() > 0);
        }
        let owner = match state.names.get(owner).and_then(Weak::upgrade) {
            Some(owner) => owner,
            None => {
                let new = Arc::<OwnerCount>::default();
                state.names.insert(owner.into(), Arc::downgrade(&new));
                new
            }
        };
        Share { shares: self.clone(), owner }
    }

    /// How many wait for a claim.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.state).queues.iter().flat_map(|(_, queue)| queue).filter(|waiter| !waiter.is_closed()).count()
    }

    /// Returns when someone has begun to wait since it returned last.
    pub(crate) async fn starved(&self) {
        self.starved.notified().await;
    }

    /// Says that someone has begun to wait.
    pub(crate) fn starve(&self) {
        self.starved.notify_one();
    }

    /// Whether an owner that holds so many may have one more.
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

    fn grant(self: &Arc<Shares>, state: &mut State, owner: &Arc<OwnerCount>) -> Claim {
        state.out += 1;
        state.owners += usize::from(owner.0.fetch_add(1, Relaxed) == 0);
        Claim { shares: self.clone(), owner: owner.clone() }
    }

    /// Gives what is free to those who wait and may have it, the owner with the fewest first.
    fn hand_out(self: &Arc<Shares>, state: &mut State) -> Vec<(oneshot::Sender<Claim>, Claim)> {
        let mut granted = Vec::new();
        loop {
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

/// What an owner may hold of a pool. Clones are the same owner's.
#[derive(Clone)]
pub struct Share {
    shares: Arc<Shares>,
    owner: Arc<OwnerCount>,
}

impl Share {
    /// Claims a buffer, which is to be taken after that. Waits for at most [`Buffers::PATIENCE`], then [`Error::Busy`].
    ///
    /// Cancel-safe.
    pub async fn claim(&self) -> Result<Claim, Error> {
        let waiter = {
            let mut state = lock(&self.shares.state);
            // Those who wait may not have what is free.
            if self.shares.allows(&state, self.owner.0.load(Relaxed)) {
                return Ok(self.shares.grant(&mut state, &self.owner));
            }
            let (sender, waiter) = oneshot::channel();
            match state.queues.iter_mut().find(|(owner, _)| Arc::ptr_eq(owner, &self.owner)) {
                Some((_, queue)) => {
                    // Those who gave up would else pile up while nothing becomes free.
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

/// One buffer's place in its owner's share; given back when dropped.
pub struct Claim {
    shares: Arc<Shares>,
    owner: Arc<OwnerCount>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let granted = {
            let mut state = lock(&self.shares.state);
            state.out -= 1;
            state.owners -= usize::from(self.owner.0.fetch_sub(1, Relaxed) == 1);
            if state.queues.is_empty() { Vec::new() } else { self.shares.hand_out(&mut state) }
        };
        // Outside of the lock: a claim that nobody takes any more is given back at once.
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

    /// What a future gives at its first poll.
    fn now<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// As many claims as can be had at once.
    fn all(share: &Share) -> Vec<Claim> {
        std::iter::from_fn(|| now(pin!(share.claim())).and_then(Result::ok)).collect()
    }

    #[tokio::test]
    async fn an_owner_that_takes_all_it_can_leaves_some_to_each_other() {
        let shares = Shares::new(64);
        let greedy = all(&shares.of("greedy"));
        assert_eq!(greedy.len(), 48, "three quarters");
        let second = all(&shares.of("second"));
        assert_eq!(second.len(), 8, "the last eighth is for those who hold none");
        let others: Vec<_> = (0..8).map(|number| all(&shares.of(&format!("other {number}")))).collect();
        assert!(others.iter().all(|claims| claims.len() == 1), "{:?}", others.iter().map(Vec::len).collect::<Vec<_>>());
        assert!(all(&shares.of("late")).is_empty(), "64 are out");
        drop((greedy, second));
        assert_eq!(lock(&shares.state).out, 8);
    }

    #[tokio::test(start_paused = true)]
    async fn what_becomes_free_goes_to_the_owner_with_the_fewest() {
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
    async fn who_waits_in_vain_is_told_so_and_leaves_nothing() {
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
