//! What a refusal tells its user: the cause and the cure, in the body and in the reason phrase (`ECR.md` B.1, B.2, B.10).
//! testkit holds every phrase to its body.

mod pushes;

use blob::faulty::EngineCall as BlobCall;
use kernel::access::Caller;
use kernel::limits::Limits;
use kernel::{Cx, RegistryId, RequestOrigin};
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use testkit::http::{Answer, Call};
use testkit::{AwsCaller, Docker, Image, TestApp, digest, location, with_query};

const OWNER: &str = "000000000000";
const STRANGER: &str = "111122223333";

/// Everything that a user may see of a refusal: status, code, message, reason phrase. The port, which changes, is PORT.
#[derive(Debug, PartialEq)]
struct Told {
    status: u16,
    code: String,
    message: String,
    phrase: String,
}

fn told(app: &TestApp, answer: &Answer) -> Told {
    let text = |text: String| text.replace(&format!(":{}", app.address.port()), ":PORT");
    Told {
        status: answer.status,
        code: answer.code(),
        message: text(answer.message()),
        phrase: text(answer.reason.clone()),
    }
}

#[track_caller]
fn tells(app: &TestApp, answer: Answer, (status, code): (u16, &str), message: &str, phrase: &str) {
    let (code, message, phrase) = (code.to_owned(), message.to_owned(), phrase.to_owned());
    assert_eq!(told(app, &answer), Told { status, code, message, phrase });
}

/// A clause as the body ends with it.
fn sentence(clause: &str) -> String {
    let mut text = clause.to_owned();
    text[..1].make_ascii_uppercase();
    text
}

async fn owner(app: &TestApp) -> AwsCaller<'_> {
    app.administrator().with_repository("app").await
}

/// The password of a token that this server made for a key which it does not know (any more).
fn password_of_nobody(app: &TestApp) -> String {
    let registry = RegistryId::private(OWNER.parse().unwrap(), "us-east-1".parse().unwrap());
    let caller = Caller::administrator(registry.account, "AKIAGONE").into();
    let origin = RequestOrigin {
        address: app.address.ip(),
        listener: app.address.to_string().into(),
        tls: false,
        user_agent: String::new(),
        request_id: String::new(),
    };
    identity::token::mint(&Cx { system: app.system.clone(), caller, registry, origin: origin.into() }).0
}

