//! Tracks open connections: limits their number, decides which to evict when there is no room, and records what each one does.
//!
//! A connection is a stranger's until one of its requests is authenticated. Strangers share small budgets, and their longest idle
//! connections are evicted first.

mod limits;
mod reading;

pub use limits::ConnectionLimits;
pub use reading::{FREE_BYTES, LARGE_READ_BYTES, MIDDLE_READ_BYTES, NoRoom, SMALL_READ_BYTES};

use crate::metrics::Traffic;
use crate::streams::Streams;
use kernel::lock;
use reading::{AHEAD_BYTES, LEFT_FOR_OTHERS, PIECE_BYTES, Reading, StrangersBytes};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
/// A client is stalled if it reads or sends nothing for this long while the server waits for it. Stalled clients are cut off when
/// others need their room.
pub const STALL_TIME: Duration = Duration::from_secs(5);
/// How often a new connection that waits for a place checks whether another can be evicted.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Minimum time between two log lines about a lack of room.
const NOTICE_TIME: Duration = Duration::from_secs(60);

/// All connections of the listeners that share one limit.
pub struct Connections {
    limits: ConnectionLimits,
    /// Permits for further connections, including spare ones.
    places: Arc<Semaphore>,
    table: Mutex<Table>,
    /// The origin of all [`Millis`].
    epoch: Instant,
    traffic: Traffic,
    read_ahead: Arc<Semaphore>,
    strangers_bytes: Arc<Semaphore>,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<ConnectionState>>,
    /// By address, with the number of open connections.
    groups: HashMap<IpAddr, (usize, Arc<Group>)>,
    /// Served connections that were not told to end.
    served: usize,
    /// Connections that were told to end but are still open.
    ending: usize,
    /// New connections that wait for another to end.
    waiting: usize,
    noticed: Option<Instant>,
    /// Evicted and turned-away connections since the last log line about them.
    unsaid: (u64, u64),
}

/// The connections of one address; for IPv6, of one /64 network, which is what a host gets.
#[derive(Default)]
struct Group {
    strangers: AtomicUsize,
    known: AtomicUsize,
}

/// No request of the connection was authenticated yet.
const STRANGER: u8 = 0;
/// One of a connection's requests was authenticated.
const KNOWN: u8 = 1;
/// A connection has ended.
const GONE: u8 = 2;

/// Milliseconds since the epoch of [`Connections`], never 0.
type Millis = u64;

/// What one connection is doing. Its task and its handlers write it; eviction reads it. Made by [`Connections::admit`].
pub struct ConnectionState {
    number: u64,
    /// Whether it comes from a trusted proxy, which may serve any client.
    proxied: bool,
    /// Whether it has a spare place: only health and metrics are answered, and 503 to all else.
    spare: bool,
    group: Arc<Group>,
    epoch: Instant,
    /// [`STRANGER`], [`KNOWN`] or [`GONE`].
    class: AtomicU8,
    /// Whether it was told to end.
    evicted: AtomicBool,
    end: Notify,
    /// Requests whose responses have not ended.
    requests: AtomicUsize,
    /// Transfers among them that hold buffers.
    transfers: AtomicUsize,
    /// When it was accepted, last sent a request, or was last answered.
    asked: AtomicU64,
    /// When the current write began to wait for the client; 0 if none waits.
    blocked: AtomicU64,
    /// When each handler that waits for a body began to wait, by the body's number.
    bodies: Mutex<HashMap<u64, Millis>>,
    next_body: AtomicU64,
    /// The streams of an HTTP/2 connection.
    streams: OnceLock<Arc<Streams>>,
    reading: Reading,
}

impl Connections {
    pub fn new(limits: ConnectionLimits, traffic: &Traffic) -> Arc<Connections> {
        let places = (limits.connections + limits.spare).min(Semaphore::MAX_PERMITS);
        Arc::new(Connections {
            limits,
            places: Arc::new(Semaphore::new(places)),
            table: Mutex::default(),
            epoch: Instant::now(),
            traffic: traffic.clone(),
            read_ahead: Arc::new(Semaphore::new(limits.read_ahead_bytes / AHEAD_BYTES)),
            strangers_bytes: Arc::new(Semaphore::new(limits.strangers_bytes / PIECE_BYTES)),
        })
    }

