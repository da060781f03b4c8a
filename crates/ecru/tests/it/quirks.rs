//! Each quirk of `kernel::quirks`, as it is by default and as AWS has it.

use kernel::quirks::{Behaviour, Quirks};
use serde_json::json;
use testkit::{Answer, Docker, Image, TestApp, location};

/// A server with the repositories `app` and `other`, on which one quirk behaves so.
async fn app(quirk: &str, behaviour: Behaviour) -> TestApp {
    let mut quirks = Quirks::default();
    assert!(quirks.set(quirk, behaviour), "there is no quirk {quirk}");
    let app = TestApp::builder().quirks(quirks).start().await;
    app.administrator().repository("app").await;
    app.administrator().repository("other").await;
    app
}

/// Holds an answer to (status, code) of the fixed and of the faithful behaviour.
#[track_caller]
fn judge(behaviour: Behaviour, answer: &Answer, fixed: (u16, &str), faithful: (u16, &str)) {
    let (status, code) = if behaviour == Behaviour::Fixed { fixed } else { faithful };
    let got = if answer.status < 400 { String::new() } else { answer.code() };
    assert_eq!((answer.status, got.as_str()), (status, code), "{behaviour:?}: {}", answer.text());
}

const BOTH: [Behaviour; 2] = [Behaviour::Fixed, Behaviour::Faithful];

#[test]
fn every_quirk_has_its_test_here() {
    let tested = [
        "immutable_repush",
        "registry_errors",
        "patch_status",
        "mount_referenced_only",
        "unreferenced_layer_get",
        "sparse_index",
        "layer_index",
    ];
    assert_eq!(Quirks::TABLE.iter().map(|quirk| quirk.name).collect::<Vec<_>>(), tested);
}

#[tokio::test]
async fn immutable_repush() {
    for behaviour in BOTH {
        let app = app("immutable_repush", behaviour).await;
        app.ecr("PutImageTagMutability", json!({"repositoryName": "app", "imageTagMutability": "IMMUTABLE"}))
            .await
            .ok();
        let docker = app.administrator().docker().await.agent("containerd-client/1.7.24");
        let image = Image::new(1);
        docker.push("app", "v1", &image).await;
        let again = docker.put_manifest("app", "v1", &image).await;
        judge(behaviour, &again, (201, ""), (400, "TAG_INVALID"));
        let index = Image::index(&[&image]);
        judge(behaviour, &docker.put_manifest("app", "v1", &index).await, (201, ""), (400, "TAG_INVALID"));
    }
}

#[tokio::test]
async fn registry_errors() {
    for behaviour in BOTH {
        let app = app("registry_errors", behaviour).await;
        let docker = app.administrator().docker().await;
        let call = docker.call("PUT", "/v2/app/manifests/v1").header("content-type", Image::new(1).media_type);
        let invalid = docker.send(call.body("{")).await;
        judge(behaviour, &invalid, (400, "MANIFEST_INVALID"), (405, "UNSUPPORTED"));
        let name = docker.get("/v2/BAD/tags/list").await;
        judge(behaviour, &name, (400, "NAME_INVALID"), (405, "UNSUPPORTED"));
        let page = docker.get("/v2/app/tags/list?n=10000").await;
        judge(behaviour, &page, (200, ""), (405, "UNSUPPORTED"));
        if behaviour == Behaviour::Faithful {
            let text = "Invalid parameter at 'maxResults' failed to satisfy constraint: \
                        'Member must have value less than or equal to 1000'";
            assert_eq!(page.message(), text);
        }
    }
}

#[tokio::test]
async fn patch_status() {
    for behaviour in BOTH {
        let app = app("patch_status", behaviour).await;
        let docker = app.administrator().docker().await;
        let patched = docker.patch(&docker.start_upload("app").await, "bytes").await;
        judge(behaviour, &patched, (202, ""), (201, ""));
        assert_eq!(patched.header("range"), Some("0-4"));
        docker.get(&location(&patched)).await.expect(204);
    }
}

async fn mount(docker: &Docker<'_>, digest: &str) -> Answer {
    docker.post(&format!("/v2/other/blobs/uploads/?mount={digest}&from=app"), "").await
}