#[tokio::test]
async fn who_is_not_logged_in_reads_why_and_how_in_the_reason_phrase() {
    let app = TestApp::start().await;
    let password = app.administrator().password().await;
    let foreign = format!("{}{}", &password[..password.len() - 1], if password.ends_with('A') { 'B' } else { 'A' });
    let host = format!("{OWNER}.dkr.ecr.eu-west-1.localhost:{}", app.address.port());
    let basic = |user: &str, password: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}")))
    };
    let own = format!("127.0.0.1:{}", app.address.port());
    for (authorization, host, region, cause) in [
        (None, &own, "us-east-1", "no credentials"),
        (None, &host, "eu-west-1", "no credentials"),
        (Some("Digest x".to_owned()), &own, "us-east-1", "the Authorization header is not one of Basic or Bearer"),
        (Some("Basic !".to_owned()), &own, "us-east-1", "the Authorization header is not one of Basic or Bearer"),
        (Some(basic("admin", &password)), &own, "us-east-1", "the user name is not AWS"),
        (Some(basic("AWS", "secret")), &own, "us-east-1", "the password is not a token"),
        (Some(basic("AWS", "")), &own, "us-east-1", "the password is not a token"),
        (Some("Bearer secret".to_owned()), &own, "us-east-1", "the password is not a token"),
        (
            Some(basic("AWS", &foreign)),
            &own,
            "us-east-1",
            "the token was made by another server, or under a root key that is gone",
        ),
        (
            Some(basic("AWS", &password_of_nobody(&app))),
            &own,
            "us-east-1",
            "the credentials that the token was made for are gone",
        ),
    ] {
        for method in ["GET", "HEAD"] {
            let mut call = Call::new(method, "/v2/app/manifests/v1").header("host", host.clone());
            if let Some(authorization) = &authorization {
                call = call.header("authorization", authorization.clone());
            }
            let answer = call.send(app.address).await.expect(401);
            let login =
                format!("aws ecr get-login-password --region {region} | docker login -u AWS --password-stdin {host}");
            let phrase = format!("Unauthorized: {cause}; log in with: {login}");
            if phrase.len() <= 200 {
                assert_eq!(answer.reason, phrase);
            } else {
                assert_eq!(answer.reason, format!("Unauthorized: {cause}"), "no half of a command");
            }
            if method == "GET" {
                assert_eq!(answer.text(), "Not Authorized\n");
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_here_is_told_what_is_wrong_with_it() {
    let app = TestApp::start().await;
    let docker = app.administrator().docker().await;
    let elsewhere = app.account(OWNER, "eu-west-1").docker().await;
    let host = format!("{OWNER}.dkr.ecr.us-east-1.localhost:{}", app.address.port());
    let login = |host: &str| {
        format!("aws ecr get-login-password --region us-east-1 | docker login -u AWS --password-stdin {host}:PORT")
    };
    let expired = "Your authorization token has expired. Reauthenticate and try again.";
    let answer = elsewhere.at(&host).get("/v2/").await;
    let login_there = login(&format!("{OWNER}.dkr.ecr.us-east-1.localhost"));
    tells(
        &app,
        answer,
        (403, "DENIED"),
        &format!(
            "{expired} The token is for the region eu-west-1; this registry is in us-east-1. Log in with: {login_there}"
        ),
        // The command would not fit whole.
        "Forbidden: the token is for the region eu-west-1, this registry is in us-east-1",
    );
    app.clock.advance(Duration::from_secs(12 * 3600));
    let login = login("127.0.0.1");
    tells(
        &app,
        docker.get("/v2/").await,
        (403, "DENIED"),
        &format!("{expired} The token expired at 2026-11-21T22:00:00Z. Log in with: {login}"),
        &format!("Forbidden: the token expired at 2026-11-21T22:00:00Z; log in with: {login}"),
    );
}

#[tokio::test]
async fn who_may_not_is_told_the_permission_and_whose_registry_it_is() {
    let app = TestApp::start().await;
    owner(&app).await;
    let host = format!("{OWNER}.dkr.ecr.us-east-1.localhost:{}", app.address.port());
    let docker = app.account(STRANGER, "us-east-1").docker().await.at(&host);
    let cure = "log in with credentials of the account 000000000000, or have it allow yours";
    let denial = |action: &str, resource: &str| {
        format!(
            "User: arn:aws:iam::{STRANGER}:root is not authorized to perform: {action} on resource: \
             arn:aws:ecr:us-east-1:{OWNER}:{resource} because no resource-based policy allows the {action} action"
        )
    };
    for (answer, action, resource, short) in [
        (docker.put_manifest("app", "v1", &Image::new(1)).await, "ecr:PutImage", "repository/app", "repository app"),
        (docker.get("/v2/app/manifests/v1").await, "ecr:BatchGetImage", "repository/app", "repository app"),
        (docker.get("/v2/_catalog").await, "ecr:DescribeRepositories", "repository/*", "repository *"),
    ] {
        tells(
            &app,
            answer,
            (403, "DENIED"),
            &format!("{}. {}", denial(action, resource), sentence(cure)),
            &format!("Forbidden: not authorized: {action} on {short}; {cure}"),
        );
    }
    let head = docker.head("/v2/app/manifests/v1").await.expect(403);
    assert_eq!(head.reason, format!("Forbidden: not authorized: ecr:BatchGetImage on repository app; {cure}"));
}

#[tokio::test]
async fn a_pull_of_what_is_not_there_is_told_what_was_looked_for_and_where() {
    let app = TestApp::start().await;
    let docker = owner(&app).await.docker().await;
    let list = "see what it has with: aws ecr list-images --repository-name app --region us-east-1";
    let absent = digest(b"absent");
    for (reference, what, whole) in [
        ("v9", "tag v9".to_owned(), list.to_owned()),
        ("latest", "tag latest".to_owned(), format!("docker asks for latest where no tag is named; {list}")),
        (absent.as_str(), format!("image {absent}"), list.to_owned()),
    ] {
        let target = format!("/v2/app/manifests/{reference}");
        let message =
            format!("Requested image not found: there is no {what} in the repository app. {}", sentence(&whole));
        let phrase = [whole.as_str(), list]
            .map(|cure| format!("Not Found: no {what} in the repository app; {cure}"))
            .into_iter()
            .find(|phrase| phrase.len() <= 200)
            .unwrap_or_else(|| format!("Not Found: no {what} in the repository app"));
        tells(&app, docker.get(&target).await, (404, "MANIFEST_UNKNOWN"), &message, &phrase);
        tells(&app, docker.delete(&target).await, (404, "MANIFEST_UNKNOWN"), &message, &phrase);
        assert_eq!(docker.head(&target).await.expect(404).reason, phrase, "a HEAD has nothing else");
    }
    let plain = "The repository with name 'gone' does not exist in the registry with id '000000000000'";
    let cause = "Not Found: no repository 'gone' in the registry '000000000000'";
    let see = "see what is there with: aws ecr describe-repositories --region us-east-1";
    let of_token = "the token is of the account 000000000000 in us-east-1";
    let of_host = "the host names the account 000000000000 in us-east-1";
    let named = docker.clone().at(&format!("{OWNER}.dkr.ecr.us-east-1.localhost:{}", app.address.port()));
    for (docker, where_from) in [(&docker, of_token), (&named, of_host)] {
        tells(
            &app,
            docker.get("/v2/gone/manifests/v1").await,
            (404, "NAME_UNKNOWN"),
            &format!("{plain}. {}; {see}", sentence(where_from)),
            &format!("{cause}; {where_from}; {see}"),
        );
    }
    tells(
        &app,
        docker.get(&format!("/v2/app/blobs/{absent}")).await,
        (404, "BLOB_UNKNOWN"),
        &format!(
            "Layers with digests '[{absent}]' do not exist in the repository with name 'app' in the registry \
             with id '000000000000'. Push it to this repository, which sees only its own layers"
        ),
        &format!(
            "Not Found: layers {} do not exist in the repository 'app'; \
             push it to this repository, which sees only its own layers",
            &absent[..19]
        ),
    );
}

#[tokio::test]
async fn what_is_deleted_too_early_is_told_what_stands_on_it() {
    let app = TestApp::start().await;
    let docker = owner(&app).await.docker().await;
    let image = Image::new(1);
    let index = Image::index(&[&image]);
    docker.push("app", &image.digest(), &image).await;
    docker.put_manifest("app", "v1", &index).await.expect(201);
    let layer = digest(image.layer());
    let message = format!("Requested image referenced by manifest list: [{}]", index.digest());
    tells(
        &app,
        docker.delete(&format!("/v2/app/manifests/{}", image.digest())).await,
        (405, "UNSUPPORTED"),
        &format!("{message}. Delete the index first"),
        &format!("Method Not Allowed: {message}; delete the index first"),
    );
    tells(
        &app,
        docker.delete(&format!("/v2/app/blobs/{layer}")).await,
        (405, "UNSUPPORTED"),
        &format!(
            "The layer '{layer}' is in use by an image of the repository 'app'. Delete the images that stand on it first"
        ),
        &format!(
            "Method Not Allowed: the layer '{}' is in use by an image of the repository 'app'; \
             delete the images that stand on it first",
            &layer[..19]
        ),
    );
}

#[tokio::test]
async fn a_path_or_a_method_that_means_nothing_is_told_which_do() {
    let app = TestApp::start().await;
    let docker = owner(&app).await.docker().await;
    let paths = "the paths are /v2/, /v2/_catalog, and below /v2/NAME/: manifests/REFERENCE, blobs/DIGEST, blobs/uploads/, \
                 tags/list, referrers/DIGEST";
    let none = "There is no such path in the registry API";
    for path in ["/v2/app", "/v2/app/tags", "/v2/app/images/v1"] {
        tells(
            &app,
            docker.get(path).await,
            (404, "UNSUPPORTED"),
            &format!("{none}. {}", sentence(paths)),
            &format!("Not Found: {none}; {paths}"),
        );
    }
    for (method, path, allow) in [
        ("PUT", "/v2/", "GET, HEAD"),
        ("POST", "/v2/app/manifests/v1", "GET, HEAD, PUT, DELETE"),
        ("GET", "/v2/app/blobs/uploads/", "POST"),
    ] {
        let answer = docker.send(docker.call(method, path)).await;
        assert_eq!(answer.header("allow"), Some(allow));
        let message = format!("This path has only the methods {allow}");
        tells(&app, answer, (405, "UNSUPPORTED"), &message, &format!("Method Not Allowed: {message}"));
    }
    let old = "Version 1 of the registry API is not spoken here; version 2 is, at /v2/";
    for path in ["/v1/_ping", "/v1/repositories/app/images"] {
        let answer = Call::new("GET", path).send(app.address).await;
        tells(&app, answer, (404, "UNSUPPORTED"), old, &format!("Not Found: {old}"));
    }
}

#[tokio::test]
async fn a_quota_names_the_setting_that_raises_it() {
    let limits = Limits { images_per_repository: 1, layer_bytes: 1000, tags_per_image: 1, ..Limits::default() };
    let app = TestApp::builder().limits(limits).start().await;
    let docker = owner(&app).await.docker().await;
    let small = |seed: u64| Image::builder(seed).layers(&[10]).build();
    let (one, two) = (small(1), small(2));
    docker.push("app", "v1", &one).await;
    docker.push_blobs("app", &two).await;
    let denied = (403, "DENIED");
    for (answer, message, cure) in [
        (
            docker.put_manifest("app", "v2", &two).await,
            "The repository with name 'app' has its maximum of 1 images".to_owned(),
            "the server's setting limits.images_per_repository raises this",
        ),
        (
            docker.put_manifest("app", "v2", &one).await,
            format!("The image with digest '{}' has its maximum of 1 tags", one.digest()),
            "this limit is fixed",
        ),
        (
            docker.post(&format!("/v2/app/blobs/uploads/?digest={}", digest(&[0; 1001])), vec![0; 1001]).await,
            "The layer is larger than the maximum of 1000 bytes".to_owned(),
            "the server's setting limits.layer_bytes raises this",
        ),
    ] {
        let body = format!("{message}. {}", sentence(cure));
        tells(&app, answer, denied, &body, &format!("Forbidden: {message}; {cure}"));
    }
}

#[tokio::test]
async fn trouble_of_the_stores_says_when_to_come_again_and_what_the_operator_can_do() {
    let app = TestApp::start().await;
    let docker = owner(&app).await.docker().await;
    let full = blob::Error::Full(Arc::new(io::ErrorKind::StorageFull.into()));
    let read_only = blob::Error::ReadOnly(Arc::new(io::ErrorKind::ReadOnlyFilesystem.into()));
    let broken = blob::Error::from_io("a fault", io::Error::other("a fault"));
    for (error, (status, code), message, cure) in [
        (
            blob::Error::Busy,
            (503, "TOOMANYREQUESTS"),
            "The service is busy; try again",
            "a second try may come after 1 s",
        ),
        (
            full,
            (503, "UNKNOWN"),
            "No space left for layers; nothing was stored",
            "free space on the server and try again: no restart is needed",
        ),
        (
            read_only,
            (503, "UNKNOWN"),
            "The layer store is read-only; nothing was stored",
            "make the server's file system writable and try again",
        ),
        (
            broken,
            (500, "UNKNOWN"),
            "An internal error occurred",
            "the server's log says why, at this answer's x-request-id",
        ),
    ] {
        app.faults.fail(BlobCall::Create, 1, error);
        let layer = vec![1; 20_000];
        let answer = docker.post(&format!("/v2/app/blobs/uploads/?digest={}", digest(&layer)), layer).await;
        assert_eq!(answer.header("retry-after"), (status == 503).then_some("1"));
        let standard = if status == 503 { "Service Unavailable" } else { "Internal Server Error" };
        let phrase = format!("{standard}: {message}; {cure}");
        tells(&app, answer, (status, code), &format!("{message}. {}", sentence(cure)), &phrase);
    }
}

#[tokio::test]
async fn nobody_is_told_more_than_who_he_is_not() {
    let app = TestApp::start().await;
    owner(&app).await;
    let nobody = Docker::new(&app, None);
    let existing = nobody.get("/v2/app/tags/list").await.expect(401);
    let absent = nobody.get("/v2/absent/tags/list").await.expect(401);
    assert_eq!(existing.reason, absent.reason);
}
