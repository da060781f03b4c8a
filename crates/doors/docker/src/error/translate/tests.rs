use super::super::About;
use super::*;
use crate::path::InvalidPath;
use hyper::ext::ReasonPhrase;
use kernel::{Realm, RegistryId};
use proptest::prelude::*;
use std::time::Duration;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn denial(resource: &str) -> policy::Denial {
    policy::Denial {
        principal: "arn:aws:iam::111122223333:root".to_owned(),
        action: "ecr:PutImage".to_owned(),
        resource: resource.to_owned(),
        cause: policy::Cause::NoAllow(policy::PolicyKind::Resource),
        statement: None,
    }
}

/// The administrator of an account.
fn administrator_of(account: &str) -> kernel::access::CallerIdentity {
    kernel::access::CallerIdentity::Administrator { account: account.parse().unwrap() }
}

/// A call to the default registry by its administrator, at `localhost:5050`.
fn about(pushes: bool) -> About {
    About {
        host: "localhost:5050".to_owned(),
        registry: RegistryId::private(aws::AccountId::DEFAULT, "us-east-1".parse().unwrap()),
        named: false,
        caller: Some(administrator_of("000000000000")),
        pushes,
        image: None,
        upload_life: Duration::from_secs(86_400),
    }
}

/// The message and the reason phrase of a refusal.
fn told(refusal: Refusal, about: &About) -> (String, String) {
    let refusal = refusal.cured(about);
    let message = refusal.message.clone();
    let response = refusal.into_response();
    let phrase = response.extensions().get::<ReasonPhrase>().unwrap().as_bytes();
    (message, String::from_utf8(phrase.to_vec()).unwrap())
}

fn default(error: Error) -> Refusal {
    refuse(error, &Quirks::default())
}

#[test]
fn an_immutable_tag_says_what_it_holds_and_what_can_be_done() {
    let error = |tag: &str| Error::ImageTagAlreadyExists {
        tag: tag.to_owned(),
        name: "app".to_owned(),
        held: Box::new(DIGEST.parse().unwrap()),
        since: Time(1_795_258_800_000_000),
    };
    let refusal = default(error("v1"));
    assert_eq!((refusal.status, refusal.code), (StatusCode::BAD_REQUEST, "TAG_INVALID"));
    let (message, phrase) = told(refusal, &about(true));
    assert_eq!(
        message,
        format!(
            "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable. \
             It holds {DIGEST} since 2026-11-21T11:00:00Z. Push another tag, or delete this one first: \
             aws ecr batch-delete-image --repository-name app --image-ids imageTag=v1 --region us-east-1"
        )
    );
    let cause = "Bad Request: tag v1 is immutable and holds sha256:e3b0c44298fc since 2026-11-21";
    assert_eq!(phrase, format!("{cause}; push another tag, or delete this one first"));
    let long = "v".repeat(100);
    let (_, phrase) = told(default(error(&long)), &about(true));
    assert_eq!(phrase, cause.replace("v1", &long), "no half of a cure");
}

#[test]
fn a_missing_repository_is_made_by_who_pushes_and_looked_for_by_who_pulls() {
    let error = || Error::RepositoryNotFound { name: "app".to_owned(), account: "000000000000".to_owned() };
    let plain = "The repository with name 'app' does not exist in the registry with id '000000000000'";
    let cause = "Not Found: no repository 'app' in the registry '000000000000'";
    let foreign = About { caller: Some(administrator_of("111122223333")), ..about(true) };
    let named = About { named: true, ..about(false) };
    let create = "aws ecr create-repository --repository-name app --region us-east-1";
    for (about, body, in_phrase) in [
        (about(true), format!("Create it with: {create}"), format!("create it with: {create}")),
        (
            foreign,
            format!("Create it with: {create} --registry-id 000000000000"),
            format!("create it with: {create} --registry-id 000000000000"),
        ),
        (
            about(false),
            "The token is of the account 000000000000 in us-east-1; see what is there with: \
             aws ecr describe-repositories --region us-east-1"
                .to_owned(),
            "the token is of the account 000000000000 in us-east-1; see what is there with: \
             aws ecr describe-repositories --region us-east-1"
                .to_owned(),
        ),
        (
            named,
            "The host names the account 000000000000 in us-east-1; see what is there with: \
             aws ecr describe-repositories --region us-east-1"
                .to_owned(),
            "the host names the account 000000000000 in us-east-1".to_owned(),
        ),
    ] {
        let (message, phrase) = told(default(error()), &about);
        assert_eq!(message, format!("{plain}. {body}"));
        let cause = if about.pushes { "Not Found: no such repository" } else { cause };
        assert!(phrase.starts_with(&format!("{cause}; {in_phrase}")), "{phrase}");
    }
}

