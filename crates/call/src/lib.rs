//! The pipeline of all AWS doors: `POST /` and presigned calls of every service, from request to encoded response (`ECR.md` 0).
//!
//! Every call takes the same path: find the operation → look up its credential and check time and scope → read the body, bounded
//! → verify the signature → parse → authorize → check the members → handle → encode. A service is described by data
//! ([`Service`]), an operation by an [`Operation`].

mod answer;
mod api;
pub mod check;
mod foreign;
mod inbound;
mod operation;
pub mod page;
mod refusal;
mod serialization;
pub mod sigv4;
mod wire;

pub use api::{Api, Failure, RefusedCall};
pub use aws::json::JsonVersion;
pub use foreign::Foreign;
pub use operation::{AttemptOf, Entry, ErrorOf, Operation, Structure};
pub use refusal::{Exception, Refusal};

use crate::sigv4::Claim;
use aws::query::QueryForm;
use aws::{AccountId, json, query};
use http::request::Parts;
use http::{Method, header};
use inbound::{BODY_TIME, SMALL_BODY_BYTES, SMALL_BODY_TIME};
use kernel::{RequestOrigin, excerpt};
use listen::app::App;
use listen::body::{Request, RequestBody, Response};
use listen::local_only::NotLocal;
use listen::memory::Owner;
use operation::Call;
use std::sync::Arc;
use tokio::time::Instant;
use wire::{Input, Output};

/// Maximum bytes of a body by default (DESIGN "Promises").
pub const BODY_BYTES: usize = 4 * 1024 * 1024;

/// Maximum bytes of a form of the query protocol, which must be read before its operation is known.
pub const FORM_BYTES: usize = 1024 * 1024;

/// The most characters of a client's text that a message repeats.
const REPEATED: usize = 64;

/// A service of the AWS API: how calls name it, and which operations it has.
pub struct Service {
    /// The service in the credential scope of a signature.
    pub signing_name: &'static str,
    /// The service's name in messages about its operations, if another service has operations of the same names.
    pub namesake: Option<&'static str>,
    /// A region that is accepted in signatures even if it is not served: calls to STS's global endpoint are signed for us-east-1.
    pub global_region: Option<&'static str>,
    /// The account that authorizes calls not about a registry ([`Operation::OF_REGISTRY`]). If `None`, the account named in the
    /// call, else the caller's. A service about the whole server belongs to one account, so that no other account's administrator
    /// may operate it.
    pub account: Option<AccountId>,
    pub protocol: Protocol,
    /// Whether a presigned call is valid for its `X-Amz-Expires`; otherwise for the allowed clock skew.
    pub stated_life: bool,
    pub operations: &'static [Entry],
    /// Operations of the service's model that this version does not implement yet.
    pub not_yet: &'static [&'static str],
}

/// The services that share the path `/`.
pub type Services = &'static [&'static Service];

impl Service {
    /// Returns the refusal of an operation that this version does not implement yet; `None` if the service's model has no such
    /// operation.
    fn lacks(&self, operation: &str) -> Option<Refusal> {
        let operation = self.not_yet.iter().find(|name| **name == operation)?;
        Some(Refusal::NotYet { namesake: self.namesake, operation })
    }
}

/// The protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AWS JSON; `target` is the part of `X-Amz-Target` before the operation.
    Json { target: &'static str, version: json::JsonVersion },
    /// The query protocol: the input is a form, the output XML.
    Query { namespace: &'static str, version: &'static str },
}

/// Answers any request to `/` with one of these services.
pub async fn handle(services: Services, app: &Arc<App>, request: Request, origin: RequestOrigin) -> Response {
    let (head, body) = request.into_parts();
    let small = body.most().is_some_and(|bytes| bytes <= SMALL_BODY_BYTES);
    let time = if small { SMALL_BODY_TIME } else { BODY_TIME };
    let mut body = RequestBody::new(body, &head.headers, Instant::now() + time);
    let request_id = origin.request_id.clone();
    let outcome = if is_query(&head) {
        call_query(services, app, &head, &mut body, origin).await
    } else {
        call_json(services, app, &head, &mut body, origin).await
    };
    body.discard();
    if let Err(refusal) = &outcome.output
        && !refusal.common().is_some_and(|error| app.health.outages.refused(error))
    {
        answer::log(refusal, &request_id);
    }
    answer::encode(outcome, &request_id)
}

