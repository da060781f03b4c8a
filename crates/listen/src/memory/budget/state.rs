//! A budget's state: what each lease holds, which leases wait for room, and which to evict for them.

use super::{Owner, REQUESTS_PER_OWNER, SMALL_BYTES, STALL_TIME, Shared};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// The result of a request for room.
pub(super) enum Asked {
    Granted,
    /// Receives when the room is granted; closed if the lease is evicted.
    Wait(oneshot::Receiver<()>),
    /// The lease was evicted, or asks for more than the budget could ever grant.
    Never,
}

pub(super) struct State {
    pub(super) bytes: usize,
    /// Maximum bytes of one owner.
    pub(super) share: usize,
    pub(super) free: usize,
    pub(super) leases: HashMap<u64, Held>,
    /// Leases that wait for their client, ordered by the client's last progress.
    pub(super) clients: BTreeSet<(Instant, u64)>,
    pub(super) owners: HashMap<Owner, Use>,
    /// Leases that wait for room.
    pub(super) waiting: usize,
    pub(super) next: u64,
    pub(super) evicted: u64,
}

/// An owner's use of the budget.
#[derive(Default)]
pub(super) struct Use {
    pub(super) bytes: usize,
    pub(super) leases: usize,
    /// Its leases that wait for room.
    pub(super) waiters: VecDeque<Waiter>,
}

impl Use {
    /// Removes and returns the smallest waiter, the first of several, if it asks for at most `most`.
    pub(super) fn smallest(&mut self, most: usize) -> Option<Waiter> {
        let (at, by) = self.waiters.iter().map(|waiter| waiter.by).enumerate().min_by_key(|(_, by)| *by)?;
        if by <= most { self.waiters.remove(at) } else { None }
    }
}

/// A lease's entry in its budget.
pub(super) struct Held {
    pub(super) owner: Owner,
    pub(super) bytes: usize,
    pub(super) shared: Arc<Shared>,
    /// Whether the client moves the bytes, rather than the server.
    pub(super) client: bool,
    /// Its key in [`State::clients`]; `None` while the server works with it or it waits for room.
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

    /// Removes a lease and frees its bytes. Does not serve waiters: see [`State::grant`].
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

    /// Evicts a lease: its bytes are dropped immediately.
    pub(super) fn evict(&mut self, id: u64) {
        if let Some(held) = self.remove(id) {
            self.evicted += 1;
            *held.shared.lock() = None;
            held.shared.evicted.notify_one();
        }
    }

    /// Marks the lease as waiting for its client.
    pub(super) fn wait_for_client(&mut self, id: u64) {
        self.pause(id);
        if let Some(held) = self.leases.get_mut(&id) {
            let now = Instant::now();
            (held.client, held.since) = (true, Some(now));
            self.clients.insert((now, id));
        }
    }

    /// Suspends the lease's waiting for its client.
    pub(super) fn pause(&mut self, id: u64) {
        if let Some(since) = self.leases.get_mut(&id).and_then(|held| held.since.take()) {
            self.clients.remove(&(since, id));
        }
    }

    /// Marks the lease as in use by the server: it no longer waits for its client.
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

    /// Asks for `by` more bytes. Grants them at once if there is room or a lease can be evicted for it.
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
        // Now the server keeps this client waiting, so the client does not stall.
        self.pause(id);
        let (granted, wait) = oneshot::channel();
        if let Some(owner) = self.owners.get_mut(&owner) {
            owner.waiters.push_back(Waiter { id, by, granted });
            self.waiting += 1;
        }
        Asked::Wait(wait)
    }

    /// Checks again whether a lease can be evicted for a waiting one.
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

    /// Serves waiters while there is room, the smallest of each owner first.
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
            // If the receiver is gone, its lease is about to be dropped and will release the bytes.
            self.give(id, by);
            let _ = granted.send(());
        }
    }

    /// Evicts leases, as the rules allow, until `by` bytes fit.
    pub(super) fn make_room(&mut self, id: u64, owner: &Owner, by: usize) {
        // First: stalled leases, the longest first; only the owner's own if its share is used up.
        while !self.fits(owner, by) {
            let own = self.used(owner) + by > self.share;
            // Evicting an empty lease would free nothing.
            let may_go = |other: &u64| *other != id && self.holds(*other) > 0 && (!own || self.is_of(*other, owner));
            let stalled = self.stalled().find(may_go);
            let Some(stalled) = stalled else { break };
            self.evict(stalled);
        }
        // Then: the slowest lease of an owner that holds more than this owner would.
        while !self.fits(owner, by) && self.used(owner) + by <= self.share && self.owners.len() > 1 {
            let most = self.used(owner) + by;
            let heavier = |other: &u64| self.leases.get(other).is_some_and(|held| self.used(&held.owner) > most);
            let Some(slowest) = self.with_bytes().find(heavier) else { break };
            self.evict(slowest);
        }
        // Then, for a small lease: large leases.
        while !self.fits(owner, by) && self.holds(id) + by <= SMALL_BYTES {
            let own = self.used(owner) + by > self.share;
            let large = |other: &u64| self.holds(*other) > SMALL_BYTES && (!own || self.is_of(*other, owner));
            let Some(slowest) = self.with_bytes().find(large) else { break };
            self.evict(slowest);
        }
        // Last: if two bodies of one owner wait for each other's room, the older one continues.
        while !self.fits(owner, by) {
            let waiters = self.owners.get(owner).map(|used| &used.waiters);
            let younger = waiters.into_iter().flatten().map(|waiter| waiter.id);
            let Some(younger) = younger.filter(|other| *other > id && self.holds(*other) > 0).max() else { break };
            self.evict(younger);
        }
    }

    /// Returns the leases with stalled clients, the longest first.
    pub(super) fn stalled(&self) -> impl Iterator<Item = u64> {
        let now = Instant::now();
        self.clients.iter().take_while(move |(since, _)| now.duration_since(*since) >= STALL_TIME).map(|(_, id)| *id)
    }

    /// Returns the evictable leases with bytes: the slowest clients first, then those that wait for room.
    pub(super) fn with_bytes(&self) -> impl Iterator<Item = u64> {
        let clients = self.clients.iter().map(|(_, id)| *id);
        let waiters = self.owners.values().flat_map(|used| used.waiters.iter().rev()).map(|waiter| waiter.id);
        clients.chain(waiters).filter(|id| self.holds(*id) > 0)
    }

    pub(super) fn is_of(&self, id: u64, owner: &Owner) -> bool {
        self.leases.get(&id).is_some_and(|held| held.owner == *owner)
    }

    /// Returns a lease's bytes.
    pub(super) fn holds(&self, id: u64) -> usize {
        self.leases.get(&id).map_or(0, |held| held.bytes)
    }

    /// Evicts the slowest stalled requests of an owner beyond [`REQUESTS_PER_OWNER`].
    pub(super) fn limit_requests(&mut self, owner: &Owner) {
        while self.owners.get(owner).is_some_and(|used| used.leases > REQUESTS_PER_OWNER) {
            let Some(slowest) = self.stalled().find(|id| self.is_of(*id, owner)) else { break };
            self.evict(slowest);
        }
        self.grant();
    }
}