#[test]
fn a_denial_names_the_permission_and_whose_registry_it_is() {
    let repository = "arn:aws:ecr:us-east-1:000000000000:repository/team/app";
    let foreign = || About { caller: Some(administrator_of("111122223333")), ..about(true) };
    for (resource, about, phrase) in [
        (
            repository,
            foreign(),
            "Forbidden: not authorized: ecr:PutImage on repository team/app; \
             log in with credentials of the account 000000000000, or have it allow yours",
        ),
        (
            "*",
            about(true),
            "Forbidden: not authorized: ecr:PutImage on resource *; \
             an administrator of the account 000000000000 can allow it",
        ),
    ] {
        let (message, told_phrase) =
            told(default(Error::Common(CommonError::AccessDenied(Box::new(denial(resource))))), &about);
        assert_eq!(told_phrase, phrase);
        assert!(message.starts_with(&format!("{}. ", denial(resource))), "{message}");
    }
}

#[test]
fn who_belongs_to_the_account_is_told_the_statement_that_allows_or_the_one_that_denies() {
    use policy::{Cause, DecidingStatement, PolicyKind};
    let repository = "arn:aws:ecr:us-east-1:000000000000:repository/team/app";
    let of = |kind, index, sid: Option<&str>| policy::Denial {
        cause: Cause::ExplicitDeny(kind),
        statement: Some(DecidingStatement { kind, policy: "policy".into(), index, sid: sid.map(Into::into) }),
        ..denial(repository)
    };
    let administrator = "an administrator of the account 000000000000 can allow it";
    let own = "aws ecr get-repository-policy --repository-name team/app --region us-east-1";
    let registrys = "aws ecr get-registry-policy --region us-east-1";
    for (denial, whole, short) in [
        (
            policy::Denial { cause: Cause::NoAllow(PolicyKind::Identity), ..denial(repository) },
            format!(
                r#"{administrator}, by a statement in a policy of yours: {{"Effect": "Allow", "Action": "ecr:PutImage", "Resource": "{repository}"}}"#
            ),
            administrator.to_owned(),
        ),
        (
            of(PolicyKind::Resource, 0, Some("no push")),
            format!("the statement 'no push' of the repository's policy denies it; see it with: {own}"),
            "the statement 'no push' of the repository's policy denies it".to_owned(),
        ),
        (
            of(PolicyKind::Registry, 2, None),
            format!("statement 3 of the registry's policy denies it; see it with: {registrys}"),
            "statement 3 of the registry's policy denies it".to_owned(),
        ),
        (
            of(PolicyKind::Identity, 0, Some("x")),
            "the statement 'x' of the policy denies it".to_owned(),
            "the statement 'x' of the policy denies it".to_owned(),
        ),
    ] {
        let refused =
            |about: &About| told(default(Error::Common(CommonError::AccessDenied(Box::new(denial.clone())))), about);
        let (message, phrase) = refused(&about(true));
        let sentence = whole[..1].to_uppercase() + &whole[1..];
        assert_eq!(message, format!("{denial}. {sentence}"));
        assert!(phrase.contains(&short), "{phrase}");
        // What the owner's policies say is nothing for others.
        let foreign = About { caller: Some(administrator_of("111122223333")), ..about(true) };
        let (message, phrase) = refused(&foreign);
        let cure = match &denial.statement {
            Some(DecidingStatement { kind: PolicyKind::Identity, .. }) => {
                "an administrator of your account 111122223333 can allow it"
            }
            None => "an administrator of your account 111122223333 can allow it",
            _ => "log in with credentials of the account 000000000000, or have it allow yours",
        };
        assert!(message.to_lowercase().ends_with(cure), "{message}");
        assert!(phrase.ends_with(cure), "{phrase}");
    }
}

