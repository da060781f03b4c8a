//! Operations of the `ecru` door about the whole server.

use serde_json::{Value, json};
use std::time::Duration;
use testkit::TestApp;
use testkit::http::{Answer, Call};

async fn call(app: &TestApp, operation: &str, input: Value) -> Answer {
    let call = Call::new("POST", "/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("Ecru_V20261121.{operation}"))
        .body(input.to_string());
    app.administrator().send("ecru", call).await
}

#[tokio::test]
async fn the_servers_status_says_since_when_it_runs() {
    let app = TestApp::start().await;
    app.clock.advance(Duration::from_millis(90_999));
    let status = call(&app, "ServerStatus", json!({})).await.expect(200).json();
    assert_eq!(status["startedAt"], json!(1_795_255_200.0));
    assert_eq!(status["uptimeSeconds"], 90);
    assert_eq!((&status["ready"], &status["problems"]), (&json!(true), &json!([])));
}

#[tokio::test]
async fn jobs_are_listed_and_a_dead_one_runs_again_when_it_is_retried() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    for _ in 0..2 {
        let upload = docker.post("/v2/app/blobs/uploads/", "").await.expect(202);
        docker.patch(upload.header("location").unwrap(), "x").await;
    }
    let list = async |input: Value| call(&app, "ListJobs", input).await.expect(200).json();
    // Beside the periodic jobs, which every server has.
    let of_uploads = |answer: &Value| -> Vec<Value> {
        answer["jobs"].as_array().unwrap().iter().filter(|job| job["kind"] == "upload_expire").cloned().collect()
    };
    let jobs = of_uploads(&list(json!({})).await);
    assert_eq!(jobs.len(), 2);
    let due = 1_795_255_200.0 + 86_400.0;
    for job in &jobs {
        let told = json!({"kind": "upload_expire", "key": job["key"], "lane": "short", "state": "WAITING", "attempts": 0, "dueAt": due});
        assert_eq!(*job, told);
    }
    assert_eq!(list(json!({"deadOnly": true})).await, json!({"jobs": []}));

    // A page is continued behind its last job; a token is good for its listing alone.
    let first = list(json!({"maxResults": 1})).await;
    let (mut paged, mut page) = (of_uploads(&first), first.clone());
    while let Some(token) = page["nextToken"].as_str() {
        page = list(json!({"maxResults": 1, "nextToken": token})).await;
        assert_eq!(page["jobs"].as_array().unwrap().len(), 1);
        paged.extend(of_uploads(&page));
    }
    assert_eq!(paged, jobs);
    for input in [
        json!({"deadOnly": true, "nextToken": first["nextToken"]}),
        json!({"nextToken": "x"}),
        json!({"maxResults": 201}),
    ] {
        let refused = call(&app, "ListJobs", input.clone()).await.expect(400).json();
        assert_eq!(refused["__type"], "InvalidParameterException", "{input}: {refused}");
    }

    let die = "UPDATE job SET dead_at = 1, attempts = 9, last_error = 'a fault', progress = 'half' WHERE key = $1";
    let key = jobs[1]["key"].as_str().unwrap().to_owned();
    app.system.db.write(move |tx| tx.execute(die, &[(&key).into()]).map(drop)).await.unwrap();
    let dead = list(json!({"deadOnly": true})).await["jobs"].as_array().unwrap().clone();
    let told: Vec<_> = ["key", "state", "attempts", "lastError", "progress"].map(|member| &dead[0][member]).into();
    assert_eq!(told, [&jobs[1]["key"], &json!("DEAD"), &json!(9), &json!("a fault"), &json!("half")]);

    let retry = async |input: Value| call(&app, "RetryJobs", input).await;
    for input in [json!({}), json!({"kind": ""}), json!({"kind": "upload_expire", "key": ""})] {
        let refused = retry(input.clone()).await.expect(400).json();
        assert_eq!(refused["__type"], "InvalidParameterException", "{input}: {refused}");
    }
    for (input, retried) in [
        (json!({"kind": "no_such_kind"}), 0),
        (json!({"kind": "upload_expire", "key": jobs[0]["key"]}), 0),
        (json!({"kind": "upload_expire", "key": jobs[1]["key"]}), 1),
        (json!({"kind": "upload_expire"}), 0),
    ] {
        assert_eq!(retry(input.clone()).await.expect(200).json(), json!({"retried": retried}), "{input}");
    }
    // It runs at once, finds that the upload has time left, and waits for that.
    while of_uploads(&list(json!({})).await)[1]["lastError"] != Value::Null {}
    let waits = of_uploads(&list(json!({})).await)[1].clone();
    assert_eq!((&waits["state"], &waits["attempts"], &waits["dueAt"]), (&json!("WAITING"), &json!(0), &json!(due)));
}
