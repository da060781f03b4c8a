//! The connections that are open: how many there may be, which go when there is no room, and what each one is doing.
//!
//! A connection is a stranger's until one of its requests was authenticated. Strangers share small budgets; what they hold longest
//! goes first.
use crate::metrics::Traffic;
use crate::streams::Streams;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// What connections may take of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once that are served, over all listeners of the doors.
    pub connections: usize,
    /// Further connections at once, which are answered health and metrics, and 503 to everything else. Connections that were told
    /// to end count among them until they have.
    pub spare: usize,
    /// Bytes at once that the connections of authorized transfers may read ahead.
    pub read_ahead_bytes: usize,
    /// Bytes at once that strangers' connections may hold beyond [`FREE_BYTES`] each.
    pub strangers_bytes: usize,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            connections: 4096,
            spare: 64,
            read_ahead_bytes: 48 * 1024 * 1024,
            strangers_bytes: 32 * 1024 * 1024,
        }
    }
}

/// Files that the process has open beside its connections and their layers: databases, logs, listeners, the runtime's own.
const OTHER_FILES: u64 = 128;
/// Files that a connection takes: its socket, and the layer that it reads or writes.
const CONNECTION_FILES: u64 = 2;
/// The least number of connections, however few files there may be.
const LEAST_CONNECTIONS: u64 = 16;

impl ConnectionLimits {
    /// The same limits, with no more connections than `files` open files allow; `None` is any number of files.
    pub fn within(self, files: Option<u64>) -> ConnectionLimits {
        let Some(files) = files else { return self };
        let spare = u64::try_from(self.spare).unwrap_or(u64::MAX);
        let left = files.saturating_sub(OTHER_FILES).saturating_sub(spare) / CONNECTION_FILES;
        let allowed = usize::try_from(left.max(LEAST_CONNECTIONS)).unwrap_or(usize::MAX);
        ConnectionLimits { connections: self.connections.min(allowed), ..self }
    }

    /// Layers' files at most that pulls may have open at once, of `files` that the process may; `None` is any number. One connection
    /// of HTTP/2 may ask for a hundred.
    pub fn layer_files(self, files: Option<u64>) -> usize {
        let Some(files) = files else { return usize::MAX };
        let sockets = u64::try_from(self.within(Some(files)).connections + self.spare).unwrap_or(u64::MAX);
        let left = files.saturating_sub(OTHER_FILES).saturating_sub(sockets);
        usize::try_from(left.max(LEAST_CONNECTIONS)).unwrap_or(usize::MAX)
    }
}

/// Bytes of one large read of a transfer that was authorized. Each read is a change of task and perhaps of thread: this measured a
/// seventh less processor time for a push than half of it.
pub const LARGE_READ_BYTES: usize = 512 * 1024;
/// The same of a transfer for which the budget has no more room.
pub const MIDDLE_READ_BYTES: usize = 32 * 1024 - 1;
/// Bytes of one read at most until a transfer is authorized. It is less than the 8 KiB with which hyper begins, which doubles its
/// memory after each read that fills it.
pub const SMALL_READ_BYTES: usize = 8 * 1024 - 1;
/// Bytes that a stranger's connection may hold without taking of the strangers' budget: a usual head, or two reads of a body.
pub const FREE_BYTES: usize = 24 * 1024;
/// The budget of what is read ahead is counted in pieces of so many bytes: two reads of [`MIDDLE_READ_BYTES`].
const AHEAD_BYTES: usize = 64 * 1024;
/// Such pieces of a transfer that reads in large pieces: two reads of [`LARGE_READ_BYTES`], as one is taken while the next comes.
const LARGE_PIECES: u32 = 16;
/// Of the budget this part (a third) is left for transfers that read in smaller pieces.
const LEFT_FOR_OTHERS: usize = 3;
/// The strangers' budget is counted in pieces of so many bytes.
const PIECE_BYTES: usize = 8 * 1024;
/// A client that takes or sends nothing for so long while we wait for it is stalled: it goes when others need its room.
pub const STALL_TIME: Duration = Duration::from_secs(5);
/// How often a new connection that waits for a place looks whether one can be missed meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Between two lines of the log that say that there is no room.
const NOTICE_TIME: Duration = Duration::from_secs(60);

