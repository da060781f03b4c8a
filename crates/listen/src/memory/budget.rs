//! A bounded amount of memory that leases share, of which the slowest client is cut off when it is short.
use kernel::CommonError;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

/// The longest wait for room; then the client is told to try again.
pub const ROOM_TIME: Duration = Duration::from_secs(5);
/// A client that has moved fewer than [`PROGRESS_BYTES`] for so long may be cut off when others need its room: it is slower than
/// 260 kbit/s.
pub const STALL_TIME: Duration = Duration::from_secs(2);
/// Bytes that count as progress.
const PROGRESS_BYTES: usize = 64 * 1024;
/// Bytes of a lease at most that counts as small, as nearly all are: what is large makes room for it.
const SMALL_BYTES: usize = 64 * 1024;
/// Requests of one owner at once that clients keep waiting; of more, the slowest that stall are cut off.
pub const REQUESTS_PER_OWNER: usize = 16;
/// Bytes that a lease takes at first, and at most at once beyond what it needs.
const FIRST_BYTES: usize = 4 * 1024;
const STEP_BYTES: usize = 1024 * 1024;
/// How often one who waits looks whether somebody has stalled meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Whom memory counts against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// Someone at an address of whom nothing else is known.
    pub fn stranger(address: IpAddr) -> Owner {
        Owner(network(address).to_string().into())
    }

    /// Someone at an address who claims an access key id.
    pub fn claimed(address: IpAddr, access_key_id: &str) -> Owner {
        Owner(format!("{} {access_key_id}", network(address)).into())
    }

    /// A service that does a job by itself.
    pub fn service(name: &str) -> Owner {
        Owner(name.into())
    }

    /// A caller who was authenticated, at an address.
    pub fn caller(arn: &str, address: IpAddr) -> Owner {
        Owner::claimed(address, arn)
    }
}

/// One client has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// A budget. Its clones are the same one.
#[derive(Clone)]
pub struct Budget {
    pub name: &'static str,
    state: Arc<Mutex<State>>,
}

impl Budget {
    /// A budget of so many bytes, all of which one owner may take.
    pub fn new(name: &'static str, bytes: usize) -> Budget {
        Budget::with_share(name, bytes, bytes)
    }

    /// A budget of which one owner may take `share` bytes.
    pub fn with_share(name: &'static str, bytes: usize, share: usize) -> Budget {
        let state = State {
            bytes,
            share,
            free: bytes,
            leases: HashMap::new(),
            clients: BTreeSet::new(),
            owners: HashMap::new(),
            waiting: 0,
            next: 0,
            evicted: 0,
        };
        Budget { name, state: Arc::new(Mutex::new(state)) }
    }

    /// Bytes that are free now.
    pub fn free(&self) -> usize {
        self.lock().free
    }

    /// How many leases were cut off so far since others needed their room.
    pub fn evicted(&self) -> u64 {
        self.lock().evicted
    }

    /// A lease of nothing yet, for what a client sends.
    pub fn receive(&self, owner: Owner) -> Lease {
        let lease = self.lease(owner);
        let mut state = self.lock();
        state.wait_for_client(lease.id);
        state.limit_requests(&lease.owner);
        drop(state);
        lease
    }

    /// A lease of `bytes` for what the server makes itself. It waits [`ROOM_TIME`] at most; then [`CommonError::Busy`].
    pub async fn take(&self, owner: Owner, bytes: usize) -> Result<Lease, CommonError> {
        let mut lease = self.lease(owner);
        lease.grow(bytes).await?;
        Ok(lease)
    }

    /// The same if there is room now and nobody has to be cut off for it.
    pub fn take_now(&self, owner: Owner, bytes: usize) -> Option<Lease> {
        let mut lease = self.lease(owner);
        let mut state = self.lock();
        let fits = state.fits(&lease.owner, bytes);
        if fits {
            state.give(lease.id, bytes);
            lease.room = bytes;
        }
        drop(state);
        fits.then_some(lease)
    }

    fn lease(&self, owner: Owner) -> Lease {
        let (id, shared) = self.lock().add(owner.clone());
        Lease { budget: self.clone(), id, owner, shared, room: 0, len: 0, marked: 0 }
    }