    /// Admits a new connection. If all places are taken, evicts the connection with the best [`Rank`]; if none can be evicted,
    /// the new one gets a spare place.
    pub async fn admit(self: &Arc<Self>, address: IpAddr, proxied: bool) -> Place {
        let permit = match self.places.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => self.wait_for_place().await,
        };
        let mut table = self.table();
        // A served place if one is free or can be freed, otherwise a spare one.
        let room = table.served < self.limits.connections || table.evict(self.now(), false, &self.traffic);
        if !room {
            table.unsaid.1 += 1;
            self.traffic.turned_away.inc();
        }
        table.say(self.limits.connections);
        let (open, group) = table.groups.entry(network(address)).or_default();
        *open += 1;
        let group = group.clone();
        group.strangers.fetch_add(1, Relaxed);
        // Register the connection, as a stranger's for now.
        let number = table.next;
        table.next += 1;
        table.served += usize::from(room);
        let state = Arc::new(ConnectionState {
            number,
            proxied,
            spare: !room,
            group,
            epoch: self.epoch,
            class: AtomicU8::new(STRANGER),
            evicted: AtomicBool::new(false),
            end: Notify::new(),
            requests: AtomicUsize::new(0),
            transfers: AtomicUsize::new(0),
            asked: AtomicU64::new(self.now()),
            blocked: AtomicU64::new(0),
            bodies: Mutex::default(),
            next_body: AtomicU64::new(0),
            streams: OnceLock::new(),
            reading: Reading {
                large: AtomicUsize::new(0),
                grown: AtomicBool::new(false),
                small_again: Notify::new(),
                unread_body: AtomicBool::new(false),
                budget: self.read_ahead.clone(),
                left_for_others: self.limits.read_ahead_bytes / AHEAD_BYTES / LEFT_FOR_OTHERS,
                most: AtomicUsize::new(SMALL_READ_BYTES),
                keep_open: AtomicBool::new(false),
                grant: Mutex::default(),
                strangers_budget: self.strangers_bytes.clone(),
                strangers: Mutex::default(),
            },
        });
        table.open.insert(number, state.clone());
        Place { state, address, connections: self.clone(), _permit: permit }
    }

    /// Ends up to `count` connections whose clients have stalled for at least `stalled`, the longest first, and returns how many.
    /// With `transfers`, only those that hold buffers.
    pub fn end_stalled(&self, stalled: Duration, transfers: bool, count: usize) -> usize {
        let before = self.now().saturating_sub(millis(stalled));
        let mut table = self.table();
        let open = table.open.values().filter(|state| !state.evicted.load(Relaxed));
        let mut found: Vec<_> = open
            .filter(|state| !transfers || state.transfers.load(Relaxed) > 0)
            .filter_map(|state| Some((state.stalled_since().filter(|since| *since <= before)?, state.clone())))
            .collect();
        found.sort_unstable_by_key(|(since, _)| *since);
        found.truncate(count);
        for (_, state) in &found {
            table.end(state);
        }
        found.len()
    }

    /// Waits until a connection ends, and uses its place. Checks periodically whether a connection has become evictable, because
    /// it has idled or stalled since. Never returns `None`, because the semaphore is never closed.
    async fn wait_for_place(&self) -> Option<OwnedSemaphorePermit> {
        self.table().waiting += 1;
        let _waiting = Waiting(self);
        let mut place = pin!(self.places.clone().acquire_owned());
        loop {
            self.free_a_place();
            if let Ok(permit) = timeout(LOOK_AGAIN, &mut place).await {
                return permit.ok();
            }
        }
    }

    /// Evicts a connection, if possible, while more new ones wait than are ending.
    fn free_a_place(&self) {
        let mut table = self.table();
        if table.ending < table.waiting {
            table.evict(self.now(), true, &self.traffic);
        }
    }

    fn now(&self) -> Millis {
        since(self.epoch)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

struct Waiting<'a>(&'a Connections);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.table().waiting -= 1;
    }
}

