use serde_json::json;
use std::time::Duration;
use testkit::TestApp;
use testkit::http::Call;

#[tokio::test]
async fn the_servers_status_says_since_when_it_runs() {
    let app = TestApp::start().await;
    app.clock.advance(Duration::from_millis(90_999));
    let call = Call::new("POST", "/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "Ecru_V20261121.ServerStatus")
        .body("{}");
    let status = app.administrator().send("ecru", call).await.expect(200).json();
    assert_eq!(status["startedAt"], json!(1_795_255_200.0));
    assert_eq!(status["uptimeSeconds"], 90);
    assert_eq!((&status["ready"], &status["problems"]), (&json!(true), &json!([])));
}
