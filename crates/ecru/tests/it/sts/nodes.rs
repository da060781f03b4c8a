//! Two nodes over one database and one layer store: a revocation on one holds on the other within a second.

use super::support::{allow, assumed, role, set_policy, trust, unset_policy, user};
use serde_json::json;
use std::time::Duration;
use testkit::{AwsCaller, Docker, Image, TestApp};

const OWNER: &str = "000000000000";

/// A session on one node with the docker token that it fetched there, as a client of another node.
struct Elsewhere<'a> {
    session: AwsCaller<'a>,
    docker: Docker<'a>,
}

impl<'a> Elsewhere<'a> {
    async fn of(session: &AwsCaller<'_>, node: &'a TestApp) -> Elsewhere<'a> {
        let docker = Docker::new(node, Some(session.password().await));
        let credentials = json!({
            "AccessKeyId": session.access_key_id, "SecretAccessKey": session.secret, "SessionToken": session.session_token,
        });
        Elsewhere { session: node.administrator().with_credentials(&credentials), docker }
    }

    /// The status on `/v2/`, and the name of the error on the AWS API.
    async fn answers(&self) -> (u16, String) {
        let pulled = self.docker.get("/v2/app/manifests/v1").await.status;
        let described = self.session.ecr("DescribeRepositories", json!({})).await;
        (pulled, described.body["__type"].as_str().unwrap_or("ok").to_owned())
    }
}

/// What takes effect everywhere within a second.
#[derive(Clone, Copy, Debug)]
enum Revocation {
    InlinePolicy,
    InactiveKey,
    DeletedRole,
}

impl Revocation {
    /// Returns whether the node that `admin` calls knows of it at once.
    async fn happen(self, admin: &AwsCaller<'_>, user: &AwsCaller<'_>, role_id: &str) -> bool {
        match self {
            Revocation::InlinePolicy => {
                let deny = json!({"Version": "2012-10-17", "Statement":
                    {"Effect": "Deny", "Action": "*", "Resource": "*"}});
                // As a third node does it.
                set_policy(admin, role_id, deny).await;
                return false;
            }
            Revocation::InactiveKey => {
                let key = json!({"UserName": "ann", "AccessKeyId": user.access_key_id, "Status": "Inactive"});
                admin.iam("UpdateAccessKey", key).await.ok();
            }
            Revocation::DeletedRole => {
                unset_policy(admin, role_id).await;
                admin.iam("DeleteRole", json!({"RoleName": "app"})).await.ok();
            }
        }
        true
    }

    /// The answers to whom it concerns.
    fn answers(self) -> (u16, String) {
        match self {
            Revocation::InlinePolicy => (403, "AccessDeniedException".to_owned()),
            Revocation::InactiveKey | Revocation::DeletedRole => (401, "UnrecognizedClientException".to_owned()),
        }
    }
}

async fn revoked(revocation: Revocation) {
    let first = TestApp::start().await;
    let Some(second) = first.second_node().await else { return };
    let admin = first.administrator().with_repository("app").await;
    admin.docker().await.push("app", "v1", &Image::new(1)).await;
    let ann = user(&admin, "ann", allow(&["sts:*"])).await;
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await;
    let session = assumed(&ann, &role, json!({})).await;
    // Both nodes have just answered this session, and know what they know.
    let (here, there) = (Elsewhere::of(&session, &first).await, Elsewhere::of(&session, &second).await);
    let allowed = (200, "ok".to_owned());
    assert_eq!((here.answers().await, there.answers().await), (allowed.clone(), allowed), "{revocation:?}");
    let role = admin.iam("GetRole", json!({"RoleName": "app"})).await.ok();
    if revocation.happen(&admin, &ann, role["Role"]["RoleId"].as_str().unwrap()).await {
        assert_eq!(here.answers().await, revocation.answers(), "{revocation:?} at once on the node that did it");
    }
    first.clock.advance(Duration::from_secs(1));
    assert_eq!(here.answers().await, revocation.answers(), "{revocation:?} within a second on the first node");
    assert_eq!(there.answers().await, revocation.answers(), "{revocation:?} within a second on the other");
}

#[tokio::test]
async fn a_denial_of_a_role_holds_on_the_other_node_within_a_second() {
    revoked(Revocation::InlinePolicy).await;
}

#[tokio::test]
async fn a_key_that_is_inactive_ends_its_sessions_on_the_other_node_within_a_second() {
    revoked(Revocation::InactiveKey).await;
}

#[tokio::test]
async fn a_role_that_is_gone_ends_its_sessions_on_the_other_node_within_a_second() {
    revoked(Revocation::DeletedRole).await;
}