/// All connections of the listeners that share a limit.
pub struct Connections {
    limits: ConnectionLimits,
    /// Connections that may still exist, spare ones included.
    places: Arc<Semaphore>,
    table: Mutex<Table>,
    /// What times are counted from.
    epoch: Instant,
    traffic: Traffic,
    read_ahead: Arc<Semaphore>,
    strangers_bytes: Arc<Semaphore>,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<ConnectionState>>,
    /// With the number of their open connections.
    groups: HashMap<IpAddr, (usize, Arc<Group>)>,
    /// Connections that are served and were not told to end.
    served: usize,
    /// Connections that were told to end and have not yet.
    ending: usize,
    /// New connections that wait for the place of one that ends.
    waiting: usize,
    noticed: Option<Instant>,
    /// Evicted, and turned away, since the log said so last.
    unsaid: (u64, u64),
}

/// The connections of one address; of one /64 network for IPv6, which is what a host has there.
#[derive(Default)]
struct Group {
    strangers: AtomicUsize,
    known: AtomicUsize,
}

/// Nobody is known behind a connection.
const STRANGER: u8 = 0;
/// One of a connection's requests was authenticated.
const KNOWN: u8 = 1;
/// A connection has ended.
const GONE: u8 = 2;

/// Milliseconds since the epoch of [`Connections`], never 0.
type Millis = u64;

/// What one connection is doing. Its task and its requests' handlers write it; whoever looks for room reads it.
pub struct ConnectionState {
    number: u64,
    /// Whether it comes from a trusted proxy, behind which anybody may be.
    proxied: bool,
    /// Whether it has a spare place: it is answered health and metrics, and nothing else.
    spare: bool,
    group: Arc<Group>,
    epoch: Instant,
    /// [`STRANGER`], [`KNOWN`] or [`GONE`].
    class: AtomicU8,
    /// Whether it was told to end.
    evicted: AtomicBool,
    end: Notify,
    /// Requests whose answers have not ended.
    requests: AtomicUsize,
    /// Of those, transfers that hold buffers.
    transfers: AtomicUsize,
    /// When it was accepted, or asked last, or was answered last.
    asked: AtomicU64,
    /// Since when a write waits for the client; 0 when none does.
    blocked: AtomicU64,
    /// Since when the handlers of requests wait for the client's bodies, by the requests' numbers.
    bodies: Mutex<HashMap<u64, Millis>>,
    next_body: AtomicU64,
    /// The streams of an HTTP/2 connection.
    streams: OnceLock<Arc<Streams>>,
    reading: Reading,
}

/// How much a connection may read, and what it holds for that.
struct Reading {
    /// Bodies that may be read in large pieces now.
    large: AtomicUsize,
    /// Whether a read was larger than [`SMALL_READ_BYTES`], which leaves hyper with more memory than it needs.
    grown: AtomicBool,
    /// Wakes the connection's task once it should begin anew, with small memory.
    small_again: Notify,
    /// Whether a body was left unread, so that the connection must end after its answer.
    unread_body: AtomicBool,
    /// Whether hyper's connection ends only to begin anew, so that the stream stays open.
    keep_open: AtomicBool,
    /// Bytes of one read at most.
    most: AtomicUsize,
    budget: Arc<Semaphore>,
    /// Pieces of `budget` that large reads leave.
    left_for_others: usize,
    /// The connection's part of `budget`. Kept until its memory is small again.
    grant: Mutex<Option<OwnedSemaphorePermit>>,
    strangers_budget: Arc<Semaphore>,
    strangers: Mutex<StrangersBytes>,
}