#[test]
fn a_name_in_upper_case_is_told_its_lower_case_form() {
    for (name, cure) in [
        ("Team/App", "Write it in lower case: team/app"),
        ("a", "It has 2 to 256 lower-case letters and digits"),
        ("team//App", "It has 2 to 256 lower-case letters and digits"),
    ] {
        let refusal = Refusal::path(InvalidPath::Name(name.to_owned()), &Quirks::default());
        let (message, _) = told(refusal, &about(true));
        assert!(message.contains(&format!(": '{name}'. {cure}")), "{message}");
    }
}

#[test]
fn an_image_that_is_not_there_is_named_with_its_repository() {
    let image = |reference: &str| Some(("app".parse().unwrap(), reference.parse().unwrap()));
    let list = "ee what it has with: aws ecr list-images --repository-name app --region us-east-1";
    for (reference, what, cure) in [
        ("v9", "tag v9", format!("S{list}")),
        ("latest", "tag latest", format!("Docker asks for latest where no tag is named; s{list}")),
        (DIGEST, &format!("image {DIGEST}"), format!("S{list}")),
    ] {
        let (message, phrase) = told(Refusal::manifest_unknown(), &About { image: image(reference), ..about(false) });
        assert_eq!(message, format!("Requested image not found: there is no {what} in the repository app. {cure}"));
        assert!(phrase.starts_with(&format!("Not Found: no {what} in the repository app")), "{phrase}");
    }
}