#[tokio::test]
async fn mount_referenced_only() {
    for behaviour in BOTH {
        let app = app("mount_referenced_only", behaviour).await;
        let docker = app.administrator().docker().await;
        let image = Image::new(1);
        docker.push("app", "v1", &image).await;
        mount(&docker, &testkit::digest(image.layer())).await.expect(201);
        let unreferenced = docker.push_blob("app", b"no image has this").await;
        judge(behaviour, &mount(&docker, &unreferenced).await, (201, ""), (202, ""));
    }
}

#[tokio::test]
async fn unreferenced_layer_get() {
    for behaviour in BOTH {
        let app = app("unreferenced_layer_get", behaviour).await;
        let docker = app.administrator().docker().await;
        let digest = docker.push_blob("app", b"no image has this").await;
        docker.head(&format!("/v2/app/blobs/{digest}")).await.expect(200);
        let got = docker.get(&format!("/v2/app/blobs/{digest}")).await;
        judge(behaviour, &got, (200, ""), (404, "BLOB_UNKNOWN"));
    }
}

#[tokio::test]
async fn sparse_index() {
    for behaviour in BOTH {
        let app = app("sparse_index", behaviour).await;
        let docker = app.administrator().docker().await;
        let (here, missing) = (Image::new(1), Image::new(2));
        docker.push("app", &here.digest(), &here).await;
        let index = Image::index(&[&here, &missing]);
        let put = docker.put_manifest("app", "v1", &index).await;
        judge(behaviour, &put, (201, ""), (404, "MANIFEST_BLOB_UNKNOWN"));
        if behaviour == Behaviour::Faithful {
            assert!(put.message().contains(&missing.digest()), "{}", put.message());
            continue;
        }
        docker.pull("app", "v1", &index).await;
        docker.get(&format!("/v2/app/manifests/{}", missing.digest())).await.expect(404);
        // What comes later belongs to the index as what was there.
        docker.push("app", &missing.digest(), &missing).await;
        for child in [&here, &missing] {
            docker.delete(&format!("/v2/app/manifests/{}", child.digest())).await.expect(405);
        }
    }
}

#[tokio::test]
async fn layer_index() {
    for behaviour in BOTH {
        let app = app("layer_index", behaviour).await;
        let docker = app.administrator().docker().await;
        let layer = docker.push_blob("app", b"a layer of the cache").await;
        let config = docker.push_blob("app", b"{\"layers\": []}").await;
        let entry = |kind: &str, digest: &str, size: u64| json!({"mediaType": kind, "digest": digest, "size": size});
        let kind = "application/vnd.buildkit.cacheconfig.v0";
        let entries = [entry("application/vnd.oci.image.layer.v1.tar+gzip", &layer, 20), entry(kind, &config, 14)];
        let cache = Image::listing(&entries);
        let put = docker.put_manifest("app", "cache", &cache).await;
        judge(behaviour, &put, (201, ""), (404, "MANIFEST_BLOB_UNKNOWN"));
        if behaviour == Behaviour::Faithful {
            continue;
        }
        // The index stands on what it lists, as an image does on its layers.
        docker.delete(&format!("/v2/app/blobs/{layer}")).await.expect(405);
        let described = app.ecr("DescribeImages", json!({"repositoryName": "app"})).await.ok();
        assert_eq!(described["imageDetails"][0]["imageSizeInBytes"], 34);
        // A layer that is not here, and a layer that is called an image.
        let missing = entry(kind, &testkit::digest(b"missing"), 7);
        let refused = docker.put_manifest("app", "v2", &Image::listing(&[missing])).await;
        assert_eq!((refused.status, refused.code()), (404, "MANIFEST_BLOB_UNKNOWN".to_owned()));
        let wrong = entry(oci::MediaType::OCI_MANIFEST, &layer, 20);
        let refused = docker.put_manifest("app", "v2", &Image::listing(&[wrong])).await;
        assert_eq!((refused.status, refused.code()), (404, "MANIFEST_BLOB_UNKNOWN".to_owned()));
    }
}

#[test]
fn a_sparse_index_is_refused_unless_it_is_asked_for_and_the_other_quirks_are_fixed() {
    for quirk in Quirks::TABLE {
        let expected = if quirk.name == "sparse_index" { Behaviour::Faithful } else { Behaviour::Fixed };
        assert_eq!(quirk.default, expected, "{}", quirk.name);
    }
    assert_eq!(Quirks::default().sparse_index, Behaviour::Faithful);
}
