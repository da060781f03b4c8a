//! A bounded amount of memory shared by leases. When it runs short, the slowest client's lease is evicted.

mod state;

use kernel::CommonError;
use kernel::lock;
use state::{Asked, State};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

/// Maximum wait for room; after it the client is told to try again.
pub const ROOM_TIME: Duration = Duration::from_secs(5);
/// A client stalls if it moves fewer than [`PROGRESS_BYTES`] in this time, which is less than 260 kbit/s. Stalled clients may be
/// cut off when others need their room.
pub const STALL_TIME: Duration = Duration::from_secs(2);
/// Bytes that count as progress.
const PROGRESS_BYTES: usize = 64 * 1024;
/// Maximum bytes of a small lease. Nearly all leases are small, and large ones make room for them.
const SMALL_BYTES: usize = 64 * 1024;
/// Concurrent requests of one owner that wait for their clients. Beyond it, the slowest stalled ones are cut off.
pub const REQUESTS_PER_OWNER: usize = 16;
/// Bytes that a lease reserves at first, and the most that it reserves at once beyond its need.
const FIRST_BYTES: usize = 4 * 1024;
const STEP_BYTES: usize = 1024 * 1024;
/// How often a waiting lease checks whether another has stalled.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The owner that memory is counted against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// An unknown client at an address.
    pub fn stranger(address: IpAddr) -> Owner {
        Owner(network(address).to_string().into())
    }

    /// A client at an address that claims an access key id.
    pub fn claimed(address: IpAddr, access_key_id: &str) -> Owner {
        Owner(format!("{} {access_key_id}", network(address)).into())
    }

    /// A background service of this server.
    pub fn service(name: &str) -> Owner {
        Owner(name.into())
    }

    /// An authenticated caller at an address.
    pub fn caller(arn: &str, address: IpAddr) -> Owner {
        Owner::claimed(address, arn)
    }
}

/// Maps an IPv6 address to its /64 network, because one client usually has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// A memory budget. Clones share it.
#[derive(Clone)]
pub struct Budget {
    pub name: &'static str,
    state: Arc<Mutex<State>>,
}

impl Budget {
    /// Creates a budget that one owner may use up.
    pub fn new(name: &'static str, bytes: usize) -> Budget {
        Budget::with_share(name, bytes, bytes)
    }

    /// Creates a budget of which one owner may use `share` bytes.
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

    /// Returns the free bytes.
    pub fn free(&self) -> usize {
        self.lock().free
    }

    /// Returns how many leases were evicted so far.
    pub fn evicted(&self) -> u64 {
        self.lock().evicted
    }

    /// Creates an empty lease for what a client sends.
    pub fn receive(&self, owner: Owner) -> Lease {
        let lease = self.lease(owner);
        let mut state = self.lock();
        state.wait_for_client(lease.id);
        state.limit_requests(&lease.owner);
        drop(state);
        lease
    }

    /// Reserves `bytes` for data that the server makes itself. Waits at most [`ROOM_TIME`], then fails with
    /// [`CommonError::Busy`].
    pub async fn take(&self, owner: Owner, bytes: usize) -> Result<Lease, CommonError> {
        let mut lease = self.lease(owner);
        lease.grow(bytes).await?;
        Ok(lease)
    }

    /// Reserves `bytes` if there is room now without evicting a lease.
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

    /// Ignores poisoning: the state is consistent even if a holder panicked.
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Reserved room in a budget, and the bytes in it. Dropping it releases the room.
pub struct Lease {
    budget: Budget,
    id: u64,
    owner: Owner,
    shared: Arc<Shared>,
    /// Bytes reserved from the budget.
    room: usize,
    /// Bytes in it.
    len: usize,
    /// Value of `len` at the last progress.
    marked: usize,
}

/// The part of a lease that the budget can take away.
struct Shared {
    /// The bytes; `None` once the lease is evicted.
    bytes: Mutex<Option<Vec<u8>>>,
    evicted: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        lock(&self.bytes)
    }
}

impl Lease {
    /// Bytes in it.
    pub fn filled(&self) -> usize {
        self.len
    }

    /// Returns once the lease is evicted; otherwise never. Cancel-safe.
    pub async fn evicted(&self) {
        while self.shared.lock().is_some() {
            self.shared.evicted.notified().await;
        }
    }

    /// Adds bytes from a client and reserves room for them in steps. `most` is the maximum that will ever be added.
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

    /// Returns the bytes for the server to work with. From now on the lease is not evicted.
    pub fn finish(&mut self) -> Result<Vec<u8>, CommonError> {
        let mut state = self.budget.lock();
        state.work(self.id);
        self.shared.lock().as_mut().map(std::mem::take).ok_or(CommonError::Busy)
    }

    /// Moves the bytes to another budget and owner. While it waits for room there, the lease may still be evicted here.
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

    /// Releases the room beyond `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        if bytes < self.room {
            self.budget.lock().give_back(self.id, self.room - bytes);
            self.room = bytes;
        }
    }

    /// Puts bytes into the lease for the client to read. From now on the lease may be evicted.
    pub fn offer(&mut self, bytes: Vec<u8>) {
        self.len = bytes.len();
        *self.shared.lock() = Some(bytes);
        self.budget.lock().wait_for_client(self.id);
    }

    /// Returns a copy of a part of the bytes; `None` if the lease is evicted.
    pub fn part(&mut self, from: usize, to: usize) -> Option<Vec<u8>> {
        let part = self.shared.lock().as_ref().and_then(|bytes| bytes.get(from..to)).map(<[u8]>::to_vec)?;
        self.progress();
        Some(part)
    }

    /// Records that the client has moved enough bytes to count as progress.
    fn progress(&mut self) {
        self.marked = self.len;
        self.budget.lock().progressed(self.id);
    }

    /// Reserves `by` more bytes. Waits at most [`ROOM_TIME`], then fails with [`CommonError::Busy`].
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

    /// Waits until the room is granted, and periodically checks whether another lease has stalled.
    async fn wait(&self, mut granted: oneshot::Receiver<()>) -> Result<(), CommonError> {
        let deadline = Instant::now() + ROOM_TIME;
        loop {
            let until = deadline.min(Instant::now() + LOOK_AGAIN);
            match timeout_at(until, &mut granted).await {
                Ok(Ok(())) => return Ok(()),
                // The lease was evicted while it waited.
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

/// Rounds up to leave room for further bytes: to a power of two up to a step, to whole steps beyond.
fn step(needed: usize) -> usize {
    if needed < STEP_BYTES { needed.next_power_of_two().max(FIRST_BYTES) } else { needed.next_multiple_of(STEP_BYTES) }
}

#[cfg(test)]
mod tests;
