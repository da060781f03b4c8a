//! What a proxy says of its client: believed of a trusted one, of nobody else.

use serde_json::json;
use std::io::Write;
use std::sync::{Arc, Mutex};
use testkit::http::Call;
use testkit::{AwsCaller, Docker, TestApp};
use tracing_subscriber::fmt::MakeWriter;

/// What the log says.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;
    fn make_writer(&self) -> Log {
        self.clone()
    }
}

async fn app(proxies: &[&str]) -> TestApp {
    TestApp::builder().trusted_proxies(proxies).start().await
}

/// The realm of the challenge that a stranger gets with these headers.
async fn realm(app: &TestApp, headers: &[(&str, &str)]) -> String {
    let docker = Docker::new(app, None);
    let call = headers.iter().fold(docker.call("GET", "/v2/"), |call, (name, value)| call.header(name, *value));
    let answer = docker.send(call).await.expect(401);
    let challenge = answer.header("www-authenticate").unwrap();
    let (realm, rest) = challenge.strip_prefix("Basic realm=\"").unwrap().split_once('"').unwrap();
    assert_eq!(rest, ",service=\"ecr.amazonaws.com\"");
    realm.to_owned()
}

/// A signed call as it arrives behind a proxy that puts its own Host.
fn behind_a_proxy(caller: &AwsCaller<'_>, forwarded_host: &str) -> Call {
    let call = Call::new("POST", "/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories")
        .body("{}");
    let mut call = caller.sign("ecr", call);
    for (name, value) in &mut call.headers {
        if name == "host" {
            "upstream".clone_into(value);
        }
    }
    call.header("x-forwarded-host", forwarded_host)
}

#[tokio::test]
async fn the_access_line_shows_the_client_behind_trusted_proxies_and_the_peer_of_everybody_else() {
    for (proxies, lines, peer) in [
        (&["127.0.0.1"][..], &["203.0.113.7"][..], "203.0.113.7"),
        (&["127.0.0.0/8", "10.0.0.0/8"], &["198.51.100.1, 203.0.113.7, 10.1.1.1"], "203.0.113.7"),
        (&["127.0.0.1", "10.0.0.0/8"], &["198.51.100.1", "203.0.113.7", "10.1.1.1"], "203.0.113.7"),
        (&["127.0.0.1"], &["203.0.113.7, 10.1.1.1"], "10.1.1.1"),
        (&["127.0.0.1"], &["[2001:db8::7]:4711"], "2001:db8::7"),
        (&["127.0.0.1"], &["203.0.113.7, <script>"], "127.0.0.1"),
        (&["127.0.0.1"], &[], "127.0.0.1"),
        (&[], &["203.0.113.7"], "127.0.0.1"),
        (&["127.0.0.2", "10.0.0.0/8", "::/0"], &["203.0.113.7"], "127.0.0.1"),
    ] {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
        let logging = tracing::subscriber::set_default(subscriber);
        let app = app(proxies).await;
        let call = Call::new("GET", "/v2/").header("forwarded", "for=192.0.2.99;proto=https;host=evil.example.com");
        let call = lines.iter().fold(call, |call, line| call.header("x-forwarded-for", *line));
        call.send(app.address).await.expect(401);
        // A server that has ended has written all its lines.
        let app = app.restart().await;
        drop(logging);
        let text = log.text();
        assert!(text.contains(&format!(" peer={peer} ")), "{proxies:?} {lines:?}: {text}");
        drop(app);
    }
}

#[tokio::test]
async fn the_challenge_names_the_scheme_and_host_that_the_client_used() {
    let (trusting, wary) = (app(&["127.0.0.1"]).await, app(&["10.0.0.0/8"]).await);
    for (headers, expected) in [
        (&[("host", "registry.example.com")][..], "http://registry.example.com/"),
        (&[("host", "registry.example.com"), ("x-forwarded-proto", "https")], "https://registry.example.com/"),
        (&[("host", "registry.example.com"), ("x-forwarded-proto", "HTTPS")], "https://registry.example.com/"),
        (&[("host", "registry.example.com"), ("x-forwarded-proto", "https, http")], "http://registry.example.com/"),
        (&[("host", "registry.example.com"), ("x-forwarded-proto", "gopher")], "http://registry.example.com/"),
        (
            &[("host", "upstream"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "registry.example.com:8443")],
            "https://registry.example.com:8443/",
        ),
        (&[("host", "upstream"), ("x-forwarded-host", "a b\"")], "http://upstream/"),
        (&[("host", "upstream"), ("forwarded", "proto=https;host=registry.example.com")], "http://upstream/"),
    ] {
        assert_eq!(realm(&trusting, headers).await, expected, "{headers:?}");
        let ignored = format!("http://{}/", headers[0].1);
        assert_eq!(realm(&wary, headers).await, ignored, "{headers:?}");
    }
}

#[tokio::test]
async fn a_signature_holds_for_the_host_that_a_trusted_proxy_forwards() {
    let signed_for = |app, host: &str| AwsCaller { host: Some(host.to_owned()), ..TestApp::administrator(app) };
    let trusting = app(&["127.0.0.1"]).await;
    let caller = signed_for(&trusting, "registry.example.com:8443");
    behind_a_proxy(&caller, "registry.example.com:8443").send(trusting.address).await.expect(200);
    // Another name than the client signed is refused, whoever says it.
    let answer = behind_a_proxy(&caller, "other.example.com").send(trusting.address).await.expect(400);
    assert_eq!(answer.json()["__type"], "InvalidSignatureException");
    // A proxy that leaves Host as it is needs to say nothing.
    caller.ecr("DescribeRepositories", json!({})).await.ok();

    let wary = app(&[]).await;
    let caller = signed_for(&wary, "registry.example.com:8443");
    let answer = behind_a_proxy(&caller, "registry.example.com:8443").send(wary.address).await.expect(400);
    assert_eq!(answer.json()["__type"], "InvalidSignatureException");
    caller.ecr("DescribeRepositories", json!({})).await.ok();
}

#[tokio::test]
async fn the_registry_is_that_of_the_host_that_a_trusted_proxy_forwards() {
    for (proxies, status) in [(&["127.0.0.1"][..], 403), (&[], 200)] {
        let app = app(proxies).await;
        let docker = app.administrator().with_repository("app").await.docker().await;
        let tags = |host: &str| docker.call("GET", "/v2/app/tags/list").header("x-forwarded-host", host);
        docker.send(tags("000000000000.dkr.ecr.us-east-1.localhost")).await.expect(200);
        // Another account's registry, where this one has no rights.
        docker.send(tags("111122223333.dkr.ecr.us-east-1.localhost")).await.expect(status);
        // Also when the request's target names a host.
        let mut absolute = tags("111122223333.dkr.ecr.us-east-1.localhost");
        absolute.target = format!("http://{}{}", app.address, absolute.target);
        docker.send(absolute).await.expect(status);
    }
}
