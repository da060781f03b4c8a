//! A bounded amount of memory that leases share, of which the slowest client is cut off when it is short.
mod state;

use kernel::CommonError;
use state::{Asked, State};
use std::collections::{BTreeSet, HashMap};
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

#[cfg(test)]
mod tests;