    fn is(&self, other: &Budget) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// The state stays whole though a holder panicked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room in a budget and the bytes in it. Dropping it gives the room back.
pub struct Lease {
    budget: Budget,
    id: u64,
    owner: Owner,
    shared: Arc<Shared>,
    /// Bytes of the budget that it holds.
    room: usize,
    /// Bytes in it.
    len: usize,
    /// Of these, those at the last progress.
    marked: usize,
}

/// What the budget can take away from a lease.
struct Shared {
    /// `None` once the lease was evicted.
    bytes: Mutex<Option<Vec<u8>>>,
    evicted: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Bytes in it.
    pub fn filled(&self) -> usize {
        self.len
    }

    /// Returns once the lease was cut off, and never otherwise. Cancel-safe.
    pub async fn evicted(&self) {
        while self.shared.lock().is_some() {
            self.shared.evicted.notified().await;
        }
    }

    /// Adds bytes that came from a client, and takes room for them in steps; `most` is all that will ever be added.
    pub async fn append(&mut self, piece: &[u8], most: usize) -> Result<(), CommonError> {
        let needed = self.len + piece.len();
        if needed > self.room {
            let target = step(needed).min(most).max(needed);
            self.grow(target - self.room).await?;
        }
        {
            let mut bytes = self.shared.lock();
            let bytes = bytes.as_mut().ok_or(CommonError::Busy)?;
            bytes.reserve_exact(self.room - bytes.len());
            bytes.extend_from_slice(piece);
        }
        self.len = needed;
        if self.len - self.marked >= PROGRESS_BYTES {
            self.progress();
        }
        Ok(())
    }

    /// The bytes, for the server to work with: from now on the lease is not cut off.
    pub fn finish(&mut self) -> Result<Vec<u8>, CommonError> {
        let mut state = self.budget.lock();
        state.work(self.id);
        self.shared.lock().as_mut().map(std::mem::take).ok_or(CommonError::Busy)
    }

    /// The same bytes in another budget, under another owner. While it waits for room there it may still be cut off here.
    pub async fn move_to(mut self, budget: &Budget, owner: Owner) -> Result<Lease, CommonError> {
        if self.budget.is(budget) {
            return Ok(self);
        }
        let mut moved = tokio::select! {
            biased;
            () = self.evicted() => return Err(CommonError::Busy),
            moved = budget.take(owner, self.room) => moved?,
        };
        let bytes = self.finish()?;
        moved.len = bytes.len();
        *moved.shared.lock() = Some(bytes);
        Ok(moved)
    }

