//! The process: its stores and other parts, and the in-memory state and background work of each capability.

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

/// The parts of a process that do not depend on its domains.
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

/// One process of Ecru: its parts, and the state and background work of its domains. All calls share it. Made once, at start.
pub struct System {
    parts: Parts,
    states: States,
    runs: Vec<Run>,
    job_kinds: Vec<&'static dyn JobKind>,
    policy_sources: Vec<&'static dyn PolicySource>,
}

/// The in-memory states of the capabilities, at most one of each type.
#[derive(Default)]
struct States(BTreeMap<TypeId, Box<dyn Any + Send + Sync>>);

/// The background work of a capability. It runs until the receiver turns true or its sender is dropped. It finishes what it has started
/// before it ends.
pub type Run = fn(Arc<System>, watch::Receiver<bool>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// The in-memory state and background work that a capability adds to the process.
pub struct Capability {
    add_state: Option<fn(&mut States)>,
    run: Option<Run>,
}

impl Capability {
    /// A capability with an in-memory state of type `T`, which [`System::state`] returns.
    pub const fn with_state<T: Default + Send + Sync + 'static>() -> Capability {
        Capability { add_state: Some(States::add::<T>), run: None }
    }

    /// A capability with background work and without an in-memory state.
    pub const fn of_run(run: Run) -> Capability {
        Capability { add_state: None, run: Some(run) }
    }

    pub const fn with_run(self, run: Run) -> Capability {
        Capability { run: Some(run), ..self }
    }
}

/// The capabilities and job kinds that a domain adds to the process.
pub struct Domain {
    pub capabilities: &'static [Capability],
    /// The kinds of its background jobs.
    pub job_kinds: JobKinds,
    /// The source of the policies that the domain knows.
    pub policies: Option<&'static dyn PolicySource>,
}

impl States {
    /// # Panics
    /// Panics if there is a state of this type already: two capabilities would silently share one of them.
    fn add<T: Default + Send + Sync + 'static>(&mut self) {
        let former = self.0.insert(TypeId::of::<T>(), Box::<T>::default());
        assert!(former.is_none(), "two capabilities have a state of the type {}", std::any::type_name::<T>());
    }
}

impl System {
    /// Makes a process of these parts and domains. [`access::authorize`](crate::access::authorize) checks calls by the domains'
    /// policies. [`System::run`] starts the background work.
    ///
    /// # Panics
    /// Panics if two capabilities have a state of the same type.
    pub fn new(parts: Parts, domains: &[&Domain]) -> System {
        let mut states = States::default();
        let mut runs = Vec::new();
        // The runner of jobs is one for all domains.
        let own = [&jobs::CAPABILITY];
        for capability in own.into_iter().chain(domains.iter().flat_map(|domain| domain.capabilities)) {
            if let Some(add_state) = capability.add_state {
                add_state(&mut states);
            }
            runs.extend(capability.run);
        }
        let job_kinds = domains.iter().flat_map(|domain| domain.job_kinds).copied().collect();
        let policy_sources = domains.iter().filter_map(|domain| domain.policies).collect();
        System { parts, states, runs, job_kinds, policy_sources }
    }

    /// Runs the background work of all capabilities until `stop` turns true or is dropped. Returns when all work has ended. Dropping the
    /// future cancels the work.
    ///
    /// # Panics
    /// Panics if the work of a capability panics.
    pub async fn run(self: Arc<System>, stop: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        for run in &self.runs {
            running.spawn(run(self.clone(), stop.clone()));
        }
        running.join_all().await;
    }

    /// The state of a capability. The look-up takes no lock and is cheap enough for every request.
    ///
    /// # Panics
    /// Panics if no capability of the process's domains has a state of this type.
    #[expect(clippy::expect_used, reason = "a domain that is not in the list of domains is found by its first test")]
    pub fn state<T: Send + Sync + 'static>(&self) -> &T {
        let state = self.states.0.get(&TypeId::of::<T>()).and_then(|state| state.downcast_ref());
        state.expect("the capability belongs to one of the process's domains")
    }

    /// The job kinds of all domains.
    pub fn job_kinds(&self) -> &[&'static dyn JobKind] {
        &self.job_kinds
    }

    /// The sources of the policies by which calls are checked.
    pub fn policy_sources(&self) -> &[&'static dyn PolicySource] {
        &self.policy_sources
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Makes an id for a record or a location. It is a UUIDv7.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Cache;

    #[test]
    #[should_panic(expected = "two capabilities have a state of the type kernel::system::tests::Cache")]
    fn two_capabilities_cannot_have_a_state_of_one_type() {
        let mut states = States::default();
        for capability in [Capability::with_state::<Cache>(), Capability::with_state::<Cache>()] {
            if let Some(add_state) = capability.add_state {
                add_state(&mut states);
            }
        }
    }
}
