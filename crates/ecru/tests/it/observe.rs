//! What the process says of itself: readiness and metrics.

use blob::faulty::EngineCall;
use kernel::clock::Clock as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use testkit::http::Call as Request;
use testkit::{Image, TestApp};

#[tokio::test]
async fn a_layer_store_that_is_full_or_read_only_makes_the_process_unready_until_it_is_well() {
    let app = TestApp::start().await;
    let ready = async || Request::new("GET", "/readyz").send(app.address).await;
    assert_eq!(ready().await.expect(200).text(), "ready\n");
    let full = blob::Error::Full(Arc::new(io::ErrorKind::StorageFull.into()));
    let read_only = blob::Error::ReadOnly(Arc::new(io::ErrorKind::ReadOnlyFilesystem.into()));
    for (error, says) in
        [(full, "layers: No space left for layers"), (read_only, "layers: The layer store is read-only")]
    {
        app.faults.fail(EngineCall::Check, 1, error);
        app.clock.advance(Duration::from_secs(2));
        let answer = ready().await.expect(503);
        assert!(answer.text().starts_with(&format!("not ready\n{says}")), "{}", answer.text());
        // The answer is given again for a second, so that probes cost nothing; the process lives all the while.
        ready().await.expect(503);
        Request::new("GET", "/livez").send(app.address).await.expect(200);
        app.clock.advance(Duration::from_secs(2));
        ready().await.expect(200);
    }
    assert!(app.clock.now() > testkit::TestClock::START);
}

#[tokio::test]
async fn metrics_are_prometheus_text_and_name_no_repository_account_or_caller() {
    let app = TestApp::start().await;
    let caller = app.account("210987654321", "us-east-1").with_repository("payments/backend").await;
    let docker = caller.docker().await.agent("nosy-agent");
    docker.push("payments/backend", "nightly", &Image::new(1)).await;
    docker.get("/v2/payments/backend/manifests/absent").await.expect(404);
    let text = Request::new("GET", "/metrics").send(app.address).await.expect(200).text();
    for secret in
        ["payments", "backend", "nightly", "210987654321", "000000000000", "nosy-agent", "arn:", "sha256", "127.0.0.1"]
    {
        assert!(!text.contains(secret), "{secret} is in:\n{text}");
    }
    let mut samples = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line} is no sample"));
        let name = series.split('{').next().unwrap_or_default();
        assert!(name.starts_with("ecru_") && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()), "{line}");
        assert!(!series.contains('{') || series.ends_with('}'), "{line}");
        samples.push((series, value.parse::<f64>().unwrap_or_else(|error| panic!("{line}: {error}"))));
    }
    assert!(text.ends_with("# EOF\n"));
    let sample = |wanted: &str| samples.iter().find(|(series, _)| *series == wanted).map(|(_, value)| *value);
    assert_eq!(sample("ecru_requests_total{door=\"docker\",status=\"4xx\"}"), Some(1.0), "{text}");
    assert!(sample("ecru_requests_total{door=\"docker\",status=\"2xx\"}").is_some_and(|count| count >= 7.0), "{text}");
    // Nothing runs, so everything is free: what a transfer or an answer took was given back.
    assert_eq!(sample("ecru_transfer_buffers_free"), Some(64.0));
    assert_eq!(sample("ecru_call_body_bytes_free"), Some(listen::memory::BudgetSizes::default().total() as f64));
}
