use serde_json::{Value, json};
use testkit::TestApp;

#[tokio::test]
async fn account_settings_have_defaults_and_keep_what_is_put() {
    let app = TestApp::start().await;
    let cases = [
        ("BASIC_SCAN_TYPE_VERSION", "AWS_NATIVE", vec!["CLAIR", "AWS_NATIVE"]),
        ("REGISTRY_POLICY_SCOPE", "V2", vec!["V1", "V2"]),
        ("BLOB_MOUNTING", "ENABLED", vec!["DISABLED", "ENABLED"]),
    ];
    for (name, default, values) in cases {
        assert_eq!(
            app.ecr("GetAccountSetting", json!({"name": name})).await.ok(),
            json!({"name": name, "value": default})
        );
        for value in values {
            let setting = json!({"name": name, "value": value});
            assert_eq!(app.ecr("PutAccountSetting", setting.clone()).await.ok(), setting);
            assert_eq!(app.ecr("GetAccountSetting", json!({"name": name})).await.ok(), setting);
        }
        app.ecr("PutAccountSetting", json!({"name": name, "value": "OTHER"})).await.error("InvalidParameter");
    }
    app.ecr("GetAccountSetting", json!({"name": "NO_SUCH"})).await.error("Validation");
    app.ecr("PutAccountSetting", json!({"name": "NO_SUCH", "value": "x"})).await.error("Validation");
}

#[tokio::test]
async fn an_account_setting_holds_for_its_own_account_and_region() {
    let app = TestApp::start().await;
    app.ecr("PutAccountSetting", json!({"name": "BLOB_MOUNTING", "value": "DISABLED"})).await.ok();
    for (account, region) in [("000000000000", "eu-west-1"), ("111122223333", "us-east-1")] {
        let other = app.account(account, region).ecr("GetAccountSetting", json!({"name": "BLOB_MOUNTING"})).await.ok();
        assert_eq!(other["value"], "ENABLED");
    }
}

#[tokio::test]
async fn the_registry_describes_itself() {
    let app = TestApp::start().await;
    let described = app.ecr("DescribeRegistry", json!({})).await.ok();
    assert_eq!(described, json!({"registryId": "000000000000", "replicationConfiguration": {"rules": []}}));
}

async fn repository(app: &TestApp, name: &str) -> Value {
    app.ecr("DescribeRepositories", json!({"repositoryNames": [name]})).await.ok()["repositories"][0].clone()
}

#[tokio::test]
async fn tag_mutability_is_put_echoed_and_its_filters_dropped_with_the_mode() {
    let app = TestApp::start().await;
    app.administrator().repository("app").await;
    let filters = json!([{"filterType": "WILDCARD", "filter": "v*"}]);
    let mut put = json!({"repositoryName": "app", "imageTagMutability": "MUTABLE_WITH_EXCLUSION"});
    put["imageTagMutabilityExclusionFilters"] = filters.clone();
    let mut echo = put.clone();
    echo["registryId"] = json!("000000000000");
    assert_eq!(app.ecr("PutImageTagMutability", put).await.ok(), echo);
    assert_eq!(repository(&app, "app").await["imageTagMutabilityExclusionFilters"], filters);
    let plain = json!({"registryId": "000000000000", "repositoryName": "app", "imageTagMutability": "IMMUTABLE"});
    assert_eq!(app.ecr("PutImageTagMutability", plain.clone()).await.ok(), plain);
    assert!(repository(&app, "app").await.get("imageTagMutabilityExclusionFilters").is_none());
    app.ecr("PutImageTagMutability", json!({"repositoryName": "gone", "imageTagMutability": "MUTABLE"}))
        .await
        .error("RepositoryNotFound");
}

#[tokio::test]
async fn scan_on_push_is_stored() {
    let app = TestApp::start().await;
    app.administrator().repository("app").await;
    for (configuration, stored) in [(json!({"scanOnPush": true}), true), (json!({}), false)] {
        let put = json!({"repositoryName": "app", "imageScanningConfiguration": configuration});
        let echo = app.ecr("PutImageScanningConfiguration", put).await.ok();
        let expected = json!({"scanOnPush": stored});
        assert_eq!(
            echo,
            json!({"registryId": "000000000000", "repositoryName": "app", "imageScanningConfiguration": expected})
        );
        assert_eq!(repository(&app, "app").await["imageScanningConfiguration"], expected);
    }
    let gone = json!({"repositoryName": "gone", "imageScanningConfiguration": {}});
    app.ecr("PutImageScanningConfiguration", gone).await.error("RepositoryNotFound");
}

#[tokio::test]
async fn an_authorization_token_is_for_the_callers_registry_and_lives_twelve_hours() {
    let app = TestApp::start().await;
    let answer = app.ecr("GetAuthorizationToken", json!({})).await.ok();
    let data = answer["authorizationData"].as_array().unwrap();
    assert_eq!(data.len(), 1);
    assert_eq!(data[0]["expiresAt"].as_f64(), Some(1_795_255_200.0 + 12.0 * 3600.0));
    let two = app.ecr("GetAuthorizationToken", json!({"registryIds": ["000000000000", "111122223333"]})).await.ok();
    let endpoints: Vec<_> =
        two["authorizationData"].as_array().unwrap().iter().map(|d| d["proxyEndpoint"].as_str().unwrap()).collect();
    let port = app.address.port();
    assert_eq!(
        endpoints,
        [format!("http://localhost:{port}"), format!("http://111122223333.dkr.ecr.us-east-1.localhost:{port}")]
    );
}