/// Status and code of a failure, by default and under the faithful quirk.
fn codes(error: impl Fn() -> Error) -> [(u16, &'static str); 2] {
    let faithful = Quirks { registry_errors: Behaviour::Faithful, ..Quirks::default() };
    [Quirks::default(), faithful].map(|quirks| {
        let refusal = refuse(error(), &quirks);
        (refusal.status.as_u16(), refusal.code)
    })
}

#[test]
fn every_failure_has_the_status_and_code_of_the_specification() {
    let text = || "x".to_owned();
    let layers = |by| move || Error::LayersNotFound { by, digests: text(), name: text(), account: text() };
    let missing = || Error::RepositoryNotFound { name: text(), account: text() };
    let part =
        || Error::InvalidLayerPart { reason: text(), account: text(), name: text(), id: text(), last_valid_byte: None };
    let cases: [(&dyn Fn() -> Error, u16, &str); 18] = [
        (&|| Error::Common(CommonError::AccessDenied(Box::new(denial("*")))), 403, "DENIED"),
        (&missing, 404, "NAME_UNKNOWN"),
        (&|| Error::limit(None, text()), 403, "DENIED"),
        (
            &|| Error::ImageNotFound { digest: text(), tag: text(), name: text(), account: text() },
            404,
            "MANIFEST_UNKNOWN",
        ),
        (&|| Error::ImageDigestDoesNotMatch { given: text(), computed: text() }, 400, "DIGEST_INVALID"),
        (&|| Error::InvalidLayer { given: text(), computed: text() }, 400, "DIGEST_INVALID"),
        (
            &|| Error::ReferencedImagesNotFound { digests: text(), name: text(), account: text() },
            404,
            "MANIFEST_BLOB_UNKNOWN",
        ),
        (&layers(LayersNotFoundBy::Manifest), 404, "MANIFEST_BLOB_UNKNOWN"),
        (&layers(LayersNotFoundBy::Read), 404, "BLOB_UNKNOWN"),
        (&|| Error::LayerDamaged { digest: text() }, 404, "BLOB_UNKNOWN"),
        (&|| Error::LayerInaccessible { digest: text(), name: text(), account: text() }, 404, "BLOB_UNKNOWN"),
        (&|| Error::LayerInUse { digest: text(), name: text() }, 405, "UNSUPPORTED"),
        (&|| Error::UploadNotFound { id: text(), name: text(), account: text() }, 404, "BLOB_UPLOAD_UNKNOWN"),
        (&part, 416, "BLOB_UPLOAD_INVALID"),
        (&|| Error::BodyTruncated(text()), 400, "SIZE_INVALID"),
        (&|| Error::Common(CommonError::Busy), 503, "TOOMANYREQUESTS"),
        (
            &|| Error::Common(CommonError::Unavailable { message: "full", cure: "empty it", source: "disk".into() }),
            503,
            "UNKNOWN",
        ),
        (&|| Error::Common(CommonError::Server("disk".into())), 500, "UNKNOWN"),
    ];
    for (error, status, code) in cases {
        assert_eq!(codes(error), [(status, code); 2], "{}", error());
    }
}

#[test]
fn what_the_client_wrote_wrong_is_405_under_the_faithful_quirk() {
    let faithful = (405, "UNSUPPORTED");
    let no_type = || Error::InvalidManifest(oci::InvalidManifest::NoMediaType);
    assert_eq!(codes(no_type), [(400, "MANIFEST_INVALID"), faithful]);
    for (member, code) in [("repositoryName", "NAME_INVALID"), ("imageTag", "TAG_INVALID")] {
        assert_eq!(codes(|| Error::invalid(member, Constraint::Pattern("x"))), [(400, code), faithful], "{member}");
    }
    let quirks = Quirks { registry_errors: Behaviour::Faithful, ..Quirks::default() };
    let message = refuse(no_type(), &quirks).message;
    assert_eq!(message, "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'");
    assert_eq!(Refusal::path(InvalidPath::Digest("x".to_owned()), &quirks).status, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn what_is_ours_is_told_to_the_log_and_not_to_the_client() {
    let refusal = refuse(Error::Common(CommonError::Server("the password is hunter2".into())), &Quirks::default());
    assert!(refusal.fault.is_some());
    assert_eq!(refusal.message, "An internal error occurred");
}

/// Every failure that a client can cause, with texts of the client's.
fn failures() -> impl Strategy<Value = Error> {
    let name = "[a-z0-9]{2,8}(/[a-z0-9]{1,100}){0,2}";
    let text = "\\PC{0,300}";
    (name, text, 0..21_usize).prop_map(|(name, text, which)| {
        let account = || "000000000000".to_owned();
        let (given, computed) = (DIGEST.to_owned(), DIGEST.replace('e', "f"));
        let digests = format!("{given}, {computed}");
        let manifest = Error::InvalidManifest;
        match which {
            0 => Error::Common(CommonError::AccessDenied(Box::new(denial(&format!(
                "arn:aws:ecr:us-east-1:000000000000:repository/{name}"
            ))))),
            1 => Error::RepositoryNotFound { name, account: account() },
            2 => Error::limit(Some("layer_bytes"), text),
            3 => Error::limit(None, text),
            4 => Error::ImageTagAlreadyExists {
                tag: name.chars().filter(|c| *c != '/').take(128).collect(),
                name,
                held: Box::new(DIGEST.parse().unwrap()),
                since: Time(1_795_258_800_000_000),
            },
            5 => Error::ImageDigestDoesNotMatch { given, computed },
            6 => Error::InvalidLayer { given, computed },
            7 => Error::ReferencedImagesNotFound { digests, name, account: account() },
            8 => Error::LayersNotFound { by: LayersNotFoundBy::Manifest, digests, name, account: account() },
            9 => Error::LayersNotFound { by: LayersNotFoundBy::Read, digests: given, name, account: account() },
            10 => Error::LayerInUse { digest: given, name },
            11 => Error::UploadNotFound { id: text, name, account: account() },
            12 => Error::InvalidLayerPart {
                reason: text,
                account: account(),
                name,
                id: String::new(),
                last_valid_byte: Some(u64::MAX),
            },
            13 => Error::BodyTruncated(text),
            14 => Error::Common(CommonError::Busy),
            15 => Error::Common(CommonError::Unavailable {
                message: "No space left",
                cure: "free some",
                source: "disk".into(),
            }),
            16 => Error::Common(CommonError::Server("disk".into())),
            17 => manifest(InvalidManifest::Json(text)),
            18 => manifest(InvalidManifest::UnsupportedMediaType(text)),
            19 => Error::LayerDamaged { digest: given },
            _ => manifest(InvalidManifest::Member { member: name, reason: text }),
        }
    })
}

/// A text as a reason phrase can hold it, in lower case.
fn folded(text: &str) -> String {
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c.to_ascii_lowercase() } else { '?' }).collect()
}

proptest! {
    #[test]
    fn a_reason_phrase_is_short_and_says_nothing_that_the_body_does_not(
        error in failures(), pushes: bool, named: bool, own: bool, host in "[a-z0-9.-]{1,80}",
    ) {
        let caller = if own { "000000000000" } else { "111122223333" };
        let about = About { named, host, caller: Some(administrator_of(caller)), ..about(pushes) };
        let refusal = default(error);
        let standard = refusal.status.canonical_reason().unwrap();
        let (message, phrase) = told(refusal, &about);
        prop_assert!(phrase.len() <= 200 && phrase.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", phrase);
        let said = phrase.strip_prefix(&format!("{standard}: "));
        prop_assert!(said.is_some_and(|said| !said.is_empty()), "{}", phrase);
        let body = folded(&message);
        for word in folded(said.unwrap()).split(' ').map(|word| word.trim_matches([',', ';', ':', '\'', '.'])) {
            const GLUE: &[&str] = &["no", "such", "the", "in", "is", "and", "others", "on"];
            prop_assert!(GLUE.contains(&word) || body.contains(word), "'{}' of '{}' is not in '{}'", word, phrase, message);
        }
    }

    #[test]
    fn no_reason_phrase_holds_a_part_of_a_command(error in failures(), pushes: bool) {
        let (message, phrase) = told(default(error), &about(pushes));
        if let Some(at) = phrase.find("aws ecr ") {
            prop_assert!(message.ends_with(&phrase[at..]), "'{}' is not the command of '{}'", phrase, message);
        }
    }
}

#[test]
fn a_token_that_is_not_good_here_is_cured_by_another_login() {
    let quirks = Quirks::default();
    let expired = Unauthenticated::Expired { at: Time(1_795_258_800_000_000) };
    let region = |text: &str| -> aws::Region { text.parse().unwrap() };
    let elsewhere = Unauthenticated::Realm {
        token: Realm::Private(region("eu-west-1")),
        registry: Realm::Private(region("us-east-1")),
    };
    let login = "aws ecr get-login-password --region us-east-1 | docker login -u AWS --password-stdin localhost:5050";
    for (error, cause) in [
        (expired, "the token expired at 2026-11-21T11:00:00Z"),
        (elsewhere, "the token is for the region eu-west-1, this registry is in us-east-1"),
    ] {
        let (message, phrase) = told(unauthenticated(error, &quirks).unwrap(), &about(false));
        assert!(
            message.starts_with("Your authorization token has expired. Reauthenticate and try again. "),
            "{message}"
        );
        assert!(message.ends_with(&format!(". Log in with: {login}")), "{message}");
        assert_eq!(phrase, format!("Forbidden: {cause}; log in with: {login}"));
    }
    let not_served = Unauthenticated::NotServed { region: region("eu-west-9"), default: region("us-east-1") };
    let (message, _) = told(unauthenticated(not_served, &quirks).unwrap(), &about(false));
    assert!(
        message.starts_with("The region eu-west-9 is not served here. Use the default registry, in us-east-1"),
        "{message}"
    );
}
