use super::super::{NamedImage, Resource, Session, SessionKind};
use super::*;
use crate::RequestOrigin;
use aws::AccountId;
use oci::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// 2026-12-01T02:03:04.5Z
const NOW: Time = Time(1_796_090_584_500_000);

fn origin() -> Origin {
    Origin::Request(RequestOrigin {
        address: "::ffff:10.1.2.3".parse().unwrap(),
        listener: "127.0.0.1:5050".into(),
        tls: true,
        user_agent: "docker/28.5".to_owned(),
        request_id: "id".to_owned(),
    })
}

fn session(tags: &[(&str, &str)], source_identity: Option<&str>) -> Option<Arc<Session>> {
    Some(Arc::new(Session {
        kind: SessionKind::AssumedRole,
        issued: Time(NOW.0 - 1),
        expires: NOW,
        policies: Vec::new(),
        tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        transitive_tag_keys: BTreeSet::new(),
        source_identity: source_identity.map(str::to_owned),
    }))
}

fn user() -> CallerIdentity {
    CallerIdentity::User {
        account: AccountId::DEFAULT,
        id: "AIDAEXAMPLE".to_owned(),
        path_and_name: "team/ann".to_owned(),
    }
}

fn role() -> CallerIdentity {
    CallerIdentity::RoleSession {
        account: AccountId::DEFAULT,
        id: "AROAEXAMPLE".to_owned(),
        path: "/ci/".to_owned(),
        role: "builder".to_owned(),
        session: "run".to_owned(),
    }
}

fn federated() -> CallerIdentity {
    CallerIdentity::FederatedUser { account: AccountId::DEFAULT, name: "fred".to_owned(), of: Box::new(user()) }
}

fn need() -> Need {
    Need::new("ecr:PutImage", Resource::any(AccountId::DEFAULT))
}

fn registry() -> RegistryId {
    RegistryId::private(AccountId::DEFAULT, "eu-west-1".parse().unwrap())
}

/// The keys of a request of this caller at [`NOW`].
fn keys_of(caller: &Caller, origin: &Origin, need: &Need, found: &FoundPolicies) -> Keys {
    keys(&RequestFacts { caller, origin, registry: &registry(), now: NOW }, need, found)
}

/// The keys of a request, without what only its caller tells.
fn keys_of_request(origin: &Origin, need: &Need, found: &FoundPolicies) -> Keys {
    keys_of(&Caller::service("ecr.amazonaws.com"), origin, need, found)
}

/// The keys of a caller, without those that every request has.
fn keys_of_caller(identity: CallerIdentity, session: Option<Arc<Session>>, tags: &[(&str, &str)]) -> Keys {
    let caller = Caller { identity, access_key_id: String::new(), session };
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let found = FoundPolicies { principal_tags: tags, ..FoundPolicies::default() };
    let mut own = keys_of(&caller, &Origin::Job("test"), &need(), &found);
    let common = keys_of_request(&Origin::Job("test"), &need(), &FoundPolicies::default());
    own.retain(|key, _| !common.contains_key(key));
    own
}

fn these(pairs: &[(&str, &[&str])]) -> Keys {
    pairs.iter().map(|(key, values)| ((*key).to_owned(), values.iter().map(|v| (*v).to_owned()).collect())).collect()
}

#[test]
fn a_request_has_the_keys_of_its_connection_and_a_job_has_none_of_them() {
    let of_all: &[(&str, &[&str])] = &[
        ("aws:CurrentTime", &["2026-12-01T02:03:04Z"]),
        ("aws:EpochTime", &["1796090584"]),
        ("aws:RequestedRegion", &["eu-west-1"]),
        ("aws:ViaAWSService", &["false"]),
    ];
    let of_requests: &[(&str, &[&str])] = &[
        ("aws:SecureTransport", &["true"]),
        ("aws:SourceIp", &["10.1.2.3"]),
        ("aws:UserAgent", &["docker/28.5"]),
        ("ecru:Listener", &["127.0.0.1:5050"]),
    ];
    let nothing = FoundPolicies::default();
    assert_eq!(keys_of_request(&Origin::Job("test"), &need(), &nothing), these(of_all));
    assert_eq!(keys_of_request(&origin(), &need(), &nothing), these(&[of_all, of_requests].concat()));
    // A client without User-Agent, over plain HTTP.
    let Origin::Request(mut request) = origin() else { unreachable!() };
    (request.user_agent, request.tls) = (String::new(), false);
    let bare = keys_of_request(&Origin::Request(request), &need(), &nothing);
    assert_eq!(bare.get("aws:UserAgent"), None);
    assert_eq!(bare["aws:SecureTransport"], ["false"]);
}

/// IAM user guide, "Principal key values".
#[test]
fn a_caller_has_the_keys_of_its_kind() {
    let root = CallerIdentity::Administrator { account: AccountId::DEFAULT };
    for (identity, expected) in [
        (root, these(&[("aws:userid", &["000000000000"])])),
        (user(), these(&[("aws:userid", &["AIDAEXAMPLE"]), ("aws:username", &["ann"])])),
        (role(), these(&[("aws:userid", &["AROAEXAMPLE:run"])])),
        (federated(), these(&[("aws:userid", &["000000000000:fred"])])),
        (CallerIdentity::Nobody, these(&[("aws:userid", &["anonymous"])])),
        (CallerIdentity::Service { name: "ecr.amazonaws.com" }, Keys::new()),
    ] {
        assert_eq!(keys_of_caller(identity.clone(), None, &[]), expected, "{identity:?}");
    }
}

