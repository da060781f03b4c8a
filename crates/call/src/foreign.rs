//! Answers calls of AWS services that this server does not have. Clients send them because `AWS_ENDPOINT_URL` covers all
//! services. Each is answered in its service's error format, so that the client prints what this server is and which variable
//! sets the endpoint for ECR only.

use crate::{Service, Services};
use aws::query;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use listen::access_log::RefusedFor;
use listen::body::{Response, full};
use serde_json::json;
use std::fmt;

/// Maximum characters of a service's name; AWS's longest has 40.
const MAX_NAME: usize = 64;

/// The services with S3's error format.
const S3: &[&str] = &["s3", "s3express", "s3-outposts", "s3-object-lambda"];
/// Other services whose protocol is REST with XML.
const REST_XML: &[&str] = &["route53", "cloudfront"];
/// The only service of the query protocol with its own error format.
const EC2: &str = "ec2";

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");
const CBOR: &str = "rpc-v2-cbor";
const JSON_1_0: &str = "application/x-amz-json-1.0";

/// The name of the error in services of JSON, REST and CBOR.
const UNKNOWN_OPERATION: &str = "UnknownOperationException";

/// A call that is signed for a service that this server does not have. The signature is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    service: String,
    protocol: Spoken,
}

/// The error format of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    S3,
    RestXml,
    Query,
    Ec2,
    Json { content_type: &'static str },
    Cbor,
    RestJson,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "This is Ecru {}: it has ECR, STS and IAM, and not {}. AWS_ENDPOINT_URL sends every service here; set \
             AWS_ENDPOINT_URL_ECR instead, which names ECR alone",
            env!("CARGO_PKG_VERSION"),
            self.service
        )
    }
}

impl Foreign {
    /// Recognizes a call of another service by its head; `None` if no signature's scope names one.
    pub fn read(services: Services, head: &Parts) -> Option<Foreign> {
        let is_foreign = |service: &String| !is_here(services, service);
        let service = in_header(head).filter(is_foreign).or_else(|| in_query(head).filter(is_foreign))?;
        let protocol = spoken(head, &service);
        Some(Foreign { service, protocol })
    }

    /// Recognizes a call of another service on another door's path: only by an Authorization header with a signature, which
    /// clients of that door do not send.
    pub fn read_header(services: Services, head: &Parts) -> Option<Foreign> {
        let service = in_header(head).filter(|service| !is_here(services, service))?;
        let protocol = spoken(head, &service);
        Some(Foreign { service, protocol })
    }

    /// Returns the response: 400, which no client retries.
    pub fn answer(&self, request_id: &str) -> Response {
        // Write the error in the format of the service's protocol, so that the client can show it.
        let message = self.to_string();
        let [escaped, id] = [message.as_str(), request_id].map(aws::query::escape);
        let (content_type, body) = match self.protocol {
            Spoken::S3 => {
                let error = format!("<Error><Code>NotImplemented</Code><Message>{escaped}</Message>");
                let document = format!("{error}<RequestId>{id}</RequestId><HostId>{id}</HostId></Error>");
                ("application/xml", format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{document}").into_bytes())
            }
            Spoken::Ec2 => {
                let error = format!("<Error><Code>InvalidAction</Code><Message>{escaped}</Message></Error>");
                let document = format!("<Response><Errors>{error}</Errors><RequestID>{id}</RequestID></Response>");
                ("text/xml", document.into_bytes())
            }
            Spoken::Query | Spoken::RestXml => {
                let error = "<Type>Sender</Type><Code>InvalidAction</Code>";
                let error = format!("<Error>{error}<Message>{escaped}</Message></Error>");
                let document = format!("<ErrorResponse>{error}<RequestId>{id}</RequestId></ErrorResponse>");
                ("text/xml", document.into_bytes())
            }
            Spoken::Json { content_type } => {
                (content_type, aws::json::error_body(UNKNOWN_OPERATION, Some(&message), &[]))
            }
            Spoken::RestJson => {
                let body = json!({ "__type": UNKNOWN_OPERATION, "code": UNKNOWN_OPERATION, "message": message });
                ("application/json", body.to_string().into_bytes())
            }
            Spoken::Cbor => ("application/cbor", cbor(&[("__type", UNKNOWN_OPERATION), ("message", &message)])),
        };
        // Some SDKs find the error's name only in a header.
        let mut response = Response::new(full(body));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.extensions_mut().insert(RefusedFor::new(UNKNOWN_OPERATION, &message));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        match self.protocol {
            Spoken::Json { .. } | Spoken::RestJson => {
                headers.insert(ERROR_TYPE, HeaderValue::from_static(UNKNOWN_OPERATION));
            }
            Spoken::Cbor => {
                headers.insert(SMITHY_PROTOCOL, HeaderValue::from_static(CBOR));
            }
            Spoken::S3 | Spoken::RestXml | Spoken::Query | Spoken::Ec2 => {}
        }
        response
    }
}

/// Returns the service that a request is signed for, if this server has it. The signature is not verified.
pub fn signed_for(services: Services, head: &Parts) -> Option<&'static Service> {
    let named = in_header(head).or_else(|| in_query(head))?;
    services.iter().find(|service| service.signing_name == named).copied()
}