/// Refuses a request that `--dev` does not serve, in the protocol of the service that it is signed for.
pub fn refuse_not_local(services: Services, head: &Parts, not_local: &NotLocal, request_id: &str) -> Response {
    let called = foreign::signed_for(services, head).map(|service| service.protocol);
    let protocol = match is_query(head) {
        true => called.filter(|protocol| matches!(protocol, Protocol::Query { .. })).unwrap_or(first_query(services)),
        false => called.filter(|protocol| matches!(protocol, Protocol::Json { .. })).unwrap_or(UNKNOWN),
    };
    let output = Err(Refusal::NotLocal(not_local.clone()));
    let outcome =
        Outcome { protocol, as_json: prefers_json(head), service: "", operation: "", called_by: None, output };
    answer::encode(outcome, request_id)
}

/// The result of a call, with what is needed to encode and log it.
struct Outcome {
    protocol: Protocol,
    /// Whether the query protocol answers in JSON instead of XML, as `Accept` asks.
    as_json: bool,
    /// The service's signing name and the operation's name; empty if none was found.
    service: &'static str,
    operation: &'static str,
    /// The ARN of an authenticated caller, for the access line.
    called_by: Option<String>,
    output: Result<Output, Refusal>,
}

/// Whether a request speaks the query protocol: a form, or a presigned GET that names its action.
fn is_query(head: &Parts) -> bool {
    let form = head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(query::CONTENT_TYPE.as_bytes()));
    let action = head.uri.query().is_some_and(|text| query::parameter(text.as_bytes(), "Action").is_some());
    !head.headers.contains_key(TARGET) && (action || (head.method == Method::POST && form))
}

const TARGET: &str = "x-amz-target";

/// Returns the query protocol for answers when no service was found: that of the first service with one.
fn first_query(services: Services) -> Protocol {
    let query = services.iter().find(|service| matches!(service.protocol, Protocol::Query { .. }));
    query.map_or(UNKNOWN, |service| service.protocol)
}

/// The protocol for answers when no operation was found: errors of JSON services.
const UNKNOWN: Protocol = Protocol::Json { target: "", version: json::JsonVersion::V1_1 };

async fn call_json(
    services: Services,
    app: &Arc<App>,
    head: &Parts,
    body: &mut RequestBody,
    origin: RequestOrigin,
) -> Outcome {
    let (service, entry) = match find_target(services, head) {
        Ok(found) => found,
        Err(refusal) => {
            let output = Err(of_another_service(services, head, refusal));
            return Outcome { protocol: UNKNOWN, as_json: false, service: "", operation: "", called_by: None, output };
        }
    };
    let (declared, mut called_by) = (body.declared(), None);
    let output = async {
        let claim = Claim::read(app, head, service).await?;
        // Check the head. A caller that is verified or recently known does not use the strangers' budget.
        let pair = Owner::claimed(origin.address, claim.access_key_id());
        let known = claim.verify_head(head)? || app.budgets.known.knows(&pair);
        let budget = if known { &app.budgets.calls } else { &app.budgets.unverified };
        let lease = budget.receive(pair.clone());
        // Read the body, and verify the signature over it.
        let received = inbound::receive(lease, body, declared, entry.body_limit).await?;
        let (caller, region) = claim.verify(app, head, service, received.sha256)?;
        app.budgets.known.verified(&pair);
        let arn = caller.arn(region.partition());
        let owner = Owner::caller(&arn, origin.address);
        called_by = Some(arn);
        // The lease is held until the call is done.
        let (bytes, _lease) = received.accept(&app.budgets.calls, owner).await?;
        let call = Call { app: app.clone(), caller, account: service.account, region, origin };
        entry.run(Input::Json(bytes), call).await
    };
    let output = output.await;
    Outcome {
        protocol: service.protocol,
        as_json: false,
        service: service.signing_name,
        operation: entry.name,
        called_by,
        output,
    }
}

/// Finds the JSON operation that `X-Amz-Target` names.
fn find_target(services: Services, head: &Parts) -> Result<(&'static Service, &'static Entry), Refusal> {
    let Some(target) = head.headers.get(TARGET) else {
        // A browser or a health check requests `/`: AWS answers first that the signature is missing.
        return Err(if head.method == Method::POST { Refusal::UnknownOperation } else { Refusal::MissingSignature });
    };
    let named = target.to_str().ok().and_then(json::target);
    let (prefix, name) = named.filter(|_| head.method == Method::POST).ok_or(Refusal::UnknownOperation)?;
    let speaks = |service: &Service| matches!(service.protocol, Protocol::Json { target, .. } if target == prefix);
    let service = services.iter().find(|service| speaks(service)).ok_or(Refusal::UnknownOperation)?;
    let entry = service.operations.iter().find(|entry| entry.name == name);
    Ok((service, entry.ok_or_else(|| service.lacks(name).unwrap_or(Refusal::UnknownOperation))?))
}

