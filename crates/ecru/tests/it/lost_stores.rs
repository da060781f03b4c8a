//! Stores that are lost while the server runs: every door answers 503, says why and when to try again, and all is well once they
//! are back.

#[path = "../../../meta/tests/suite/own_postgres.rs"]
mod own_postgres;

use own_postgres::OwnPostgres;
use serde_json::json;
use std::time::Duration;
use testkit::http::{Answer, Call};
use testkit::{Docker, Image, TestApp, chance, digest};

/// How long a wait for PostgreSQL may take in these tests.
const LIMIT: Duration = Duration::from_secs(2);
/// No answer may take longer, whatever is wrong with a store.
const BOUND: Duration = Duration::from_secs(60);

/// What a test asks each door.
struct Doors<'a> {
    app: &'a TestApp,
    docker: Docker<'a>,
    image: Image,
    layer_url: String,
}

impl<'a> Doors<'a> {
    /// A repository with an image, and the ways to it.
    async fn new(app: &'a TestApp) -> Doors<'a> {
        let caller = app.administrator().with_repository("app").await;
        let docker = caller.docker().await;
        let image = Image::builder(1).layers(&[300_000]).build();
        docker.push("app", "v1", &image).await;
        let layer = json!({"repositoryName": "app", "layerDigest": digest(image.layer())});
        let url = caller.ecr("GetDownloadUrlForLayer", layer).await.ok()["downloadUrl"].clone();
        let url = url.as_str().unwrap();
        let layer_url = url[url.find("/layers/").unwrap()..].to_owned();
        Doors { app, docker, image, layer_url }
    }

    /// An answer of each door and of each kind of call, by name.
    async fn ask(&self) -> Vec<(&'static str, Answer)> {
        let (caller, docker, bytes) = (self.app.administrator(), &self.docker, chance::bytes(2, 300_000));
        let layer = digest(self.image.layer());
        let images = json!({"repositoryName": "app", "imageIds": [{"imageTag": "v1"}]});
        // Readiness is remembered for a second.
        self.app.clock.advance(Duration::from_secs(2));
        vec![
            ("a pull of a manifest", docker.get("/v2/app/manifests/v1").await),
            ("a pull of a layer", docker.get(&format!("/v2/app/blobs/{layer}")).await),
            ("a look at a layer", docker.head(&format!("/v2/app/blobs/{layer}")).await),
            (
                "a push of a layer",
                docker.post(&format!("/v2/app/blobs/uploads/?digest={}", digest(&bytes)), bytes).await,
            ),
            ("a push of a manifest", docker.put_manifest("app", "v2", &self.image).await),
            ("a list of tags", docker.get("/v2/app/tags/list").await),
            ("a pull by the API", caller.ecr("BatchGetImage", images.clone()).await.answer),
            ("a deletion by the API", caller.ecr("BatchDeleteImage", images).await.answer),
            ("a signed layer URL", Call::new("GET", self.layer_url.clone()).send(self.app.address).await),
            ("readiness", Call::new("GET", "/readyz").send(self.app.address).await),
        ]
    }

    async fn assert_unavailable(&self, says: &[&str]) {
        let answers = tokio::time::timeout(BOUND, self.ask()).await.expect("a call has no bound");
        for (what, answer) in answers {
            assert_eq!(answer.status, 503, "{what}: {}", answer.text());
            assert_eq!(answer.header("retry-after"), Some("1"), "{what}: {:?}", answer.headers);
            let text = answer.text();
            // HEAD has no body.
            assert!(text.is_empty() || says.iter().any(|says| text.contains(says)), "{what}: {text}");
        }
    }

    async fn assert_well(&self) {
        self.app.clock.advance(Duration::from_secs(2));
        Call::new("GET", "/readyz").send(self.app.address).await.expect(200);
        self.docker.pull("app", "v1", &self.image).await;
        Call::new("GET", self.layer_url.clone()).send(self.app.address).await.expect(200);
        self.docker.push("app", "v2", &Image::new(2)).await;
    }

    async fn metric(&self, name: &str) -> u64 {
        let text = Call::new("GET", "/metrics").send(self.app.address).await.expect(200).text();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).expect("the metric");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Moves the clock until the outage is over for the log and the metrics too.
    async fn await_the_end(&self) {
        let ended = async {
            while self.metric("ecru_store_outages").await > 0 {
                self.app.clock.advance(Duration::from_secs(2));
            }
        };
        tokio::time::timeout(BOUND, ended).await.expect("the outage does not end");
    }
}

const UNREACHABLE: &str = "The database can't be reached";

#[tokio::test]
async fn a_database_that_is_down_is_503_on_every_door_until_it_is_back() {
    let Some(server) = OwnPostgres::start() else { return };
    let app = TestApp::builder().postgres(server.url(), LIMIT).start().await;
    let doors = Doors::new(&app).await;
    server.stop();
    doors.assert_unavailable(&[UNREACHABLE]).await;
    doors.assert_unavailable(&[UNREACHABLE]).await;
    assert!(doors.metric("ecru_store_outages").await > 0);
    assert!(doors.metric("ecru_store_refusals_total").await >= 18);
    server.start_again();
    doors.assert_well().await;
    doors.await_the_end().await;
}

#[tokio::test]
async fn a_database_that_hangs_is_503_on_every_door_after_the_limit_and_needs_no_restart() {
    let Some(server) = OwnPostgres::start() else { return };
    let app = TestApp::builder().postgres(server.url(), LIMIT).start().await;
    let doors = Doors::new(&app).await;
    server.freeze();
    doors.assert_unavailable(&[UNREACHABLE, "metadata: no answer"]).await;
    server.thaw();
    doors.assert_well().await;
    doors.await_the_end().await;
}

#[tokio::test]
async fn a_data_directory_that_is_removed_is_503_with_that_reason_on_every_door() {
    const SAYS: &str = "The data directory was removed; put it or a backup back, and restart ecru";
    let app = TestApp::start().await;
    let doors = Doors::new(&app).await;
    std::fs::remove_dir_all(app.data()).unwrap();
    doors.assert_unavailable(&[SAYS]).await;
    for answer in [
        app.administrator().sts("GetCallerIdentity", "").await,
        doors.docker.get("/v2/").await,
        doors.docker.post("/v2/app/blobs/uploads/", "").await,
    ] {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("1"), "{:?}", answer.headers);
        assert!(answer.text().contains(SAYS), "{}", answer.text());
    }
    // One that takes its place is not it.
    std::fs::create_dir(app.data()).unwrap();
    std::fs::create_dir(app.data().join("layers")).unwrap();
    doors.assert_unavailable(&[SAYS]).await;
    std::fs::remove_dir_all(app.data()).unwrap();
}

#[tokio::test]
async fn an_upload_that_was_under_way_when_the_directory_was_removed_is_not_acknowledged() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let bytes = chance::bytes(1, 2_000_000);
    let upload = docker.start_upload("app").await;
    let patched = docker.patch_at(&upload, 0, bytes[..1_000_000].to_vec()).await.expect(202);
    // Its file is gone, and the records are as they were.
    std::fs::remove_dir_all(app.data().join("layers")).unwrap();
    let upload = testkit::location(&patched);
    let target = testkit::with_query(&upload, &format!("digest={}", digest(&bytes)));
    docker.put(&target, bytes[1_000_000..].to_vec()).await.expect(503);
    docker.patch_at(&upload, 1_000_000, bytes[1_000_000..].to_vec()).await.expect(503);
    std::fs::remove_dir_all(app.data()).unwrap();
}
