//! The policies of AWS, each against every operation of every service (`ECR.md` G.1).

use super::keys;
use aws::AccountId;
use call::Protocol;
use ecru::doors::operations;
use identity::aws_managed::ALL;
use kernel::RegistryId;
use policy::{AttachedPolicy, Decision, Document, Grammar, Policies, Principal, PrincipalKind, Request};
use serde_json::json;
use std::collections::BTreeSet;
use testkit::TestApp;

const READ: &[&str] = &[
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:DescribeImages",
    "ecr:DescribeRepositories",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
    "ecr:GetRepositoryPolicy",
    "ecr:ListImages",
    "ecr:ListTagsForResource",
];
const PUSH: &[&str] = &["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"];

/// Whether a policy allows an action of an operation that this version has.
fn expected(policy: &str, action: &str) -> bool {
    match policy {
        "AdministratorAccess" => true,
        "AmazonEC2ContainerRegistryFullAccess" => action.starts_with("ecr:"),
        "AmazonEC2ContainerRegistryPowerUser" => READ.contains(&action) || PUSH.contains(&action),
        "AmazonEC2ContainerRegistryReadOnly" => READ.contains(&action),
        "AmazonEC2ContainerRegistryPullOnly" => {
            ["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"].contains(&action)
        }
        "AmazonECSTaskExecutionRolePolicy" => [
            "ecr:GetAuthorizationToken",
            "ecr:BatchCheckLayerAvailability",
            "ecr:GetDownloadUrlForLayer",
            "ecr:BatchGetImage",
        ]
        .contains(&action),
        "AWSECRPullThroughCache_ServiceRolePolicy" => {
            let pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetAuthorizationToken"];
            pull.contains(&action) || action == "ecr:GetDownloadUrlForLayer" || PUSH.contains(&action)
        }
        "ECRReplicationServiceRolePolicy" | "ECRTemplateServiceRolePolicy" => action == "ecr:CreateRepository",
        "AmazonElasticContainerRegistryPublicFullAccess" => action.starts_with("ecr-public:"),
        // No operation of ECR Public exists yet.
        "AmazonElasticContainerRegistryPublicPowerUser" | "AmazonElasticContainerRegistryPublicReadOnly" => false,
        "AWSDenyAll" => false,
        other => panic!("what does {other} allow?"),
    }
}

/// The actions of all operations.
fn actions() -> BTreeSet<String> {
    let registry = RegistryId::private(AccountId::DEFAULT, "us-east-1".parse().unwrap());
    let needs = operations().flat_map(|(service, entry)| {
        let body = if matches!(service.protocol, Protocol::Json { .. }) { "{}" } else { "" };
        entry.needs(body.into(), &registry).unwrap()
    });
    needs.map(|need| need.action.into_owned()).collect()
}

#[test]
fn each_policy_of_aws_allows_its_actions_and_no_others() {
    let actions = actions();
    let listed = READ.iter().chain(PUSH).filter(|action| !actions.contains(**action)).collect::<Vec<_>>();
    assert!(listed.is_empty(), "no operation needs {listed:?}");
    let principal = Principal {
        account: Some(AccountId::DEFAULT),
        arn: "arn:aws:iam::000000000000:user/ann".to_owned(),
        unique_id: None,
        kind: PrincipalKind::User,
    };
    for aws in &ALL {
        let document = Document::parse(aws.document, Grammar::Identity).unwrap();
        let policies = Policies { identity: vec![AttachedPolicy::new(aws.name, document)], ..Policies::default() };
        for action in &actions {
            let request = Request {
                principal: &principal,
                action,
                resource: "arn:aws:ecr:us-east-1:000000000000:repository/app",
                resource_account: AccountId::DEFAULT,
                resource_rule: policy::ResourceRule::Either,
                context: &policy::Keys::new,
            };
            let allowed = matches!(policy::evaluate(&request, &policies), Decision::Allowed { .. });
            assert_eq!(allowed, expected(aws.name, action), "{} {action}", aws.name);
        }
    }
}

#[tokio::test]
async fn full_access_to_ecr_may_create_the_role_for_replication_alone() {
    let app = TestApp::start().await;
    let root = app.administrator();
    let ann = keys::user(&root, "ann").await;
    let arn = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryFullAccess";
    root.iam("AttachUserPolicy", json!({"UserName": "ann", "PolicyArn": arn})).await.ok();
    let of = |service: &str| json!({"AWSServiceName": service});
    ann.iam("CreateServiceLinkedRole", of("pullthroughcache.ecr.amazonaws.com")).await.error("AccessDenied");
    let role = ann.iam("CreateServiceLinkedRole", of("replication.ecr.amazonaws.com")).await.ok();
    // The role has its policy, and nobody takes it away.
    let name = role["Role"]["RoleName"].clone();
    let attached = root.iam("ListAttachedRolePolicies", json!({"RoleName": name})).await.ok();
    assert_eq!(attached["AttachedPolicies"][0]["PolicyName"], "ECRReplicationServiceRolePolicy");
    let detach = json!({"RoleName": name, "PolicyArn": attached["AttachedPolicies"][0]["PolicyArn"]});
    root.iam("DetachRolePolicy", detach).await.error("UnmodifiableEntity");
    root.iam("DeleteServiceLinkedRole", json!({"RoleName": name})).await.ok();
}
