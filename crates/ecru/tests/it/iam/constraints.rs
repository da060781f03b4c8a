//! botocore's model as the judge: each documented constraint of an operation, broken one at a time, is refused.

use super::cases::{Case, case};
use super::entity_cases::WITHOUT_SUBJECT;
use super::{SERVICE, in_account};
use ecru::doors::operations;
use serde_json::Value;
use std::collections::BTreeSet;
use testkit::model::{Broken, Kind};
use testkit::{AwsCaller, Model, Outcome, TestApp};

/// Whether a member is not tested here. A marker must come from a listing, and is tested with the listings. Ecru has no sign-in
/// sessions. No service of ECR takes a suffix.
fn outside(path: &str) -> bool {
    path.ends_with("MaxSigninSessionDuration") || matches!(path, "CustomSuffix" | "Marker")
}

/// Returns what is wrong with the answer to a broken input; `None` if it is refused and the refusal names the member.
fn complaint(broken: &Broken, outcome: &Outcome) -> Option<String> {
    if outcome.is_ok() {
        return Some("was accepted".to_owned());
    }
    let code = outcome.body["__type"].as_str().unwrap_or_default();
    let message = outcome.body["message"].as_str().unwrap_or_default();
    if code != "ValidationError" {
        return Some(format!("is refused as {code}: {message}"));
    }
    let names_it = message.to_lowercase().contains(&broken.member.to_lowercase());
    (!names_it).then(|| format!("is refused without its name: {message}"))
}

/// Collects the texts of an answer by the names of their members.
fn collect(answer: &Value, known: &mut Vec<(String, String)>) {
    for (name, value) in answer.as_object().into_iter().flatten() {
        known.extend(value.as_str().map(|text| (name.clone(), text.to_owned())));
        collect(value, known);
    }
}

/// Replaces `{MEMBER}` in an input by what an earlier call answered.
fn with_known(input: &Value, known: &[(String, String)]) -> Value {
    let replace = |text: String, (name, value): &(String, String)| text.replace(&format!("{{{name}}}"), value);
    let text = known.iter().filter(|(name, _)| !name.ends_with("Document")).fold(input.to_string(), replace);
    serde_json::from_str(&text).unwrap()
}

/// Breaks every constraint of one operation's inputs, and returns the complaints. The inputs unbroken must succeed after it.
async fn broken_alone(model: &Model, caller: &AwsCaller<'_>, operation: &str) -> Vec<String> {
    let Case { before, valid } = case(operation);
    let mut known = Vec::new();
    for (operation, input) in before {
        let answer = caller.iam(operation, with_known(&in_account(caller, &input), &known)).await.ok();
        collect(&answer, &mut known);
    }
    let mut covered = BTreeSet::new();
    let mut complaints = Vec::new();
    for valid in valid {
        let valid = with_known(&in_account(caller, &valid), &known);
        for broken in model.breaks(operation, &valid) {
            covered.insert((broken.path.clone(), broken.kind));
            let outcome = caller.iam(operation, broken.input.clone()).await;
            let complaint = complaint(&broken, &outcome);
            complaints.extend(complaint.map(|text| format!("{operation} {} {:?} {text}", broken.path, broken.kind)));
        }
        let outcome = caller.iam(operation, valid.clone()).await;
        let expected = if WITHOUT_SUBJECT.contains(&operation) { 404 } else { 200 };
        if outcome.answer.status != expected {
            complaints.push(format!("{operation} refuses a valid input: {valid} {}", outcome.body));
        }
    }
    let covers = |(path, kind): &(String, Kind)| covered.contains(&(path.clone(), *kind)) || outside(path);
    let missing: Vec<_> = model.constraints(operation).into_iter().filter(|constraint| !covers(constraint)).collect();
    assert!(missing.is_empty(), "{operation}: the inputs leave out {missing:?}");
    complaints
}

#[tokio::test]
async fn every_documented_constraint_broken_alone_is_refused_and_the_member_named() {
    let app = TestApp::start().await;
    let model = Model::load(SERVICE);
    let mut complaints = Vec::new();
    let built = operations().filter(|(service, _)| service.signing_name == SERVICE);
    for (number, (_, entry)) in built.enumerate() {
        // Each operation has an account of its own, so that no operation changes what another one finds.
        let account = format!("{:012}", number + 1);
        complaints.extend(broken_alone(&model, &app.account(&account, "us-east-1"), entry.name).await);
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
