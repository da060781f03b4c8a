use serde_json::{Value, json};
use testkit::{AwsCaller, TestApp};

async fn tags(caller: &AwsCaller<'_>, arn: &Value) -> Value {
    caller.ecr("ListTagsForResource", json!({"resourceArn": arn})).await.ok()["tags"].clone()
}

fn many(count: usize, prefix: &str) -> Value {
    (0..count).map(|n| json!({"Key": format!("{prefix}{n}"), "Value": "v"})).collect()
}

#[tokio::test]
async fn tags_are_added_overwritten_and_removed_by_key() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    let arn = caller.repository("app").await["repository"]["repositoryArn"].clone();
    assert_eq!(tags(&caller, &arn).await, json!([]));
    let first = json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]);
    assert_eq!(caller.ecr("TagResource", json!({"resourceArn": arn, "tags": first})).await.ok(), json!({}));
    assert_eq!(tags(&caller, &arn).await, first);
    caller
        .ecr(
            "TagResource",
            json!({"resourceArn": arn, "tags": [{"Key": "b", "Value": "3"}, {"Key": "c", "Value": ""}]}),
        )
        .await
        .ok();
    let three = json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "3"}, {"Key": "c", "Value": ""}]);
    assert_eq!(tags(&caller, &arn).await, three);
    assert_eq!(
        caller.ecr("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a", "never"]})).await.ok(),
        json!({})
    );
    assert_eq!(tags(&caller, &arn).await, json!([{"Key": "b", "Value": "3"}, {"Key": "c", "Value": ""}]));
}

#[tokio::test]
async fn a_repository_has_fifty_tags_at_most() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    let arn = caller.repository("app").await["repository"]["repositoryArn"].clone();
    caller.ecr("TagResource", json!({"resourceArn": arn, "tags": many(50, "k")})).await.ok();
    caller.ecr("TagResource", json!({"resourceArn": arn, "tags": many(50, "k")})).await.ok();
    caller.ecr("TagResource", json!({"resourceArn": arn, "tags": many(1, "other")})).await.error("TooManyTags");
    assert_eq!(tags(&caller, &arn).await.as_array().unwrap().len(), 50);
    caller.ecr("CreateRepository", json!({"repositoryName": "new", "tags": many(51, "k")})).await.error("TooManyTags");
    caller.ecr("DescribeRepositories", json!({"repositoryNames": ["new"]})).await.error("RepositoryNotFound");
}

#[tokio::test]
async fn bad_tags_are_refused_at_creation_and_later() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    let arn = caller.repository("app").await["repository"]["repositoryArn"].clone();
    let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
    let bad = [
        json!([tag("", "v")]),
        json!([tag(&"k".repeat(129), "v")]),
        json!([tag("k", &"v".repeat(257))]),
        json!([tag("aws:k", "v")]),
        json!([tag("k", "1"), tag("k", "2")]),
    ];
    for bad in bad {
        caller.ecr("TagResource", json!({"resourceArn": arn, "tags": bad})).await.error("InvalidTagParameter");
        caller
            .ecr("CreateRepository", json!({"repositoryName": "new", "tags": bad}))
            .await
            .error("InvalidTagParameter");
    }
    assert_eq!(tags(&caller, &arn).await, json!([]));
    let longest = json!([tag(&"ä".repeat(128), &"ö".repeat(256))]);
    caller.ecr("TagResource", json!({"resourceArn": arn, "tags": longest})).await.ok();
    assert_eq!(tags(&caller, &arn).await, longest);
}

#[tokio::test]
async fn an_arn_that_is_no_repositorys_is_refused() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    for bad in ["", "app", "arn:aws:ecr:us-east-1:000000000000", "arn:aws:s3:us-east-1:000000000000:repository/app"] {
        let message = caller.ecr("ListTagsForResource", json!({"resourceArn": bad})).await.error("InvalidParameter");
        assert_eq!(message, "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'", "{bad}");
    }
    for gone in
        ["arn:aws:ecr:us-east-1:000000000000:repository/gone", "arn:aws:ecr:eu-west-1:000000000000:repository/app"]
    {
        caller.ecr("ListTagsForResource", json!({"resourceArn": gone})).await.error("RepositoryNotFound");
    }
}
