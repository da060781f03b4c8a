use std::time::Duration;
use testkit::http::Call;
use testkit::{Docker, TestApp};

#[tokio::test]
async fn without_credentials_the_challenge_is_basic() {
    let app = TestApp::start().await;
    let nobody = Docker::new(&app, None);
    let port = app.address.port();
    let answer = nobody.get("/v2/").await.expect(401);
    let realm = format!("Basic realm=\"http://127.0.0.1:{port}/\",service=\"ecr.amazonaws.com\"");
    assert_eq!(answer.header("www-authenticate"), Some(realm.as_str()));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.text(), "Not Authorized\n");
    for bad in [
        "Basic",
        "Basic !!",
        "Basic QVdTOg==",
        "Basic Ym9iOnNlY3JldA==",
        "Bearer nonsense",
        "Digest x",
        "Basic QVdTOm5vbnNlbnNl",
    ] {
        Call::new("GET", "/v2/").header("authorization", bad).send(app.address).await.expect(401);
    }
}

#[tokio::test]
async fn a_token_opens_the_door_as_basic_and_as_bearer() {
    let app = TestApp::start().await;
    let password = app.administrator().password().await;
    Docker::new(&app, Some(password.clone())).get("/v2/").await.expect(200);
    Docker::new(&app, Some(password.clone())).get("/v2").await;
    Call::new("GET", "/v2/").header("authorization", format!("Bearer {password}")).send(app.address).await.expect(200);
}

#[tokio::test]
async fn an_expired_token_is_denied_with_a_text_that_says_what_to_do() {
    let app = TestApp::start().await;
    let docker = app.administrator().docker().await;
    app.clock.advance(Duration::from_secs(12 * 3600 - 1));
    docker.get("/v2/").await.expect(200);
    app.clock.advance(Duration::from_secs(2));
    let answer = docker.get("/v2/").await.expect(403);
    assert_eq!(answer.code(), "DENIED");
    let sentence = "Your authorization token has expired. Reauthenticate and try again. The token expired at ";
    assert!(answer.message().starts_with(sentence), "{}", answer.message());
}

#[tokio::test]
async fn a_token_that_was_changed_is_no_token() {
    let app = TestApp::start().await;
    let password = app.administrator().password().await;
    for at in [0, 5, password.len() / 2, password.len() - 1] {
        let mut bytes = password.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(bytes).unwrap();
        Docker::new(&app, Some(tampered)).get("/v2/").await.expect(401);
    }
}

#[tokio::test]
async fn a_token_of_another_region_is_denied_and_both_regions_named() {
    let app = TestApp::start().await;
    let docker = app.account("000000000000", "eu-west-1").docker().await;
    let host = format!("000000000000.dkr.ecr.us-east-1.localhost:{}", app.address.port());
    let answer = docker.at(&host).get("/v2/").await.expect(403);
    let message = answer.message();
    assert_eq!(answer.code(), "DENIED");
    assert!(message.starts_with("Your authorization token has expired. Reauthenticate and try again."), "{message}");
    assert!(message.contains("eu-west-1") && message.contains("us-east-1"), "{message}");
}
