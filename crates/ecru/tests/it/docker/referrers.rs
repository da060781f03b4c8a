use serde_json::json;
use testkit::{Image, TestApp, digest};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

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

/// The specification forbids a 404 here: it would mean that there is no such API, and clients would fall back to tags.
#[tokio::test]
async fn a_subject_that_is_no_digest_is_refused_and_a_missing_repository_has_no_referrers() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    for bad in ["nonsense", "sha256:baddigeststring", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        assert_eq!(docker.get(&format!("/v2/app/referrers/{bad}")).await.expect(400).code(), "DIGEST_INVALID", "{bad}");
    }
    let missing = docker.get(&format!("/v2/gone/referrers/{}", digest(b"x"))).await.expect(200);
    assert_eq!(missing.header("content-type"), Some(INDEX));
    assert_eq!(missing.json(), json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}));
}

#[tokio::test]
async fn referrers_come_by_pages_whose_links_keep_the_filters() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let subject = Image::new(1);
    let kinds = ["application/vnd.example.a+json", "application/vnd.example.b", "application/vnd.example.c; version=1"];
    let mut pushed = std::collections::BTreeMap::new();
    for seed in 0..9 {
        let kind = kinds[seed % 3];
        let image = Image::builder(10 + seed as u64).member("artifactType", json!(kind)).subject(&subject).build();
        docker.push("app", &image.digest(), &image).await;
        pushed.insert(image.digest(), kind);
    }
    let path = format!("/v2/app/referrers/{}", subject.digest());
    for (query, wanted) in [
        ("", &kinds[..]),
        ("artifactType=application/vnd.example.b", &kinds[1..2]),
        ("artifactType=application%2Fvnd.example.a%2Bjson", &kinds[..1]),
        ("artifactType=application/vnd.example.a+json", &kinds[..1]),
        ("artifactType=application%2Fvnd.example.c%3B+version%3D1", &kinds[2..]),
        ("artifactType=application/vnd.example.a+json&artifactType=application/vnd.example.b", &kinds[..2]),
        ("artifactType=application/vnd.example.none", &[]),
    ] {
        let mut found = Vec::new();
        let mut next = Some(format!("{path}?n=2&{query}"));
        while let Some(target) = next {
            let page = docker.get(&target).await.expect(200);
            assert_eq!(page.header("content-type"), Some(INDEX));
            assert_eq!(
                (page.json()["schemaVersion"].as_i64(), page.json()["mediaType"].as_str()),
                (Some(2), Some(INDEX))
            );
            assert_eq!(page.header("oci-filters-applied").is_some(), !query.is_empty(), "{query}");
            let of_page = page.json()["manifests"].as_array().unwrap().clone();
            assert!(of_page.len() <= 2, "{query}");
            found.extend(of_page.iter().map(|one| one["digest"].as_str().unwrap().to_owned()));
            next = page.header("link").map(|link| {
                let (target, rel) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
                assert_eq!(rel, "; rel=\"next\"");
                target.to_owned()
            });
        }
        found.sort();
        let expected: Vec<&String> =
            pushed.iter().filter(|(_, kind)| wanted.contains(kind)).map(|(digest, _)| digest).collect();
        assert!(found.iter().eq(expected), "{query}: {found:?}");
    }
    let all = docker.get(&format!("{path}?n=0")).await.expect(200);
    assert_eq!((all.json()["manifests"].clone(), all.header("link")), (json!([]), None));
    assert!(docker.get(&format!("{path}?n=9")).await.expect(200).header("link").is_none(), "there is no next page");
    let whole = docker.get(&path).await.expect(200).json();
    for empty in ["n=", "last=", "artifactType=", "n=&last=&artifactType="] {
        let answer = docker.get(&format!("{path}?{empty}")).await.expect(200);
        assert_eq!((answer.json(), answer.header("oci-filters-applied")), (whole.clone(), None), "{empty}");
    }
    let many = ["artifactType=a/b"; 11].join("&");
    assert_eq!(docker.get(&format!("{path}?{many}")).await.expect(400).code(), "UNSUPPORTED");
    assert_eq!(docker.get(&format!("{path}?last=x")).await.expect(400).code(), "UNSUPPORTED");
}

#[tokio::test]
async fn referrers_stay_when_their_subject_goes_and_are_there_when_it_comes_back() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let (subject, stays) = (Image::new(1), Image::new(2));
    let referrer = Image::builder(3).subject(&subject).build();
    let path = format!("/v2/app/referrers/{}", subject.digest());
    let count = async || docker.get(&path).await.expect(200).json()["manifests"].as_array().unwrap().len();
    for image in [&subject, &stays, &referrer] {
        docker.push("app", &image.digest(), image).await;
    }
    assert_eq!(count().await, 1);
    docker.delete(&format!("/v2/app/manifests/{}", subject.digest())).await.expect(202);
    assert_eq!(count().await, 1);
    docker.push("app", "again", &subject).await;
    assert_eq!(count().await, 1);
    docker.delete(&format!("/v2/app/manifests/{}", referrer.digest())).await.expect(202);
    assert_eq!(count().await, 0);
    let again = docker.put_manifest("app", &referrer.digest(), &referrer).await.expect(201);
    assert_eq!(again.header("oci-subject"), Some(subject.digest().as_str()));
    assert_eq!(count().await, 1);
}
