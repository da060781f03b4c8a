//! Managed and inline policies: their life, their limits, and what they decide.

use super::keys;
use super::policy_cases::allow;
use serde_json::{Value, json};
use testkit::{AwsCaller, Image, TestApp};

const READ_ONLY: &str = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly";
const SERVICE_LINKED: &str = "arn:aws:iam::aws:policy/aws-service-role/ECRReplicationServiceRolePolicy";

fn own(name: &str) -> String {
    format!("arn:aws:iam::000000000000:policy/{name}")
}

async fn create(root: &AwsCaller<'_>, name: &str, document: &str) -> Value {
    root.iam("CreatePolicy", json!({"PolicyName": name, "PolicyDocument": document})).await.ok()["Policy"].take()
}

/// The texts of a member in a list.
fn texts(answer: &Value, list: &str, member: &str) -> Vec<String> {
    let items = answer[list].as_array().unwrap();
    items.iter().map(|item| item[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_managed_policy_has_five_versions_and_one_is_the_default() {
    let app = TestApp::start().await;
    let root = app.administrator();
    let document = "{\"Version\": \"2012-10-17\",\n \"Statement\": {\"Effect\": \"Allow\", \"Action\": \"ecr:*\", \"Resource\": \"*\"}}";
    let created = create(&root, "push", document).await;
    assert_eq!(created["Arn"], own("push"));
    assert_eq!((&created["DefaultVersionId"], &created["AttachmentCount"]), (&json!("v1"), &json!(0)));
    root.iam("CreatePolicy", json!({"PolicyName": "PUSH", "PolicyDocument": document}))
        .await
        .error("EntityAlreadyExists");
    // The document is returned as it was given, URL-encoded.
    let arn = own("push");
    let shown = root.iam("GetPolicyVersion", json!({"PolicyArn": arn, "VersionId": "v1"})).await.ok();
    assert_eq!(shown["PolicyVersion"]["Document"], aws::percent_encode(document));
    // Four more fit. Only one of them becomes the default.
    for number in 2..=5 {
        let input = json!({"PolicyArn": arn, "PolicyDocument": document, "SetAsDefault": number == 3});
        let version = root.iam("CreatePolicyVersion", input).await.ok()["PolicyVersion"].take();
        assert_eq!(
            (&version["VersionId"], &version["IsDefaultVersion"]),
            (&json!(format!("v{number}")), &json!(number == 3))
        );
    }
    let sixth = json!({"PolicyArn": arn, "PolicyDocument": document});
    root.iam("CreatePolicyVersion", sixth.clone()).await.error("LimitExceeded");
    let versions = root.iam("ListPolicyVersions", json!({"PolicyArn": arn, "MaxItems": 2})).await.ok();
    assert_eq!(texts(&versions, "Versions", "VersionId"), ["v5", "v4"]);
    let rest = json!({"PolicyArn": arn, "Marker": versions["Marker"]});
    let rest = root.iam("ListPolicyVersions", rest).await.ok();
    assert_eq!(
        (texts(&rest, "Versions", "VersionId").join(" "), &rest["IsTruncated"]),
        ("v3 v2 v1".to_owned(), &json!(false))
    );
    // The default can't be deleted, and a number is not used again.
    let of = |id: &str| json!({"PolicyArn": arn, "VersionId": id});
    let conflict = root.iam("DeletePolicyVersion", of("v3")).await.error("DeleteConflict");
    assert_eq!(conflict, "Cannot delete the default version of a policy.");
    root.iam("SetDefaultPolicyVersion", of("v5")).await.ok();
    root.iam("DeletePolicyVersion", of("v3")).await.ok();
    for operation in ["GetPolicyVersion", "SetDefaultPolicyVersion", "DeletePolicyVersion"] {
        for id in ["v3", "v99999999999999999999", "v1.2"] {
            let missing = root.iam(operation, of(id)).await.error("NoSuchEntity");
            assert_eq!(missing, format!("Policy {arn} version {id} does not exist or is not attachable."));
        }
    }
    assert_eq!(root.iam("CreatePolicyVersion", sixth).await.ok()["PolicyVersion"]["VersionId"], "v6");
    assert_eq!(root.iam("GetPolicy", json!({"PolicyArn": arn})).await.ok()["Policy"]["DefaultVersionId"], "v5");
    // A policy goes with its last version only.
    root.iam("DeletePolicy", json!({"PolicyArn": arn})).await.error("DeleteConflict");
    for id in ["v1", "v2", "v4", "v6"] {
        root.iam("DeletePolicyVersion", of(id)).await.ok();
    }
    root.iam("DeletePolicy", json!({"PolicyArn": arn})).await.ok();
    let gone = root.iam("GetPolicy", json!({"PolicyArn": arn})).await.error("NoSuchEntity");
    assert_eq!(gone, format!("Policy {arn} was not found."));
}

#[tokio::test]
async fn documents_are_refused_by_their_syntax_and_their_size() {
    let app = TestApp::start().await;
    let root = app.administrator();
    root.iam("CreateUser", json!({"UserName": "ann"})).await.ok();
    let put = |document: String| json!({"UserName": "ann", "PolicyName": "p", "PolicyDocument": document});
    for (document, text) in [
        ("{", "Syntax errors in policy. the policy document can't be read"),
        (
            r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ecr:*"}}"#,
            "Syntax errors in policy. Statement[0].Resource",
        ),
        (r#"{"Version": "2020-01-01", "Statement": []}"#, "Policy document must be version 2012-10-17 or greater."),
    ] {
        let refused = root.iam("PutUserPolicy", put(document.to_owned())).await.error("MalformedPolicyDocument");
        assert!(refused.starts_with(text), "{refused}");
        let input = json!({"PolicyName": "p", "PolicyDocument": document});
        root.iam("CreatePolicy", input).await.error("MalformedPolicyDocument");
    }
    // A managed policy must state the new version, an inline policy need not.
    let old = allow("ecr:*").replace("2012-10-17", "2008-10-17");
    root.iam("PutUserPolicy", put(old.clone())).await.ok();
    root.iam("CreatePolicy", json!({"PolicyName": "p", "PolicyDocument": old})).await.error("MalformedPolicyDocument");
    // Whitespace does not count, and the inline policies of an entity count together.
    let sized = |size: usize| {
        let empty = allow("ecr:").len();
        allow(&format!("ecr:{}", "a".repeat(size - empty)))
    };
    let managed = |size| json!({"PolicyName": "p", "PolicyDocument": format!("   \n{}", sized(size))});
    let refused = root.iam("CreatePolicy", managed(6_145)).await.error("LimitExceeded");
    assert_eq!(refused, "Cannot exceed quota for PolicySize: 6144");
    root.iam("CreatePolicy", managed(6_144)).await.ok();
    root.iam("PutUserPolicy", put(sized(2_000))).await.ok();
    let other = |size| json!({"UserName": "ann", "PolicyName": "other", "PolicyDocument": sized(size)});
    root.iam("PutUserPolicy", put(sized(1_900))).await.ok();
    let refused = root.iam("PutUserPolicy", other(149)).await.error("LimitExceeded");
    assert_eq!(refused, "Maximum policy size of 2048 bytes exceeded for user ann");
    root.iam("PutUserPolicy", other(148)).await.ok();
    let listed = root.iam("ListUserPolicies", json!({"UserName": "ann"})).await.ok();
    assert_eq!(listed["PolicyNames"], json!(["other", "p"]));
}

/// A user, a group and a role.
const HOLDERS: [(&str, &str); 3] = [("User", "ann"), ("Group", "devs"), ("Role", "ci")];

/// The holders, each with two policies.
async fn holders(root: &AwsCaller<'_>) {
    root.iam("CreateUser", json!({"UserName": "ann", "Path": "/team/"})).await.ok();
    root.iam("CreateGroup", json!({"GroupName": "devs"})).await.ok();
    let trust = super::roles::trust(&json!({"AWS": "000000000000"}));
    root.iam("CreateRole", json!({"RoleName": "ci", "AssumeRolePolicyDocument": trust})).await.ok();
    create(root, "push", &allow("ecr:*")).await;
    for (kind, name) in HOLDERS {
        for arn in [READ_ONLY, &own("push"), READ_ONLY] {
            let input = json!({ format!("{kind}Name"): name, "PolicyArn": arn });
            root.iam(&format!("Attach{kind}Policy"), input).await.ok();
        }
    }
}

#[tokio::test]
async fn policies_are_attached_to_each_kind_of_holder_once() {
    let app = TestApp::start().await;
    let root = app.administrator();
    holders(&root).await;
    for (kind, name) in HOLDERS {
        let of = |arn: &str| json!({ format!("{kind}Name"): name, "PolicyArn": arn });
        let listed = format!("ListAttached{kind}Policies");
        let attached = root.iam(&listed, json!({ format!("{kind}Name"): name })).await.ok();
        let mut arns = texts(&attached, "AttachedPolicies", "PolicyArn");
        arns.sort();
        assert_eq!(arns, [own("push"), READ_ONLY.to_owned()]);
        // What can't be attached.
        for missing in [
            own("gone"),
            "arn:aws:iam::aws:policy/NoSuch".to_owned(),
            "arn:aws:iam::111122223333:policy/push".to_owned(),
        ] {
            let refused = root.iam(&format!("Attach{kind}Policy"), of(&missing)).await.error("NoSuchEntity");
            assert_eq!(refused, format!("Policy {missing} does not exist or is not attachable."));
        }
        root.iam(&format!("Attach{kind}Policy"), of(SERVICE_LINKED)).await.error("PolicyNotAttachable");
        root.iam(&format!("Attach{kind}Policy"), of("arn:aws:ecr:us-east-1:000000000000:repository/app"))
            .await
            .error("InvalidInput");
        root.iam(&format!("Delete{kind}"), json!({ format!("{kind}Name"): name })).await.error("DeleteConflict");
    }
    // An attached policy can't be deleted. A detached one is gone from both sides.
    root.iam("DeletePolicy", json!({"PolicyArn": own("push")})).await.error("DeleteConflict");
    for (kind, name) in HOLDERS {
        let of = json!({ format!("{kind}Name"): name, "PolicyArn": own("push") });
        root.iam(&format!("Detach{kind}Policy"), of.clone()).await.ok();
        let missing = root.iam(&format!("Detach{kind}Policy"), of).await.error("NoSuchEntity");
        assert_eq!(missing, format!("Policy {} was not found.", own("push")));
    }
    root.iam("DeletePolicy", json!({"PolicyArn": own("push")})).await.ok();
}

#[tokio::test]
async fn the_holders_of_a_policy_are_listed_by_kind_path_and_use_in_pages() {
    let app = TestApp::start().await;
    let root = app.administrator();
    holders(&root).await;
    let policy = root.iam("GetPolicy", json!({"PolicyArn": READ_ONLY})).await.ok();
    assert_eq!(policy["Policy"]["AttachmentCount"], 3);
    let entities = |more: Value| {
        let mut input = json!({"PolicyArn": READ_ONLY});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        root.iam("ListEntitiesForPolicy", input)
    };
    let all = entities(json!({})).await.ok();
    assert_eq!(texts(&all, "PolicyUsers", "UserName"), ["ann"]);
    assert_eq!(texts(&all, "PolicyGroups", "GroupName"), ["devs"]);
    assert_eq!(texts(&all, "PolicyRoles", "RoleName"), ["ci"]);
    for (filter, counts) in [
        (json!({"EntityFilter": "Role"}), [0, 0, 1]),
        (json!({"EntityFilter": "LocalManagedPolicy"}), [0, 0, 0]),
        (json!({"PathPrefix": "/team/"}), [1, 0, 0]),
        (json!({"PolicyUsageFilter": "PermissionsBoundary"}), [0, 0, 0]),
    ] {
        let found = entities(filter.clone()).await.ok();
        let count = |list: &str| found[list].as_array().unwrap().len();
        assert_eq!([count("PolicyUsers"), count("PolicyGroups"), count("PolicyRoles")], counts, "{filter}");
    }
    // A page has one entity, and the pages have all.
    let (mut marker, mut seen) = (Value::Null, 0);
    loop {
        let mut page = json!({"MaxItems": 1});
        if marker.is_string() {
            page["Marker"] = marker;
        }
        let found = entities(page).await.ok();
        seen += ["PolicyUsers", "PolicyGroups", "PolicyRoles"]
            .iter()
            .map(|list| found[*list].as_array().unwrap().len())
            .sum::<usize>();
        marker = found["Marker"].clone();
        if !found["IsTruncated"].as_bool().unwrap() {
            break;
        }
    }
    assert_eq!(seen, 3);
}

#[tokio::test]
async fn an_entity_has_ten_managed_policies_at_most() {
    let app = TestApp::start().await;
    let root = app.administrator();
    root.iam("CreateUser", json!({"UserName": "ann"})).await.ok();
    for number in 0..=10 {
        create(&root, &format!("p{number}"), &allow("ecr:*")).await;
    }
    let attach = |number: usize| json!({"UserName": "ann", "PolicyArn": own(&format!("p{number}"))});
    for number in 0..10 {
        root.iam("AttachUserPolicy", attach(number)).await.ok();
    }
    let refused = root.iam("AttachUserPolicy", attach(10)).await.error("LimitExceeded");
    assert_eq!(refused, "Cannot exceed quota for PoliciesPerUser: 10");
    root.iam("AttachUserPolicy", attach(9)).await.ok();
}

#[tokio::test]
async fn policies_are_listed_by_owner_path_and_use_in_pages() {
    let app = TestApp::start().await;
    let root = app.administrator();
    root.iam("CreateUser", json!({"UserName": "ann", "PermissionsBoundary": READ_ONLY})).await.ok();
    for (name, path) in [("one", "/team/"), ("Two", "/"), ("three", "/team/ci/")] {
        let input = json!({"PolicyName": name, "Path": path, "PolicyDocument": allow("ecr:*")});
        root.iam("CreatePolicy", input).await.ok();
    }
    root.iam("AttachUserPolicy", json!({"UserName": "ann", "PolicyArn": own("team/one")})).await.ok();
    for (filter, names) in [
        (json!({"Scope": "Local"}), vec!["one", "three", "Two"]),
        (json!({"Scope": "Local", "PathPrefix": "/team/"}), vec!["one", "three"]),
        (json!({"OnlyAttached": true}), vec!["one"]),
        (json!({"PolicyUsageFilter": "PermissionsPolicy"}), vec!["one"]),
        (json!({"PolicyUsageFilter": "PermissionsBoundary"}), vec!["AmazonEC2ContainerRegistryReadOnly"]),
        (json!({"Scope": "AWS", "PathPrefix": "/service-role/"}), vec!["AmazonECSTaskExecutionRolePolicy"]),
    ] {
        let found = root.iam("ListPolicies", filter.clone()).await.ok();
        assert_eq!(texts(&found, "Policies", "PolicyName"), names, "{filter}");
    }
    // Pages of one have the same policies as one page of all, in the same order.
    let whole = texts(&root.iam("ListPolicies", json!({})).await.ok(), "Policies", "Arn");
    assert_eq!(whole.len(), 3 + identity::aws_managed::ALL.len());
    let (mut input, mut paged) = (json!({"MaxItems": 1}), Vec::new());
    while paged.len() <= whole.len() {
        let found = root.iam("ListPolicies", input.clone()).await.ok();
        paged.extend(texts(&found, "Policies", "Arn"));
        if !found["IsTruncated"].as_bool().unwrap() {
            break;
        }
        input["Marker"] = found["Marker"].clone();
    }
    assert_eq!(paged, whole);
}

#[tokio::test]
async fn the_policies_of_aws_can_be_read_and_not_changed() {
    let app = TestApp::start().await;
    let root = app.account("000000000000", "cn-north-1");
    let arn = READ_ONLY.replace("arn:aws:", "arn:aws-cn:");
    let policy = root.iam("GetPolicy", json!({"PolicyArn": arn})).await.ok()["Policy"].take();
    assert_eq!((&policy["Arn"], &policy["PolicyId"]), (&json!(arn), &json!("ANPAIFYZPA37OOHVIH7KQ")));
    root.iam("GetPolicyVersion", json!({"PolicyArn": arn, "VersionId": policy["DefaultVersionId"]})).await.ok();
    // A policy of another partition does not exist here.
    root.iam("GetPolicy", json!({"PolicyArn": READ_ONLY})).await.error("NoSuchEntity");
    for (operation, input) in [
        ("DeletePolicy", json!({"PolicyArn": arn})),
        ("CreatePolicyVersion", json!({"PolicyArn": arn, "PolicyDocument": allow("ecr:*")})),
        ("SetDefaultPolicyVersion", json!({"PolicyArn": arn, "VersionId": "v1"})),
        ("TagPolicy", json!({"PolicyArn": arn, "Tags": [{"Key": "k", "Value": "v"}]})),
    ] {
        let refused = root.iam(operation, input).await.error("AccessDenied");
        assert_eq!(refused, "Policy is outside your own account.", "{operation}");
    }
}

#[tokio::test]
async fn a_read_only_user_pulls_and_does_not_push_on_both_doors() {
    let app = TestApp::start().await;
    let root = app.administrator().with_repository("app").await;
    let image = Image::new(1);
    root.docker().await.push("app", "v1", &image).await;
    let ann = keys::user(&root, "ann").await;
    root.iam("AttachUserPolicy", json!({"UserName": "ann", "PolicyArn": READ_ONLY})).await.ok();
    // The AWS API.
    let get = json!({"repositoryName": "app", "imageIds": [{"imageTag": "v1"}]});
    assert_eq!(ann.ecr("BatchGetImage", get).await.ok()["images"].as_array().unwrap().len(), 1);
    let put = json!({"repositoryName": "app", "imageManifest": image.text(), "imageTag": "v2"});
    ann.ecr("PutImage", put.clone()).await.error("AccessDenied");
    // Docker.
    let docker = ann.docker().await;
    docker.get("/v2/app/manifests/v1").await.expect(200);
    docker.post("/v2/app/blobs/uploads/", Vec::new()).await.expect(403);
    // A right comes with its policy and goes with it, at the next call.
    root.iam(
        "PutUserPolicy",
        json!({"UserName": "ann", "PolicyName": "push", "PolicyDocument": allow("ecr:PutImage")}),
    )
    .await
    .ok();
    ann.ecr("PutImage", put).await.ok();
    root.iam("DetachUserPolicy", json!({"UserName": "ann", "PolicyArn": READ_ONLY})).await.ok();
    docker.get("/v2/app/manifests/v1").await.expect(403);
    // A group gives its members what it has.
    root.iam("CreateGroup", json!({"GroupName": "devs"})).await.ok();
    root.iam("AttachGroupPolicy", json!({"GroupName": "devs", "PolicyArn": READ_ONLY})).await.ok();
    root.iam("AddUserToGroup", json!({"GroupName": "devs", "UserName": "ann"})).await.ok();
    docker.get("/v2/app/manifests/v1").await.expect(200);
    // A deny wins, and names its policy.
    let deny = allow("*").replace("Allow", "Deny");
    create(&root, "stop", &deny).await;
    root.iam("AttachUserPolicy", json!({"UserName": "ann", "PolicyArn": own("stop")})).await.ok();
    docker.get("/v2/app/manifests/v1").await.expect(403);
}

#[tokio::test]
async fn a_boundary_limits_its_user_and_goes_with_it() {
    let app = TestApp::start().await;
    let root = app.administrator().with_repository("app").await;
    create(&root, "limit", &allow("ecr:ListImages")).await;
    let ann = keys::user(&root, "ann").await;
    root.iam("PutUserPolicy", json!({"UserName": "ann", "PolicyName": "all", "PolicyDocument": allow("ecr:*")}))
        .await
        .ok();
    let boundary = |arn: &str| json!({"UserName": "ann", "PermissionsBoundary": arn});
    let (list, describe) = (json!({"repositoryName": "app"}), json!({"repositoryNames": ["app"]}));
    ann.ecr("DescribeRepositories", describe.clone()).await.ok();
    root.iam("PutUserPermissionsBoundary", boundary(READ_ONLY)).await.ok();
    root.iam("PutUserPermissionsBoundary", boundary(&own("limit"))).await.ok();
    ann.ecr("ListImages", list.clone()).await.ok();
    let denied = ann.ecr("DescribeRepositories", describe.clone()).await.error("AccessDenied");
    assert!(denied.ends_with("because no permissions boundary allows the ecr:DescribeRepositories action"), "{denied}");
    let shown = root.iam("GetUser", json!({"UserName": "ann"})).await.ok();
    assert_eq!(shown["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"], own("limit"));
    let missing = root.iam("PutUserPermissionsBoundary", boundary(&own("gone"))).await.error("NoSuchEntity");
    assert_eq!(missing, format!("Scope ARN: {} does not exist or is not attachable.", own("gone")));
    root.iam("DeletePolicy", json!({"PolicyArn": own("limit")})).await.error("DeleteConflict");
    root.iam("DeleteUserPermissionsBoundary", json!({"UserName": "ann"})).await.ok();
    ann.ecr("DescribeRepositories", describe).await.ok();
    // Deleting a user or role frees the policy that was its boundary.
    root.iam("CreateUser", json!({"UserName": "bea", "PermissionsBoundary": own("limit")})).await.ok();
    root.iam("DeleteUser", json!({"UserName": "bea"})).await.ok();
    let trust = super::roles::trust(&json!({"AWS": "000000000000"}));
    let role = json!({"RoleName": "ci", "AssumeRolePolicyDocument": trust, "PermissionsBoundary": own("limit")});
    let created = root.iam("CreateRole", role).await.ok();
    assert_eq!(created["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"], own("limit"));
    root.iam("DeleteRole", json!({"RoleName": "ci"})).await.ok();
    root.iam("DeletePolicy", json!({"PolicyArn": own("limit")})).await.ok();
}

/// AWS's recipe for an administrator who may create users only with a boundary, and change only such users (IAM user guide,
/// "Delegating responsibility to others using permissions boundaries").
#[tokio::test]
async fn a_delegated_administrator_changes_only_users_within_the_boundary() {
    let app = TestApp::start().await;
    let root = app.administrator();
    create(&root, "limit", &allow("ecr:*")).await;
    let recipe = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Resource": "*", "Action": ["iam:CreateUser", "iam:PutUserPolicy", "iam:AttachUserPolicy", "iam:PutUserPermissionsBoundary"],
         "Condition": {"StringEquals": {"iam:PermissionsBoundary": own("limit")}}},
        {"Effect": "Deny", "Resource": "*", "Action": "iam:AttachUserPolicy",
         "Condition": {"ArnNotEquals": {"iam:PolicyARN": READ_ONLY}}},
    ]});
    let admin = keys::user(&root, "admin").await;
    root.iam("PutUserPolicy", json!({"UserName": "admin", "PolicyName": "p", "PolicyDocument": recipe.to_string()}))
        .await
        .ok();
    // Users are created within the boundary alone.
    admin.iam("CreateUser", json!({"UserName": "ann"})).await.error("AccessDenied");
    admin.iam("CreateUser", json!({"UserName": "ann", "PermissionsBoundary": READ_ONLY})).await.error("AccessDenied");
    admin.iam("CreateUser", json!({"UserName": "ann", "PermissionsBoundary": own("limit")})).await.ok();
    // Their policies can be changed, those of others can't.
    let put = |user: &str| json!({"UserName": user, "PolicyName": "q", "PolicyDocument": allow("ecr:*")});
    admin.iam("PutUserPolicy", put("ann")).await.ok();
    admin.iam("PutUserPolicy", put("admin")).await.error("AccessDenied");
    let attach = |arn: &str| json!({"UserName": "ann", "PolicyArn": arn});
    admin.iam("AttachUserPolicy", attach(READ_ONLY)).await.ok();
    admin.iam("AttachUserPolicy", attach(&own("limit"))).await.error("AccessDenied");
    // The boundary can't be replaced by another.
    let boundary = |arn: &str| json!({"UserName": "ann", "PermissionsBoundary": arn});
    admin.iam("PutUserPermissionsBoundary", boundary(READ_ONLY)).await.error("AccessDenied");
    admin.iam("PutUserPermissionsBoundary", boundary(&own("limit"))).await.ok();
}
