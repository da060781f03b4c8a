//! An operation of the AWS API, and the path of a call from authentication to output.

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

/// An operation of an API. The implementing type is the input from the wire, with no member checked.
pub trait Operation: DeserializeOwned + Send + 'static {
    /// The operation's name on the wire.
    const NAME: &'static str;
    /// Maximum bytes of a body.
    const BODY_LIMIT: usize = super::BODY_BYTES;
    /// Whether a call is about a registry, although its service belongs to one account ([`super::Service::account`]). Such a call
    /// is authorized in the registry that it names, or in the caller's.
    const OF_REGISTRY: bool = false;
    /// The API of the operation's service.
    type Api: Api;
    /// The checked input: typed values only.
    type Checked: Send;
    /// The output on the wire.
    type Output: Serialize + Send;

    /// Returns the account whose registry the call names; `None` means the caller's.
    fn registry_id(&self) -> Option<&str> {
        None
    }
    /// Returns the permissions that the caller needs in the call's registry. Called before the input is checked.
    fn needs(&self, registry: &RegistryId) -> Vec<Need>;
    /// Returns what the service records about the call if it is refused ([`Api::refused`]); `None` for calls that are not
    /// recorded.
    fn attempt(&self) -> Option<AttemptOf<Self>> {
        None
    }
    /// Checks every member against the constraints of the service model.
    fn check(self) -> Result<Self::Checked, ErrorOf<Self>>;
    /// Returns the maximum bytes of the output, to reserve in the budget of answers; 0 if it is always small.
    fn output_bytes(_checked: &Self::Checked) -> usize {
        0
    }
    fn handle(
        checked: Self::Checked,
        cx: &Cx,
        app: &App,
    ) -> impl Future<Output = Result<Self::Output, ErrorOf<Self>>> + Send;
}

/// The error type of an operation.
pub type ErrorOf<O> = <<O as Operation>::Api as Api>::Error;

/// The record type of an operation's refused calls.
pub type AttemptOf<O> = <<O as Operation>::Api as Api>::Attempt;

/// An authenticated call, as an operation gets it.
pub struct Call {
    pub app: Arc<App>,
    pub caller: Caller,
    /// The account of the service; see [`super::Service::account`].
    pub account: Option<AccountId>,
    pub region: Region,
    pub origin: RequestOrigin,
}

type Running = Pin<Box<dyn Future<Output = Result<Output, Refusal>> + Send>>;

/// An operation in a service's table, with its type erased.
///
/// Each operation is instantiated only for its service's protocol, so that serde's code for its input and output exists once.
pub struct Entry {
    pub name: &'static str,
    pub body_limit: usize,
    run: fn(Input, Call) -> Running,
    check: fn(Bytes) -> Result<(), Refusal>,
    needs: fn(Bytes, &RegistryId) -> Result<Vec<Need>, Refusal>,
}

impl Entry {
    /// Creates an entry for an operation of an AWS JSON service.
    pub const fn json<O: Operation>() -> Entry {
        Entry::of::<O, super::wire::Json>()
    }

    /// Creates an entry for an operation of a query protocol service.
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

    /// Runs the call.
    pub fn run(&self, input: Input, call: Call) -> impl Future<Output = Result<Output, Refusal>> + Send + use<> {
        (self.run)(input, call)
    }

    /// Checks an input in the operation's protocol against the operation's constraints, without running it.
    pub fn check(&self, body: Bytes) -> Result<(), Refusal> {
        (self.check)(body)
    }

    /// Returns the permissions that an input in the operation's protocol would need, for tests that walk all operations.
    pub fn needs(&self, body: Bytes, registry: &RegistryId) -> Result<Vec<Need>, Refusal> {
        (self.needs)(body, registry)
    }
}

/// Runs an authenticated call: parse → authorize → check → handle → encode.
async fn run<O: Operation, W: Wire>(input: Input, call: Call) -> Result<Output, Refusal> {
    let operation: O = W::read(input)?;
    let Call { app, caller, account, region, origin } = call;
    O::Api::admit(&caller)?;
    // A call with a malformed registry id is authorized in the caller's own registry, and then refused.
    let registry_id = check::registry_id(operation.registry_id());
    let own = caller.account().ok_or(Refusal::MissingSignature)?;
    let account = account.filter(|_| !O::OF_REGISTRY).or(registry_id.as_ref().ok().copied().flatten()).unwrap_or(own);
    let registry = RegistryId::private(account, region);
    let cx = Cx { system: app.system.clone(), caller: caller.into(), registry, origin: origin.into() };
    // With a malformed registry id, the call's repository is unknown, so it is not recorded.
    let attempt = operation.attempt().filter(|_| registry_id.is_ok());
    let outcome = authorized::<O, W>(operation, registry_id, &cx, &app).await;
    if let (Err(refusal), Some(attempt)) = (&outcome, attempt) {
        O::Api::refused(&cx, attempt, remembered::<W>(refusal));
    }
    outcome
}

/// Authorizes, checks and handles a call whose registry is known.
async fn authorized<O: Operation, W: Wire>(
    operation: O,
    registry_id: Result<Option<AccountId>, CommonError>,
    cx: &Cx,
    app: &App,
) -> Result<Output, Refusal> {
    let authorized = access::authorize(cx, &operation.needs(&cx.registry)).await;
    authorized.map_err(|error| Failure::of::<O::Api>(error.into()))?;
    registry_id?;
    let checked = operation.check().map_err(Failure::of::<O::Api>)?;
    let room = match O::output_bytes(&checked) {
        0 => None,
        bytes => Some(app.budgets.answers.take(Owner::of(cx), bytes).await?),
    };
    let output = O::handle(checked, cx, app).await.map_err(Failure::of::<O::Api>)?;
    W::write(&output, room)
}

/// Converts a refusal to the service's record of it: what the client sees.
fn remembered<W: Wire>(refusal: &Refusal) -> RefusedCall {
    let exception = W::exception(refusal);
    RefusedCall {
        status: exception.status.as_u16(),
        code: exception.name,
        message: refusal.to_string(),
        denied: refusal.is_denied(),
    }
}

/// A structure on the wire. It accepts only an object; serde's derived code would also accept a list of values.
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
        // Not `deserialize_map`: the query protocol encodes maps differently.
        deserializer.deserialize_struct("Structure", &[], Object(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Json, Query};

    #[test]
    fn a_refused_call_is_remembered_by_the_name_that_its_client_saw() {
        let refusal = Refusal::from(CommonError::Busy);
        let code = |call: RefusedCall| (call.code, call.status);
        assert_eq!(code(remembered::<Json>(&refusal)), ("ServerException", 503));
        assert_eq!(code(remembered::<Query>(&refusal)), ("ServiceUnavailable", 503));
    }
}
