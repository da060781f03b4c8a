//! One operation of the AWS API, and the way that every call of one goes.
use super::Refusal;
use super::api::{Api, Failure, RefusedCall};
use super::wire::{Input, Output, Wire};
use crate::check;
use aws::{AccountId, Region};
use bytes::Bytes;
use kernel::access::{self, Caller, Need};
use kernel::{CommonError, Cx, RegistryId, RequestOrigin};
use listen::app::App;
use listen::memory::Owner;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

/// One call of an API. The type itself is the input as it stands on the wire; nothing of it has been checked.
pub trait Operation: DeserializeOwned + Send + 'static {
    /// The operation's name on the wire.
    const NAME: &'static str;
    /// The largest body in bytes.
    const BODY_LIMIT: usize = super::BODY_BYTES;
    /// Whether a call is about a registry though its service belongs to one account ([`super::Service::account`]): it is judged in
    /// the registry that it names, or in the caller's.
    const OF_REGISTRY: bool = false;
    /// The service that it is an operation of.
    type Api: Api;
    /// The input once it was checked: typed values only.
    type Checked: Send;
    /// The output as it stands on the wire.
    type Output: Serialize + Send;

    /// The account whose registry the call names; without it the caller's.
    fn registry_id(&self) -> Option<&str> {
        None
    }
    /// What the caller must be allowed to do, in the registry that is meant. Asked before the input is checked.
    fn needs(&self, registry: &RegistryId) -> Vec<Need>;
    /// What the service remembers of the call if it is refused ([`Api::refused`]); `None` for a call that is not remembered.
    fn attempt(&self) -> Option<AttemptOf<Self>> {
        None
    }
    /// Holds every member to the constraints of the service model.
    fn check(self) -> Result<Self::Checked, ErrorOf<Self>>;
    /// Bytes at most that the output takes of the budget of all bodies; 0 for one that is always small.
    fn output_bytes(_checked: &Self::Checked) -> usize {
        0
    }
    fn handle(
        checked: Self::Checked,
        cx: &Cx,
        app: &App,
    ) -> impl Future<Output = Result<Self::Output, ErrorOf<Self>>> + Send;
}

/// What an operation can fail with.
pub type ErrorOf<O> = <<O as Operation>::Api as Api>::Error;

/// What an operation's service remembers of a call that is refused.
pub type AttemptOf<O> = <<O as Operation>::Api as Api>::Attempt;

/// What a call stands on once it is authenticated.
pub struct Call {
    pub app: Arc<App>,
    pub caller: Caller,
    /// The account of the service; see [`super::Service::account`].
    pub account: Option<AccountId>,
    pub region: Region,
    pub origin: RequestOrigin,
}

type Running = Pin<Box<dyn Future<Output = Result<Output, Refusal>> + Send>>;

/// An operation as the tables of the doors hold it: its type is forgotten, its way is not.
///
/// Each operation is made for the one protocol of its service, so that serde's code for its input and output exists once.
pub struct Entry {
    pub name: &'static str,
    pub body_limit: usize,
    run: fn(Input, Call) -> Running,
    check: fn(Bytes) -> Result<(), Refusal>,
    needs: fn(Bytes, &RegistryId) -> Result<Vec<Need>, Refusal>,
}

impl Entry {
    /// An operation of a service that speaks AWS JSON.
    pub const fn json<O: Operation>() -> Entry {
        Entry::of::<O, super::wire::Json>()
    }

    /// An operation of a service that speaks the query protocol.
    pub const fn query<O: Operation>() -> Entry {
        Entry::of::<O, super::wire::Query>()
    }

    const fn of<O: Operation, W: Wire>() -> Entry {
        Entry {
            name: O::NAME,
            body_limit: O::BODY_LIMIT,
            run: |input, call| Box::pin(run::<O, W>(input, call)),
            check: |body| {
                let input = W::read::<O>(W::input(body)?)?;
                Ok(input.check().map(|_| ()).map_err(Failure::of::<O::Api>)?)
            },
            needs: |body, registry| Ok(W::read::<O>(W::input(body)?)?.needs(registry)),
        }
    }

    /// Does the call.
    pub fn run(&self, input: Input, call: Call) -> impl Future<Output = Result<Output, Refusal>> + Send + use<> {
        (self.run)(input, call)
    }

    /// Holds an input, as the operation's protocol has it, to the operation's constraints without doing anything.
    pub fn check(&self, body: Bytes) -> Result<(), Refusal> {
        (self.check)(body)
    }

    /// What an input, as the operation's protocol has it, would need, for tests that walk all operations.
    pub fn needs(&self, body: Bytes, registry: &RegistryId) -> Result<Vec<Need>, Refusal> {
        (self.needs)(body, registry)
    }
}

/// The way of a call behind its authentication: parse → authorize → check → handle → encode.
async fn run<O: Operation, W: Wire>(input: Input, call: Call) -> Result<Output, Refusal> {
    let operation: O = W::read(input)?;
    let Call { app, caller, account, region, origin } = call;
    // A malformed registry id names no registry: the call is authorized in the caller's own, and then refused.
    let registry_id = check::registry_id(operation.registry_id());
    let own = caller.account().ok_or(Refusal::MissingSignature)?;
    let account = account.filter(|_| !O::OF_REGISTRY).or(registry_id.as_ref().ok().copied().flatten()).unwrap_or(own);
    let cx = Cx { system: app.system.clone(), caller, registry: RegistryId { account, region }, origin: origin.into() };
    // A call that names no registry is about no repository either.
    let attempt = operation.attempt().filter(|_| registry_id.is_ok());
    let outcome = authorized::<O, W>(operation, registry_id, &cx, &app).await;
    if let (Err(refusal), Some(attempt)) = (&outcome, attempt) {
        O::Api::refused(&cx, attempt, remembered(refusal));
    }
    outcome
}

/// The rest of the way, once it is known which registry is meant.
async fn authorized<O: Operation, W: Wire>(
    operation: O,
    registry_id: Result<Option<AccountId>, CommonError>,
    cx: &Cx,
    app: &App,
) -> Result<Output, Refusal> {
    access::authorize(cx, &operation.needs(&cx.registry)).await?;
    registry_id?;
    let checked = operation.check().map_err(Failure::of::<O::Api>)?;
    let room = match O::output_bytes(&checked) {
        0 => None,
        bytes => Some(app.budgets.answers.take(Owner::of(cx), bytes).await?),
    };
    let output = O::handle(checked, cx, app).await.map_err(Failure::of::<O::Api>)?;
    W::write(&output, room)
}

/// A refusal as the service remembers it: as the client reads it.
fn remembered(refusal: &Refusal) -> RefusedCall {
    let exception = refusal.json();
    RefusedCall {
        status: exception.status.as_u16(),
        code: exception.name,
        message: refusal.to_string(),
        denied: refusal.is_denied(),
    }
}

/// A structure of the wire: an object and nothing else (serde's derived reading would take a list of values too).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Structure<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Structure<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a structure")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Structure)
            }
        }
        // Not a map: the query protocol spells those otherwise.
        deserializer.deserialize_struct("Structure", &[], Object(PhantomData))
    }
}
