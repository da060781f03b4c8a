//! Every endpoint of the docker door.

use super::users::{BARE_USER_LACKS, User};
use super::{OWNER, STRANGER, shown, world};
use serde_json::json;
use testkit::http::{Answer, Call};
use testkit::{Docker, Image, TestApp, digest};

/// An endpoint of `/v2/` with the actions that it needs (`ECR.md` B.3).
struct EndpointCase {
    method: &'static str,
    target: String,
    body: Vec<u8>,
    actions: &'static [&'static str],
}

/// The endpoints that need a valid token and no permission.
const FREE: [&str; 1] = ["/v2/"];

impl EndpointCase {
    fn call(&self, docker: &Docker<'_>, target: &str, image: &Image) -> Call {
        docker.call(self.method, target.to_owned()).header("content-type", image.media_type).body(self.body.clone())
    }

    async fn send(&self, docker: &Docker<'_>, image: &Image) -> Answer {
        docker.send(self.call(docker, &self.target, image)).await
    }
}

/// Every endpoint with its method.
fn endpoints(image: &Image) -> Vec<EndpointCase> {
    let (layer, manifest) = (digest(image.layer()), image.digest());
    let upload = "/v2/app/blobs/uploads/00000000-0000-8000-8000-000000000000";
    let whole = digest(b"x");
    let text = || image.manifest.to_vec();
    let case = |method, target: String, body, actions| EndpointCase { method, target, body, actions };
    vec![
        case("HEAD", "/v2/app/manifests/v1".into(), vec![], &["ecr:BatchGetImage"]),
        case("GET", "/v2/app/manifests/v1".into(), vec![], &["ecr:BatchGetImage"]),
        case("GET", format!("/v2/app/manifests/{manifest}"), vec![], &["ecr:BatchGetImage"]),
        case("PUT", "/v2/app/manifests/stolen".into(), text(), &["ecr:PutImage"]),
        case("PUT", format!("/v2/app/manifests/{manifest}"), text(), &["ecr:PutImage"]),
        case("DELETE", "/v2/app/manifests/v1".into(), vec![], &["ecr:BatchDeleteImage"]),
        case("HEAD", format!("/v2/app/blobs/{layer}"), vec![], &["ecr:BatchCheckLayerAvailability"]),
        case("GET", format!("/v2/app/blobs/{layer}"), vec![], &["ecr:GetDownloadUrlForLayer"]),
        case("DELETE", format!("/v2/app/blobs/{layer}"), vec![], &["ecr:BatchDeleteImage"]),
        case("POST", "/v2/app/blobs/uploads/".into(), vec![], &["ecr:InitiateLayerUpload"]),
        case(
            "POST",
            format!("/v2/app/blobs/uploads/?digest={whole}"),
            b"x".to_vec(),
            &["ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"],
        ),
        // Without the permission to read the source, a mount opens an upload.
        case("POST", format!("/v2/app/blobs/uploads/?mount={layer}&from=app"), vec![], &["ecr:InitiateLayerUpload"]),
        case("PATCH", upload.into(), b"x".to_vec(), &["ecr:UploadLayerPart"]),
        case("PUT", format!("{upload}?digest={whole}"), vec![], &["ecr:CompleteLayerUpload"]),
        case(
            "PUT",
            format!("{upload}?digest={whole}"),
            b"x".to_vec(),
            &["ecr:UploadLayerPart", "ecr:CompleteLayerUpload"],
        ),
        case("GET", upload.into(), vec![], &["ecr:UploadLayerPart"]),
        case("DELETE", upload.into(), vec![], &["ecr:UploadLayerPart"]),
        case("GET", "/v2/app/tags/list".into(), vec![], &["ecr:ListImages"]),
        case("GET", "/v2/_catalog".into(), vec![], &["ecr:DescribeRepositories"]),
        case("GET", format!("/v2/app/referrers/{manifest}"), vec![], &["ecr:BatchGetImage"]),
    ]
}

