//! How long a page is when nobody says so (`ECR.md` A.10, B.7).

use aws::PageTokens;
use kernel::keys::Purpose;
use serde_json::{Value, json};
use testkit::{Image, TestApp};

fn count(list: &Value) -> usize {
    list.as_array().unwrap().len()
}

#[tokio::test]
async fn a_hundred_repositories_are_a_page() {
    let app = TestApp::start().await;
    for n in 0..101 {
        app.administrator().repository(&format!("r{n:03}")).await;
    }
    let page = app.ecr("DescribeRepositories", json!({})).await.ok();
    assert_eq!((count(&page["repositories"]), page["nextToken"].is_string()), (100, true));
    let whole = app.ecr("DescribeRepositories", json!({"maxResults": 1000})).await.ok();
    assert_eq!((count(&whole["repositories"]), whole.get("nextToken")), (101, None));
    let docker = app.administrator().docker().await;
    let catalog = docker.get("/v2/_catalog").await.expect(200);
    assert_eq!((count(&catalog.json()["repositories"]), catalog.header("link").is_some()), (100, true));
}

#[tokio::test]
async fn a_hundred_tags_are_a_page_on_both_doors() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    for n in 0..101 {
        docker.put_manifest("app", &format!("t{n:03}"), &image).await.expect(201);
    }
    let page = app.ecr("ListImages", json!({"repositoryName": "app"})).await.ok();
    assert_eq!((count(&page["imageIds"]), page["nextToken"].is_string()), (100, true));
    let tags = docker.get("/v2/app/tags/list").await.expect(200);
    assert_eq!((count(&tags.json()["tags"]), tags.header("link").is_some()), (100, true));
    let detail = app.ecr("DescribeImages", json!({"repositoryName": "app"})).await.ok();
    assert_eq!(count(&detail["imageDetails"][0]["imageTags"]), 101);
}

#[tokio::test]
async fn a_hundred_images_and_twenty_referrers_are_a_page() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let subject = Image::new(1);
    docker.push("app", "subject", &subject).await;
    for n in 0..100 {
        // The same blobs each time, so that only the manifest is new.
        let referrer = Image::builder(2).member("annotations", json!({"n": n.to_string()})).subject(&subject).build();
        if n == 0 {
            docker.push_blobs("app", &referrer).await;
        }
        docker.put_manifest("app", &referrer.digest(), &referrer).await.expect(201);
    }
    let page = app.ecr("DescribeImages", json!({"repositoryName": "app"})).await.ok();
    assert_eq!((count(&page["imageDetails"]), page["nextToken"].is_string()), (100, true));
    let subject = json!({"repositoryName": "app", "subjectId": {"imageDigest": subject.digest()}});
    let page = app.ecr("ListImageReferrers", subject).await.ok();
    assert_eq!((count(&page["referrers"]), page["nextToken"].is_string()), (20, true));
}

#[tokio::test]
async fn a_token_is_bound_to_the_words_of_the_api() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let (image, other) = (Image::new(1), Image::new(2));
    docker.push("app", "v1", &image).await;
    docker.push("app", "v2", &other).await;
    let tokens = PageTokens::new(*app.system.keys.derive(Purpose::PageToken));
    let filter = json!({"tagStatus": "TAGGED"});
    let subject = json!({"imageDigest": image.digest()});
    for tag in ["r1", "r2"] {
        let referrer = Image::builder(3).member("annotations", json!({"n": tag})).subject(&image).build();
        docker.push("app", tag, &referrer).await;
    }
    for (operation, members, what) in [
        ("ListImages", json!({"filter": filter}), "TAGGED\nACTIVE".to_owned()),
        ("DescribeImages", json!({"filter": filter}), "TAGGED\nACTIVE".to_owned()),
        ("ListImageReferrers", json!({"subjectId": subject}), format!("{}\nACTIVE\n", image.digest())),
    ] {
        let mut input = json!({"repositoryName": "app", "maxResults": 1});
        input.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let page = app.ecr(operation, input).await.ok();
        let listing = format!("{operation}\n000000000000\nus-east-1\napp\n{what}");
        let token = page["nextToken"].as_str().unwrap();
        assert!(tokens.open(&listing, token).is_ok(), "{operation}: not a token of {listing:?}");
    }
}

#[tokio::test]
async fn images_that_are_named_have_ten_thousand_tags_together_at_most() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    for (tag, number) in [("v1", 1), ("v2", 2)] {
        docker.push("app", tag, &Image::new(number)).await;
    }
    let describe = async |tags: &[&str]| {
        let ids: Vec<Value> = tags.iter().map(|tag| json!({"imageTag": tag})).collect();
        app.ecr("DescribeImages", json!({"repositoryName": "app", "imageIds": ids})).await
    };
    for (tag_count, allowed) in [(5000, true), (5001, false)] {
        let count = move |tx: &mut meta::Tx<'_>| tx.execute("UPDATE image SET tag_count = $1", &[tag_count.into()]);
        assert_eq!(app.system.db.write(count).await.unwrap(), 2);
        assert_eq!(count_of(&describe(&["v1"]).await.ok()), 1);
        match allowed {
            true => assert_eq!(count_of(&describe(&["v1", "v2"]).await.ok()), 2),
            false => {
                let message = describe(&["v1", "v2"]).await.error("InvalidParameter");
                assert!(message.contains("name fewer images"), "{message}");
            }
        }
    }
}

fn count_of(answer: &Value) -> usize {
    count(&answer["imageDetails"])
}