/// Replaces the refusal of an unknown operation if the call is signed for another service.
fn of_another_service(services: Services, head: &Parts, refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::UnknownOperation
        | Refusal::UnknownAction { .. }
        | Refusal::MissingAction
        | Refusal::MissingSignature => Foreign::read(services, head).map_or(refusal, Refusal::Foreign),
        other => other,
    }
}

/// Finds the query service that a form's `Version` names.
fn find_service(services: Services, form: &QueryForm) -> Option<&'static Service> {
    let asked = form.get("Version")?;
    let speaks = |service: &Service| matches!(service.protocol, Protocol::Query { version, .. } if version == asked);
    services.iter().copied().find(|service| speaks(service))
}

/// Finds the operation that a form's `Action` names.
fn find_action(
    service: Option<&'static Service>,
    form: &QueryForm,
) -> Result<(&'static Service, &'static Entry), Refusal> {
    let action = form.get("Action").ok_or(Refusal::MissingAction)?;
    let asked = form.get("Version").unwrap_or("NO_VERSION_SPECIFIED");
    let unknown = || Refusal::UnknownAction { action: excerpt(action, REPEATED), version: excerpt(asked, REPEATED) };
    let service = service.ok_or_else(unknown)?;
    let entry = service.operations.iter().find(|entry| entry.name == action);
    Ok((service, entry.ok_or_else(|| service.lacks(action).unwrap_or_else(unknown))?))
}

async fn call_query(
    services: Services,
    app: &Arc<App>,
    head: &Parts,
    body: &mut RequestBody,
    origin: RequestOrigin,
) -> Outcome {
    let (declared, mut called_by, mut called) = (body.declared(), None, ("", ""));
    let mut protocol = first_query(services);
    let output = async {
        // Read the form: only it names the operation.
        let lease = app.budgets.forms.receive(Owner::stranger(origin.address));
        let mut received = inbound::receive(lease, body, declared, FORM_BYTES).await?;
        // The lease is held until the call is done.
        let form = wire::form(head.uri.query().unwrap_or_default(), &received.bytes()?)?;
        let named = find_service(services, &form);
        // From here on, answer in the protocol of the service that was called.
        protocol = named.map_or(protocol, |service| service.protocol);
        let (service, entry) =
            find_action(named, &form).map_err(|refusal| of_another_service(services, head, refusal))?;
        // Verify the signature, then run the operation.
        called = (service.signing_name, entry.name);
        let claim = Claim::read(app, head, service).await?;
        let (caller, region) = claim.verify(app, head, service, received.sha256)?;
        called_by = Some(caller.arn(region.partition()));
        let call = Call { app: app.clone(), caller, account: service.account, region, origin };
        entry.run(Input::Form(form), call).await
    };
    let output = output.await;
    let (service, operation) = called;
    Outcome { protocol, as_json: prefers_json(head), service, operation, called_by, output }
}

/// Whether a caller of the query protocol prefers JSON to XML.
fn prefers_json(head: &Parts) -> bool {
    let accept = head.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(query::prefers_json)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn service(signing_name: &'static str, version: &'static str, namespace: &'static str) -> Service {
        Service {
            signing_name,
            namesake: None,
            global_region: None,
            account: None,
            protocol: Protocol::Query { namespace, version },
            stated_life: false,
            operations: &[],
            not_yet: &["GetUser"],
        }
    }

    const SERVICES: Services = &[&service("sts", "2011-06-15", "urn:sts"), &service("iam", "2010-05-08", "urn:iam")];

    #[test]
    fn a_forms_version_names_the_service_that_answers() {
        let form = |text: &str| wire::form("", text.as_bytes()).unwrap();
        for (text, service) in [
            ("Action=GetUser&Version=2010-05-08", Some("iam")),
            ("Action=NoSuch&Version=2010-05-08", Some("iam")),
            ("Version=2011-06-15", Some("sts")),
            ("Action=GetUser&Version=2012-01-01", None),
            ("Action=GetUser", None),
        ] {
            let found = find_service(SERVICES, &form(text));
            assert_eq!(found.map(|service| service.signing_name), service, "{text}");
            assert!(find_action(found, &form(text)).is_err(), "{text}");
        }
        let found = find_service(SERVICES, &form("Action=GetUser&Version=2010-05-08"));
        let refused = find_action(found, &form("Action=GetUser&Version=2010-05-08")).err().unwrap();
        assert!(matches!(refused, Refusal::NotYet { operation: "GetUser", .. }), "{refused:?}");
    }
}
