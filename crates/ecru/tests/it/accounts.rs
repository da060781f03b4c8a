//! The accounts of a server, and the service control policies that limit them.

use crate::permissions::users::User;
use serde_json::{Value, json};
use testkit::http::{Answer, Call};
use testkit::{AwsCaller, TestApp};

const MEMBER: &str = "111122223333";

/// The administrator of an account that was created, by the keys of the answer.
fn administrator<'a>(app: &'a TestApp, created: &Value) -> AwsCaller<'a> {
    let key = |member: &str| created[member].as_str().unwrap().to_owned();
    app.with_key(&key("accessKeyId"), &key("secretAccessKey"))
}

async fn create(app: &TestApp, id: &str) -> Value {
    app.administrator().ecru("CreateAccount", json!({"accountId": id})).await.ok()
}

async fn iam(caller: &AwsCaller<'_>, action: &str, parameters: &str) -> Answer {
    let call = Call::new("POST", "/")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body(format!("Action={action}&Version=2010-05-08{parameters}"));
    caller.send("iam", call).await
}

async fn put_policy(app: &TestApp, name: &str, document: Value) {
    let input = json!({"accountId": MEMBER, "policyName": name, "policyDocument": document.to_string()});
    app.administrator().ecru("PutControlPolicy", input).await.ok();
}

async fn delete_policy(app: &TestApp, name: &str) {
    app.administrator().ecru("DeleteControlPolicy", json!({"accountId": MEMBER, "policyName": name})).await.ok();
}

async fn policy_names(app: &TestApp) -> Vec<String> {
    let listed = app.administrator().ecru("ListControlPolicies", json!({"accountId": MEMBER})).await.ok();
    let policies = listed["policies"].as_array().unwrap();
    policies.iter().map(|policy| policy["policyName"].as_str().unwrap().to_owned()).collect()
}

fn statement(effect: &str, action: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": {"Effect": effect, "Action": action, "Resource": "*"}})
}

#[tokio::test]
async fn an_accounts_administrator_works_in_the_account_with_the_keys_that_its_creation_returned() {
    let app = TestApp::start().await;
    let created = create(&app, MEMBER).await;
    assert_eq!(created["accountId"], MEMBER);
    let member = administrator(&app, &created);
    let identity = member.sts("GetCallerIdentity", "").await.expect(200).text();
    assert!(identity.contains(&format!("<Arn>arn:aws:iam::{MEMBER}:root</Arn>")), "{identity}");
    let repository = member.repository("app").await;
    assert_eq!(repository["repository"]["registryId"], MEMBER);
    // Docker tokens work as well.
    member.docker().await.get("/v2/app/tags/list").await.expect(200);
    // The account does not see the default account's registry.
    member.ecr("DescribeRepositories", json!({"registryId": "000000000000"})).await.error("AccessDenied");
}