    /// Gives the room back that is beyond `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        if bytes < self.room {
            self.budget.lock().give_back(self.id, self.room - bytes);
            self.room = bytes;
        }
    }

    /// Puts bytes into the lease that the client is to take from it; from now on it may be cut off.
    pub fn offer(&mut self, bytes: Vec<u8>) {
        self.len = bytes.len();
        *self.shared.lock() = Some(bytes);
        self.budget.lock().wait_for_client(self.id);
    }

    /// A copy of a part of the bytes; `None` when the lease was cut off.
    pub fn part(&mut self, from: usize, to: usize) -> Option<Vec<u8>> {
        let part = self.shared.lock().as_ref().and_then(|bytes| bytes.get(from..to)).map(<[u8]>::to_vec)?;
        self.progress();
        Some(part)
    }

    /// The client has moved enough bytes to count as fast.
    fn progress(&mut self) {
        self.marked = self.len;
        self.budget.lock().progressed(self.id);
    }

    /// Takes `by` more bytes, waiting [`ROOM_TIME`] at most; then [`CommonError::Busy`].
    async fn grow(&mut self, by: usize) -> Result<(), CommonError> {
        let asked = self.budget.lock().ask(self.id, by);
        match asked {
            Asked::Granted => {}
            Asked::Never => return Err(CommonError::Busy),
            Asked::Wait(granted) => self.wait(granted).await?,
        }
        self.room += by;
        Ok(())
    }

    /// Waits until the room was granted; from time to time it looks whether somebody has stalled meanwhile.
    async fn wait(&self, mut granted: oneshot::Receiver<()>) -> Result<(), CommonError> {
        let deadline = Instant::now() + ROOM_TIME;
        loop {
            let until = deadline.min(Instant::now() + LOOK_AGAIN);
            match timeout_at(until, &mut granted).await {
                Ok(Ok(())) => return Ok(()),
                // It was evicted while it waited.
                Ok(Err(_)) => return Err(CommonError::Busy),
                Err(_) if until == deadline => return Err(CommonError::Busy),
                Err(_) => self.budget.lock().look_again(self.id),
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.remove(self.id);
        state.grant();
    }
}

/// Room for so many bytes and some to come: twice as much up to a step, whole steps beyond.
fn step(needed: usize) -> usize {
    if needed < STEP_BYTES { needed.next_power_of_two().max(FIRST_BYTES) } else { needed.next_multiple_of(STEP_BYTES) }
}

/// What comes of asking for room.
enum Asked {
    Granted,
    /// Hears when the room was granted; it ends without a word when the lease is evicted.
    Wait(oneshot::Receiver<()>),
    /// The lease was evicted, or no budget of this size could ever give so much.
    Never,
}

struct State {
    bytes: usize,
    /// What one owner may hold.
    share: usize,
    free: usize,
    leases: HashMap<u64, Held>,
    /// The leases that wait for their client, by when it last made progress.
    clients: BTreeSet<(Instant, u64)>,
    owners: HashMap<Owner, Use>,
    /// Leases that wait for room.
    waiting: usize,
    next: u64,
    evicted: u64,
}

/// What an owner has of the budget.
#[derive(Default)]
struct Use {
    bytes: usize,
    leases: usize,
    /// Its leases that wait for room.
    waiters: VecDeque<Waiter>,
}

impl Use {
    /// Takes the one of those who wait that asks for least, the first of several, if it asks for no more than `most`.
    fn smallest(&mut self, most: usize) -> Option<Waiter> {
        let (at, by) = self.waiters.iter().map(|waiter| waiter.by).enumerate().min_by_key(|(_, by)| *by)?;
        if by <= most { self.waiters.remove(at) } else { None }
    }
}

/// A lease as its budget knows it.
struct Held {
    owner: Owner,
    bytes: usize,
    shared: Arc<Shared>,
    /// Whether its client moves the bytes, not the server.
    client: bool,
    /// Its place in [`State::clients`]; `None` while the server works with it, or it waits for room.
    since: Option<Instant>,
}

struct Waiter {
    id: u64,
    by: usize,
    granted: oneshot::Sender<()>,
}

impl State {
    fn add(&mut self, owner: Owner) -> (u64, Arc<Shared>) {
        self.next += 1;
        let id = self.next;
        self.owners.entry(owner.clone()).or_default().leases += 1;
        let shared = Arc::new(Shared { bytes: Mutex::new(Some(Vec::new())), evicted: Notify::new() });
        self.leases.insert(id, Held { owner, bytes: 0, shared: shared.clone(), client: false, since: None });
        (id, shared)
    }

    /// Forgets a lease and frees its bytes. Those who wait are not served yet: see [`State::grant`].
    fn remove(&mut self, id: u64) -> Option<Held> {
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
    fn evict(&mut self, id: u64) {
        if let Some(held) = self.remove(id) {
            self.evicted += 1;
            *held.shared.lock() = None;
            held.shared.evicted.notify_one();
        }
    }

    /// From now on the lease waits for its client.
    fn wait_for_client(&mut self, id: u64) {
        self.pause(id);
        if let Some(held) = self.leases.get_mut(&id) {
            let now = Instant::now();
            (held.client, held.since) = (true, Some(now));
            self.clients.insert((now, id));
        }
    }

    /// For now the lease waits for no client.
    fn pause(&mut self, id: u64) {
        if let Some(since) = self.leases.get_mut(&id).and_then(|held| held.since.take()) {
            self.clients.remove(&(since, id));
        }
    }

    /// The lease waits for no client any more.
    fn work(&mut self, id: u64) {
        self.pause(id);
        if let Some(held) = self.leases.get_mut(&id) {
            held.client = false;
        }
    }

    fn progressed(&mut self, id: u64) {
        if self.leases.get(&id).is_some_and(|held| held.since.is_some()) {
            self.wait_for_client(id);
        }
    }

    fn give_back(&mut self, id: u64, bytes: usize) {
        let Some(held) = self.leases.get_mut(&id) else { return };
        held.bytes -= bytes;
        self.free += bytes;
        if let Some(owner) = self.owners.get_mut(&held.owner) {
            owner.bytes -= bytes;
        }
        self.grant();
    }

    /// Asks for `by` more bytes. They come at once where there is room, or where somebody can be cut off for it.
    fn ask(&mut self, id: u64, by: usize) -> Asked {
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
    fn look_again(&mut self, id: u64) {
        let Some(owner) = self.leases.get(&id).map(|held| held.owner.clone()) else { return };
        let waiters = self.owners.get(&owner).map(|used| &used.waiters);
        let Some(by) = waiters.and_then(|waiters| waiters.iter().find(|waiter| waiter.id == id)).map(|w| w.by) else {
            return;
        };
        self.make_room(id, &owner, by);
        self.grant();
    }

    fn fits(&self, owner: &Owner, by: usize) -> bool {
        self.free >= by && self.used(owner) + by <= self.share
    }

    fn used(&self, owner: &Owner) -> usize {
        self.owners.get(owner).map_or(0, |used| used.bytes)
    }

    fn give(&mut self, id: u64, by: usize) {
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
    fn grant(&mut self) {
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
    fn make_room(&mut self, id: u64, owner: &Owner, by: usize) {
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
    fn stalled(&self) -> impl Iterator<Item = u64> {
        let now = Instant::now();
        self.clients.iter().take_while(move |(since, _)| now.duration_since(*since) >= STALL_TIME).map(|(_, id)| *id)
    }

    /// The leases with bytes that could be cut off, the slowest clients first, and after them those that wait for room.
    fn with_bytes(&self) -> impl Iterator<Item = u64> {
        let clients = self.clients.iter().map(|(_, id)| *id);
        let waiters = self.owners.values().flat_map(|used| used.waiters.iter().rev()).map(|waiter| waiter.id);
        clients.chain(waiters).filter(|id| self.holds(*id) > 0)
    }

    fn is_of(&self, id: u64, owner: &Owner) -> bool {
        self.leases.get(&id).is_some_and(|held| held.owner == *owner)
    }

    /// Bytes of a lease.
    fn holds(&self, id: u64) -> usize {
        self.leases.get(&id).map_or(0, |held| held.bytes)
    }

    /// Cuts off the slowest of an owner's requests beyond [`REQUESTS_PER_OWNER`] if they stall.
    fn limit_requests(&mut self, owner: &Owner) {
        while self.owners.get(owner).is_some_and(|used| used.leases > REQUESTS_PER_OWNER) {
            let Some(slowest) = self.stalled().find(|id| self.is_of(*id, owner)) else { break };
            self.evict(slowest);
        }
        self.grant();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    const KIB: usize = 1024;

    fn owner(last: u8) -> Owner {
        Owner::claimed(IpAddr::from([10, 0, 0, last]), "AKIA")
    }

    /// A body of which so many bytes came.
    async fn body(budget: &Budget, owner: Owner, bytes: usize) -> Lease {
        let mut lease = budget.receive(owner);
        lease.append(&vec![7; bytes], usize::MAX).await.unwrap();
        lease
    }

    fn is_cut_off(lease: &Lease) -> bool {
        lease.evicted().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_trickle_in_make_room_for_one_that_comes_at_once() {
        let budget = Budget::new("test", 256 * KIB);
        let mut slow = Vec::new();
        for _ in 0..16 {
            slow.push(body(&budget, owner(1), 16 * KIB).await);
        }
        assert_eq!(budget.free(), 0);
        advance(STALL_TIME).await;
        // The same owner: two clients with one key behind one address.
        let began = Instant::now();
        let fast = body(&budget, owner(1), 32 * KIB).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        // The one beyond the number of requests, and one more for room.
        let cut: Vec<bool> = slow.iter().map(is_cut_off).collect();
        assert_eq!(cut.iter().position(|cut| !cut), Some(2), "the longest stalled are cut off, and no more: {cut:?}");
        assert_eq!((budget.evicted(), is_cut_off(&fast)), (2, false));
        assert!(matches!(slow[0].append(b"more", usize::MAX).await, Err(CommonError::Busy)));
        drop((slow, fast));
        assert_eq!(budget.free(), 256 * KIB);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_taken_in_steps_as_bytes_come() {
        let budget = Budget::new("test", 64 * STEP_BYTES);
        let taken = || 64 * STEP_BYTES - budget.free();
        let mut lease = budget.receive(owner(1));
        assert_eq!(taken(), 0);
        for (piece, declared, room) in [
            (1, usize::MAX, FIRST_BYTES),
            (FIRST_BYTES, usize::MAX, 2 * FIRST_BYTES),
            (STEP_BYTES, usize::MAX, 2 * STEP_BYTES),
            (STEP_BYTES, 2 * STEP_BYTES + 10_000, 2 * STEP_BYTES + 10_000),
        ] {
            lease.append(&vec![1; piece], declared).await.unwrap();
            assert_eq!(taken(), room);
        }
        assert_eq!(lease.finish().unwrap().len(), 1 + FIRST_BYTES + 2 * STEP_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn of_fast_clients_the_slowest_of_who_holds_more_makes_room() {
        let budget = Budget::new("test", 64 * KIB);
        let mut heavy = vec![body(&budget, owner(1), 32 * KIB).await];
        advance(Duration::from_millis(1)).await;
        heavy.push(body(&budget, owner(1), 16 * KIB).await);
        let other = body(&budget, owner(2), 16 * KIB).await;
        let new = body(&budget, owner(3), 16 * KIB).await;
        let cut = [&heavy[0], &heavy[1], &other, &new].map(is_cut_off);
        assert_eq!(cut, [true, false, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_large_makes_room_for_what_is_small_however_fast_it_is() {
        let budget = Budget::new("test", 4 * SMALL_BYTES);
        let large = [body(&budget, owner(1), 2 * SMALL_BYTES).await, body(&budget, owner(1), 2 * SMALL_BYTES).await];
        let began = Instant::now();
        let small = body(&budget, owner(1), 1).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!([&large[0], &large[1], &small].map(is_cut_off), [true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_who_wait_the_smallest_is_served_first() {
        let budget = Budget::new("test", 10);
        let mut all = budget.take(owner(1), 10).await.unwrap();
        let mut large = Box::pin(budget.take(owner(1), 8));
        let mut small = Box::pin(budget.take(owner(1), 2));
        assert!(large.as_mut().now_or_never().is_none() && small.as_mut().now_or_never().is_none());
        all.shrink(1);
        let served = small.as_mut().now_or_never();
        assert!(matches!(served, Some(Ok(_))) && large.as_mut().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_works_with_is_not_cut_off_and_who_waits_for_it_is_told_to_try_again_or_served() {
        let budget = Budget::new("test", 10);
        let mut working = budget.receive(owner(1));
        working.append(&[1; 8], 8).await.unwrap();
        assert_eq!(working.finish().unwrap(), [1; 8]);
        let began = Instant::now();
        assert!(matches!(budget.take(owner(2), 3).await, Err(CommonError::Busy)));
        assert_eq!(began.elapsed(), ROOM_TIME);
        assert!(matches!(budget.take(owner(2), 11).await, Err(CommonError::Busy)));
        assert_eq!(began.elapsed(), ROOM_TIME, "what never fits is refused at once");
        let mut waits = Box::pin(budget.take(owner(2), 3));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(budget.take(owner(3), 2).await.is_ok(), "a small one does not wait behind a large one");
        drop(working);
        assert_eq!(waits.await.unwrap().room, 3);
        assert_eq!(budget.free(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_stops_waiting_takes_nothing_along() {
        let budget = Budget::new("test", 10);
        let all = budget.take(owner(1), 10).await.unwrap();
        let mut waits = Box::pin(budget.take(owner(2), 10));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(all);
        // It was granted, and nobody takes it.
        assert_eq!(budget.free(), 0);
        drop(waits);
        assert_eq!(budget.free(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_waits_gets_the_room_of_a_client_that_stalls_meanwhile() {
        let budget = Budget::new("test", 8 * KIB);
        let slow = body(&budget, owner(1), 8 * KIB).await;
        let began = Instant::now();
        let fast = body(&budget, owner(1), KIB).await;
        assert!(
            began.elapsed() >= STALL_TIME && began.elapsed() < STALL_TIME + 2 * LOOK_AGAIN,
            "{:?}",
            began.elapsed()
        );
        assert_eq!([&slow, &fast].map(is_cut_off), [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_whose_first_byte_is_late_are_not_cut_off_as_they_hold_no_room() {
        let budget = Budget::with_share("test", 12 * KIB, 8 * KIB);
        let late = [1, 1, 2, 2].map(|number| budget.receive(owner(number)));
        advance(Duration::from_millis(1)).await;
        let slow = body(&budget, owner(1), 8 * KIB).await;
        advance(STALL_TIME).await;
        // The budget is short; then the owner's share.
        let other = body(&budget, owner(2), 8 * KIB).await;
        assert!(is_cut_off(&slow));
        advance(STALL_TIME).await;
        let next = body(&budget, owner(2), 8 * KIB).await;
        assert_eq!([&other, &next].map(is_cut_off), [true, false]);
        assert_eq!(late.each_ref().map(is_cut_off), [false; 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_takes_more_than_a_share() {
        let budget = Budget::with_share("test", 12, 8);
        let first = budget.take(owner(1), 6).await.unwrap();
        assert!(matches!(budget.take(owner(1), 4).await, Err(CommonError::Busy)));
        let _other = budget.take(owner(2), 4).await.unwrap();
        assert!(budget.take_now(owner(1), 3).is_none() && budget.take_now(owner(3), 3).is_none());
        assert_eq!(budget.take_now(owner(1), 2).map(|lease| lease.room), Some(2));
        drop(first);
        // An answer that its client does not take makes room for another of its owner.
        let mut unread = budget.take(owner(1), 8).await.unwrap();
        unread.offer(vec![1; 8]);
        advance(STALL_TIME).await;
        let _next = budget.take(owner(1), 8).await.unwrap();
        assert_eq!(unread.part(0, 8), None);
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_bodies_that_wait_for_each_others_room_the_older_one_goes_on() {
        let budget = Budget::new("test", 64 * KIB);
        let mut older = body(&budget, owner(1), 32 * KIB).await;
        let mut younger = body(&budget, owner(1), 32 * KIB).await;
        let piece = vec![7; 16 * KIB];
        let waits = async {
            let refused = younger.append(&piece, usize::MAX).await;
            (refused, Instant::now())
        };
        let began = Instant::now();
        let goes_on = async {
            tokio::task::yield_now().await;
            older.append(&piece, usize::MAX).await
        };
        let ((refused, at), served) = tokio::join!(waits, goes_on);
        assert!(matches!(refused, Err(CommonError::Busy)) && served.is_ok());
        assert_eq!(at.duration_since(began), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn of_the_many_requests_of_one_owner_the_slowest_end() {
        let budget = Budget::new("test", 1 << 30);
        let mut slow = Vec::new();
        for _ in 0..3 * REQUESTS_PER_OWNER {
            slow.push(body(&budget, owner(1), 1).await);
        }
        let other = body(&budget, owner(2), 1).await;
        assert_eq!(budget.evicted(), 0, "none stalls");
        advance(STALL_TIME).await;
        let new = body(&budget, owner(1), 1).await;
        assert_eq!(slow.iter().filter(|slow| !is_cut_off(slow)).count(), REQUESTS_PER_OWNER - 1);
        assert_eq!([&other, &new].map(is_cut_off), [false, false]);
    }

    #[test]
    fn a_client_has_an_address_or_a_network_of_ipv6() {
        let of = |text: &str| Owner::stranger(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
