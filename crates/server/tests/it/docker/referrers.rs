use serde_json::json;
use testkit::{Image, TestApp, digest};

#[tokio::test]
async fn referrers_are_listed_as_an_index_and_filtered_by_type() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let subject = Image::new(1);
    let path = format!("/v2/app/referrers/{}", subject.digest());
    let empty = docker.get(&path).await.expect(200);
    assert_eq!(empty.header("content-type"), Some("application/vnd.oci.image.index.v1+json"));
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []});
    assert_eq!(empty.json(), index);

    let typed = Image::builder(2)
        .member("artifactType", json!("application/x-sbom"))
        .member("annotations", json!({"a": "b"}))
        .subject(&subject)
        .build();
    let plain = Image::builder(3).subject(&subject).build();
    for image in [&typed, &plain] {
        docker.push_blobs("app", image).await;
        let answer = docker.put_manifest("app", &image.digest(), image).await.expect(201);
        assert_eq!(answer.header("oci-subject"), Some(subject.digest().as_str()), "the subject need not be there");
    }
    let of_typed = json!({
        "mediaType": typed.media_type, "digest": typed.digest(), "size": typed.manifest.len(), "artifactType": "application/x-sbom",
        "annotations": {"a": "b"},
    });
    let of_plain = json!({
        "mediaType": plain.media_type, "digest": plain.digest(), "size": plain.manifest.len(),
        "artifactType": "application/vnd.oci.image.config.v1+json",
    });
    let all = docker.get(&path).await.expect(200).json()["manifests"].clone();
    let all = all.as_array().unwrap();
    assert!(all.len() == 2 && all.contains(&of_typed) && all.contains(&of_plain), "{all:?}");
    let filtered = docker.get(&format!("{path}?artifactType=application/x-sbom")).await.expect(200);
    assert_eq!(filtered.json()["manifests"], json!([of_typed]));
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));

    docker.delete(&format!("/v2/app/manifests/{}", typed.digest())).await.expect(202);
    assert_eq!(docker.get(&path).await.expect(200).json()["manifests"], json!([of_plain]));
}

#[tokio::test]
async fn a_subject_that_is_no_digest_is_refused_and_a_repository_must_exist() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    assert_eq!(docker.get("/v2/app/referrers/nonsense").await.expect(400).code(), "DIGEST_INVALID");
    assert_eq!(docker.get(&format!("/v2/gone/referrers/{}", digest(b"x"))).await.expect(404).code(), "NAME_UNKNOWN");
}
