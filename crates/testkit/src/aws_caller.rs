//! A client of the AWS doors. It signs each call and checks each answer against the service's model.

use crate::http::{Answer, Call};
use crate::{Docker, TestApp};
use aws::sigv4::{self, Head, SigningKey};
use base64::Engine as _;
use serde_json::{Value, json};
use std::time::Duration;

/// A principal with its keys in one region.
#[derive(Clone)]
pub struct AwsCaller<'a> {
    pub app: &'a TestApp,
    pub access_key_id: String,
    pub secret: String,
    /// The session token; `None` for a long-term key.
    pub session_token: Option<String>,
    pub region: String,
    /// The Host header; `None` means the listener's address.
    pub host: Option<String>,
    /// How far this caller's clock runs ahead of the server's.
    pub ahead: Duration,
}

/// The answer of an operation, checked against the model.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub operation: String,
    pub answer: Answer,
    pub body: Value,
}

impl Outcome {
    /// Returns the output of a call that must succeed.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.answer.status, 200, "{}: {}", self.operation, self.body);
        self.body
    }
    /// Returns the message of a call that must fail with this error (the name without `Exception`).
    #[track_caller]
    pub fn error(self, name: &str) -> String {
        let code = self.body["__type"].as_str().unwrap_or_default();
        let found = code.strip_suffix("Exception").unwrap_or(code);
        assert_eq!(found, name, "{}: {} {}", self.operation, self.answer.status, self.body);
        self.body["message"].as_str().unwrap_or_default().to_owned()
    }
    pub fn is_ok(&self) -> bool {
        self.answer.status == 200
    }
}

impl<'a> AwsCaller<'a> {
    /// An ECR operation.
    pub async fn ecr(&self, operation: &str, input: Value) -> Outcome {
        self.ecr_text(operation, input.to_string()).await
    }

    /// Calls an ECR operation with this exact body.
    pub async fn ecr_text(&self, operation: &str, body: String) -> Outcome {
        let model = &self.app.ecr_model;
        let target = format!("{}.{operation}", model.target_prefix());
        let call = Call::new("POST", "/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target)
            .body(body);
        let answer = self.send("ecr", call).await;
        let body = answer.json();
        for header in ["x-amzn-requestid", "date"] {
            assert!(answer.header(header).is_some(), "{operation}: no {header} in {:?}", answer.headers);
        }
        assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.1"), "{operation}");
        assert_eq!(answer.header("x-amzn-errortype"), body["__type"].as_str(), "{operation}");
        if let Err(wrong) = model.check_answer(operation, answer.status, &body) {
            panic!("{operation}: {wrong}");
        }
        Outcome { operation: operation.to_owned(), answer, body }
    }

    /// Calls an STS action by the query protocol.
    pub async fn sts(&self, action: &str, parameters: &str) -> Answer {
        let call = Call::new("POST", "/")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(format!("Action={action}&Version=2011-06-15{parameters}"));
        self.send("sts", call).await
    }

    /// Calls an operation of the `ecru` door, which has no model.
    pub async fn ecru(&self, operation: &str, input: Value) -> Outcome {
        let call = Call::new("POST", "/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("Ecru_V20261121.{operation}"))
            .body(input.to_string());
        let answer = self.send("ecru", call).await;
        Outcome { operation: operation.to_owned(), body: answer.json(), answer }
    }

    /// The same client with other credentials: the `AccessKey` of CreateAccessKey, or the `Credentials` of a session.
    pub fn with_credentials(&self, credentials: &Value) -> AwsCaller<'a> {
        let text = |name: &str| credentials[name].as_str().map(str::to_owned);
        AwsCaller {
            access_key_id: text("AccessKeyId").expect("an access key id"),
            secret: text("SecretAccessKey").expect("a secret"),
            session_token: text("SessionToken"),
            ..self.clone()
        }
    }

    /// Signs a call for a service at the current time, and sends it.
    pub async fn send(&self, service: &str, call: Call) -> Answer {
        self.sign(service, call).send(self.app.address).await
    }

    /// Adds Host and signature to a call.
    pub fn sign(&self, service: &str, call: Call) -> Call {
        let mut call = self.at_host(call);
        let signed =
            with_head(&call, |head, hash| sigv4::sign(head, hash, &self.key(), &self.region, service, self.now_us()));
        call.headers.extend(signed.into_iter().map(|(name, value)| (name.to_owned(), value)));
        call
    }

    /// Adds Host to a call and presigns it for `seconds`.
    pub fn presign(&self, service: &str, call: Call, seconds: u32) -> Call {
        let mut call = self.at_host(call);
        let query = with_head(&call, |head, hash| {
            sigv4::presign(head, hash, &self.key(), &self.region, service, self.now_us(), seconds)
        });
        let path = call.target.split('?').next().unwrap_or_default();
        call.target = format!("{path}?{query}");
        call
    }

    fn at_host(&self, call: Call) -> Call {
        call.header("host", self.host.clone().unwrap_or_else(|| self.app.address.to_string()))
    }

    fn key(&self) -> SigningKey<'_> {
        SigningKey {
            access_key_id: &self.access_key_id,
            secret: &self.secret,
            session_token: self.session_token.as_deref(),
        }
    }

    fn now_us(&self) -> i64 {
        self.app.now().plus(self.ahead).0
    }

    /// The account, which is the access key id of `--dev`'s administrators.
    pub fn account(&self) -> &str {
        &self.access_key_id
    }

    /// Creates a repository and returns the caller.
    pub async fn with_repository(self, name: &str) -> AwsCaller<'a> {
        self.repository(name).await;
        self
    }

    /// Creates a repository with the defaults.
    pub async fn repository(&self, name: &str) -> Value {
        self.ecr("CreateRepository", json!({"repositoryName": name})).await.ok()
    }

    /// Returns the password from GetAuthorizationToken.
    pub async fn password(&self) -> String {
        let answer = self.ecr("GetAuthorizationToken", json!({})).await.ok();
        let token = answer["authorizationData"][0]["authorizationToken"].as_str().expect("a token");
        let plain = base64::prelude::BASE64_STANDARD.decode(token).expect("base64");
        let plain = String::from_utf8(plain).expect("a token of text");
        plain.strip_prefix("AWS:").expect("the user is AWS").to_owned()
    }

    /// Returns a docker client that is logged in as this principal.
    pub async fn docker(&self) -> Docker<'a> {
        Docker::new(self.app, Some(self.password().await))
    }
}

/// Calls `read` with a call's head in the form that signatures cover, and its body's hash.
fn with_head<T>(call: &Call, read: impl FnOnce(&Head<'_>, [u8; 32]) -> T) -> T {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &call.body);
    let (path, query) = call.target.split_once('?').unwrap_or((&call.target, ""));
    let headers: Vec<(&str, &[u8])> = call.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
    let head = Head { method: &call.method, path, query, headers: &headers };
    read(&head, hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}