#[tokio::test]
async fn every_endpoint_of_the_docker_door_is_closed_to_nobody_and_to_a_stranger() {
    let app = TestApp::start().await;
    let image = world(&app).await;
    let owner = app.administrator();
    let before = shown(&owner).await;
    let host = format!("{OWNER}.dkr.ecr.us-east-1.localhost:{}", app.address.port());
    let stranger = app.account(STRANGER, "us-east-1").docker().await.at(&host);
    let nobody = Docker::new(&app, None).at(&host);
    for free in FREE {
        stranger.get(free).await.expect(200);
        nobody.get(free).await.expect(401);
    }
    for case in endpoints(&image) {
        let EndpointCase { method, target, .. } = &case;
        let refused = case.send(&nobody, &image).await.expect(401);
        if *method != "HEAD" {
            assert_eq!(refused.text(), "Not Authorized\n", "{method} {target}");
        }
        let answer = case.send(&stranger, &image).await.expect(403);
        let gone = case.call(&stranger, &target.replace("/app/", "/gone/"), &image);
        let missing = stranger.send(gone).await.expect(403);
        assert_eq!(missing.reason.replace("gone", "app"), answer.reason, "{method} {target}");
        if *method != "HEAD" {
            assert_eq!(answer.code(), "DENIED", "{method} {target}");
            let message = answer.message();
            assert!(message.contains("because no resource-based policy allows the ecr:"), "{message}");
            assert!(!message.contains(r#""Effect""#), "a stranger is told no statement: {message}");
            assert_eq!(
                missing.message().replace("/gone", "/app"),
                message,
                "{method} {target}: what exists must not show"
            );
        }
    }
    assert_eq!(shown(&owner).await, before);
}

#[tokio::test]
async fn every_endpoint_of_the_docker_door_is_closed_to_a_user_without_policies_whether_it_exists_or_not() {
    let app = TestApp::start().await;
    let image = world(&app).await;
    let owner = app.administrator();
    let before = shown(&owner).await;
    let user = User::create(&app).await;
    user.allow(&["ecr:GetAuthorizationToken"]).await;
    let docker = user.caller.docker().await;
    user.allow(&[]).await;
    for free in FREE {
        docker.get(free).await.expect(200);
    }
    for case in endpoints(&image) {
        let EndpointCase { method, target, actions, .. } = &case;
        let answer = case.send(&docker, &image).await.expect(403);
        let gone = case.call(&docker, &target.replace("/app/", "/gone/"), &image);
        let missing = docker.send(gone).await.expect(403);
        assert!(answer.reason.contains(actions[0]), "{method} {target}: {}", answer.reason);
        if *method != "HEAD" {
            let message = answer.message();
            assert!(message.contains(&format!("{BARE_USER_LACKS} {} action", actions[0])), "{message}");
            // The user is told the command that allows it.
            assert!(message.contains(" can allow it with: aws iam put-user-policy --user-name walker "), "{message}");
            assert!(message.contains(&format!(r#"{{"Effect": "Allow", "Action": "{}", "#, actions[0])), "{message}");
            assert_eq!(missing.message().replace("gone", "app"), message, "{method} {target}");
        }
    }
    assert_eq!(shown(&owner).await, before);
}

#[tokio::test]
async fn every_endpoint_of_the_docker_door_is_open_to_a_user_with_its_actions_and_to_none_without_one_of_them() {
    let app = TestApp::start().await;
    let image = world(&app).await;
    let user = User::create(&app).await;
    user.allow(&["ecr:GetAuthorizationToken"]).await;
    let docker = user.caller.docker().await;
    for case in endpoints(&image) {
        let EndpointCase { method, target, actions, .. } = &case;
        for action in *actions {
            user.allow_all_but(action).await;
            let answer = case.send(&docker, &image).await.expect(403);
            assert!(answer.reason.contains(action), "{method} {target}: {}", answer.reason);
            if *method != "HEAD" {
                let message = answer.message();
                assert!(message.contains(&format!("not authorized to perform: {action} on")), "{message}");
            }
        }
        user.allow(actions).await;
        let status = case.send(&docker, &image).await.status;
        assert!(status != 403 && status != 401 && status < 500, "{method} {target}: {status}");
    }
}

#[tokio::test]
async fn a_user_reads_on_v2_which_of_its_policies_denies_and_on_the_api_awss_text_alone() {
    let app = TestApp::start().await;
    world(&app).await;
    let user = User::create(&app).await;
    let all = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    user.set(json!([all, {"Sid": "NoListing", "Effect": "Deny", "Action": "ecr:ListImages", "Resource": "*"}])).await;
    let docker = user.caller.docker().await;
    let denial = format!(
        "User: arn:aws:iam::{OWNER}:user/walker is not authorized to perform: ecr:ListImages on resource: \
         arn:aws:ecr:us-east-1:{OWNER}:repository/app with an explicit deny in an identity-based policy"
    );
    let answer = docker.get("/v2/app/tags/list").await.expect(403);
    let cure = "The statement 'NoListing' of the inline policy rights denies it";
    assert_eq!(answer.message(), format!("{denial}. {cure}"));
    assert_eq!(user.caller.ecr("ListImages", json!({"repositoryName": "app"})).await.error("AccessDenied"), denial);
}
