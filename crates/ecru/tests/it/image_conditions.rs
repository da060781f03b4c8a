//! Policies that test the image of a request: `ecru:ImageTag` and `ecru:ImageDigest`, on both doors.

use serde_json::{Value, json};
use testkit::{AwsCaller, Docker, Image, Outcome, TestApp};

const OWNER: &str = "000000000000";
const OTHER: &str = "111122223333";

/// A policy of the repository `app` with these statements.
async fn set(owner: &AwsCaller<'_>, statements: Value) {
    let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    owner.ecr("SetRepositoryPolicy", json!({"repositoryName": "app", "policyText": text})).await.ok();
}

/// A deny of these actions to everyone, under this condition.
fn deny(actions: &Value, condition: &Value) -> Value {
    json!({"Effect": "Deny", "Principal": "*", "Action": actions, "Condition": condition})
}

fn releases(operator: &str) -> Value {
    json!({operator: {"ecru:ImageTag": "release-*"}})
}

async fn about_images(caller: &AwsCaller<'_>, operation: &str, ids: Value) -> Outcome {
    caller.ecr(operation, json!({"registryId": OWNER, "repositoryName": "app", "imageIds": ids})).await
}

fn put(image: &Image, tag: Option<&str>) -> Value {
    let mut input = json!({"repositoryName": "app", "imageManifest": image.text(), "imageDigest": image.digest()});
    if let Some(tag) = tag {
        input["imageTag"] = json!(tag);
    }
    input
}

/// PUT of a manifest with a query.
async fn push_with(docker: &Docker<'_>, reference: &str, query: &str, image: &Image) -> u16 {
    let call = docker.call("PUT", format!("/v2/app/manifests/{reference}{query}"));
    let call = call.header("content-type", image.media_type).body(image.text());
    docker.send(call).await.status
}

fn by_tag(tag: &str) -> Value {
    json!({"imageTag": tag})
}

fn by_digest(image: &Image) -> Value {
    json!({"imageDigest": image.digest()})
}

#[tokio::test]
async fn a_denied_tag_can_not_be_pushed_and_others_can() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    let docker = owner.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    set(&owner, json!([deny(&json!("ecr:PutImage"), &releases("StringLike"))])).await;
    // By the API, with and without a tag.
    let denied = owner.ecr("PutImage", put(&image, Some("release-1"))).await.error("AccessDenied");
    assert!(denied.ends_with("with an explicit deny in a resource-based policy"), "{denied}");
    owner.ecr("PutImage", put(&image, None)).await.ok();
    owner.ecr("PutImage", put(&image, Some("dev-1"))).await.ok();
    // By docker: by tag, by digest, and by digest with tags, each of which is judged.
    let digest = image.digest();
    for (reference, query, status) in [
        ("release-2", "", 403),
        ("dev-2", "", 201),
        (&*digest, "", 201),
        (&*digest, "?tag=dev-3&tag=dev-4", 201),
        (&*digest, "?tag=release-3", 403),
        (&*digest, "?tag=dev-5&tag=release-3", 403),
        (&*digest, "?tag=dev-5&tag=%72elease-3", 403),
    ] {
        assert_eq!(push_with(&docker, reference, query, &image).await, status, "{reference}{query}");
    }
    let tags = docker.get("/v2/app/tags/list").await.json()["tags"].clone();
    assert_eq!(tags, json!(["dev-1", "dev-2", "dev-3", "dev-4"]));
}

#[tokio::test]
async fn only_the_allowed_tags_can_be_pushed_if_all_others_are_denied() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    let docker = owner.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    // A plain negated operator is met by a push without a tag, and the one with IfExists too.
    for (condition, untagged) in [
        (json!({"StringNotLike": {"ecru:ImageTag": "dev-*"}}), false),
        (json!({"StringNotLike": {"ecru:ImageTag": "dev-*"}, "Null": {"ecru:ImageTag": "false"}}), true),
    ] {
        set(&owner, json!([deny(&json!("ecr:PutImage"), &condition)])).await;
        for (reference, allowed) in [("dev-1", true), ("main", false), (&*image.digest(), untagged)] {
            let status = push_with(&docker, reference, "", &image).await;
            assert_eq!(status == 201, allowed, "{condition} {reference}: {status}");
        }
    }
}

