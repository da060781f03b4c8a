//! The one writer of AWS answers: JSON 1.1, and the query protocol's XML or JSON.
use super::{Outcome, Protocol, Refusal};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use listen::access_log::{Called, CalledBy, RefusedFor};
use listen::body::{Body, Chain, Response, full};
use registry::Error;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const XML: &str = "text/xml";
const JSON: &str = "application/json";

/// Writes an answer.
pub fn encode(outcome: Outcome, request_id: &str) -> Response {
    let as_json = outcome.as_json;
    let mut response = match (outcome.protocol, outcome.output) {
        (_, Err(Refusal::Foreign(foreign))) => foreign.answer(request_id),
        (Protocol::Json { .. }, Ok(output)) => {
            respond_with(StatusCode::OK, aws::json::CONTENT_TYPE, output.into_body())
        }
        (Protocol::Json { .. }, Err(refusal)) => json_error(&refusal),
        (Protocol::Query { namespace, .. }, Ok(output)) => {
            let written = match as_json {
                true => query_json(outcome.operation, output.bytes(), request_id).map(|text| (JSON, text)),
                false => query_output(namespace, outcome.operation, output.bytes(), request_id).map(|text| (XML, text)),
            };
            match written {
                Ok((content_type, text)) => respond(StatusCode::OK, content_type, text.into_bytes()),
                Err(error) => {
                    let refusal = Refusal::Failed(Error::server(error));
                    log(&refusal, request_id);
                    query_error(namespace, as_json, &refusal, request_id)
                }
            }
        }
        (Protocol::Query { namespace, .. }, Err(refusal)) => query_error(namespace, as_json, &refusal, request_id),
    };
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if !outcome.operation.is_empty() {
        response.extensions_mut().insert(Called(outcome.operation));
    }
    if let Some(arn) = outcome.called_by {
        response.extensions_mut().insert(CalledBy(arn));
    }
    response
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    respond_with(status, content_type, full(body))
}

fn respond_with(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn json_error(refusal: &Refusal) -> Response {
    let exception = refusal.json();
    let message = refusal.message();
    // AWS says no more of an unknown operation than its type.
    let message = (!matches!(refusal, Refusal::UnknownOperation)).then_some(message.as_str());
    let mut response = respond(
        exception.status,
        aws::json::CONTENT_TYPE,
        aws::json::error_body(exception.name, message, &exception.extra),
    );
    response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(exception.name));
    response.extensions_mut().insert(RefusedFor::new(exception.name, &refusal.message()));
    come_again(&mut response);
    response
}

fn query_error(namespace: &str, as_json: bool, refusal: &Refusal, request_id: &str) -> Response {
    let exception = refusal.query();
    let (sender, name, message) = (exception.status.is_client_error(), exception.name, refusal.message());
    let (content_type, text) = match as_json {
        true => (JSON, aws::query::error_json(sender, name, &message, request_id)),
        false => (XML, aws::query::error(namespace, sender, name, &message, request_id)),
    };
    let mut response = respond(exception.status, content_type, text.into_bytes());
    response.extensions_mut().insert(RefusedFor::new(name, &message));
    come_again(&mut response);
    response
}

/// An output as the query protocol writes it in JSON.
fn query_json(action: &str, output: &[u8], request_id: &str) -> Result<String, serde_json::Error> {
    let result: &RawValue = serde_json::from_slice(output)?;
    Ok(aws::query::response_json(action, result, request_id))
}

/// The members of a flat output as the query protocol writes them.
fn query_output(namespace: &str, action: &str, output: &[u8], request_id: &str) -> Result<String, serde_json::Error> {
    let Members(members) = serde_json::from_slice(output)?;
    let members: Vec<(&str, &str)> = members.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Ok(aws::query::response(namespace, action, &members, request_id))
}

/// The members of an object of texts, in their order.
struct Members(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Texts)
    }
}

/// Every 503 passes: says when to try again.
fn come_again(response: &mut Response) {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
}

/// Logs a fault of ours with its causes; a refusal is a line of the access log and no more.
pub fn log(refusal: &Refusal, request_id: &str) {
    if refusal.is_fault() {
        tracing::error!(request.id = request_id, "an AWS call failed: {}", Chain(refusal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use listen::memory::Held;

    #[test]
    fn the_access_line_learns_the_operation_and_the_caller_where_they_are_known() {
        let outcome = |operation, called_by: Option<&str>, output| Outcome {
            protocol: Protocol::Json { target: "Test" },
            as_json: false,
            operation,
            called_by: called_by.map(str::to_owned),
            output,
        };
        for (outcome, operation, caller) in [
            (outcome("PutImage", Some("arn"), Ok(Held::new(b"{}".to_vec(), None))), Some("PutImage"), Some("arn")),
            (outcome("PutImage", None, Err(Refusal::MissingSignature)), Some("PutImage"), None),
            (outcome("", None, Err(Refusal::UnknownOperation)), None, None),
        ] {
            let response = encode(outcome, "id");
            let extensions = response.extensions();
            assert_eq!(extensions.get::<Called>().map(|called| called.0), operation);
            assert_eq!(extensions.get::<CalledBy>().map(|caller| caller.0.as_str()), caller);
        }
    }
}
