//! What the whole process stands on: its stores, and the state that each capability keeps in memory.
use crate::access::PolicySource;
use crate::clock::{SharedClock, Time};
use crate::jobs::{self, JobKind, JobKinds};
use crate::keys::Keys;
use crate::limits::Limits;
use crate::quirks::Quirks;
use crate::random::Random;
use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a process is made of, before the domains add their state.
pub struct Parts {
    pub db: meta::Db,
    pub blobs: Arc<dyn blob::Engine>,
    pub buffers: blob::Buffers,
    pub clock: SharedClock,
    pub random: Arc<dyn Random>,
    pub keys: Keys,
    pub limits: Limits,
    pub quirks: Quirks,
}

/// What the whole process shares: the stores, the clock, randomness, keys, limits, and the state of each capability.
pub struct System {
    parts: Parts,
    states: States,
    runs: Vec<Run>,
    job_kinds: Vec<&'static dyn JobKind>,
    policies: &'static dyn PolicySource,
}

/// The states of the capabilities, one of each type.
#[derive(Default)]
struct States(BTreeMap<TypeId, Box<dyn Any + Send + Sync>>);

/// The background work of a capability: it runs until the receiver turns true or its sender is dropped, and then ends what it
/// has begun.
pub type Run = fn(Arc<System>, watch::Receiver<bool>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a capability adds to the process: the state that it keeps in memory, and its background work.
pub struct Capability {
    add_state: fn(&mut States),
    run: Option<Run>,
}

impl Capability {
    /// A capability whose functions find a `T` by [`System::state`].
    pub const fn with_state<T: Default + Send + Sync + 'static>() -> Capability {
        Capability { add_state: States::add::<T>, run: None }
    }

    pub const fn with_run(self, run: Run) -> Capability {
        Capability { run: Some(run), ..self }
    }
}

/// What a domain adds to the process.
pub struct Domain {
    pub capabilities: &'static [Capability],
    /// The kinds of its background jobs.
    pub job_kinds: JobKinds,
}

impl States {
    fn add<T: Default + Send + Sync + 'static>(&mut self) {
        self.0.insert(TypeId::of::<T>(), Box::<T>::default());
    }
}

impl System {
    /// A process of these parts that has these domains, and judges its calls by these policies. The background work of the domains
    /// waits for [`System::run`].
    pub fn new(parts: Parts, domains: &[&Domain], policies: &'static dyn PolicySource) -> System {
        let mut states = States::default();
        let mut runs = Vec::new();
        // The runner of jobs is one for all domains.
        let own = [&jobs::CAPABILITY];
        for capability in own.into_iter().chain(domains.iter().flat_map(|domain| domain.capabilities)) {
            (capability.add_state)(&mut states);
            runs.extend(capability.run);
        }
        let job_kinds = domains.iter().flat_map(|domain| domain.job_kinds).copied().collect();
        System { parts, states, runs, job_kinds, policies }
    }

    /// Runs the background work of every capability until `stop` turns true or is dropped; what runs then ends first.
    ///
    /// # Panics
    /// When the work of a capability panics. When the future is dropped, the work is cut off.
    pub async fn run(self: Arc<System>, stop: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        for run in &self.runs {
            running.spawn(run(self.clone(), stop.clone()));
        }
        running.join_all().await;
    }

    /// The state of a capability. A look-up among a few dozen types, without a lock: cheap enough for every request.
    ///
    /// # Panics
    /// When no capability of the process's domains has such a state.
    #[expect(clippy::expect_used, reason = "a domain that is not in the list of domains is found by its first test")]
    pub fn state<T: Send + Sync + 'static>(&self) -> &T {
        let state = self.states.0.get(&TypeId::of::<T>()).and_then(|state| state.downcast_ref());
        state.expect("the capability belongs to one of the process's domains")
    }

    /// The kinds of jobs of all domains.
    pub fn job_kinds(&self) -> &[&'static dyn JobKind] {
        &self.job_kinds
    }

    /// Where the policies are found by which calls are judged.
    pub fn policies(&self) -> &dyn PolicySource {
        self.policies
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// A new id of a record or a location: a UUIDv7.
    pub fn id<T: From<[u8; 16]>>(&self) -> T {
        crate::random::id(self.random.as_ref(), self.now()).into()
    }
}

impl std::ops::Deref for System {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}
