use super::SERVICE;
use ecru::doors::{SERVICES, operations};
use std::collections::BTreeSet;
use testkit::http::Call;
use testkit::{Model, TestApp};

#[test]
fn every_operation_of_the_model_is_either_built_or_refused_by_name() {
    let built: Vec<_> =
        operations().filter(|(service, _)| service.signing_name == SERVICE).map(|(_, entry)| entry.name).collect();
    let service = SERVICES.iter().find(|service| service.signing_name == SERVICE).unwrap();
    let named: Vec<_> = built.iter().chain(service.not_yet).map(|name| (*name).to_owned()).collect();
    let set: BTreeSet<_> = named.iter().cloned().collect();
    assert_eq!(set.len(), named.len(), "an operation is listed twice");
    assert_eq!(set, Model::load(SERVICE).operations());
}

#[tokio::test]
async fn an_operation_that_is_not_built_is_refused_before_anything_else_is_looked_at() {
    let app = TestApp::start().await;
    let service = SERVICES.iter().find(|service| service.signing_name == SERVICE).unwrap();
    for action in service.not_yet.iter().copied().chain(["NoSuch"]) {
        let body = format!("Action={action}&Version=2010-05-08");
        let call = Call::new("POST", "/").header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let text = call.body(body).send(app.address).await.expect(400).text();
        let message = match action {
            "NoSuch" => "Could not find operation NoSuch for version 2010-05-08".to_owned(),
            known => format!("Ecru {} does not have {known} yet: docs/compatibility.md", env!("CARGO_PKG_VERSION")),
        };
        assert!(text.contains(&format!("<Code>InvalidAction</Code><Message>{message}")), "{action}: {text}");
    }
}