/// What a stranger sent that no handler has taken yet.
#[derive(Default)]
struct StrangersBytes {
    held: usize,
    permits: Option<OwnedSemaphorePermit>,
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

    /// Gives a new connection its place. When there is none, the connection ends that can be missed best; when none can be missed,
    /// the new one has a spare place.
    pub async fn admit(self: &Arc<Self>, address: IpAddr, proxied: bool) -> Place {
        let permit = match self.places.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => self.wait_for_place().await,
        };
        let mut table = self.table();
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

    /// Ends up to `count` connections whose clients have been stalled for so long, the longest first; says how many. With
    /// `transfers` only such as hold buffers.
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

    /// Waits for the place of a connection that ends. From time to time it looks again whether one can be missed by now: one that
    /// idles or stalls since, where none did before. `None` never comes, as nothing closes the semaphore.
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

    /// Ends a connection if fewer end than new ones wait, and if one can be missed.
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
    /// Ends the connection that can be missed best, if one can.
    fn evict(&mut self, now: Millis, spare: bool, traffic: &Traffic) -> bool {
        let open = self.open.values().filter(|state| spare || !state.spare);
        let best = open.filter_map(|state| Some((state.rank(now)?, state))).min_by_key(|(rank, _)| *rank);
        let Some(state) = best.map(|(_, state)| state.clone()) else { return false };
        self.end(&state);
        self.unsaid.0 += 1;
        traffic.evicted.inc();
        true
    }

    /// Tells a connection to end; its place can be given away from now on.
    fn end(&mut self, state: &ConnectionState) {
        if !state.evicted.swap(true, Relaxed) {
            self.served -= usize::from(!state.spare);
            self.ending += 1;
            state.end.notify_one();
        }
    }

    /// Says in the log that there is no room, once in a while.
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

/// A connection's place among all; given back when dropped.
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

/// How well a connection can be missed, the best first: its class, how many its address has of that class, since when it idles, and its
/// number.
type Rank = (u8, Reverse<usize>, Millis, u64);

impl ConnectionState {
    /// `None` while it can't be missed: a request of it is being answered.
    fn rank(&self, now: Millis) -> Option<Rank> {
        if self.evicted.load(Relaxed) {
            return None;
        }
        let stalled = self.stalled_since();
        let idle = if self.requests.load(Relaxed) == 0 { Some(self.asked.load(Relaxed)) } else { None };
        let long_stalled = stalled.filter(|since| since + millis(STALL_TIME) <= now);
        if self.is_known() {
            // Behind a proxy may be anybody, any number of them: the proxy's address says nothing.
            let of_address = if self.proxied { 0 } else { self.group.known.load(Relaxed) };
            return match idle {
                Some(since) => Some((1, Reverse(of_address), since, self.number)),
                None => long_stalled.map(|since| (2, Reverse(of_address), since, self.number)),
            };
        }
        // A stranger that keeps a handler waiting for its body idles since it asked, however many bytes it sends.
        let waits = !lock(&self.bodies).is_empty();
        let since = idle.or(waits.then(|| self.asked.load(Relaxed))).or(long_stalled)?;
        if self.proxied {
            Some((1, Reverse(0), since, self.number))
        } else {
            Some((0, Reverse(self.group.strangers.load(Relaxed)), since, self.number))
        }
    }

    /// Since when the client keeps us waiting for what it sends or takes, of all its requests the longest.
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

    /// From now on it is not a stranger's.
    pub fn become_known(&self) {
        if self.class.load(Relaxed) != STRANGER {
            return;
        }
        // Counted before it is known: whoever ends it meanwhile finds it counted.
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

    /// Its streams are these.
    pub fn over_http2(&self, streams: &Arc<Streams>) {
        let _ = self.streams.set(streams.clone());
    }

    /// Whether it speaks HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.streams.get().is_some()
    }

    /// A request's head has come whole.
    pub fn begin(self: &Arc<Self>) -> RequestGuard {
        self.asked.store(self.now(), Relaxed);
        if self.requests.fetch_add(1, Relaxed) == 0 {
            self.consumed(usize::MAX);
        }
        RequestGuard { state: self.clone(), transfer: false }
    }

