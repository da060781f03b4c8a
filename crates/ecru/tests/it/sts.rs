//! STS: who calls, and sessions.

mod assume_role;
mod constraints;
mod nodes;
mod sessions;
mod support;
mod tokens;
mod trust;

use ecru::doors::SERVICES;
use serde_json::json;
use testkit::http::Call;
use testkit::{Model, TestApp};

/// The answer with its request id cut out, which is another each time.
fn without_request_id(text: &str) -> String {
    let (before, rest) = text.split_once("<RequestId>").expect("a RequestId");
    let (id, after) = rest.split_once("</RequestId>").expect("the end of the RequestId");
    assert!(id.len() >= 36, "{id}");
    format!("{before}<RequestId>ID</RequestId>{after}")
}

#[tokio::test]
async fn the_caller_identity_is_the_administrator_of_its_account() {
    let app = TestApp::start().await;
    let answer = app.account("111122223333", "us-east-1").sts("GetCallerIdentity", "").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("text/xml"));
    assert_eq!(
        without_request_id(&answer.text()).replace(['\n', ' '], ""),
        "<GetCallerIdentityResponsexmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::111122223333:root</Arn><UserId>111122223333</UserId><Account>111122223333</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    );
}

#[tokio::test]
async fn every_arn_is_of_the_partition_of_its_region() {
    let app = TestApp::start().await;
    for (region, partition) in [("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn"), ("eu-west-1", "aws")] {
        let caller = app.account("111122223333", region);
        let answer = caller.sts("GetCallerIdentity", "").await.expect(200);
        assert!(
            answer.text().contains(&format!("<Arn>arn:{partition}:iam::111122223333:root</Arn>")),
            "{}",
            answer.text()
        );
        let made = caller.repository("app").await;
        let arn = format!("arn:{partition}:ecr:{region}:111122223333:repository/app");
        assert_eq!(made["repository"]["repositoryArn"], arn.as_str());
        caller.ecr("ListTagsForResource", json!({ "resourceArn": arn })).await.ok();
        let other = arn.replacen(&format!("arn:{partition}:"), "arn:aws-iso:", 1);
        let refused = caller.ecr("ListTagsForResource", json!({ "resourceArn": other })).await;
        let message = refused.error("InvalidParameter");
        assert!(message.contains(&format!("an ARN of this region begins with arn:{partition}:")), "{message}");
        // Refusals name the caller as it calls.
        let stranger = app.account("222233334444", region);
        let denied = stranger.ecr("ListTagsForResource", json!({ "resourceArn": arn })).await;
        let message = denied.error("AccessDenied");
        assert!(message.contains(&format!("arn:{partition}:iam::222233334444:root")), "{message}");
    }
}

#[tokio::test]
async fn every_other_action_is_invalid_before_anything_else_is_looked_at() {
    let app = TestApp::start().await;
    let actions = Model::load("sts").operations();
    assert_eq!(actions.len(), 12);
    let service = SERVICES.iter().find(|service| service.signing_name == "sts").unwrap();
    assert_eq!(service.operations.len() + service.not_yet.len(), actions.len());
    for action in service.not_yet.iter().copied().chain(["NoSuch", ""]) {
        let body = format!("Action={action}&Version=2011-06-15");
        let call = Call::new("POST", "/").header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let answer = call.body(body).send(app.address).await.expect(400);
        assert!(answer.text().contains("<Code>InvalidAction</Code>"), "{action}: {}", answer.text());
        let message = match actions.contains(action) {
            true => format!("Ecru {} does not have {action} yet: docs/compatibility.md", env!("CARGO_PKG_VERSION")),
            false => format!("Could not find operation {action} for version 2011-06-15"),
        };
        assert!(answer.text().contains(&format!("<Message>{message}")), "{action}: {}", answer.text());
        without_request_id(&answer.text());
    }
}