#[tokio::test]
async fn an_image_with_a_protected_tag_can_be_deleted_by_no_name() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    let docker = owner.docker().await;
    let (released, other) = (Image::new(1), Image::new(2));
    for tag in ["dev-1", "release-1", "zz"] {
        docker.push("app", tag, &released).await;
    }
    docker.push("app", "dev-2", &other).await;
    set(&owner, json!([deny(&json!("ecr:BatchDeleteImage"), &releases("StringLike"))])).await;
    let delete = async |ids: Value| about_images(&owner, "BatchDeleteImage", ids).await;
    let upper = released.digest().to_uppercase().replace("SHA256", "sha256");
    for ids in [
        json!([by_digest(&released)]),
        json!([{"imageDigest": upper}]),
        json!([by_tag("release-1")]),
        json!([{"imageDigest": released.digest(), "imageTag": "release-1"}]),
        // One refused id refuses the whole batch.
        json!([by_tag("dev-2"), by_digest(&other), by_digest(&released)]),
        json!([by_digest(&released), by_tag("dev-2")]),
    ] {
        let denied = delete(ids.clone()).await.error("AccessDenied");
        assert!(denied.ends_with("with an explicit deny in a resource-based policy"), "{ids}: {denied}");
    }
    for reference in [&*released.digest(), "release-1"] {
        let refused = docker.delete(&format!("/v2/app/manifests/{reference}")).await.expect(403);
        assert!(refused.message().contains("with an explicit deny in a resource-based policy"), "{reference}");
    }
    assert_eq!(docker.get("/v2/app/tags/list").await.json()["tags"], json!(["dev-1", "dev-2", "release-1", "zz"]));
    // Another tag of the same image, another image, and an image that does not exist.
    assert_eq!(delete(json!([by_tag("dev-1")])).await.ok()["imageIds"][0]["imageTag"], "dev-1");
    docker.delete("/v2/app/manifests/zz").await.expect(202);
    docker.delete(&format!("/v2/app/manifests/{}", other.digest())).await.expect(202);
    assert_eq!(delete(json!([by_digest(&other)])).await.ok()["failures"][0]["failureCode"], "ImageNotFound");
    docker.pull("app", "release-1", &released).await;
    // Without its last protected tag it can be deleted. The policy is gone for the tag alone.
    owner.ecr("DeleteRepositoryPolicy", json!({"repositoryName": "app"})).await.ok();
    docker.push("app", "dev-3", &released).await;
    delete(json!([by_tag("release-1")])).await.ok();
    set(&owner, json!([deny(&json!("ecr:BatchDeleteImage"), &releases("StringLike"))])).await;
    assert_eq!(delete(json!([by_digest(&released)])).await.ok()["imageIds"][0]["imageTag"], "dev-3");
}