impl Table {
    /// Evicts the connection with the lowest rank. Returns false if none can be evicted.
    fn evict(&mut self, now: Millis, spare: bool, traffic: &Traffic) -> bool {
        let open = self.open.values().filter(|state| spare || !state.spare);
        let best = open.filter_map(|state| Some((state.rank(now)?, state))).min_by_key(|(rank, _)| *rank);
        let Some(state) = best.map(|(_, state)| state.clone()) else { return false };
        self.end(&state);
        self.unsaid.0 += 1;
        traffic.evicted.inc();
        true
    }

    /// Tells a connection to end. From now on its place counts as free.
    fn end(&mut self, state: &ConnectionState) {
        if !state.evicted.swap(true, Relaxed) {
            self.served -= usize::from(!state.spare);
            self.ending += 1;
            state.end.notify_one();
        }
    }

    /// Logs that there is no room, at most once per [`NOTICE_TIME`].
    fn say(&mut self, limit: usize) {
        let (evicted, turned_away) = self.unsaid;
        let due = self.noticed.is_none_or(|noticed| noticed.elapsed() >= NOTICE_TIME);
        if (evicted, turned_away) != (0, 0) && due {
            tracing::warn!(
                connections = limit,
                evicted,
                turned_away,
                "All connections are taken: those that idle longest are closed for new ones, strangers' first"
            );
            self.noticed = Some(Instant::now());
            self.unsaid = (0, 0);
        }
    }
}

/// A connection's place; released when dropped.
pub struct Place {
    pub state: Arc<ConnectionState>,
    address: IpAddr,
    connections: Arc<Connections>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        table.open.remove(&self.state.number);
        match self.state.evicted.load(Relaxed) {
            true => table.ending -= 1,
            false => table.served -= usize::from(!self.state.spare),
        }
        let group = &self.state.group;
        let count = if self.state.class.swap(GONE, Relaxed) == KNOWN { &group.known } else { &group.strangers };
        count.fetch_sub(1, Relaxed);
        if let Entry::Occupied(mut entry) = table.groups.entry(network(self.address)) {
            entry.get_mut().0 -= 1;
            if entry.get().0 == 0 {
                entry.remove();
            }
        }
    }
}

/// The order of eviction, lowest first: the connection's class, how many of that class its address has (most first), since when
/// it idles, and its number.
type Rank = (u8, Reverse<usize>, Millis, u64);

impl ConnectionState {
    /// Returns the connection's rank; `None` if it can't be evicted, because one of its requests is being answered.
    fn rank(&self, now: Millis) -> Option<Rank> {
        if self.evicted.load(Relaxed) {
            return None;
        }
        let stalled = self.stalled_since();
        let idle = if self.requests.load(Relaxed) == 0 { Some(self.asked.load(Relaxed)) } else { None };
        let long_stalled = stalled.filter(|since| since + millis(STALL_TIME) <= now);
        if self.is_known() {
            // Any number of clients may be behind a proxy, so its address does not count.
            let of_address = if self.proxied { 0 } else { self.group.known.load(Relaxed) };
            return match idle {
                Some(since) => Some((1, Reverse(of_address), since, self.number)),
                None => long_stalled.map(|since| (2, Reverse(of_address), since, self.number)),
            };
        }
        // A stranger whose handler waits for the body counts as idle since its request, even if bytes arrive.
        let waits = !lock(&self.bodies).is_empty();
        let since = idle.or(waits.then(|| self.asked.load(Relaxed))).or(long_stalled)?;
        if self.proxied {
            Some((1, Reverse(0), since, self.number))
        } else {
            Some((0, Reverse(self.group.strangers.load(Relaxed)), since, self.number))
        }
    }

