use super::FINISHED;
use serde_json::json;
use std::collections::BTreeSet;
use testkit::http::Call;
use testkit::{Model, TestApp};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What an unsigned call is answered: unfinished operations are unknown before anything else is looked at.
async fn unsigned(app: &TestApp, target: &str, body: &str) -> (u16, serde_json::Value) {
    let call =
        Call::new("POST", "/").header("content-type", "application/x-amz-json-1.1").header("x-amz-target", target);
    let answer = call.body(body.to_owned()).send(app.address).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn the_finished_operations_are_those_of_the_list_and_no_more() {
    let app = TestApp::start().await;
    let model = Model::load("ecr");
    assert_eq!(model.operations().len(), 62);
    let mut finished = BTreeSet::new();
    for operation in model.operations() {
        let (status, body) = unsigned(&app, &format!("{}.{operation}", model.target_prefix()), "not JSON").await;
        assert_eq!(status, 400, "{operation}: {body}");
        if body["__type"] == "UnknownOperationException" {
            let message =
                format!("Ecru {VERSION} does not have {operation} yet: docs/compatibility.md lists what it has");
            assert_eq!(body, json!({"__type": "UnknownOperationException", "message": message}), "{operation}");
        } else {
            assert_eq!(body["__type"], "MissingAuthenticationTokenException", "{operation}");
            finished.insert(operation);
        }
    }
    assert_eq!(finished, FINISHED.iter().map(|name| (*name).to_owned()).collect());
}

#[tokio::test]
async fn no_operation_of_ecr_public_is_finished() {
    let app = TestApp::start().await;
    let model = Model::load("ecr-public");
    assert_eq!(model.operations().len(), 23);
    for operation in model.operations() {
        let (status, body) = unsigned(&app, &format!("{}.{operation}", model.target_prefix()), "{}").await;
        let message = format!(
            "Ecru {VERSION} does not have {operation} of ECR Public yet: docs/compatibility.md lists what it has"
        );
        let expected = json!({"__type": "UnknownOperationException", "message": message});
        assert_eq!((status, body), (400, expected), "{operation}");
    }
}

#[tokio::test]
async fn a_target_that_names_no_operation_is_unknown() {
    let app = TestApp::start().await;
    for target in [
        "AmazonEC2ContainerRegistry_V20150921.",
        "AmazonEC2ContainerRegistry_V20150921.describeRepositories",
        "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories.More",
        "DescribeRepositories",
        "Other.DescribeRepositories",
        "",
    ] {
        // What AWS's model does not have either is answered as AWS does.
        let (status, body) = unsigned(&app, target, "{}").await;
        assert_eq!((status, body), (400, json!({"__type": "UnknownOperationException"})), "{target}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_object_of_json_is_a_serialization_error_and_an_empty_one_is_an_empty_object() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    for body in ["{", "[]", "null", "\"text\"", "{} {}", "\u{0}", "{\"repositoryName\":}"] {
        caller.ecr_text("DescribeRepositories", body.to_owned()).await.error("Serialization");
    }
    for body in ["", "{}", " { } ", "{\"nobodyKnowsThisMember\": 1}"] {
        caller.ecr_text("DescribeRepositories", body.to_owned()).await.ok();
    }
}

#[tokio::test]
async fn only_post_is_answered_at_the_root() {
    let app = TestApp::start().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = Call::new(method, "/").send(app.address).await;
        assert!((400..500).contains(&answer.status), "{method}: {answer:?}");
    }
}
