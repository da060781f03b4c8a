//! Calls of services of the query protocol, checked against the service's model.

use crate::aws_caller::{AwsCaller, Outcome};
use crate::http::Call;
use crate::model::Model;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// The model of IAM. It is large, so only tests that call IAM read it.
static IAM: LazyLock<Model> = LazyLock::new(|| Model::load("iam"));
static STS: LazyLock<Model> = LazyLock::new(|| Model::load("sts"));
const IAM_VERSION: &str = "2010-05-08";
const STS_VERSION: &str = "2011-06-15";

impl AwsCaller<'_> {
    /// An IAM operation. `Accept` asks for JSON, so that the answer can be checked against the model. A refusal's body has `__type` and
    /// `message`, as those of JSON services do.
    pub async fn iam(&self, operation: &str, input: Value) -> Outcome {
        self.query("iam", IAM_VERSION, &IAM, operation, input).await
    }

    /// An STS operation. See [`AwsCaller::iam`].
    pub async fn session(&self, operation: &str, input: Value) -> Outcome {
        self.query("sts", STS_VERSION, &STS, operation, input).await
    }

    async fn query(&self, service: &str, version: &str, model: &Model, operation: &str, input: Value) -> Outcome {
        let call = Call::new("POST", "/")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("accept", "application/json")
            .body(query_form(&format!("Action={operation}&Version={version}"), &input));
        let answer = self.send(service, call).await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{operation}: {}", answer.text());
        let whole = answer.json();
        let body = match answer.status {
            200 => {
                let mut response = whole[format!("{operation}Response")].clone();
                assert!(response["ResponseMetadata"]["RequestId"].is_string(), "{operation}: {whole}");
                response[format!("{operation}Result")].take()
            }
            _ => json!({ "__type": whole["Error"]["Code"], "message": whole["Error"]["Message"] }),
        };
        if let Err(wrong) = model.check_query_answer(operation, answer.status, &body) {
            panic!("{operation}: {wrong}");
        }
        Outcome { operation: operation.to_owned(), answer, body }
    }
}

/// An input as a form of the query protocol, after the text `before`.
pub fn query_form(before: &str, input: &Value) -> String {
    let mut form = before.to_owned();
    add_parameters(&mut form, "", input);
    form
}

fn add_parameters(form: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(members) => members.iter().for_each(|(member, value)| {
            let path = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
            add_parameters(form, &path, value);
        }),
        Value::Array(items) => (1..).zip(items).for_each(|(number, item)| {
            add_parameters(form, &format!("{name}.member.{number}"), item);
        }),
        Value::String(text) => {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            form.push_str(&format!("&{name}={encoded}"));
        }
        other => form.push_str(&format!("&{name}={other}")),
    }
}
