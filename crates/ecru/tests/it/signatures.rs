use serde_json::json;
use std::time::Duration;
use testkit::http::Call;
use testkit::{AwsCaller, TestApp};

fn describe() -> Call {
    Call::new("POST", "/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories")
        .body("{}")
}

/// Sends a call and returns status, error name and message.
async fn send(app: &TestApp, call: Call) -> (u16, String, String) {
    let answer = call.send(app.address).await;
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (answer.status, text("__type"), text("message"))
}

/// The call with one header's value changed.
fn change(mut call: Call, name: &str, with: impl Fn(&str) -> String) -> Call {
    let mut changed = 0;
    for (n, value) in &mut call.headers {
        if n == name {
            *value = with(value);
            changed += 1;
        }
    }
    assert_eq!(changed, 1, "{name}");
    call
}

/// The text with another last hex digit.
fn other_last_digit(text: &str) -> String {
    let (rest, last) = text.split_at(text.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}

#[tokio::test]
async fn an_unsigned_call_is_missing_its_token() {
    let app = TestApp::start().await;
    let answer = send(&app, describe()).await;
    assert_eq!(answer, (400, "MissingAuthenticationTokenException".into(), "Missing Authentication Token".into()));
}

#[tokio::test]
async fn an_unknown_key_is_refused() {
    let app = TestApp::start().await;
    let caller = AwsCaller { access_key_id: "AKIAUNKNOWN".into(), ..app.administrator() };
    let message = caller.ecr("DescribeRepositories", json!({})).await.error("UnrecognizedClient");
    assert_eq!(message, "The security token included in the request is invalid.");
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let app = TestApp::start().await;
    let caller = AwsCaller { secret: "tset".into(), ..app.administrator() };
    let message = caller.ecr("DescribeRepositories", json!({})).await.error("InvalidSignature");
    assert!(
        message.starts_with("The request signature we calculated does not match the signature you provided."),
        "{message}"
    );
}

#[tokio::test]
async fn whatever_is_changed_after_signing_is_noticed() {
    let app = TestApp::start().await;
    let signed = || app.administrator().sign("ecr", describe());
    assert_eq!(signed().send(app.address).await.status, 200);
    let tampered = [
        ("body", signed().body("{ }")),
        ("target", change(signed(), "x-amz-target", |t| t.replace("DescribeRepositories", "DescribeRegistry"))),
        ("host", change(signed(), "host", |_| "api.ecr.us-east-1.example.com".into())),
        ("date", change(signed(), "x-amz-date", |_| "20261121T100001Z".into())),
        ("signature", change(signed(), "authorization", other_last_digit)),
        ("region", change(signed(), "authorization", |a| a.replace("/us-east-1/", "/eu-west-1/"))),
        ("service", change(signed(), "authorization", |a| a.replace("/ecr/", "/s3/"))),
        ("path", Call { target: "/?x=1".into(), ..signed() }),
        ("unsigned x-amz header", signed().header("x-amz-security-token", "more")),
    ];
    for (what, call) in tampered {
        let (status, name, _) = send(&app, call).await;
        let allowed = ["InvalidSignatureException", "IncompleteSignatureException", "UnrecognizedClientException"];
        assert!(status == 400 && allowed.contains(&name.as_str()), "{what}: {status} {name}");
    }
}

#[tokio::test]
async fn a_malformed_authorization_is_incomplete() {
    let app = TestApp::start().await;
    for bad in [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=test",
        "AWS4-HMAC-SHA256 Credential=test/20261121/us-east-1/ecr/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=test/20261121/us-east-1, SignedHeaders=host, Signature=00",
    ] {
        let call = describe().header("authorization", bad).header("x-amz-date", "20261121T100000Z");
        let (status, name, _) = send(&app, call).await;
        assert_eq!((status, name.as_str()), (400, "IncompleteSignatureException"), "{bad}");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_fifteen_minutes_and_no_more() {
    let app = TestApp::start().await;
    let signed = app.administrator().sign("ecr", describe());
    app.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(signed.clone().send(app.address).await.status, 200);
    app.clock.advance(Duration::from_secs(1));
    let (status, name, message) = send(&app, signed).await;
    assert_eq!((status, name.as_str()), (400, "InvalidSignatureException"));
    assert_eq!(
        message,
        "Signature expired: 20261121T100000Z is now earlier than 20261121T100001Z (20261121T101501Z - 15 min.)"
    );
}

#[tokio::test]
async fn a_signature_of_the_future_is_not_yet_current() {
    let app = TestApp::start().await;
    let ahead = AwsCaller { ahead: Duration::from_secs(15 * 60 + 1), ..app.administrator() }.sign("ecr", describe());
    let (status, name, message) = send(&app, ahead).await;
    assert_eq!((status, name.as_str()), (400, "InvalidSignatureException"));
    assert_eq!(
        message,
        "Signature not yet current: 20261121T101501Z is still later than 20261121T101500Z (20261121T100000Z + 15 min.)"
    );
}

/// Every kind of service: its name in a signature, a call of it, and how it names refusals of signatures.
struct Kind {
    service: &'static str,
    call: fn() -> Call,
    /// Another body of the same operation.
    other_body: &'static str,
    /// A signed header, and another value of it that names an operation too.
    other_header: (&'static str, &'static str),
    missing: (u16, &'static str),
    incomplete: (u16, &'static str),
    /// A wrong time, scope or signature.
    invalid: (u16, &'static str),
}

const KINDS: [Kind; 2] = [
    Kind {
        service: "ecr",
        call: describe,
        other_body: "{ }",
        other_header: ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.DescribeRegistry"),
        missing: (400, "MissingAuthenticationTokenException"),
        incomplete: (400, "IncompleteSignatureException"),
        invalid: (400, "InvalidSignatureException"),
    },
    Kind {
        service: "sts",
        call: identity,
        other_body: "Action=GetCallerIdentity&Version=2011-06-15&x=1",
        other_header: ("x-amz-meta", "changed"),
        missing: (403, "MissingAuthenticationToken"),
        incomplete: (400, "IncompleteSignature"),
        invalid: (403, "SignatureDoesNotMatch"),
    },
];

impl Kind {
    /// Sends a call that must be refused so, and returns the message.
    async fn refused(&self, app: &TestApp, what: &str, call: Call, expected: (u16, &str)) -> String {
        let answer = call.send(app.address).await;
        let (name, message) = match self.service {
            "sts" => {
                let text = answer.text();
                let inside = |tag: &str| {
                    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
                    Some(rest.split_once(&format!("</{tag}>"))?.0.replace("&apos;", "'").replace("&#39;", "'"))
                };
                (inside("Code").unwrap_or_default(), inside("Message").unwrap_or_default())
            }
            _ => {
                let body = answer.json();
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                (text("__type"), text("message"))
            }
        };
        assert_eq!((answer.status, name.as_str()), expected, "{} {what}: {message}", self.service);
        message
    }
}

fn identity() -> Call {
    Call::new("POST", "/")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .header("x-amz-meta", "signed")
        .body("Action=GetCallerIdentity&Version=2011-06-15")
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided.";

#[tokio::test]
async fn every_kind_of_service_refuses_every_kind_of_bad_signature() {
    let app = TestApp::start().await;
    for kind in KINDS {
        let caller = app.administrator();
        let signed = || caller.sign(kind.service, (kind.call)());
        signed().send(app.address).await.expect(200);

        kind.refused(&app, "unsigned", (kind.call)(), kind.missing).await;
        let basic = (kind.call)().header("authorization", "Basic QVdTOnRlc3Q=");
        kind.refused(&app, "Basic", basic, kind.missing).await;
        let bare = change(signed(), "authorization", |_| "AWS4-HMAC-SHA256".into());
        let message = kind.refused(&app, "bare", bare, kind.incomplete).await;
        assert!(message.starts_with("Authorization header requires 'Credential' parameter."), "{message}");
        let short = change(signed(), "authorization", |a| a.replace("/aws4_request", ""));
        kind.refused(&app, "short credential", short, kind.incomplete).await;

        let (header, value) = kind.other_header;
        let late = change(signed(), "x-amz-date", |_| "20261121T100001Z".into());
        for (what, call) in [
            ("body", signed().body(kind.other_body)),
            ("header", change(signed(), header, |_| value.into())),
            ("date", late),
            ("signature", change(signed(), "authorization", other_last_digit)),
            ("query", Call { target: "/?x=1".into(), ..signed() }),
        ] {
            let message = kind.refused(&app, what, call, kind.invalid).await;
            assert!(message.starts_with(MISMATCH), "{} {what}: {message}", kind.service);
        }

        for (what, from, to, expected) in [
            (
                "service",
                format!("/{}/", kind.service),
                "/s3/",
                format!("scoped to correct service: '{}'.", kind.service),
            ),
            ("region", "/us-east-1/".to_owned(), "/US_EAST/", "scoped to a valid region.".to_owned()),
            ("terminator", "/aws4_request".to_owned(), "/aws3_request", "valid terminator: 'aws4_request'.".to_owned()),
            ("scope's date", "/20261121/".to_owned(), "/20261120/", "'20261120' != '20261121'".to_owned()),
            ("unsigned host", "host;".to_owned(), "", "must be a 'SignedHeader'".to_owned()),
        ] {
            let call = change(signed(), "authorization", |a| a.replace(&from, to));
            let message = kind.refused(&app, what, call, kind.invalid).await;
            assert!(message.contains(&expected), "{} {what}: {message}", kind.service);
        }
        let unsigned = caller.sign(kind.service, (kind.call)().header("x-amz-content-sha256", "UNSIGNED-PAYLOAD"));
        let message = kind.refused(&app, "unsigned body", unsigned, kind.invalid).await;
        assert!(message.starts_with("The body must be signed"), "{message}");
    }
}

#[tokio::test]
async fn every_kind_of_service_holds_signatures_to_the_clock() {
    for kind in KINDS {
        let app = TestApp::start().await;
        let caller = app.administrator();
        let ahead = AwsCaller { ahead: Duration::from_secs(15 * 60 + 1), ..caller.clone() };
        let message = kind.refused(&app, "early", ahead.sign(kind.service, (kind.call)()), kind.invalid).await;
        assert!(message.starts_with("Signature not yet current: 20261121T101501Z is still later than"), "{message}");
        let signed = caller.sign(kind.service, (kind.call)());
        app.clock.advance(Duration::from_secs(15 * 60));
        signed.send(app.address).await.expect(200);
        app.clock.advance(Duration::from_secs(1));
        let message = kind.refused(&app, "expired", signed, kind.invalid).await;
        assert!(message.starts_with("Signature expired: 20261121T100000Z is now earlier than"), "{message}");
    }
}

/// The presigned calls that clients make: a form may be a GET without a body.
fn presigned(kind: &Kind, caller: &AwsCaller<'_>, seconds: u32) -> Vec<Call> {
    let get = Call::new("GET", "/?Action=GetCallerIdentity&Version=2011-06-15");
    let mut calls = vec![caller.presign(kind.service, (kind.call)(), seconds)];
    if kind.service == "sts" {
        calls.push(caller.presign(kind.service, get, seconds));
    }
    calls
}

#[tokio::test]
async fn presigned_calls_are_answered_and_what_was_changed_in_them_is_noticed() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    for kind in KINDS {
        for call in presigned(&kind, &caller, 60) {
            assert!(!call.headers.iter().any(|(name, _)| name == "authorization" || name == "x-amz-date"));
            call.send(app.address).await.expect(200);
            let target = |target: String| Call { target, ..call.clone() };
            for (what, call) in [
                ("body", call.clone().body(kind.other_body)),
                ("signature", target(other_last_digit(&call.target))),
                ("life", target(call.target.replace("X-Amz-Expires=60", "X-Amz-Expires=600"))),
                ("a parameter more", target(call.target.replacen("/?", "/?x=1&", 1))),
                ("host", change(call.clone(), "host", |_| "localhost".into())),
            ] {
                let message = kind.refused(&app, what, call, kind.invalid).await;
                assert!(message.starts_with(MISMATCH), "{} {what}: {message}", kind.service);
            }
            let elsewhere = target(call.target.replace(&format!("%2F{}%2F", kind.service), "%2Fs3%2F"));
            let message = kind.refused(&app, "service", elsewhere, kind.invalid).await;
            assert!(message.contains("correct service"), "{message}");
            let unsigned = call.clone().header("x-amz-more", "unsigned");
            kind.refused(&app, "unsigned header", unsigned, kind.invalid).await;
            let half = target(call.target.replace("X-Amz-Date=", "X-Amz-Day="));
            kind.refused(&app, "without its date", half, kind.incomplete).await;
            let twice = call.clone().header("authorization", "AWS4-HMAC-SHA256 Credential=a");
            kind.refused(&app, "signed twice", twice, kind.incomplete).await;
        }
    }
}

#[tokio::test]
async fn a_presigned_call_lives_as_long_as_it_says() {
    for kind in KINDS.into_iter().filter(|kind| kind.service != "sts") {
        let app = TestApp::start().await;
        let caller = app.administrator();
        let calls = presigned(&kind, &caller, 3600);
        app.clock.advance(Duration::from_secs(3600));
        for call in &calls {
            call.send(app.address).await.expect(200);
        }
        app.clock.advance(Duration::from_secs(1));
        for call in calls {
            let message = kind.refused(&app, "expired", call, kind.invalid).await;
            assert!(message.starts_with("Signature expired: 20261121T100000Z is now earlier than"), "{message}");
        }
    }
}

/// As AWS's STS: tokens of EKS say 60 s and live for 15 minutes, and none lives for a week.
#[tokio::test]
async fn a_presigned_call_of_sts_lives_for_15_minutes_whatever_it_says() {
    let sts = || KINDS.into_iter().find(|kind| kind.service == "sts").unwrap();
    let app = TestApp::start().await;
    let caller = app.administrator();
    let mut calls: Vec<Call> =
        [1, 60, 900, 3600, 604_800].into_iter().flat_map(|life| presigned(&sts(), &caller, life)).collect();
    // Signed with what would be none of its values; it counts as little.
    calls.extend(presigned(&sts(), &caller, 604_801));
    for wait in [0, 100, 800] {
        app.clock.advance(Duration::from_secs(wait));
        for call in &calls {
            call.send(app.address).await.expect(200);
        }
    }
    app.clock.advance(Duration::from_secs(1));
    let expected =
        "Signature expired: 20261121T100000Z is now earlier than 20261121T100001Z (20261121T101501Z - 15 min.)";
    for call in calls {
        assert_eq!(sts().refused(&app, "expired", call, sts().invalid).await, expected);
    }
    let early = AwsCaller { ahead: Duration::from_secs(16 * 60), ..caller.clone() };
    for call in presigned(&sts(), &early, 604_800) {
        let message = sts().refused(&app, "of the future", call, sts().invalid).await;
        assert!(message.starts_with("Signature not yet current: "), "{message}");
    }
}

#[tokio::test]
async fn what_needs_no_body_is_refused_before_the_body_comes() {
    let app = TestApp::start().await;
    let stale = app.administrator().sign("ecr", describe());
    app.clock.advance(Duration::from_secs(3600));
    let current = || app.administrator().sign("ecr", describe());
    for (what, call) in [
        ("time", stale),
        ("scope", change(current(), "authorization", |a| a.replace("/ecr/", "/s3/"))),
        ("signed headers", current().header("x-amz-meta", "unsigned")),
    ] {
        // The body never comes: only a server that does not wait for it answers.
        let head = call.header("content-length", "1000000").head(app.address);
        let answer = testkit::http::raw(app.address, head.as_bytes(), false).await.expect("an answer");
        assert_eq!(answer.json()["__type"], "InvalidSignatureException", "{what}");
    }
}

#[tokio::test]
async fn a_call_is_for_the_region_of_its_signature() {
    let app = TestApp::start().await;
    app.account("000000000000", "eu-west-1").repository("app").await;
    app.ecr("DescribeRepositories", json!({"repositoryNames": ["app"]})).await.error("RepositoryNotFound");
}

#[tokio::test]
async fn nothing_of_a_secret_shows_in_a_refusal() {
    let app = TestApp::start().await;
    let caller = AwsCaller { secret: "a-very-secret-secret".into(), ..app.administrator() };
    let refused = caller.ecr("DescribeRepositories", json!({})).await;
    let shown = format!("{:?} {}", refused.answer.headers, refused.answer.text());
    assert!(!shown.contains("a-very-secret-secret") && !shown.contains("Signature="), "{shown}");
}