fn is_here(services: Services, name: &str) -> bool {
    services.iter().any(|service| service.signing_name == name)
}

/// Returns the service that a presigned request is for.
fn in_query(head: &Parts) -> Option<String> {
    scope(&query::parameter(head.uri.query()?.as_bytes(), "X-Amz-Credential")?)
}

/// Returns the service that an Authorization header of Signature Version 4 (or 4A) is for.
fn in_header(head: &Parts) -> Option<String> {
    let value = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let parameters = value.strip_prefix("AWS4-")?;
    let (_, credential) = parameters.split_once("Credential=")?;
    scope(credential.split([',', ' ']).next()?)
}

/// Returns the service of a credential, `KEY/DATE/REGION/SERVICE/aws4_request` (Signature Version 4A has no region).
fn scope(credential: &str) -> Option<String> {
    let (_, service) = credential.strip_suffix("/aws4_request")?.rsplit_once('/')?;
    let named = !service.is_empty()
        && service.len() <= MAX_NAME
        && service.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    named.then(|| service.to_owned())
}

fn spoken(head: &Parts, service: &str) -> Spoken {
    let header = |name: &HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header(&SMITHY_PROTOCOL) == CBOR {
        return Spoken::Cbor;
    }
    if head.headers.contains_key(super::TARGET) {
        let old = header(&CONTENT_TYPE).starts_with(JSON_1_0);
        return Spoken::Json { content_type: if old { JSON_1_0 } else { aws::json::CONTENT_TYPE } };
    }
    if S3.contains(&service) {
        return Spoken::S3;
    }
    if REST_XML.contains(&service) {
        return Spoken::RestXml;
    }
    match super::is_query(head) {
        true if service == EC2 => Spoken::Ec2,
        true => Spoken::Query,
        false => Spoken::RestJson,
    }
}

/// Encodes a map of texts in CBOR (RFC 8949 sections 3 and 3.1).
fn cbor(members: &[(&str, &str)]) -> Vec<u8> {
    const MAP: u8 = 5;
    const TEXT: u8 = 3;
    /// Encodes a head: the major type and an argument of up to 16 bits.
    fn head(major: u8, argument: usize, out: &mut Vec<u8>) {
        match u8::try_from(argument) {
            Ok(small) if small < 24 => out.push(major << 5 | small),
            Ok(byte) => out.extend([major << 5 | 24, byte]),
            // All messages of this module fit into 16 bits.
            Err(_) => {
                let [high, low] = u16::try_from(argument).unwrap_or(u16::MAX).to_be_bytes();
                out.extend([major << 5 | 25, high, low]);
            }
        }
    }
    let mut out = Vec::new();
    head(MAP, members.len(), &mut out);
    for text in members.iter().flat_map(|(name, value)| [name, value]) {
        head(TEXT, text.len(), &mut out);
        out.extend_from_slice(text.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Protocol, Service};

    const fn service(signing_name: &'static str) -> Service {
        Service {
            signing_name,
            namesake: None,
            global_region: None,
            account: None,
            protocol: Protocol::Json { target: signing_name, version: aws::json::JsonVersion::V1_1 },
            stated_life: true,
            operations: &[],
            not_yet: &[],
        }
    }

    const SERVICES: Services = &[&service("ecr"), &service("ecr-public"), &service("sts")];

    #[test]
    fn a_scope_names_a_service_that_is_not_here() {
        for (credential, expected) in [
            ("AKID/20261130/us-east-1/s3/aws4_request", Some("s3")),
            ("AKID/20261130/s3express/aws4_request", Some("s3express")),
            ("AKID/20261130/us-east-1/ecr/aws4_request", None),
            ("AKID/20261130/us-east-1/ecr-public/aws4_request", None),
            ("AKID/20261130/us-east-1/sts/aws4_request", None),
            ("AKID/20261130/us-east-1/<x>/aws4_request", None),
            ("AKID/20261130/us-east-1//aws4_request", None),
            ("AKID/20261130/us-east-1/s3/other", None),
            ("", None),
        ] {
            let foreign = scope(credential).filter(|service| !is_here(SERVICES, service));
            assert_eq!(foreign.as_deref(), expected, "{credential}");
        }
        assert_eq!(scope(&format!("A/1/r/{}/aws4_request", "x".repeat(65))), None);
    }

    #[test]
    fn a_map_of_texts_is_written_in_cbor() {
        assert_eq!(cbor(&[("a", "b")]), *b"\xa1\x61a\x61b");
        let long = "x".repeat(300);
        let written = cbor(&[("a", &long), ("b", &long[..200])]);
        assert_eq!(written[..6], *b"\xa2\x61a\x79\x01\x2c");
        assert_eq!(written[306..310], *b"\x61b\x78\xc8");
        assert_eq!(written.len(), 510);
    }
}