#[tokio::test]
async fn accounts_are_listed_page_by_page_and_an_id_is_given_once() {
    let app = TestApp::start().await;
    create(&app, MEMBER).await;
    create(&app, "444455556666").await;
    let random = app.administrator().ecru("CreateAccount", json!({})).await.ok();
    let random = random["accountId"].as_str().unwrap().to_owned();
    assert!(random.len() == 12 && !random.starts_with('0'), "{random}");
    let (mut listed, mut token) = (Vec::new(), Value::Null);
    loop {
        let page = app.administrator().ecru("ListAccounts", json!({"maxResults": 1, "nextToken": token})).await.ok();
        let accounts = page["accounts"].as_array().unwrap();
        assert_eq!(accounts.len(), 1);
        assert_eq!(accounts[0]["createdAt"], json!(1_795_255_200.0));
        listed.push(accounts[0]["accountId"].as_str().unwrap().to_owned());
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    let mut expected = vec![MEMBER.to_owned(), "444455556666".to_owned(), random];
    expected.sort();
    assert_eq!(listed, expected);
    let again = app.administrator().ecru("CreateAccount", json!({"accountId": MEMBER})).await;
    assert_eq!(again.error("EntityAlreadyExists"), format!("The account {MEMBER} already exists."));
    for input in [json!({"accountId": "12"}), json!({"accountId": ""})] {
        app.administrator().ecru("CreateAccount", input).await.error("InvalidParameter");
    }
}

#[tokio::test]
async fn an_account_is_deleted_when_nothing_is_in_it_and_its_keys_end() {
    let app = TestApp::start().await;
    let member = administrator(&app, &create(&app, MEMBER).await);
    let docker = member.docker().await;
    put_policy(&app, "limits", statement("Deny", "ecr:PutImage")).await;
    let delete = async || app.administrator().ecru("DeleteAccount", json!({"accountId": MEMBER})).await;
    member.repository("app").await;
    assert_eq!(delete().await.error("DeleteConflict"), "Cannot delete entity, must delete its repositories first.");
    member.ecr("DeleteRepository", json!({"repositoryName": "app"})).await.ok();
    iam(&member, "CreateUser", "&UserName=ann").await.expect(200);
    let refused = delete().await.error("DeleteConflict");
    assert!(refused.ends_with("users, groups, roles, instance profiles and policies first."), "{refused}");
    iam(&member, "DeleteUser", "&UserName=ann").await.expect(200);
    delete().await.ok();
    // Keys and tokens end at once.
    member.ecr("DescribeRepositories", json!({})).await.error("UnrecognizedClient");
    docker.get("/v2/").await.expect(401);
    assert_eq!(delete().await.error("NoSuchEntity"), format!("The account {MEMBER} cannot be found."));
    let of_default = app.administrator().ecru("DeleteAccount", json!({"accountId": "000000000000"})).await;
    let reason = "The account 000000000000 is the default account, which can't be deleted.";
    assert_eq!(of_default.error("InvalidInput"), reason);
    // A new account with this id inherits no policy.
    create(&app, MEMBER).await;
    assert_eq!(policy_names(&app).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_control_policy_limits_the_administrator_of_its_account() {
    let app = TestApp::start().await;
    let member = administrator(&app, &create(&app, MEMBER).await).with_repository("app").await;
    let docker = member.docker().await;
    docker.get("/v2/app/tags/list").await.expect(200);
    // An explicit deny holds, and everything else goes on, because the first policy comes with FullAWSAccess.
    put_policy(&app, "no-listing", statement("Deny", "ecr:ListImages")).await;
    assert_eq!(policy_names(&app).await, ["FullAWSAccess", "no-listing"]);
    let refused = member.ecr("ListImages", json!({"repositoryName": "app"})).await.error("AccessDenied");
    assert!(refused.ends_with("with an explicit deny in a service control policy"), "{refused}");
    assert_eq!(docker.get("/v2/app/tags/list").await.expect(403).code(), "DENIED");
    member.ecr("DescribeRepositories", json!({})).await.ok();
    // Without FullAWSAccess only what a policy allows is left.
    put_policy(&app, "reads", statement("Allow", "ecr:Describe*")).await;
    delete_policy(&app, "FullAWSAccess").await;
    delete_policy(&app, "no-listing").await;
    let refused = member.ecr("ListImages", json!({"repositoryName": "app"})).await.error("AccessDenied");
    assert!(refused.ends_with("because no service control policy allows the ecr:ListImages action"), "{refused}");
    member.ecr("DescribeRepositories", json!({})).await.ok();
    // The last policy is not deleted, since the account would be unlimited then. Who means that says so by FullAWSAccess.
    let last = json!({"accountId": MEMBER, "policyName": "reads"});
    let refused = app.administrator().ecru("DeleteControlPolicy", last).await.error("InvalidInput");
    assert_eq!(refused, "reads is the last control policy of the account: put FullAWSAccess first");
    put_policy(&app, "FullAWSAccess", statement("Allow", "*")).await;
    delete_policy(&app, "reads").await;
    member.ecr("ListImages", json!({"repositoryName": "app"})).await.ok();
    // Another account's policies limit nobody here.
    app.administrator().repository("app").await;
}

#[tokio::test]
async fn a_control_policy_limits_the_users_of_its_account_and_allows_them_nothing() {
    let app = TestApp::start().await;
    let member = administrator(&app, &create(&app, MEMBER).await).with_repository("app").await;
    let user = User::of(&app, &member).await;
    let list = async || user.caller.ecr("ListImages", json!({"repositoryName": "app"})).await;
    user.allow(&["ecr:*"]).await;
    list().await.ok();
    put_policy(&app, "no-listing", statement("Deny", "ecr:ListImages")).await;
    let refused = list().await.error("AccessDenied");
    assert!(refused.ends_with("with an explicit deny in a service control policy"), "{refused}");
    user.caller.ecr("DescribeRepositories", json!({})).await.ok();
    // What control policies allow is only the most that a user may get.
    delete_policy(&app, "no-listing").await;
    user.allow(&[]).await;
    let refused = list().await.error("AccessDenied");
    assert!(refused.contains("because no identity-based policy allows"), "{refused}");
}

#[tokio::test]
async fn an_account_without_control_policies_costs_no_statement_while_it_is_known() {
    let app = TestApp::start().await;
    let (owner, member) = (app.administrator(), app.account(MEMBER, "us-east-1"));
    let mut statements = Vec::new();
    for caller in [&member, &member, &owner, &owner] {
        let before = app.system.db.stats().statements;
        caller.ecr("DescribeRepositories", json!({})).await.ok();
        statements.push(app.system.db.stats().statements - before);
    }
    let [first, again, _, of_owner] = statements[..] else { unreachable!() };
    assert_eq!((again, first > again), (of_owner, true), "{statements:?}");
}

#[tokio::test]
async fn control_policies_of_the_owner_do_not_bind_callers_of_other_accounts() {
    let app = TestApp::start().await;
    let member = administrator(&app, &create(&app, MEMBER).await).with_repository("app").await;
    let open = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "ecr:ListImages"}}"#;
    member.ecr("SetRepositoryPolicy", json!({"repositoryName": "app", "policyText": open})).await.ok();
    put_policy(&app, "no-listing", statement("Deny", "ecr:ListImages")).await;
    let input = json!({"registryId": MEMBER, "repositoryName": "app"});
    member.ecr("ListImages", input.clone()).await.error("AccessDenied");
    app.administrator().ecr("ListImages", input).await.ok();
}

#[tokio::test]
async fn a_control_policy_that_can_not_be_stored_is_refused() {
    let app = TestApp::start().await;
    create(&app, MEMBER).await;
    let deny = statement("Deny", "ecr:ListImages").to_string();
    let put = async |account: &str, name: &str, document: &str| {
        let input = json!({"accountId": account, "policyName": name, "policyDocument": document});
        app.administrator().ecru("PutControlPolicy", input).await
    };
    let reason = "The account 000000000000 is the default account, which control policies never bind.";
    assert_eq!(put("000000000000", "p", &deny).await.error("InvalidInput"), reason);
    assert_eq!(
        put("444455556666", "p", &deny).await.error("NoSuchEntity"),
        "The account 444455556666 cannot be found."
    );
    put(MEMBER, "p", "{}").await.error("MalformedPolicyDocument");
    let of_resource = r#"{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*"}}"#;
    put(MEMBER, "p", of_resource).await.error("MalformedPolicyDocument");
    for (name, document) in [("", deny.as_str()), ("a b", &deny), (&"n".repeat(129), &deny), ("p", &"x".repeat(10_241))]
    {
        put(MEMBER, name, document).await.error("InvalidParameter");
    }
    // FullAWSAccess is one of ten.
    for number in 1..10 {
        put(MEMBER, &format!("p{number}"), &deny).await.ok();
    }
    put(MEMBER, "p10", &deny).await.error("LimitExceeded");
    put(MEMBER, "p9", &deny).await.ok();
    assert_eq!(policy_names(&app).await.len(), 10);
    let gone = json!({"accountId": MEMBER, "policyName": "p10"});
    let gone = app.administrator().ecru("DeleteControlPolicy", gone).await.error("NoSuchEntity");
    assert_eq!(gone, "The control policy with name p10 cannot be found.");
}
