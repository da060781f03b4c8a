//! With the keys of `--dev`, which everybody knows, the server answers this machine alone, and no web page of another origin.

use serde_json::json;
use testkit::http::{Answer, Call};
use testkit::{AwsCaller, TestApp};

async fn list(caller: &AwsCaller<'_>, headers: &[(&str, &str)]) -> Answer {
    let mut call = Call::new("POST", "/")
        .header("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories")
        .body("{}");
    for (name, value) in headers {
        call = call.header(name, *value);
    }
    caller.send("ecr", call).await
}

#[tokio::test]
async fn a_page_whose_name_means_this_machine_is_refused_at_every_door() {
    let app = TestApp::builder().local_only().start().await;
    let caller = app.administrator().with_repository("app").await;
    let docker = caller.docker().await;
    let rebound = AwsCaller { host: Some("evil.com".to_owned()), ..caller.clone() };
    let says = "does not answer as 'evil.com': call it localhost or 127.0.0.1, or start it with --url http://evil.com";

    let answer = list(&rebound, &[]).await.expect(403);
    assert_eq!(answer.json()["__type"], "AccessDeniedException");
    assert!(answer.json()["message"].as_str().unwrap().contains(says), "{}", answer.text());
    let answer = rebound.sts("GetCallerIdentity", "").await.expect(403);
    assert!(
        answer.text().contains("<Code>AccessDenied</Code>") && answer.text().contains("--url"),
        "{}",
        answer.text()
    );
    for target in ["/v2/", "/v2/_catalog", "/v2/app/tags/list"] {
        let answer = docker.call("GET", target).header("host", "evil.com").send(app.address).await.expect(403);
        assert_eq!(answer.code(), "DENIED");
        assert!(
            answer.message().contains(says) && answer.reason.contains("--dev"),
            "{} {}",
            answer.reason,
            answer.text()
        );
    }
    for target in ["/layers/0123456789abcdef0123456789abcdef?key=1", "/metrics", "/v1/_ping", "/nowhere"] {
        Call::new("GET", target).header("host", "evil.com").send(app.address).await.expect(403);
    }
    for target in ["/livez", "/readyz"] {
        Call::new("GET", target).header("host", "evil.com").send(app.address).await.expect(200);
    }
    // An absolute target counts as much as the header.
    let target = "http://evil.com/v2/_catalog";
    docker.call("GET", target).header("host", "localhost").send(app.address).await.expect(403);
    docker.call("GET", "/v2/_catalog").header("host", "registry.localhost:1").send(app.address).await.expect(200);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_and_one_of_the_same_is_not() {
    let app = TestApp::builder().local_only().start().await;
    let caller = app.administrator().with_repository("app").await;
    let own = format!("http://{}", app.address);
    for (name, value, status) in [
        ("origin", "https://evil.com", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "none", 200),
        ("origin", own.as_str(), 200),
    ] {
        list(&caller, &[(name, value)]).await.expect(status);
        let docker = caller.docker().await;
        docker.call("GET", "/v2/_catalog").header(name, value).send(app.address).await.expect(status);
    }
}

#[tokio::test]
async fn the_host_that_a_trusted_proxy_names_counts() {
    let app = TestApp::builder().local_only().trusted_proxies(&["127.0.0.1"]).start().await;
    for (host, forwarded, status) in [
        ("localhost", "evil.com", 403),
        ("upstream:5050", "registry.localhost", 401),
        ("upstream:5050", "localhost, evil.com", 403),
    ] {
        let call = Call::new("GET", "/v2/").header("host", host).header("x-forwarded-host", forwarded);
        call.send(app.address).await.expect(status);
    }
}

#[tokio::test]
async fn without_dev_every_name_is_answered() {
    let app = TestApp::start().await;
    let caller = AwsCaller { host: Some("registry.example.com".to_owned()), ..app.administrator() };
    caller.ecr("DescribeRepositories", json!({})).await.ok();
    list(&caller, &[("origin", "https://console.example.com")]).await.expect(200);
}
