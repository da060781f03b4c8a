//! Who holds how much of a budget, who waits for room, and whom to cut off for it.
use super::{Owner, REQUESTS_PER_OWNER, SMALL_BYTES, STALL_TIME, Shared};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// What comes of asking for room.
pub(super) enum Asked {
    Granted,
    /// Hears when the room was granted; it ends without a word when the lease is evicted.
    Wait(oneshot::Receiver<()>),
    /// The lease was evicted, or no budget of this size could ever give so much.
    Never,
}

pub(super) struct State {
    pub(super) bytes: usize,
    /// What one owner may hold.
    pub(super) share: usize,
    pub(super) free: usize,
    pub(super) leases: HashMap<u64, Held>,
    /// The leases that wait for their client, by when it last made progress.
    pub(super) clients: BTreeSet<(Instant, u64)>,
    pub(super) owners: HashMap<Owner, Use>,
    /// Leases that wait for room.
    pub(super) waiting: usize,
    pub(super) next: u64,
    pub(super) evicted: u64,
}

/// What an owner has of the budget.
#[derive(Default)]
pub(super) struct Use {
    pub(super) bytes: usize,
    pub(super) leases: usize,
    /// Its leases that wait for room.
    pub(super) waiters: VecDeque<Waiter>,
}

impl Use {
    /// Takes the one of those who wait that asks for least, the first of several, if it asks for no more than `most`.
    pub(super) fn smallest(&mut self, most: usize) -> Option<Waiter> {
        let (at, by) = self.waiters.iter().map(|waiter| waiter.by).enumerate().min_by_key(|(_, by)| *by)?;
        if by <= most { self.waiters.remove(at) } else { None }
    }
}

/// A lease as its budget knows it.
pub(super) struct Held {
    pub(super) owner: Owner,
    pub(super) bytes: usize,
    pub(super) shared: Arc<Shared>,
    /// Whether its client moves the bytes, not the server.
    pub(super) client: bool,
    /// Its place in [`State::clients`]; `None` while the server works with it, or it waits for room.
    pub(super) since: Option<Instant>,
}

pub(super) struct Waiter {
    pub(super) id: u64,
    pub(super) by: usize,
    pub(super) granted: oneshot::Sender<()>,
}

impl State {
    pub(super) fn add(&mut self, owner: Owner) -> (u64, Arc<Shared>) {
        self.next += 1;
        let id = self.next;
        self.owners.entry(owner.clone()).or_default().leases += 1;
        let shared = Arc::new(Shared { bytes: Mutex::new(Some(Vec::new())), evicted: Notify::new() });
        self.leases.insert(id, Held { owner, bytes: 0, shared: shared.clone(), client: false, since: None });
        (id, shared)
    }

    /// Forgets a lease and frees its bytes. Those who wait are not served yet: see [`State::grant`].
    pub(super) fn remove(&mut self, id: u64) -> Option<Held> {
        let held = self.leases.remove(&id)?;
        if let Some(since) = held.since {
            self.clients.remove(&(since, id));
        }
        self.free += held.bytes;
        if let Some(owner) = self.owners.get_mut(&held.owner) {
            owner.bytes -= held.bytes;
            owner.leases -= 1;
            let waiters = owner.waiters.len();
            owner.waiters.retain(|waiter| waiter.id != id);
            self.waiting -= waiters - owner.waiters.len();
            if owner.leases == 0 {
                self.owners.remove(&held.owner);
            }
        }
        Some(held)
    }

    /// Cuts a lease off: its bytes are dropped here and now.
    pub(super) fn evict(&mut self, id: u64) {
        if let Some(held) = self.remove(id) {
            self.evicted += 1;
            *held.shared.lock() = None;
            held.shared.evicted.notify_one();
        }
    }

    /// From now on the lease waits for its client.
    pub(super) fn wait_for_client(&mut self, id: u64) {
        self.pause(id);
        if let Some(held) = self.leases.get_mut(&id) {
            let now = Instant::now();
            (held.client, held.since) = (true, Some(now));
            self.clients.insert((now, id));
        }
    }

    /// For now the lease waits for no client.
    pub(super) fn pause(&mut self, id: u64) {
        if let Some(since) = self.leases.get_mut(&id).and_then(|held| held.since.take()) {
            self.clients.remove(&(since, id));
        }
    }

    /// The lease waits for no client any more.
    pub(super) fn work(&mut self, id: u64) {
        self.pause(id);
        if let Some(held) = self.leases.get_mut(&id) {
            held.client = false;
        }
    }

    pub(super) fn progressed(&mut self, id: u64) {
        if self.leases.get(&id).is_some_and(|held| held.since.is_some()) {
            self.wait_for_client(id);
        }
    }

    pub(super) fn give_back(&mut self, id: u64, bytes: usize) {
        let Some(held) = self.leases.get_mut(&id) else { return };
        held.bytes -= bytes;
        self.free += bytes;
        if let Some(owner) = self.owners.get_mut(&held.owner) {
            owner.bytes -= bytes;
        }
        self.grant();
    }

    /// Asks for `by` more bytes. They come at once where there is room, or where somebody can be cut off for it.
    pub(super) fn ask(&mut self, id: u64, by: usize) -> Asked {
        let Some(held) = self.leases.get(&id) else { return Asked::Never };
        let owner = held.owner.clone();
        if held.bytes + by > self.share.min(self.bytes) {
            return Asked::Never;
        }
        self.make_room(id, &owner, by);
        if self.fits(&owner, by) {
            self.give(id, by);
            self.grant();
            return Asked::Granted;
        }
        // It is the server that keeps this client waiting now.
        self.pause(id);
        let (granted, wait) = oneshot::channel();
        if let Some(owner) = self.owners.get_mut(&owner) {
            owner.waiters.push_back(Waiter { id, by, granted });
            self.waiting += 1;
        }
        Asked::Wait(wait)
    }

