//! The policies of repositories and of registries: what is stored, what is refused, and whom they allow what.

use serde_json::{Value, json};
use testkit::http::Call;
use testkit::{AwsCaller, Image, Outcome, TestApp};

const OWNER: &str = "000000000000";
const OTHER: &str = "111122223333";
const PULL: [&str; 3] = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];

fn policy(statements: &Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn allow(principal: &Value, actions: &Value) -> Value {
    json!({"Effect": "Allow", "Principal": principal, "Action": actions})
}

fn deny(principal: &Value, actions: &Value) -> Value {
    json!({"Effect": "Deny", "Principal": principal, "Action": actions})
}

/// The same statement on resources, as registry policies have it.
fn on(mut statement: Value, resource: &str) -> Value {
    statement["Resource"] = json!(resource);
    statement
}

fn with_condition(mut statement: Value, condition: Value) -> Value {
    statement["Condition"] = condition;
    statement
}

async fn set(caller: &AwsCaller<'_>, name: &str, text: &str) -> Outcome {
    caller.ecr("SetRepositoryPolicy", json!({"repositoryName": name, "policyText": text})).await
}

async fn put(caller: &AwsCaller<'_>, text: &str) -> Outcome {
    caller.ecr("PutRegistryPolicy", json!({"policyText": text})).await
}

/// An operation of a caller on the owner's repository.
async fn about(caller: &AwsCaller<'_>, operation: &str, name: &str, more: Value) -> Outcome {
    let mut input = json!({"registryId": OWNER, "repositoryName": name});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    caller.ecr(operation, input).await
}

async fn get_image(caller: &AwsCaller<'_>, name: &str) -> Outcome {
    about(caller, "BatchGetImage", name, json!({"imageIds": [{"imageTag": "v1"}]})).await
}

/// A policy as terraform compares it.
fn parsed(text: &Value) -> Value {
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_repository_policy_is_set_read_replaced_and_deleted() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    let named = json!({"repositoryName": "app"});
    let missing =
        "Repository policy does not exist for the repository with name 'app' in the registry with id '000000000000'";
    for operation in ["GetRepositoryPolicy", "DeleteRepositoryPolicy"] {
        assert_eq!(owner.ecr(operation, named.clone()).await.error("RepositoryPolicyNotFound"), missing);
        let gone = owner.ecr(operation, json!({"repositoryName": "gone"})).await;
        gone.error("RepositoryNotFound");
    }
    set(&owner, "gone", &policy(&json!([allow(&json!("*"), &json!("ecr:*"))]))).await.error("RepositoryNotFound");

    let first = policy(&json!([allow(&json!({"AWS": OTHER}), &json!(PULL))]));
    let answer = set(&owner, "app", &first).await.ok();
    assert_eq!((&answer["registryId"], &answer["repositoryName"]), (&json!(OWNER), &json!("app")));
    // An account is named by its root from now on; the rest is as it was, in its order.
    let root = json!({"AWS": "arn:aws:iam::111122223333:root"});
    assert_eq!(
        parsed(&answer["policyText"]),
        json!({"Version": "2012-10-17", "Statement": [allow(&root, &json!(PULL))]})
    );
    assert!(answer["policyText"].as_str().unwrap().starts_with("{\n  \"Statement\": ["), "{answer}");
    assert_eq!(owner.ecr("GetRepositoryPolicy", named.clone()).await.ok(), answer);

    let second = policy(&json!(allow(&json!("*"), &json!("ecr:ListImages"))));
    let answer = set(&owner, "app", &second).await.ok();
    assert_eq!(owner.ecr("GetRepositoryPolicy", named.clone()).await.ok(), answer);
    assert_eq!(owner.ecr("DeleteRepositoryPolicy", named.clone()).await.ok(), answer);
    owner.ecr("DeleteRepositoryPolicy", named.clone()).await.error("RepositoryPolicyNotFound");

    // A repository of the same name starts without.
    set(&owner, "app", &second).await.ok();
    owner.ecr("DeleteRepository", named.clone()).await.ok();
    owner.repository("app").await;
    owner.ecr("GetRepositoryPolicy", named).await.error("RepositoryPolicyNotFound");
}

#[tokio::test]
async fn a_registry_policy_is_put_read_replaced_and_deleted_in_its_own_region() {
    let app = TestApp::start().await;
    let owner = app.administrator();
    for operation in ["GetRegistryPolicy", "DeleteRegistryPolicy"] {
        assert_eq!(
            owner.ecr(operation, json!({})).await.error("RegistryPolicyNotFound"),
            "Registry policy does not exist in the registry with id '000000000000'"
        );
    }
    for actions in [json!(["ecr:ReplicateImage", "ecr:CreateRepository"]), json!("ecr:*")] {
        let statement = on(allow(&json!({"AWS": OTHER}), &actions), "arn:aws:ecr:*:000000000000:repository/*");
        let answer = put(&owner, &policy(&json!([statement]))).await.ok();
        assert_eq!(answer["registryId"], OWNER);
        assert_eq!(owner.ecr("GetRegistryPolicy", json!({})).await.ok(), answer);
        app.account(OWNER, "eu-west-1").ecr("GetRegistryPolicy", json!({})).await.error("RegistryPolicyNotFound");
    }
    let before = owner.ecr("GetRegistryPolicy", json!({})).await.ok();
    assert_eq!(owner.ecr("DeleteRegistryPolicy", json!({})).await.ok(), before);
    owner.ecr("GetRegistryPolicy", json!({})).await.error("RegistryPolicyNotFound");
}

#[tokio::test]
async fn what_is_no_policy_is_refused_with_awss_text_and_the_statement_and_member() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    let everyone = json!("*");
    let fine = allow(&everyone, &json!("ecr:ListImages"));
    for (text, reason) in [
        (String::new(), "the policy document can't be read: EOF while parsing"),
        ("{".to_owned(), "the policy document can't be read: EOF while parsing"),
        (policy(&json!([])), "Statement: there is none"),
        (policy(&fine).replace("2012-10-17", "2020-01-01"), "Version: it is neither 2012-10-17 nor 2008-10-17"),
        (
            policy(&json!([fine, on(fine.clone(), "*")])),
            "Statement[1].Resource: the policy is about the resource that it is set on",
        ),
        (
            policy(&json!([allow(&everyone, &json!("s3:GetObject"))])),
            "Statement[0].Action: 's3:GetObject' does not begin with 'ecr:'",
        ),
        (policy(&json!([allow(&everyone, &json!("*"))])), "Statement[0].Action: '*' does not begin with 'ecr:'"),
        (
            policy(&json!([allow(&everyone, &json!(["ecr:listimages", "ecr:PutImge"]))])),
            "Statement[0].Action: 'ecr:PutImge' is not an action of ecr",
        ),
        (
            policy(&json!([{"Effect": "Allow", "Principal": "*", "NotAction": "ecr:Putt*"}])),
            "Statement[0].NotAction: 'ecr:Putt*' is not an action of ecr",
        ),
        (policy(&json!([{"Effect": "Allow", "Action": "ecr:ListImages"}])), "Statement[0].Principal: it is missing"),
        (
            policy(&json!([{"Effect": "Allow", "NotPrincipal": {"AWS": OTHER}, "Action": "ecr:ListImages"}])),
            "Statement[0].NotPrincipal: only a Deny may have it",
        ),
        (
            policy(&json!([with_condition(fine.clone(), json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/40"}}))])),
            "Statement[0].Condition.IpAddress: aws:SourceIp: it is not an address or a CIDR block",
        ),
    ] {
        let message = set(&owner, "app", &text).await.error("InvalidParameter");
        let expected = format!(
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided: {reason}"
        );
        assert!(message.starts_with(&expected), "{text}: {message}");
    }
    let of_repository = |more: &str| format!("arn:aws:ecr:us-east-1:000000000000:repository/{more}");
    for (statement, reason) in [
        (fine.clone(), "Statement[0].Resource: it is missing"),
        (
            on(fine.clone(), "arn:aws:ecr:*:111122223333:repository/*"),
            "Statement[0].Resource: it is neither '*' nor an ARN of ecr in the account 000000000000",
        ),
        (
            on(fine.clone(), "arn:aws:s3:::bucket"),
            "Statement[0].Resource: it is neither '*' nor an ARN of ecr in the account 000000000000",
        ),
        (
            on(allow(&everyone, &json!("ecr:PutImge")), &of_repository("*")),
            "Statement[0].Action: 'ecr:PutImge' is not an action of ecr",
        ),
    ] {
        let message = put(&owner, &policy(&json!([statement]))).await.error("InvalidParameter");
        let expected = format!(
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid registry policy provided: {reason}'"
        );
        assert_eq!(message, expected, "{statement}");
    }
    for resource in ["*", &of_repository("team/*"), "arn:aws:ecr:*:000000000000:repository/*", "arn:*:ecr:*:0*:*"] {
        put(&owner, &policy(&json!([on(fine.clone(), resource)]))).await.ok();
    }
    for (operation, name) in [("SetRepositoryPolicy", "app"), ("PutRegistryPolicy", "app")] {
        let long = json!({"repositoryName": name, "policyText": " ".repeat(10_241)});
        let message = owner.ecr(operation, long).await.error("InvalidParameter");
        assert!(
            message.contains("'policyText' failed to satisfy constraint: 'Member must have length less"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_principal_of_an_account_that_is_here_must_exist() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    for (principal, found) in [
        (json!({"AWS": "arn:aws:iam::000000000000:user/ann"}), false),
        (json!({"AWS": ["444455556666", "arn:aws:iam::000000000000:role/ci"]}), false),
        (json!({"AWS": "arn:aws:iam::444455556666:role/team/ci"}), true),
        (json!({"AWS": ["444455556666", "arn:aws:iam::000000000000:root"]}), true),
        (json!({"Service": "codebuild.amazonaws.com"}), true),
    ] {
        let statement = allow(&principal, &json!(PULL));
        for outcome in [
            set(&owner, "app", &policy(&json!([statement]))).await,
            put(&owner, &policy(&json!([on(statement.clone(), "*")]))).await,
        ] {
            if found {
                outcome.ok();
            } else {
                let message = outcome.error("InvalidParameter");
                let aws = "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Principal not found: ";
                assert!(message.starts_with(aws), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn a_policy_that_locks_its_caller_out_needs_force() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    let everyone = json!("*");
    let lockout = policy(&json!([deny(&everyone, &json!("ecr:SetRepositoryPolicy"))]));
    let message = set(&owner, "app", &lockout).await.error("InvalidParameter");
    assert!(message.contains("'Invalid repository policy provided: it would deny you another ecr:SetRepositoryPolicy"));
    owner.ecr("GetRepositoryPolicy", json!({"repositoryName": "app"})).await.error("RepositoryPolicyNotFound");
    // A deny that does not hit this caller, or not from here, is no lockout.
    let elsewhere = json!({"NotIpAddress": {"aws:SourceIp": ["127.0.0.0/8", "::1"]}});
    for fine in [
        deny(&json!({"AWS": OTHER}), &json!("ecr:*")),
        with_condition(deny(&everyone, &json!("ecr:*")), elsewhere),
        deny(&everyone, &json!("ecr:BatchDeleteImage")),
    ] {
        set(&owner, "app", &policy(&json!([fine]))).await.ok();
    }
    owner.ecr("SetRepositoryPolicy", json!({"repositoryName": "app", "policyText": lockout, "force": true})).await.ok();
    let again = set(&owner, "app", &policy(&json!([allow(&everyone, &json!(PULL))]))).await.error("AccessDenied");
    assert_eq!(
        again,
        "User: arn:aws:iam::000000000000:root is not authorized to perform: ecr:SetRepositoryPolicy on resource: \
         arn:aws:ecr:us-east-1:000000000000:repository/app with an explicit deny in a resource-based policy"
    );
    owner.ecr("DeleteRepositoryPolicy", json!({"repositoryName": "app"})).await.ok();

    // A registry's policy has no force: what its caller could neither replace nor delete is refused.
    let all = |statement: Value| policy(&json!([on(statement, "*")]));
    let message = put(&owner, &all(deny(&everyone, &json!("ecr:*")))).await.error("InvalidParameter");
    assert!(message.contains("'Invalid registry policy provided: it would deny you both"), "{message}");
    put(&owner, &all(deny(&everyone, &json!("ecr:PutRegistryPolicy")))).await.ok();
    put(&owner, &all(allow(&everyone, &json!("ecr:*")))).await.error("AccessDenied");
    owner.ecr("DeleteRegistryPolicy", json!({})).await.ok();
}

#[tokio::test]
async fn another_account_may_do_what_the_repositorys_policy_allows_and_no_more() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await.with_repository("private").await;
    let image = Image::new(1);
    for name in ["app", "private"] {
        owner.docker().await.push(name, "v1", &image).await;
    }
    let other = app.account(OTHER, "us-east-1");
    let third = app.account("444455556666", "us-east-1");
    let host = format!("{OWNER}.dkr.ecr.us-east-1.localhost:{}", app.address.port());
    let docker = other.docker().await.at(&host);
    get_image(&other, "app").await.error("AccessDenied");
    docker.get("/v2/app/manifests/v1").await.expect(403);

    set(&owner, "app", &policy(&json!([allow(&json!({"AWS": OTHER}), &json!(PULL))]))).await.ok();
    assert_eq!(get_image(&other, "app").await.ok()["images"][0]["registryId"], OWNER);
    docker.pull("app", "v1", &image).await;
    // Not another repository, not another action, not another account, and not from another region's registry.
    let message = get_image(&other, "private").await.error("AccessDenied");
    assert_eq!(get_image(&other, "gone").await.error("AccessDenied").replace("gone", "private"), message);
    docker.get("/v2/private/manifests/v1").await.expect(403);
    docker.put_manifest("app", "v2", &image).await.expect(403);
    docker.get("/v2/app/tags/list").await.expect(403);
    let denied = about(&other, "DescribeImages", "app", json!({})).await.error("AccessDenied");
    assert!(denied.ends_with("because no resource-based policy allows the ecr:DescribeImages action"), "{denied}");
    get_image(&third, "app").await.error("AccessDenied");
    app.account(OTHER, "eu-west-1")
        .ecr("BatchGetImage", json!({"registryId": OWNER, "repositoryName": "app", "imageIds": [{"imageTag": "v1"}]}))
        .await
        .error("AccessDenied");

    // The owner's root needs no allow, and is stopped by an explicit deny alone.
    get_image(&owner, "app").await.ok();
    let both = json!([
        allow(&json!({"AWS": OTHER}), &json!(PULL)),
        {"Sid": "Frozen", "Effect": "Deny", "Principal": "*", "Action": "ecr:PutImage"},
    ]);
    set(&owner, "app", &policy(&both)).await.ok();
    let pushed = owner.docker().await.put_manifest("app", "v2", &image).await.expect(403);
    assert!(pushed.message().contains("with an explicit deny in a resource-based policy"), "{}", pushed.message());
    docker.pull("app", "v1", &image).await;

    // Without the policy all is as before, at once.
    owner.ecr("DeleteRepositoryPolicy", json!({"repositoryName": "app"})).await.ok();
    get_image(&other, "app").await.error("AccessDenied");
    docker.get("/v2/app/manifests/v1").await.expect(403);
    owner.docker().await.put_manifest("app", "v2", &image).await.expect(201);
}

#[tokio::test]
async fn a_policy_covers_no_action_of_another_service_whatever_it_leaves_out() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    let other = app.account(OTHER, "us-east-1");
    let status = async |caller: &AwsCaller<'_>| {
        let call = Call::new("POST", "/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "Ecru_V20261121.ServerStatus")
            .body("{}");
        caller.send("ecru", call).await
    };
    let all_but = |effect: &str, action: &str| {
        let principal = if effect == "Allow" { json!({"AWS": OTHER}) } else { json!("*") };
        policy(&json!([{"Effect": effect, "Principal": principal, "NotAction": action, "Resource": "*"}]))
    };
    put(&owner, &all_but("Allow", "ecr:DeleteRepository")).await.ok();
    get_image(&other, "app").await.ok();
    status(&other).await.expect(400);
    put(&owner, &all_but("Deny", "ecr:*RegistryPolicy")).await.ok();
    get_image(&owner, "app").await.error("AccessDenied");
    status(&owner).await.expect(200);
}

#[tokio::test]
async fn a_stranger_reads_the_same_of_a_repository_that_denies_and_of_one_that_does_not_exist() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("frozen").await;
    set(&owner, "frozen", &policy(&json!([deny(&json!("*"), &json!("ecr:BatchGetImage"))]))).await.ok();
    let other = app.account(OTHER, "us-east-1");
    let frozen = get_image(&other, "frozen").await.error("AccessDenied");
    assert_eq!(get_image(&other, "gone").await.error("AccessDenied").replace("gone", "frozen"), frozen);
    let message = get_image(&owner, "frozen").await.error("AccessDenied");
    assert!(message.ends_with("with an explicit deny in a resource-based policy"), "{message}");
}

#[tokio::test]
async fn conditions_see_the_request_and_the_repositorys_tags() {
    let app = TestApp::builder().trusted_proxies(&["127.0.0.1/32"]).start().await;
    let owner = app.administrator().with_repository("app").await;
    owner.docker().await.push("app", "v1", &Image::new(1)).await;
    let other = app.account(OTHER, "us-east-1").docker().await;
    let host = format!("{OWNER}.dkr.ecr.us-east-1.localhost:{}", app.address.port());
    let other = other.at(&host);
    let from = |address: &'static str| {
        let call = other.call("GET", "/v2/app/manifests/v1").header("x-forwarded-for", address);
        other.send(call)
    };
    let inside = json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "Bool": {"aws:SecureTransport": "false"}});
    let statement = with_condition(allow(&json!({"AWS": OTHER}), &json!(PULL)), inside);
    set(&owner, "app", &policy(&json!([statement]))).await.ok();
    from("10.1.2.3").await.expect(200);
    from("203.0.113.9").await.expect(403);

    let tagged = json!({"StringEquals": {"ecr:ResourceTag/visibility": "shared"}});
    let statement = with_condition(allow(&json!({"AWS": OTHER}), &json!(PULL)), tagged);
    set(&owner, "app", &policy(&json!([statement]))).await.ok();
    from("10.1.2.3").await.expect(403);
    let arn = format!("arn:aws:ecr:us-east-1:{OWNER}:repository/app");
    let tags = json!([{"Key": "visibility", "Value": "shared"}]);
    owner.ecr("TagResource", json!({"resourceArn": arn, "tags": tags})).await.ok();
    from("10.1.2.3").await.expect(200);
    owner.ecr("UntagResource", json!({"resourceArn": arn, "tagKeys": ["visibility"]})).await.ok();
    from("10.1.2.3").await.expect(403);
}

#[tokio::test]
async fn a_registry_policy_of_scope_v2_reaches_every_repository_and_one_of_v1_three_actions() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    owner.docker().await.push("app", "v1", &Image::new(1)).await;
    let other = app.account(OTHER, "us-east-1");
    let shared = |actions: Value| {
        let statement = allow(&json!({"AWS": OTHER}), &actions);
        policy(&json!([on(statement, "arn:aws:ecr:*:000000000000:repository/*")]))
    };
    put(&owner, &shared(json!(["ecr:BatchGetImage", "ecr:CreateRepository"]))).await.ok();
    get_image(&other, "app").await.ok();
    // What does not exist is told to those who may look.
    get_image(&other, "gone").await.error("RepositoryNotFound");
    about(&other, "CreateRepository", "mirror", json!({})).await.ok();
    // A token comes from the caller's own account, whatever another says.
    put(&owner, &policy(&json!([on(deny(&json!("*"), &json!("ecr:GetAuthorizationToken")), "*")]))).await.ok();
    owner.ecr("GetAuthorizationToken", json!({})).await.ok();

    put(&owner, &shared(json!(["ecr:BatchGetImage", "ecr:CreateRepository"]))).await.ok();
    let scope = |value: &str| json!({"name": "REGISTRY_POLICY_SCOPE", "value": value});
    owner.ecr("PutAccountSetting", scope("V1")).await.ok();
    get_image(&other, "app").await.error("AccessDenied");
    about(&other, "CreateRepository", "second", json!({})).await.ok();
    for (actions, reason) in [
        (json!("ecr:BatchGetImage"), "Statement[0].Action: 'ecr:BatchGetImage' is none of: "),
        (json!("ecr:*"), "Statement[0].Action: 'ecr:*' has a wildcard, and must be one of: "),
    ] {
        let message = put(&owner, &shared(actions)).await.error("InvalidParameter");
        let three = "ReplicateImage, BatchImportUpstreamImage, CreateRepository'";
        assert!(message.contains(reason) && message.ends_with(three), "{message}");
    }
    put(&owner, &shared(json!(["ecr:ReplicateImage", "ecr:createrepository"]))).await.ok();
    owner.ecr("PutAccountSetting", scope("V2")).await.ok();
    get_image(&other, "app").await.error("AccessDenied");
}
