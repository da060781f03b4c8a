use serde_json::json;
use testkit::{Image, TestApp};

#[tokio::test]
async fn tags_are_listed_in_order_and_by_pages() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    assert_eq!(docker.get("/v2/app/tags/list").await.expect(200).json(), json!({"name": "app", "tags": []}));
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    docker.put_manifest("app", &image.digest(), &image).await.expect(201);
    for tag in ["b", "a", "B", "10", "9", "_x", "c.d-e"] {
        docker.put_manifest("app", tag, &image).await.expect(201);
    }
    let all = json!(["10", "9", "B", "_x", "a", "b", "c.d-e"]);
    let answer = docker.get("/v2/app/tags/list").await.expect(200);
    assert_eq!(answer.json(), json!({"name": "app", "tags": all}));
    assert!(answer.header("link").is_none());

    let mut found = Vec::new();
    let mut next = Some("/v2/app/tags/list?n=3".to_owned());
    while let Some(target) = next {
        let answer = docker.get(&target).await.expect(200);
        found.extend(answer.json()["tags"].as_array().unwrap().clone());
        next = answer.header("link").map(link);
    }
    assert_eq!(json!(found), all);
    assert_eq!(docker.get("/v2/app/tags/list?last=a").await.expect(200).json()["tags"], json!(["b", "c.d-e"]));
    assert_eq!(docker.get("/v2/app/tags/list?last=nosuch").await.expect(200).json()["tags"], json!([]));
    assert_eq!(docker.get("/v2/gone/tags/list").await.expect(404).code(), "NAME_UNKNOWN");
}

/// The target of a `Link: <…>; rel="next"` header.
fn link(header: &str) -> String {
    let (target, rel) =
        header.strip_prefix('<').and_then(|rest| rest.split_once('>')).expect("a link in angle brackets");
    assert_eq!(rel.replace(' ', ""), ";rel=\"next\"");
    let path = target.split_once("://").map_or(target, |(_, rest)| &rest[rest.find('/').unwrap()..]);
    path.to_owned()
}

#[tokio::test]
async fn a_page_size_that_is_too_large_is_clamped_and_one_that_is_no_number_is_refused() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    for list in ["app/tags/list", "_catalog"] {
        // An empty one is as absent.
        for n in ["1", "1000", "1001", "10000", "99999999999999999999", "", "&last="] {
            docker.get(&format!("/v2/{list}?n={n}")).await.expect(200);
        }
        for n in ["x", "-1"] {
            let answer = docker.get(&format!("/v2/{list}?n={n}")).await;
            assert_eq!(answer.status, 400, "{list} {n}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn the_catalog_lists_the_repositories_of_the_registry_by_pages() {
    let app = TestApp::start().await;
    let docker = app.administrator().docker().await;
    assert_eq!(docker.get("/v2/_catalog").await.expect(200).json(), json!({"repositories": []}));
    for name in ["b/b", "a/a", "c/c"] {
        app.administrator().repository(name).await;
    }
    app.account("111122223333", "us-east-1").repository("not/mine").await;
    let answer = docker.get("/v2/_catalog?n=2").await.expect(200);
    assert_eq!(answer.json(), json!({"repositories": ["a/a", "b/b"]}));
    let answer = docker.get(&link(answer.header("link").unwrap())).await.expect(200);
    assert_eq!(answer.json(), json!({"repositories": ["c/c"]}));
    assert!(answer.header("link").is_none());
}
