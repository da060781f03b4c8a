//! What a caller learns of stored tags by policies that test them, and what the look-up of tags costs.

use crate::support::{Store, World, app, name};
use kernel::access::{self, Caller, NamedImage, Need, Session, SessionKind};
use kernel::{CommonError, Cx};
use oci::{Digest, RepositoryName};
use policy::{AttachedPolicy, Document, Grammar};
use registry::image::{self, NewImage, PushClient};
use registry::{permission, repository_policy, resource_tags};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Another account's administrator whose session has a policy of these statements.
fn stranger(cx: &Cx, statements: &Value) -> Cx {
    with_session(cx, "111122223333", statements)
}

fn with_session(cx: &Cx, account: &str, statements: &Value) -> Cx {
    let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let document = Document::parse(&text, Grammar::Identity).unwrap();
    let session = Session {
        kind: SessionKind::SessionToken,
        issued: cx.now(),
        expires: cx.now(),
        policies: vec![AttachedPolicy::new("session policy", document)],
        tags: BTreeMap::new(),
        transitive_tag_keys: BTreeSet::new(),
        source_identity: None,
    };
    let caller = Caller::administrator(account.parse().unwrap(), "AKIAEXAMPLE");
    Cx { caller: Arc::new(Caller { session: Some(Arc::new(session)), ..caller }), ..cx.clone() }
}

/// Statements that allow everything and deny it under a condition.
fn allow_but(condition: &Value) -> Value {
    json!([
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition},
    ])
}

fn released() -> Value {
    json!({"StringLike": {"ecru:ImageTag": "release-*"}})
}

/// Pushes an index without images with these tags.
async fn push(cx: &Cx, tags: &[&str]) -> Digest {
    let media_type = "application/vnd.oci.image.index.v1+json";
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [], "annotations": {"a": tags.concat()}});
    let (bytes, tags) = (manifest.to_string().into_bytes(), tags.iter().map(|tag| tag.parse().unwrap()).collect());
    let client = PushClient::Docker { containerd: false };
    image::put(cx, &app(), NewImage { bytes, media_type: None, tags, digest: None, client }).await.unwrap().digest
}

fn to_delete(cx: &Cx, name: &RepositoryName, digest: Digest) -> Need {
    permission::need_on("ecr:BatchDeleteImage", &cx.registry, Some(name.as_str()))
        .on_image(NamedImage::to_delete(None, Some(digest)))
}

/// The end of the denial's text. `None` if the caller is allowed.
async fn denied(cx: &Cx, need: Need) -> Option<String> {
    match access::authorize(cx, &[need]).await {
        Ok(_) => None,
        Err(CommonError::AccessDenied(denial)) => {
            let text = denial.to_string();
            Some(text.split_once(denial.resource.as_str()).unwrap().1.trim().to_owned())
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_stranger_learns_nothing_by_policies_of_its_own() {
    let world = World::new(Store::Memory).await;
    let cx = &world.cx;
    let released_image = push(cx, &["release-1"]).await;
    let missing = Digest::of(oci::Algorithm::Sha256, b"missing");
    let no_allow = Some("because no resource-based policy allows the ecr:BatchDeleteImage action".to_owned());
    // A policy of the owner that lets the stranger do nothing, so that the repository's tags are known.
    let unrelated = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "ecr:ListImages"}});
    for has_policy in [false, true] {
        if has_policy {
            repository_policy::set(cx, &app(), &unrelated.to_string(), false).await.unwrap();
            resource_tags::tag(cx, &app(), vec![("kept".to_owned(), "yes".to_owned())]).await.unwrap();
        }
        for condition in [
            released(),
            json!({"Null": {"ecru:ImageTag": "false"}}),
            json!({"StringEquals": {"aws:ResourceTag/kept": "yes"}}),
        ] {
            let curious = stranger(cx, &allow_but(&condition));
            for (name, digest) in [(app(), released_image), (app(), missing), (name("team/gone"), missing)] {
                assert_eq!(
                    denied(&curious, to_delete(cx, &name, digest)).await,
                    no_allow,
                    "{condition} {name} {digest}"
                );
            }
        }
    }
    // Whoever may delete images reads which policy protects this one.
    let by_session = Some("with an explicit deny in a session policy".to_owned());
    let own = with_session(cx, cx.registry.account.as_str(), &allow_but(&released()));
    assert_eq!(denied(&own, to_delete(cx, &app(), released_image)).await, by_session);
    assert_eq!(denied(&own, to_delete(cx, &app(), missing)).await, None);
}

#[tokio::test]
async fn tags_are_looked_up_if_a_policy_tests_them_by_one_statement_whether_the_image_exists_or_not() {
    let world = World::new(Store::Memory).await;
    let cx = &world.cx;
    let existing = push(cx, &["release-1"]).await;
    let missing = Digest::of(oci::Algorithm::Sha256, b"missing");
    let statements = async |caller: &Cx, name: &RepositoryName, digest| {
        let need = to_delete(cx, name, digest);
        // Fill the cache of policies.
        denied(caller, need.clone()).await;
        let before = cx.db.stats().statements;
        denied(caller, need).await;
        cx.db.stats().statements - before
    };
    let [tests_none, tests_tags] = [json!({"Bool": {"aws:SecureTransport": "true"}}), released()];
    for (condition, cost) in [
        (&tests_none, 0),
        (&tests_tags, 1),
        (&json!({"StringEquals": {"x:y": "${ECRU:imagetag}"}}), 1),
        (&json!({"StringEquals": {"ecru:ImageDigest": "x"}}), 0),
    ] {
        let caller = stranger(cx, &allow_but(condition));
        for (name, digest) in [(app(), existing), (app(), missing), (name("team/gone"), missing)] {
            assert_eq!(statements(&caller, &name, digest).await, cost, "{condition} {name} {digest}");
        }
    }
    let by_tag = permission::need_on("ecr:BatchDeleteImage", &cx.registry, Some(app().as_str()))
        .on_image(NamedImage::to_delete(Some("release-1".parse().unwrap()), Some(existing)));
    let caller = with_session(cx, cx.registry.account.as_str(), &allow_but(&released()));
    let before = cx.db.stats().statements;
    assert!(denied(&caller, by_tag).await.is_some());
    assert_eq!(cx.db.stats().statements, before);
}