/// Of several tags, one that the policy has meets a plain operator. `ForAllValues` asks it of all.
#[tokio::test]
async fn an_allow_by_tag_covers_images_of_which_one_tag_or_all_tags_match() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    let docker = owner.docker().await;
    let other = app.account(OTHER, "us-east-1");
    for (condition, mixed_is_allowed) in [
        (json!({"StringLike": {"ecru:ImageTag": "dev-*"}}), true),
        (json!({"ForAllValues:StringLike": {"ecru:ImageTag": "dev-*"}, "Null": {"ecru:ImageTag": "false"}}), false),
    ] {
        let (mixed, dev, untagged) = (Image::new(1), Image::new(2), Image::new(3));
        for (tag, image) in [("dev-1", &mixed), ("release-1", &mixed), ("dev-2", &dev), (&untagged.digest(), &untagged)]
        {
            docker.push("app", tag, image).await;
        }
        let allow = json!({"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "ecr:BatchDeleteImage", "Condition": condition});
        set(&owner, json!([allow])).await;
        for (image, allowed) in [(&dev, true), (&mixed, mixed_is_allowed), (&untagged, false)] {
            let outcome = about_images(&other, "BatchDeleteImage", json!([by_digest(image)])).await;
            assert_eq!(outcome.is_ok(), allowed, "{condition} {}", image.digest());
        }
        // What the policy does not allow is told in one way, whether it exists or not.
        let denied =
            about_images(&other, "BatchDeleteImage", json!([by_digest(&untagged)])).await.error("AccessDenied");
        let missing = about_images(&other, "BatchDeleteImage", json!([by_digest(&Image::new(9))])).await;
        assert_eq!(missing.error("AccessDenied"), denied);
    }
}

#[tokio::test]
async fn reads_carry_the_tag_or_the_digest_that_they_name() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    let docker = owner.docker().await;
    let image = Image::new(1);
    docker.push("app", "v1", &image).await;
    docker.push("app", "private", &image).await;
    let reads = json!(["ecr:BatchGetImage", "ecr:DescribeImages"]);
    let absent = |key: &str, absent: &str| json!({"Null": {key: absent}});
    let (tag, both) = (by_tag("v1"), json!({"imageTag": "v1", "imageDigest": image.digest()}));
    // The condition of a deny, and the images that it leaves: by tag, by another tag, by digest, by both.
    for (condition, left) in [
        (json!({"StringLike": {"ecru:ImageTag": "priv*"}}), [true, false, true, true]),
        (json!({"StringNotEqualsIfExists": {"ecru:ImageTag": "v1"}}), [true, false, false, true]),
        (absent("ecru:ImageTag", "true"), [true, true, false, true]),
        (absent("ecru:ImageDigest", "true"), [false, false, true, true]),
        (json!({"StringEquals": {"ecru:ImageDigest": image.digest()}}), [true, true, false, false]),
        (json!({"StringEquals": {"ECRU:imagedigest": Image::new(2).digest()}}), [true, true, true, true]),
    ] {
        set(&owner, json!([deny(&reads, &condition)])).await;
        let named = [tag.clone(), by_tag("private"), by_digest(&image), both.clone()];
        for (id, allowed) in named.iter().zip(left) {
            for operation in ["BatchGetImage", "DescribeImages"] {
                let outcome = about_images(&owner, operation, json!([id])).await;
                assert_eq!(outcome.is_ok(), allowed, "{condition} {operation} {id}");
                let two = about_images(&owner, operation, json!([tag, id])).await;
                assert_eq!(two.is_ok(), allowed && left[0], "{condition} {operation} {id} and v1");
            }
        }
        for (reference, allowed) in ["v1", "private", &image.digest()].into_iter().zip(left) {
            for method in ["GET", "HEAD"] {
                let answer = docker.send(docker.call(method, format!("/v2/app/manifests/{reference}"))).await;
                assert_eq!(answer.status == 200, allowed, "{condition} {method} {reference}: {}", answer.status);
            }
        }
        // The referrers are those of a digest.
        let referrers = docker.get(&format!("/v2/app/referrers/{}", image.digest())).await;
        let subject = json!({"repositoryName": "app", "subjectId": by_digest(&image)});
        let listed = owner.ecr("ListImageReferrers", subject).await;
        assert_eq!((referrers.status == 200, listed.is_ok()), (left[2], left[2]), "{condition}");
    }
    // A listing of all images names none.
    let named = json!({"repositoryName": "app"});
    for (value, allowed) in [("true", false), ("false", true)] {
        set(&owner, json!([deny(&reads, &absent("ecru:ImageTag", value))])).await;
        assert_eq!(owner.ecr("DescribeImages", named.clone()).await.is_ok(), allowed, "{value}");
    }
}