#[test]
fn a_session_has_its_issue_time_its_source_identity_and_its_tags_before_those_of_its_principal() {
    let own = [("team", "red"), ("Stage", "test")];
    let issued: (&str, &[&str]) = ("aws:TokenIssueTime", &["2026-12-01T02:03:04.499999Z"]);
    let userid: (&str, &[&str]) = ("aws:userid", &["AROAEXAMPLE:run"]);
    let stage: (&str, &[&str]) = ("aws:PrincipalTag/Stage", &["test"]);
    for (session, expected) in [
        (None, these(&[userid, stage, ("aws:PrincipalTag/team", &["red"])])),
        (session(&[], None), these(&[userid, issued, stage, ("aws:PrincipalTag/team", &["red"])])),
        (
            session(&[("Team", "blue"), ("more", "x")], Some("ann@example.com")),
            these(&[
                userid,
                issued,
                stage,
                ("aws:PrincipalTag/Team", &["blue"]),
                ("aws:PrincipalTag/more", &["x"]),
                ("aws:SourceIdentity", &["ann@example.com"]),
            ]),
        ),
    ] {
        assert_eq!(keys_of_caller(role(), session.clone(), &own), expected, "{session:?}");
    }
}

#[test]
fn a_need_has_the_keys_of_its_action_and_of_its_resource() {
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut tagged = need();
    tagged.request_tags = BTreeMap::from([tag("team", "red"), tag("stage", "test")]);
    tagged.removed_tags = BTreeSet::from(["old".to_owned()]);
    let of_actions: &[(&'static str, &[&str])] = &[
        ("aws:SourceAccount", &["000000000000"]),
        ("aws:SourceArn", &["arn:aws:ecr:eu-west-1:000000000000:repository/app"]),
        ("ecr:AccountSetting", &["BLOB_MOUNTING"]),
        ("iam:PassedToService", &["ecr.amazonaws.com"]),
        ("sts:ExternalId", &["42"]),
        ("sts:RoleSessionName", &["run"]),
    ];
    for (key, values) in of_actions {
        tagged.conditions.insert(key, values.iter().map(|v| (*v).to_owned()).collect());
    }
    let found = FoundPolicies { resource_tags: [tag("kind", "base")].into(), ..FoundPolicies::default() };
    let mut expected = keys_of_request(&origin(), &need(), &FoundPolicies::default());
    for absent in of_actions.iter().map(|(key, _)| *key).chain(["aws:TagKeys", "aws:RequestTag/team"]) {
        assert_eq!(expected.get(absent), None);
    }
    expected.extend(these(of_actions));
    expected.extend(these(&[
        ("aws:RequestTag/team", &["red"]),
        ("aws:RequestTag/stage", &["test"]),
        ("aws:TagKeys", &["stage", "team", "old"]),
        ("aws:ResourceTag/kind", &["base"]),
        ("ecr:ResourceTag/kind", &["base"]),
    ]));
    assert_eq!(keys_of_request(&origin(), &tagged, &found), expected);
}

#[test]
fn an_image_has_the_tag_and_digest_of_the_request_or_all_its_tags_if_it_loses_them() {
    let digest = Digest::of(oci::Algorithm::Sha256, b"");
    let text = digest.to_string();
    let tag = || Some("v1".parse().unwrap());
    let held = FoundPolicies { image_tags: vec!["a".to_owned(), "b".to_owned()], ..FoundPolicies::default() };
    let none = FoundPolicies::default();
    let both: &[(&str, &[&str])] = &[("ecru:ImageDigest", &[&text]), ("ecru:ImageTag", &["v1"])];
    for (image, found, expected) in [
        (NamedImage::default(), &none, these(&[])),
        (NamedImage::new(tag(), None), &none, these(&both[1..])),
        (NamedImage::new(None, Some(digest)), &none, these(&both[..1])),
        (NamedImage::new(tag(), Some(digest)), &none, these(both)),
        (NamedImage::to_delete(tag(), Some(digest)), &none, these(both)),
        (
            NamedImage::to_delete(None, Some(digest)),
            &held,
            these(&[("ecru:ImageDigest", &[&text]), ("ecru:ImageTag", &["a", "b"])]),
        ),
    ] {
        let asks_for_tags = need().on_image(image.clone()).digest_to_delete().is_some();
        assert_eq!(asks_for_tags, !found.image_tags.is_empty(), "{image:?}");
        let mut keys = keys_of_request(&origin(), &need().on_image(image.clone()), found);
        keys.retain(|key, _| key.starts_with("ecru:Image"));
        assert_eq!(keys, expected, "{image:?}");
    }
}

/// Policies may test keys whose feature does not exist here. They are absent from every request.
#[test]
fn a_key_whose_feature_does_not_exist_is_absent() {
    let caller = Caller { identity: role(), access_key_id: String::new(), session: session(&[], None) };
    let keys = keys_of(&caller, &origin(), &need(), &FoundPolicies::default());
    for key in [
        "aws:SourceVpce",
        "aws:SourceVpc",
        "aws:VpcSourceIp",
        "aws:PrincipalOrgID",
        "aws:PrincipalOrgPaths",
        "aws:ResourceOrgID",
        "aws:MultiFactorAuthPresent",
        "aws:MultiFactorAuthAge",
        "aws:CalledVia",
        "aws:SourceArn",
        "aws:SourceAccount",
        "aws:SourceIdentity",
    ] {
        assert!(!keys.keys().any(|known| known.eq_ignore_ascii_case(key)), "{key}");
    }
}