#[tokio::test]
async fn refusals_of_signatures_have_the_names_of_sts_and_403() {
    let app = TestApp::start().await;
    let good = app.administrator();
    let unknown = testkit::AwsCaller { access_key_id: "AKIAUNKNOWN".into(), ..good.clone() };
    let wrong = testkit::AwsCaller { secret: "wrong".into(), ..good.clone() };
    for (caller, code, message) in [
        (&unknown, "InvalidClientTokenId", "The security token included in the request is invalid."),
        (
            &wrong,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        ),
    ] {
        let answer = caller.sts("GetCallerIdentity", "").await.expect(403);
        assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
        assert!(answer.text().contains(message), "{}", answer.text());
        assert!(answer.text().contains("<Type>Sender</Type>"), "{}", answer.text());
    }
    let unsigned = Call::new("POST", "/").header("content-type", "application/x-www-form-urlencoded");
    let answer = unsigned.body("Action=GetCallerIdentity&Version=2011-06-15").send(app.address).await.expect(403);
    assert!(answer.text().contains("<Code>MissingAuthenticationToken</Code>"), "{}", answer.text());
}

/// The call with an `Accept` header, which clients leave unsigned.
fn accepting(call: Call, accept: &str) -> Call {
    call.header("accept", accept)
}

fn identity() -> Call {
    Call::new("POST", "/")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body("Action=GetCallerIdentity&Version=2011-06-15")
}

#[tokio::test]
async fn a_client_that_accepts_json_is_answered_in_json() {
    let app = TestApp::start().await;
    let caller = app.account("111122223333", "us-east-1");
    let get = Call::new("GET", "/?Action=GetCallerIdentity&Version=2011-06-15");
    for call in [caller.sign("sts", identity()), caller.presign("sts", get, 60)] {
        let answer = accepting(call, "application/json").send(app.address).await.expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let id = answer.header("x-amzn-requestid").unwrap().to_owned();
        assert_eq!(
            answer.json(),
            json!({"GetCallerIdentityResponse": {
                "GetCallerIdentityResult": {
                    "Arn": "arn:aws:iam::111122223333:root", "UserId": "111122223333", "Account": "111122223333",
                },
                "ResponseMetadata": {"RequestId": id},
            }})
        );
    }
    for accept in ["*/*", "text/xml", "application/xml, application/json;q=0.5"] {
        let answer = accepting(caller.sign("sts", identity()), accept).send(app.address).await.expect(200);
        assert_eq!(answer.header("content-type"), Some("text/xml"), "{accept}");
    }
}

#[tokio::test]
async fn refusals_are_json_too_where_it_is_accepted() {
    let app = TestApp::start().await;
    let wrong = testkit::AwsCaller { secret: "wrong".into(), ..app.administrator() };
    let form = |text: &str| identity().body(text.to_owned());
    for (call, status, code, message) in [
        (wrong.sign("sts", identity()), 403, "SignatureDoesNotMatch", "The request signature we calculated"),
        (identity(), 403, "MissingAuthenticationToken", "Missing Authentication Token"),
        (form("Action=AssumeRoot&Version=2011-06-15"), 400, "InvalidAction", "Ecru "),
        (form("Action=None&Version=2011-06-15"), 400, "InvalidAction", "Could not find operation None"),
        (form("Version=2011-06-15"), 400, "MissingAction", "Missing Action"),
    ] {
        let answer = accepting(call, "application/json").send(app.address).await.expect(status);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{code}");
        let body = answer.json();
        assert_eq!((&body["Error"]["Type"], &body["Error"]["Code"]), (&json!("Sender"), &json!(code)), "{body}");
        assert!(body["Error"]["Message"].as_str().unwrap().starts_with(message), "{body}");
        assert_eq!(body["RequestId"].as_str(), answer.header("x-amzn-requestid"), "{code}");
        assert_eq!((body.as_object().unwrap().len(), body["Error"].as_object().unwrap().len()), (2, 3), "{body}");
    }
}