    /// Returns since when the client has kept the server waiting, over all its requests and in either direction.
    fn stalled_since(&self) -> Option<Millis> {
        let blocked = Some(self.blocked.load(Relaxed)).filter(|since| *since > 0);
        let body = lock(&self.bodies).values().min().copied();
        let stream = self.streams.get().and_then(|streams| streams.waits_since());
        let stream = stream.map(|since| millis(since.saturating_duration_since(self.epoch)) + 1);
        [blocked, body, stream].into_iter().flatten().min()
    }

    /// Whether it has a spare place.
    pub fn is_spare(&self) -> bool {
        self.spare
    }

    /// Returns once the connection must end, to make room.
    pub async fn ended(&self) {
        self.end.notified().await;
    }

    /// Marks the connection as known: it no longer counts as a stranger's.
    pub fn become_known(&self) {
        if self.class.load(Relaxed) != STRANGER {
            return;
        }
        // Counted before the class changes, so that a concurrent drop finds it counted.
        self.group.known.fetch_add(1, Relaxed);
        match self.class.compare_exchange(STRANGER, KNOWN, Relaxed, Relaxed) {
            Ok(_) => {
                self.group.strangers.fetch_sub(1, Relaxed);
                *lock(&self.reading.strangers) = StrangersBytes::default();
            }
            Err(_) => drop(self.group.known.fetch_sub(1, Relaxed)),
        }
    }

    fn is_known(&self) -> bool {
        self.class.load(Relaxed) == KNOWN
    }

    /// Marks the connection as HTTP/2 and registers its streams.
    pub fn over_http2(&self, streams: &Arc<Streams>) {
        let _ = self.streams.set(streams.clone());
    }

    /// Whether it speaks HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.streams.get().is_some()
    }

    /// Notes that a request's head has arrived. The request runs until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> RequestGuard {
        self.asked.store(self.now(), Relaxed);
        if self.requests.fetch_add(1, Relaxed) == 0 {
            self.consumed(usize::MAX);
        }
        RequestGuard { state: self.clone(), transfer: false }
    }

    /// Notes that a transfer that holds buffers begins.
    pub fn begin_transfer(&self) {
        self.transfers.fetch_add(1, Relaxed);
    }

    pub fn end_transfer(&self) {
        self.transfers.fetch_sub(1, Relaxed);
    }

    /// Notes whether a write waits for the client.
    pub fn blocked(&self, blocked: bool) {
        match blocked {
            true if self.blocked.load(Relaxed) == 0 => self.blocked.store(self.now(), Relaxed),
            true => {}
            false => self.blocked.store(0, Relaxed),
        }
    }

    /// Returns a new number for a request's body.
    pub fn body_number(&self) -> u64 {
        self.next_body.fetch_add(1, Relaxed)
    }

    /// Notes that a handler waits for the client's bytes, until the guard is dropped.
    pub fn waits_for_body(self: &Arc<Self>, number: u64) -> WaitsForBody {
        lock(&self.bodies).insert(number, self.now());
        WaitsForBody { state: self.clone(), number }
    }

    fn now(&self) -> Millis {
        since(self.epoch)
    }
}

/// A request from its head to the end of its response.
pub struct RequestGuard {
    state: Arc<ConnectionState>,
    transfer: bool,
}

impl RequestGuard {
    /// Notes that the response holds buffers.
    pub fn transfers(&mut self) {
        self.transfer = true;
        self.state.begin_transfer();
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let state = &self.state;
        if self.transfer {
            state.end_transfer();
        }
        state.asked.store(state.now(), Relaxed);
        if state.requests.fetch_sub(1, Relaxed) == 1 {
            state.consumed(usize::MAX);
            if state.reading.grown.load(Relaxed) {
                state.reading.small_again.notify_one();
            }
        }
    }
}

/// See [`ConnectionState::waits_for_body`].
pub struct WaitsForBody {
    state: Arc<ConnectionState>,
    number: u64,
}

impl Drop for WaitsForBody {
    fn drop(&mut self) {
        lock(&self.state.bodies).remove(&self.number);
    }
}

/// Returns the address that connections are counted by: for IPv6, the /64 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

fn since(epoch: Instant) -> Millis {
    millis(epoch.elapsed()) + 1
}

fn millis(time: Duration) -> Millis {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests;
