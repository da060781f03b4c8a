use serde_json::{Value, json};
use testkit::{Image, TestApp};

fn names(answer: &Value) -> Vec<&str> {
    answer["repositories"].as_array().unwrap().iter().map(|r| r["repositoryName"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_new_repository_shows_every_default() {
    let app = TestApp::start().await;
    let created = app.administrator().repository("team/app").await;
    insta::assert_snapshot!(app.pretty(&created), @r#"
    {
      "repository": {
        "createdAt": 1795255200.0,
        "encryptionConfiguration": {
          "encryptionType": "AES256"
        },
        "imageScanningConfiguration": {
          "scanOnPush": false
        },
        "imageTagMutability": "MUTABLE",
        "registryId": "000000000000",
        "repositoryArn": "arn:aws:ecr:us-east-1:000000000000:repository/team/app",
        "repositoryName": "team/app",
        "repositoryUri": "localhost:PORT/team/app"
      }
    }
    "#);
    let described = app.ecr("DescribeRepositories", json!({"repositoryNames": ["team/app"]})).await.ok();
    assert_eq!(described["repositories"], json!([created["repository"]]));
}

#[tokio::test]
async fn what_is_asked_for_at_creation_is_what_the_repository_has() {
    let app = TestApp::start().await;
    let asked = json!({
        "registryId": "000000000000",
        "repositoryName": "app",
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "dev-*"}, {"filterType": "WILDCARD", "filter": "latest"}],
        "imageScanningConfiguration": {"scanOnPush": true},
        "encryptionConfiguration": {"encryptionType": "AES256"},
        "tags": [{"Key": "owner", "Value": "team"}, {"Key": "empty", "Value": ""}],
    });
    let created = app.ecr("CreateRepository", asked.clone()).await.ok();
    for member in [
        "imageTagMutability",
        "imageTagMutabilityExclusionFilters",
        "imageScanningConfiguration",
        "encryptionConfiguration",
    ] {
        assert_eq!(created["repository"][member], asked[member], "{member}");
    }
    let arn = created["repository"]["repositoryArn"].clone();
    let tags = app.ecr("ListTagsForResource", json!({"resourceArn": arn})).await.ok();
    assert_eq!(tags["tags"], json!([{"Key": "empty", "Value": ""}, {"Key": "owner", "Value": "team"}]));
}

#[tokio::test]
async fn a_name_is_taken_once_in_each_registry() {
    let app = TestApp::start().await;
    app.administrator().repository("app").await;
    let message = app.ecr("CreateRepository", json!({"repositoryName": "app"})).await.error("RepositoryAlreadyExists");
    assert_eq!(message, "The repository with name 'app' already exists in the registry with id '000000000000'");
    app.account("000000000000", "eu-west-1").repository("app").await;
    app.account("111122223333", "us-east-1").repository("app").await;
}

#[tokio::test]
async fn names_at_the_edges_of_the_grammar() {
    let app = TestApp::start().await;
    let longest = "a".repeat(256);
    for good in ["ab", "0a", "a.b", "a_b", "a__b", "a-b", "a----b", "a/b", "a1/b2/c3", "a.b_c-d/e__f", longest.as_str()]
    {
        app.administrator().repository(good).await;
    }
    let too_long = "a".repeat(257);
    for bad in [
        "",
        "a",
        "A",
        "App",
        "a..b",
        "a___b",
        "a._b",
        ".a",
        "a.",
        "-a",
        "a-",
        "_a",
        "a_",
        "/a",
        "a/",
        "a//b",
        "a/../b",
        "a b",
        "a\n",
        "ä1",
        "a:b",
        "a@b",
        "a%2fb",
        "a\u{0}b",
        too_long.as_str(),
    ] {
        let message = app.ecr("CreateRepository", json!({"repositoryName": bad})).await.error("InvalidParameter");
        assert!(
            message.starts_with("Invalid parameter at 'repositoryName' failed to satisfy constraint: '"),
            "{bad:?}: {message}"
        );
    }
    let message = app.ecr("CreateRepository", json!({"repositoryName": "a//b"})).await.error("InvalidParameter");
    let pattern = oci::RepositoryName::PATTERN;
    assert_eq!(
        message,
        format!(
            "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '{pattern}''"
        )
    );
}

#[tokio::test]
async fn named_repositories_come_all_or_not_at_all() {
    let app = TestApp::start().await;
    app.administrator().repository("a1").await;
    app.administrator().repository("a2").await;
    let both = app.ecr("DescribeRepositories", json!({"repositoryNames": ["a2", "a1"]})).await.ok();
    assert_eq!(names(&both).len(), 2);
    let message = app
        .ecr("DescribeRepositories", json!({"repositoryNames": ["a1", "gone", "also-gone"]}))
        .await
        .error("RepositoryNotFound");
    assert_eq!(message, "The repository with name 'gone' does not exist in the registry with id '000000000000'");
    for mixed in
        [json!({"repositoryNames": ["a1"], "maxResults": 5}), json!({"repositoryNames": ["a1"], "nextToken": "x"})]
    {
        app.ecr("DescribeRepositories", mixed).await.error("InvalidParameter");
    }
}

#[tokio::test]
async fn a_listing_is_paged_by_name_and_survives_changes_between_pages() {
    let app = TestApp::start().await;
    for name in ["e1", "c1", "a1", "d1", "b1"] {
        app.administrator().repository(name).await;
    }
    let first = app.ecr("DescribeRepositories", json!({"maxResults": 2})).await.ok();
    assert_eq!(names(&first), ["a1", "b1"]);
    app.ecr("DeleteRepository", json!({"repositoryName": "b1"})).await.ok();
    app.administrator().repository("a2").await;
    app.administrator().repository("c2").await;
    let second = app.ecr("DescribeRepositories", json!({"maxResults": 3, "nextToken": first["nextToken"]})).await.ok();
    assert_eq!(names(&second), ["c1", "c2", "d1"]);
    let last = app.ecr("DescribeRepositories", json!({"maxResults": 3, "nextToken": second["nextToken"]})).await.ok();
    assert_eq!(names(&last), ["e1"]);
    assert!(last.get("nextToken").is_none());
}

#[tokio::test]
async fn a_page_that_ends_exactly_at_the_last_item_has_no_token() {
    let app = TestApp::start().await;
    for name in ["a1", "b1"] {
        app.administrator().repository(name).await;
    }
    let page = app.ecr("DescribeRepositories", json!({"maxResults": 2})).await.ok();
    assert_eq!(names(&page), ["a1", "b1"]);
    assert!(page.get("nextToken").is_none());
}

#[tokio::test]
async fn a_page_token_is_good_for_its_own_listing_only() {
    let app = TestApp::start().await;
    for name in ["a1", "b1"] {
        app.administrator().repository(name).await;
        app.account("111122223333", "us-east-1").repository(name).await;
    }
    let token =
        app.ecr("DescribeRepositories", json!({"maxResults": 1})).await.ok()["nextToken"].as_str().unwrap().to_owned();
    let mut tampered = token.clone();
    tampered.replace_range(
        token.len() / 2..=token.len() / 2,
        if &token[token.len() / 2..=token.len() / 2] == "A" { "B" } else { "A" },
    );
    for bad in ["x", "", &tampered, &token[1..], &format!("{token}A")] {
        let message = app.ecr("DescribeRepositories", json!({"nextToken": bad})).await.error("InvalidParameter");
        assert!(message.contains("'nextToken'"), "{message}");
    }
    app.account("111122223333", "us-east-1")
        .ecr("DescribeRepositories", json!({"nextToken": token}))
        .await
        .error("InvalidParameter");
    app.ecr("ListImages", json!({"repositoryName": "a1", "nextToken": token})).await.error("InvalidParameter");
    app.ecr("DescribeRepositories", json!({"nextToken": token})).await.ok();
}

#[tokio::test]
async fn a_repository_with_images_is_deleted_only_by_force_and_one_made_again_inherits_nothing() {
    let app = TestApp::start().await;
    let created = app.administrator().repository("app").await;
    let arn = created["repository"]["repositoryArn"].clone();
    app.ecr("TagResource", json!({"resourceArn": arn, "tags": [{"Key": "k", "Value": "v"}]})).await.ok();
    let docker = app.administrator().docker().await;
    let image = Image::new(1);
    docker.push("app", "v1", &image).await;

    let message = app.ecr("DeleteRepository", json!({"repositoryName": "app"})).await.error("RepositoryNotEmpty");
    assert_eq!(
        message,
        "The repository with name 'app' in registry with id '000000000000' cannot be deleted because it still contains images"
    );
    let deleted = app.ecr("DeleteRepository", json!({"repositoryName": "app", "force": true})).await.ok();
    assert_eq!(deleted["repository"], created["repository"]);
    app.ecr("DeleteRepository", json!({"repositoryName": "app"})).await.error("RepositoryNotFound");
    docker.get("/v2/app/manifests/v1").await.expect(404);

    app.administrator().repository("app").await;
    assert_eq!(app.ecr("ListImages", json!({"repositoryName": "app"})).await.ok()["imageIds"], json!([]));
    assert_eq!(app.ecr("ListTagsForResource", json!({"resourceArn": arn})).await.ok()["tags"], json!([]));
    let layer = testkit::digest(image.layer());
    let check =
        app.ecr("BatchCheckLayerAvailability", json!({"repositoryName": "app", "layerDigests": [layer]})).await.ok();
    assert_eq!(check["layers"][0]["layerAvailability"], "UNAVAILABLE");
    docker.push("app", "v1", &image).await;
}

#[tokio::test]
async fn kms_is_refused_and_nothing_is_stored() {
    let app = TestApp::start().await;
    for encryption in [
        json!({"encryptionType": "KMS"}),
        json!({"encryptionType": "KMS_DSSE"}),
        json!({"encryptionType": "KMS", "kmsKey": "alias/mine"}),
    ] {
        let refused =
            app.ecr("CreateRepository", json!({"repositoryName": "app", "encryptionConfiguration": encryption})).await;
        assert!(refused.body["kmsError"].is_string(), "{}", refused.body);
        assert!(refused.error("Kms").contains("not available"), "the message says that KMS is not available yet");
    }
    app.ecr("DescribeRepositories", json!({"repositoryNames": ["app"]})).await.error("RepositoryNotFound");
}

#[tokio::test]
async fn exclusion_filters_belong_to_the_exclusion_modes_alone() {
    let app = TestApp::start().await;
    let filter = |text: &str| json!({"filterType": "WILDCARD", "filter": text});
    app.administrator().repository("app").await;
    let cases = [
        ("MUTABLE", json!([filter("a*")]), false),
        ("IMMUTABLE", json!([filter("a*")]), false),
        ("MUTABLE_WITH_EXCLUSION", Value::Null, false),
        ("IMMUTABLE_WITH_EXCLUSION", Value::Null, false),
        ("IMMUTABLE_WITH_EXCLUSION", json!([filter("a*b*c*")]), false),
        ("IMMUTABLE_WITH_EXCLUSION", json!([filter("a b")]), false),
        ("IMMUTABLE_WITH_EXCLUSION", json!([filter("a*b*")]), true),
        ("MUTABLE_WITH_EXCLUSION", json!([filter("*")]), true),
        ("MUTABLE", Value::Null, true),
    ];
    for (mode, filters, good) in cases {
        for (operation, name) in [("PutImageTagMutability", "app"), ("CreateRepository", "new")] {
            let mut input = json!({"repositoryName": name, "imageTagMutability": mode});
            if !filters.is_null() {
                input["imageTagMutabilityExclusionFilters"] = filters.clone();
            }
            let outcome = app.ecr(operation, input).await;
            if good {
                outcome.ok();
                app.ecr("DeleteRepository", json!({"repositoryName": "new"})).await;
            } else {
                let message = outcome.error("InvalidParameter");
                assert!(message.contains("xclusionFilter"), "{mode} {filters}: {message}");
            }
        }
    }
    let message = app
        .ecr(
            "PutImageTagMutability",
            json!({"repositoryName": "app", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}),
        )
        .await;
    assert_eq!(
        message.error("InvalidParameter"),
        "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: \
         'ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as IMMUTABLE_WITH_EXCLUSION'"
    );
}

#[tokio::test]
async fn every_registry_spells_its_own_uri_and_proxy_endpoint() {
    let app = TestApp::start().await;
    let port = app.address.port();
    for (account, region, host) in [
        ("000000000000", "us-east-1", format!("localhost:{port}")),
        ("111122223333", "us-east-1", format!("111122223333.dkr.ecr.us-east-1.localhost:{port}")),
        ("000000000000", "eu-west-1", format!("000000000000.dkr.ecr.eu-west-1.localhost:{port}")),
    ] {
        let caller = app.account(account, region);
        assert_eq!(caller.repository("app").await["repository"]["repositoryUri"], format!("{host}/app"));
        let token = caller.ecr("GetAuthorizationToken", json!({})).await.ok();
        assert_eq!(token["authorizationData"][0]["proxyEndpoint"], format!("http://{host}"));
    }
}
