//! Encodes the responses of all AWS doors: JSON, and the query protocol's XML or JSON.

use super::wire::Output;
use super::{Outcome, Protocol, Refusal};
use aws::json;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use kernel::{CommonError, ErrorChain};
use listen::access_log::{Called, CalledBy, RefusedFor};
use listen::body::{Body, Response, full};
use listen::memory::AnswerBytes;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const XML: &str = "text/xml";
const JSON: &str = "application/json";

/// Encodes the outcome of a call as a response.
pub fn encode(outcome: Outcome, request_id: &str) -> Response {
    let as_json = outcome.as_json;
    let mut response = match (outcome.protocol, outcome.output) {
        (_, Err(Refusal::Foreign(foreign))) => foreign.answer(request_id),
        (Protocol::Json { version, .. }, Ok(Output::Json(held))) => {
            respond_with(StatusCode::OK, version.content_type(), held.into_body())
        }
        (Protocol::Query { namespace, .. }, Ok(Output::Query { output, room })) => {
            let (content_type, text) = match as_json {
                true => (JSON, output.json(outcome.operation, request_id)),
                false => (XML, output.xml(namespace, outcome.operation, request_id)),
            };
            respond_with(StatusCode::OK, content_type, AnswerBytes::new(text.into_bytes(), room).into_body())
        }
        // An operation listed under a service of another protocol. The service tables' test rules this out.
        (protocol, Ok(_)) => {
            let refusal = Refusal::from(CommonError::server(WrongProtocol));
            log(&refusal, request_id);
            return encode(Outcome { protocol, output: Err(refusal), ..outcome }, request_id);
        }
        (Protocol::Json { version, .. }, Err(refusal)) => json_error(version, &refusal),
        (Protocol::Query { namespace, .. }, Err(refusal)) => query_error(namespace, as_json, &refusal, request_id),
    };
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if !outcome.operation.is_empty() {
        response.extensions_mut().insert(Called { service: outcome.service, operation: outcome.operation });
    }
    if let Some(arn) = outcome.called_by {
        response.extensions_mut().insert(CalledBy(arn));
    }
    response
}

/// An operation's output does not match its service's protocol.
#[derive(Debug, thiserror::Error)]
#[error("an output of another protocol than its service's")]
struct WrongProtocol;

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    respond_with(status, content_type, full(body))
}

fn respond_with(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn json_error(version: json::JsonVersion, refusal: &Refusal) -> Response {
    let exception = refusal.json();
    let message = refusal.to_string();
    // AWS answers an unknown operation with its type and no message.
    let message = (!matches!(refusal, Refusal::UnknownOperation)).then_some(message.as_str());
    let mut response = respond(
        exception.status,
        version.content_type(),
        json::error_body(&version.error_type(exception.name), message, &exception.extra),
    );
    response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(exception.name));
    response.extensions_mut().insert(RefusedFor::new(exception.name, &refusal.to_string()));
    come_again(&mut response);
    response
}

fn query_error(namespace: &str, as_json: bool, refusal: &Refusal, request_id: &str) -> Response {
    let exception = refusal.query();
    let message = refusal.to_string();
    let error = aws::query::QueryError {
        is_sender: exception.status.is_client_error(),
        code: exception.name,
        message: &message,
        extra: &exception.extra,
    };
    let (content_type, text) = match as_json {
        true => (JSON, error.json(request_id)),
        false => (XML, error.xml(namespace, request_id)),
    };
    let mut response = respond(exception.status, content_type, text.into_bytes());
    response.extensions_mut().insert(RefusedFor::new(exception.name, &message));
    come_again(&mut response);
    response
}

/// Adds Retry-After to a 503, because every 503 is temporary.
fn come_again(response: &mut Response) {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
}

/// Logs a server fault with its causes. Other refusals appear in the access log only.
pub fn log(refusal: &Refusal, request_id: &str) {
    if refusal.is_fault() {
        tracing::error!(request.id = request_id, "An AWS call failed: {}", ErrorChain(refusal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Query, Wire};

    #[test]
    fn the_access_line_learns_the_operation_and_the_caller_where_they_are_known() {
        let outcome = |operation, called_by: Option<&str>, output| Outcome {
            protocol: Protocol::Json { target: "Test", version: json::JsonVersion::V1_1 },
            as_json: false,
            service: "test",
            operation,
            called_by: called_by.map(str::to_owned),
            output,
        };
        for (outcome, operation, caller) in [
            (
                outcome("PutImage", Some("arn"), Ok(Output::Json(AnswerBytes::new(b"{}".to_vec(), None)))),
                Some("PutImage"),
                Some("arn"),
            ),
            (outcome("PutImage", None, Err(Refusal::MissingSignature)), Some("PutImage"), None),
            (outcome("", None, Err(Refusal::UnknownOperation)), None, None),
        ] {
            let response = encode(outcome, "id");
            let extensions = response.extensions();
            assert_eq!(extensions.get::<Called>().map(|called| called.operation), operation);
            assert_eq!(extensions.get::<CalledBy>().map(|caller| caller.0.as_str()), caller);
        }
    }

    #[tokio::test]
    async fn a_nested_output_is_answered_in_the_form_that_is_asked_for_and_the_services_namespace() {
        #[derive(serde::Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Listing {
            users: Vec<User>,
            is_truncated: bool,
        }
        #[derive(serde::Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct User {
            user_name: &'static str,
            create_date: aws::Timestamp,
        }
        let listing = || {
            let user = User { user_name: "a&b", create_date: aws::Timestamp(1_699_999_999_000_000) };
            Query::write(&Listing { users: vec![user], is_truncated: false }, None)
        };
        let outcome = |as_json| Outcome {
            protocol: Protocol::Query { namespace: "urn:iam", version: "2010-05-08" },
            as_json,
            service: "test",
            operation: "ListUsers",
            called_by: None,
            output: listing(),
        };
        for (as_json, content_type, expected) in [
            (
                false,
                "text/xml",
                "<ListUsersResponse xmlns=\"urn:iam\"><ListUsersResult><Users><member><UserName>a&amp;b</UserName>\
                 <CreateDate>2023-11-14T22:13:19Z</CreateDate></member></Users><IsTruncated>false</IsTruncated>\
                 </ListUsersResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></ListUsersResponse>",
            ),
            (
                true,
                "application/json",
                r#"{"ListUsersResponse":{"ListUsersResult":{"Users":[{"UserName":"a&b","CreateDate":1699999999.0}],"IsTruncated":false},"ResponseMetadata":{"RequestId":"id"}}}"#,
            ),
        ] {
            let response = encode(outcome(as_json), "id");
            assert_eq!(
                (response.status(), &response.headers()[CONTENT_TYPE]),
                (StatusCode::OK, &content_type.parse().unwrap())
            );
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn an_error_of_json_1_0_has_its_namespace_and_an_output_of_another_protocol_is_our_fault() {
        let json_1_0 = json::JsonVersion::V1_0 { namespace: "com.example" };
        let outcome = |output| Outcome {
            protocol: Protocol::Json { target: "Test", version: json_1_0 },
            as_json: false,
            service: "test",
            operation: "Get",
            called_by: None,
            output,
        };
        let response = encode(outcome(Err(Refusal::MissingSignature)), "id");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/x-amz-json-1.0");
        assert_eq!(encode(outcome(Query::write(&(), None)), "id").status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
