//! Memory budgets for what is held whole: bodies of AWS calls, forms, manifests, and answers until they are sent.
//!
//! A SigV4 signature covers the body's hash, so most calls can be verified only after their body has arrived: botocore and the
//! SDKs of Rust and Go send no `x-amz-content-sha256` to ECR. Anyone who knows an access key id can therefore make the server
//! hold bytes. Five rules protect other callers:
//!
//! 1. **Each class has a separate budget** ([`BudgetSizes`]), so that forms and unverified bodies take nothing from manifests,
//!    verified calls or answers. A call moves to [`Budgets::calls`] when its signature is verified. A call that states its body's
//!    hash is verified by its head alone, before any of its body is held.
//! 2. **Room is reserved as bytes arrive**, in steps, not by the declared length.
//! 3. **The slowest make room.** When a budget is short, the clients that have moved the fewest bytes for the longest time, at
//!    least [`STALL_TIME`], are cut off and told to try again. Bodies that trickle in and answers that nobody reads can therefore
//!    not block a budget: a body that arrives at once always finds room. Large leases make room for small ones.
//! 4. **Each owner has a share.** An unverified body belongs to a pair of address and access key id, everything else to a caller
//!    at an address. If all are fast, the owner that holds most makes room for those that hold less, and no owner may hold a
//!    whole budget of answers. Beyond [`REQUESTS_PER_OWNER`] concurrent requests of one pair, stalled ones are cut off.
//! 5. **A pair that has recently proved its key is not a stranger** ([`known::KnownPairs`]): its next bodies use the budget of
//!    verified calls from the start. Only clients that share its address can do the same, and rules 3 and 4 apply to them too.
//!
//! A request that still finds no room waits at most [`ROOM_TIME`], and is then refused with 503 and Retry-After.
//!
//! The sum of all budgets is [`BudgetSizes::total`], 256 MiB; 44 MiB of it are for unverified forms and bodies. HTTP's own
//! buffers are limited by the connections.

mod answer;
mod budget;
mod known;

pub use answer::AnswerBytes;
pub use budget::{Budget, Lease, Owner, REQUESTS_PER_OWNER, ROOM_TIME, STALL_TIME};

use bytes::Bytes;
use kernel::{CommonError, Cx};
use known::KnownPairs;
use registry::Error;
use registry::upload::BodySource;

const MIB: usize = 1024 * 1024;

/// Maximum bytes that each class may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSizes {
    /// Forms of the query protocol, which are read before anything is known about their sender.
    pub forms: usize,
    /// Bodies of AWS calls with an unverified signature. Holds the largest body and some more.
    pub unverified: usize,
    /// Bodies of AWS calls of known callers. Holds three of the largest.
    pub calls: usize,
    /// Manifests that the docker door receives and sends, and its lists of referrers.
    pub manifests: usize,
    /// Large answers of AWS calls. Holds two of the largest.
    pub answers: usize,
}

impl Default for BudgetSizes {
    fn default() -> BudgetSizes {
        BudgetSizes { forms: 4 * MIB, unverified: 40 * MIB, calls: 84 * MIB, manifests: 64 * MIB, answers: 64 * MIB }
    }
}

impl BudgetSizes {
    /// Returns the maximum bytes of all classes together (DESIGN "Promises").
    pub const fn total(&self) -> usize {
        self.forms + self.unverified + self.calls + self.manifests + self.answers
    }
}

/// The memory budgets of the process.
pub struct Budgets {
    pub forms: Budget,
    pub unverified: Budget,
    pub calls: Budget,
    pub manifests: Budget,
    pub answers: Budget,
    /// The pairs that have recently proved an access key.
    pub known: KnownPairs,
}

impl Budgets {
    pub fn new(sizes: BudgetSizes) -> Budgets {
        Budgets {
            forms: Budget::new("forms", sizes.forms),
            unverified: Budget::new("unverified", sizes.unverified),
            calls: Budget::new("calls", sizes.calls),
            // Limited shares: a caller whose clients read slowly must leave room for others.
            manifests: Budget::with_share("manifests", sizes.manifests, sizes.manifests / 4 * 3),
            answers: Budget::with_share("answers", sizes.answers, sizes.answers / 2),
            known: KnownPairs::default(),
        }
    }

    /// Returns every budget, for `/metrics`.
    pub fn all(&self) -> [&Budget; 5] {
        [&self.forms, &self.unverified, &self.calls, &self.manifests, &self.answers]
    }

    /// Returns the free bytes of all budgets together.
    pub fn free(&self) -> usize {
        self.all().into_iter().map(Budget::free).sum()
    }
}

impl Owner {
    /// Returns the owner for a call: its caller, with the client's address if there is one.
    pub fn of(cx: &Cx) -> Owner {
        match cx.origin.request() {
            Some(request) => Owner::caller(&cx.caller_arn(), request.address),
            None => Owner::service(&cx.caller_arn()),
        }
    }
}

/// Why a body was not read completely.
#[derive(Debug)]
pub enum NotRead {
    /// The body exceeds the limit.
    TooLarge,
    /// The body ended early or could not be read; the text says why.
    Truncated(String),
    Failed(CommonError),
}

impl From<Error> for NotRead {
    fn from(error: Error) -> NotRead {
        match error {
            Error::Common(error) => NotRead::Failed(error),
            Error::BodyTruncated(cause) => NotRead::Truncated(cause),
            // A body source returns no other errors.
            other => NotRead::Failed(CommonError::server(other)),
        }
    }
}

impl From<CommonError> for NotRead {
    fn from(error: CommonError) -> NotRead {
        NotRead::Failed(error)
    }
}

/// Reads a body of at most `limit` bytes into `lease`, which reserves room as bytes arrive. Calls `seen` with every piece.
///
/// # Errors
/// [`CommonError::Busy`] if there is no room, or if the body arrived so slowly that it was evicted for others.
pub async fn read(
    lease: &mut Lease,
    body: &mut impl BodySource,
    declared: Option<u64>,
    limit: usize,
    mut seen: impl FnMut(&Bytes),
) -> Result<(), NotRead> {
    let most = match declared.map(usize::try_from) {
        Some(Ok(declared)) if declared <= limit => declared,
        Some(_) => return Err(NotRead::TooLarge),
        None => limit,
    };
    loop {
        let piece = tokio::select! {
            biased;
            () = lease.evicted() => return Err(NotRead::Failed(CommonError::Busy)),
            piece = body.next() => piece?,
        };
        let Some(piece) = piece else { return Ok(()) };
        if lease.filled() + piece.len() > limit {
            return Err(NotRead::TooLarge);
        }
        seen(&piece);
        lease.append(&piece, most).await?;
    }
}