    /// Looks once more whether there is somebody to cut off for a lease that waits.
    pub(super) fn look_again(&mut self, id: u64) {
        let Some(owner) = self.leases.get(&id).map(|held| held.owner.clone()) else { return };
        let waiters = self.owners.get(&owner).map(|used| &used.waiters);
        let Some(by) = waiters.and_then(|waiters| waiters.iter().find(|waiter| waiter.id == id)).map(|w| w.by) else {
            return;
        };
        self.make_room(id, &owner, by);
        self.grant();
    }

    pub(super) fn fits(&self, owner: &Owner, by: usize) -> bool {
        self.free >= by && self.used(owner) + by <= self.share
    }

    pub(super) fn used(&self, owner: &Owner) -> usize {
        self.owners.get(owner).map_or(0, |used| used.bytes)
    }

    pub(super) fn give(&mut self, id: u64, by: usize) {
        let Some(held) = self.leases.get_mut(&id) else { return };
        held.bytes += by;
        let returns = held.client && held.since.is_none();
        self.free -= by;
        if let Some(owner) = self.owners.get_mut(&held.owner) {
            owner.bytes += by;
        }
        if returns {
            self.wait_for_client(id);
        }
    }

    /// Serves those who wait, of each owner the smallest first, as far as there is room.
    pub(super) fn grant(&mut self) {
        if self.waiting == 0 {
            return;
        }
        let mut served = Vec::new();
        let mut free = self.free;
        for used in self.owners.values_mut() {
            let mut bytes = used.bytes;
            while let Some(waiter) = used.smallest(free.min(self.share.saturating_sub(bytes))) {
                free -= waiter.by;
                bytes += waiter.by;
                served.push(waiter);
            }
        }
        self.waiting -= served.len();
        for Waiter { id, by, granted } in served {
            // One that does not listen any more has a lease that ends now; until then the bytes are its own.
            self.give(id, by);
            let _ = granted.send(());
        }
    }

    /// Cuts off whom it must so that `by` bytes fit.
    pub(super) fn make_room(&mut self, id: u64, owner: &Owner, by: usize) {
        // Those that stall, the longest first; where the owner's share is used up, its own.
        while !self.fits(owner, by) {
            let own = self.used(owner) + by > self.share;
            // One that holds nothing would make no room.
            let may_go = |other: &u64| *other != id && self.holds(*other) > 0 && (!own || self.is_of(*other, owner));
            let stalled = self.stalled().find(may_go);
            let Some(stalled) = stalled else { break };
            self.evict(stalled);
        }
        // The slowest of whoever holds more than this owner would.
        while !self.fits(owner, by) && self.used(owner) + by <= self.share && self.owners.len() > 1 {
            let most = self.used(owner) + by;
            let heavier = |other: &u64| self.leases.get(other).is_some_and(|held| self.used(&held.owner) > most);
            let Some(slowest) = self.with_bytes().find(heavier) else { break };
            self.evict(slowest);
        }
        // What is small waits for nothing that is large.
        while !self.fits(owner, by) && self.holds(id) + by <= SMALL_BYTES {
            let own = self.used(owner) + by > self.share;
            let large = |other: &u64| self.holds(*other) > SMALL_BYTES && (!own || self.is_of(*other, owner));
            let Some(slowest) = self.with_bytes().find(large) else { break };
            self.evict(slowest);
        }
        // Two bodies of one owner that both wait for each other's room: the older one goes on.
        while !self.fits(owner, by) {
            let waiters = self.owners.get(owner).map(|used| &used.waiters);
            let younger = waiters.into_iter().flatten().map(|waiter| waiter.id);
            let Some(younger) = younger.filter(|other| *other > id && self.holds(*other) > 0).max() else { break };
            self.evict(younger);
        }
    }

    /// The leases whose clients stall, the longest first.
    pub(super) fn stalled(&self) -> impl Iterator<Item = u64> {
        let now = Instant::now();
        self.clients.iter().take_while(move |(since, _)| now.duration_since(*since) >= STALL_TIME).map(|(_, id)| *id)
    }

    /// The leases with bytes that could be cut off, the slowest clients first, and after them those that wait for room.
    pub(super) fn with_bytes(&self) -> impl Iterator<Item = u64> {
        let clients = self.clients.iter().map(|(_, id)| *id);
        let waiters = self.owners.values().flat_map(|used| used.waiters.iter().rev()).map(|waiter| waiter.id);
        clients.chain(waiters).filter(|id| self.holds(*id) > 0)
    }

    pub(super) fn is_of(&self, id: u64, owner: &Owner) -> bool {
        self.leases.get(&id).is_some_and(|held| held.owner == *owner)
    }

    /// Bytes of a lease.
    pub(super) fn holds(&self, id: u64) -> usize {
        self.leases.get(&id).map_or(0, |held| held.bytes)
    }

    /// Cuts off the slowest of an owner's requests beyond [`REQUESTS_PER_OWNER`] if they stall.
    pub(super) fn limit_requests(&mut self, owner: &Owner) {
        while self.owners.get(owner).is_some_and(|used| used.leases > REQUESTS_PER_OWNER) {
            let Some(slowest) = self.stalled().find(|id| self.is_of(*id, owner)) else { break };
            self.evict(slowest);
        }
        self.grant();
    }
}