    /// A transfer that holds buffers begins.
    pub fn begin_transfer(&self) {
        self.transfers.fetch_add(1, Relaxed);
    }

    pub fn end_transfer(&self) {
        self.transfers.fetch_sub(1, Relaxed);
    }

    /// A write waits for the client, or no more.
    pub fn blocked(&self, blocked: bool) {
        match blocked {
            true if self.blocked.load(Relaxed) == 0 => self.blocked.store(self.now(), Relaxed),
            true => {}
            false => self.blocked.store(0, Relaxed),
        }
    }

    /// A number for a request's body.
    pub fn body_number(&self) -> u64 {
        self.next_body.fetch_add(1, Relaxed)
    }

    /// The handler of a request waits for its client's bytes until the guard is dropped.
    pub fn waits_for_body(self: &Arc<Self>, number: u64) -> WaitsForBody {
        lock(&self.bodies).insert(number, self.now());
        WaitsForBody { state: self.clone(), number }
    }

    /// A body was left unread: the connection must end after its answer.
    pub fn leave_body(&self) {
        self.reading.unread_body.store(true, Relaxed);
    }

    pub fn left_body(&self) -> bool {
        self.reading.unread_body.load(Relaxed)
    }

    /// Lets a body be read in larger pieces, if the budget of all connections has room; else it can be asked again.
    pub fn read_large(&self) -> bool {
        let Reading { budget, left_for_others, .. } = &self.reading;
        let mut grant = lock(&self.reading.grant);
        if grant.is_none() {
            let has_room = budget.available_permits() >= left_for_others + LARGE_PIECES as usize;
            let large = if has_room { budget.clone().try_acquire_many_owned(LARGE_PIECES).ok() } else { None };
            *grant = large.or_else(|| budget.clone().try_acquire_owned().ok());
        }
        let Some(granted) = &*grant else { return false };
        let is_large = granted.num_permits() == LARGE_PIECES as usize;
        self.reading.most.store(if is_large { usize::MAX } else { MIDDLE_READ_BYTES }, Relaxed);
        self.reading.large.fetch_add(1, Relaxed);
        true
    }

    /// A body that was read in larger pieces has ended.
    pub fn read_small(&self) {
        if self.reading.large.fetch_sub(1, Relaxed) == 1 {
            self.reading.most.store(SMALL_READ_BYTES, Relaxed);
            // Over HTTP/1.1 the memory of the last body is still there.
            if !self.reading.grown.load(Relaxed) {
                *lock(&self.reading.grant) = None;
            }
        }
    }

    /// Bytes of one read at most, now.
    pub fn read_at_most(&self) -> usize {
        self.reading.most.load(Relaxed)
    }

    /// Whether a body may be read in larger pieces now.
    pub fn reads_large(&self) -> bool {
        self.reading.large.load(Relaxed) > 0
    }

    /// So many bytes came. [`NoRoom`] when a stranger holds more than all strangers may.
    pub fn received(&self, bytes: usize) -> Result<(), NoRoom> {
        if bytes > SMALL_READ_BYTES && !self.is_http2() {
            self.reading.grown.store(true, Relaxed);
        }
        if self.is_known() {
            return Ok(());
        }
        let mut strangers = lock(&self.reading.strangers);
        strangers.held = strangers.held.saturating_add(bytes);
        let wanted = strangers.held.saturating_sub(FREE_BYTES).div_ceil(PIECE_BYTES);
        let missing = wanted.saturating_sub(strangers.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| NoRoom)?;
        let more = self.reading.strangers_budget.clone().try_acquire_many_owned(missing).map_err(|_| NoRoom)?;
        match &mut strangers.permits {
            Some(permits) => permits.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// A handler took so many bytes.
    pub fn consumed(&self, bytes: usize) {
        if self.is_known() {
            return;
        }
        let mut strangers = lock(&self.reading.strangers);
        strangers.held = strangers.held.saturating_sub(bytes);
        if strangers.held <= FREE_BYTES {
            strangers.permits = None;
        }
    }

    /// Returns once the memory of a large body should be given back: its request was answered, and nothing else runs.
    pub async fn small_again(&self) {
        self.reading.small_again.notified().await;
    }

    /// hyper's connection ends only to begin anew: the stream stays open until [`ConnectionState::begin_anew`].
    pub fn keep_open(&self) {
        self.reading.keep_open.store(true, Relaxed);
    }

    pub fn is_kept_open(&self) -> bool {
        self.reading.keep_open.load(Relaxed)
    }

    /// The memory of large bodies was given back.
    pub fn begin_anew(&self) {
        self.reading.keep_open.store(false, Relaxed);
        self.reading.grown.store(false, Relaxed);
        if !self.reads_large() {
            *lock(&self.reading.grant) = None;
        }
    }

    fn now(&self) -> Millis {
        since(self.epoch)
    }
}

/// Strangers hold all that they may.
#[derive(Debug, thiserror::Error)]
#[error("clients that are not known hold all the memory that they may")]
pub struct NoRoom;

/// A request from its head to the end of its answer.
pub struct RequestGuard {
    state: Arc<ConnectionState>,
    transfer: bool,
}

impl RequestGuard {
    /// Its answer holds buffers.
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

/// The address by which connections are counted.
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    const HERE: [u8; 4] = [127, 0, 0, 1];

    fn connections(limits: ConnectionLimits) -> Arc<Connections> {
        Connections::new(limits, &Traffic::default())
    }

    #[test]
    fn there_are_no_more_connections_and_pulls_than_open_files_allow() {
        let usual = ConnectionLimits::default();
        for (files, connections, layers) in [
            (None, 4096, usize::MAX),
            (Some(1_048_576), 4096, 1_048_576 - 128 - 64 - 4096),
            (Some(1024), 416, 416),
            (Some(64), 16, 16),
        ] {
            assert_eq!(usual.within(files).connections, connections, "{files:?}");
            assert_eq!(usual.layer_files(files), layers, "{files:?}");
        }
    }

    #[tokio::test]
    async fn the_address_with_the_most_strangers_loses_the_one_that_idles_longest() {
        let connections = connections(ConnectionLimits { connections: 4, ..ConnectionLimits::default() });
        let mut places = Vec::new();
        for address in [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 2], [10, 0, 0, 3]] {
            places.push(connections.admit(address.into(), false).await);
        }
        places.push(connections.admit([10, 0, 0, 4].into(), false).await);
        let ended = |places: &[Place]| -> Vec<usize> {
            (0..places.len()).filter(|at| places[*at].state.evicted.load(Relaxed)).collect()
        };
        assert_eq!(ended(&places), [1], "of the two, the first");
        places[0].state.become_known();
        for number in [2, 3, 4, 5] {
            places.push(connections.admit([10, 0, 0, 5].into(), false).await);
            places.last().unwrap().state.become_known();
            assert!(ended(&places).contains(&number), "{number}: {:?}", ended(&places));
        }
        // A request that is answered keeps its connection.
        let requests: Vec<_> = places.iter().map(|place| place.state.begin()).collect();
        assert!(connections.admit(HERE.into(), false).await.state.is_spare());
        drop(requests);
        assert!(!connections.admit(HERE.into(), false).await.state.is_spare());
    }

    #[tokio::test(start_paused = true)]
    async fn known_connections_of_a_trusted_proxy_are_not_counted_by_its_address() {
        let proxy = [10, 0, 0, 9];
        for stalled in [false, true] {
            let connections = connections(ConnectionLimits { connections: 5, ..Default::default() });
            let (mut places, mut requests) = (Vec::new(), Vec::new());
            // Those of the proxy are the most, and idle or stall the longest.
            for (address, proxied) in [(proxy, true), (proxy, true), (proxy, true), (HERE, false), (HERE, false)] {
                let place = connections.admit(address.into(), proxied).await;
                place.state.become_known();
                if stalled {
                    requests.push(place.state.begin());
                    place.state.blocked(true);
                }
                places.push(place);
                advance(STALL_TIME).await;
            }
            let new = connections.admit([10, 0, 0, 1].into(), false).await;
            let evicted: Vec<_> = places.iter().map(|place| place.state.evicted.load(Relaxed)).collect();
            assert_eq!((evicted, new.state.is_spare()), (vec![false, false, false, true, false], false), "{stalled}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_place_gets_that_of_a_connection_that_idles_or_stalls_meanwhile() {
        let connections = connections(ConnectionLimits { connections: 1, spare: 1, ..Default::default() });
        for stalls in [false, true] {
            let mut busy = Vec::new();
            for _ in 0..2 {
                let place = connections.admit(HERE.into(), false).await;
                busy.push((place.state.begin(), place));
            }
            let began = Instant::now();
            let mut waits = pin!(timeout(2 * STALL_TIME, connections.admit(HERE.into(), false)));
            assert!(waits.as_mut().now_or_never().is_none(), "both are being answered");
            let (request, place) = busy.remove(0);
            let _request = match stalls {
                true => {
                    place.state.blocked(true);
                    Some(request)
                }
                false => {
                    drop(request);
                    None
                }
            };
            let ends = async {
                place.state.ended().await;
                drop(place);
            };
            let (admitted, ()) = tokio::join!(waits, timeout(2 * STALL_TIME, ends).map(|ended| ended.unwrap()));
            assert!(admitted.is_ok(), "{stalls}");
            let at_most = if stalls { STALL_TIME } else { Duration::ZERO } + 2 * LOOK_AGAIN;
            assert!(began.elapsed() <= at_most, "{stalls}: {:?}", began.elapsed());
        }
    }

    #[tokio::test]
    async fn strangers_hold_no_more_than_their_budget_and_who_is_known_has_none() {
        let connections = connections(ConnectionLimits { strangers_bytes: 2 * PIECE_BYTES, ..Default::default() });
        let one = connections.admit(HERE.into(), false).await;
        let two = connections.admit(HERE.into(), false).await;
        one.state.received(FREE_BYTES + 2 * PIECE_BYTES).unwrap();
        two.state.received(FREE_BYTES).unwrap();
        two.state.received(1).unwrap_err();
        one.state.consumed(2 * PIECE_BYTES);
        two.state.received(1).unwrap();
        drop(one.state.begin());
        assert_eq!(connections.strangers_bytes.available_permits(), 1, "a head that came whole is held no more");
        two.state.become_known();
        two.state.received(100 * PIECE_BYTES).unwrap();
        assert_eq!(connections.strangers_bytes.available_permits(), 2);
    }

    #[tokio::test]
    async fn large_reads_have_one_budget_which_a_connection_gives_back_when_its_memory_is_small() {
        let limits = ConnectionLimits { read_ahead_bytes: 30 * AHEAD_BYTES, ..Default::default() };
        let connections = connections(limits);
        let mut places = Vec::new();
        for most in [usize::MAX, MIDDLE_READ_BYTES] {
            let place = connections.admit(HERE.into(), false).await;
            assert_eq!(place.state.read_at_most(), SMALL_READ_BYTES);
            assert!(place.state.read_large());
            assert_eq!(place.state.read_at_most(), most);
            places.push(place);
        }
        let state = &places[0].state;
        state.received(LARGE_READ_BYTES).unwrap();
        state.read_small();
        assert_eq!(state.read_at_most(), SMALL_READ_BYTES);
        assert_eq!(connections.read_ahead.available_permits(), 13, "hyper still has the memory");
        drop(state.begin());
        state.small_again().await;
        state.begin_anew();
        assert_eq!(connections.read_ahead.available_permits(), 29);
    }
}
