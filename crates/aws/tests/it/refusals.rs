//! All reasons why a signature is refused, and their texts.

use aws::sigv4::{Head, PresentedSignature, SignatureRejection, SigningKey, presign, sign};

use crate::request::{Request, SKEW_SECONDS, sha256};

/// 2026-11-21T10:30:00Z
const NOW: i64 = 1_795_257_000;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const KEY: SigningKey<'static> = SigningKey { access_key_id: "AKIDEXAMPLE", secret: SECRET, session_token: None };

fn unsigned() -> Request {
    Request {
        method: "POST".into(),
        path: "/".into(),
        query: String::new(),
        headers: vec![
            ("host".into(), b"api.ecr.us-east-1.example.com".to_vec()),
            ("x-amz-target".into(), b"AmazonEC2ContainerRegistry_V20150921.DescribeRepositories".to_vec()),
        ],
        body: b"{}".to_vec(),
    }
}

fn signed_at(now: i64) -> Request {
    let mut request = unsigned();
    let body = sha256(&request.body);
    let added = request.with_head(|head| sign(head, body, &KEY, "us-east-1", "ecr", now * 1_000_000));
    request.headers.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())));
    request
}

fn signed() -> Request {
    signed_at(NOW)
}

fn presigned(expires_seconds: u32) -> Request {
    let mut request = unsigned();
    let body = sha256(&request.body);
    request.query =
        request.with_head(|head| presign(head, body, &KEY, "us-east-1", "ecr", NOW * 1_000_000, expires_seconds));
    request
}

fn verify_at(request: &Request, now: i64) -> Result<(), SignatureRejection> {
    request.verify(SECRET, "ecr", now).map(drop)
}

fn incomplete(message: &str) -> Result<(), SignatureRejection> {
    Err(SignatureRejection::Incomplete(message.into()))
}

fn scope(message: &str) -> Result<(), SignatureRejection> {
    Err(SignatureRejection::Scope(message.into()))
}

fn time(message: &str) -> Result<(), SignatureRejection> {
    Err(SignatureRejection::Time(message.into()))
}

/// The request with the value of a query parameter replaced.
fn with_parameter(request: &Request, name: &str, value: &str) -> Request {
    let pairs = request.query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if key == name => format!("{name}={value}"),
        _ => pair.to_owned(),
    });
    Request { query: pairs.collect::<Vec<_>>().join("&"), ..request.clone() }
}

fn without_parameter(request: &Request, name: &str) -> Request {
    let pairs = request.query.split('&').filter(|pair| pair.split('=').next() != Some(name));
    Request { query: pairs.collect::<Vec<_>>().join("&"), ..request.clone() }
}

#[test]
fn a_signed_and_a_presigned_request_are_accepted() {
    assert_eq!(verify_at(&signed(), NOW), Ok(()));
    assert_eq!(verify_at(&presigned(60), NOW), Ok(()));
}

#[test]
fn a_request_without_a_signature_is_refused() {
    assert_eq!(verify_at(&unsigned(), NOW), Err(SignatureRejection::Missing));
    for other in ["", "Basic QVdTOnRva2Vu", "Bearer token", "AWS AKIDEXAMPLE:signature"] {
        let mut request = unsigned();
        request.set_header("authorization", other);
        assert_eq!(verify_at(&request, NOW), Err(SignatureRejection::Missing), "{other:?}");
    }
    assert_eq!(SignatureRejection::Missing.to_string(), "Missing Authentication Token");
}

#[test]
fn the_error_of_an_incomplete_authorization_header_names_all_missing_parts() {
    const CREDENTIAL: &str = "Authorization header requires 'Credential' parameter.";
    const SIGNATURE: &str = "Authorization header requires 'Signature' parameter.";
    const SIGNED_HEADERS: &str = "Authorization header requires 'SignedHeaders' parameter.";
    const DATE: &str = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
    let all = format!("{CREDENTIAL} {SIGNATURE} {SIGNED_HEADERS} {DATE}");
    let cases = [
        ("AWS4-HMAC-SHA256", false, all.as_str()),
        ("AWS4-HMAC-SHA256 Credential=, Signature=, SignedHeaders=", false, &all),
        ("AWS4-HMAC-SHA256 Credential=a", true, &format!("{SIGNATURE} {SIGNED_HEADERS}")),
        ("AWS4-HMAC-SHA256 Signature=5ec2e7,SignedHeaders=host", true, CREDENTIAL),
        ("AWS4-HMAC-SHA256 Credential=a Signature=5ec2e7 SignedHeaders=host", false, DATE),
    ];
    for (authorization, dated, message) in cases {
        let mut request = unsigned();
        request.set_header("authorization", authorization);
        if dated {
            request.set_header("x-amz-date", "20261121T103000Z");
        }
        let expected = incomplete(&format!("{message} Authorization=AWS4-HMAC-SHA256"));
        assert_eq!(verify_at(&request, NOW), expected, "{authorization}");
    }
}

#[test]
fn a_malformed_authorization_header_is_refused_as_incomplete() {
    let many: String = (0..101).map(|nth| format!("a{nth};")).collect();
    let long = "A".repeat(257);
    let cases = [
        (
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA512",
            "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512' (only AWS4-HMAC-SHA256 for now).",
        ),
        (
            "Credential=",
            "Credential= ",
            "The Authorization header has a parameter that is not a valid key=value pair (missing equal-sign).",
        ),
        ("Signature=", "Signature=a, Signature=", "Authorization header has more than one 'Signature' parameter."),
        (
            "AKIDEXAMPLE/",
            "",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '20261121/us-east-1/ecr/aws4_request'",
        ),
        (
            "AKIDEXAMPLE/",
            "a/b/",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b/20261121/us-east-1/ecr/aws4_request'",
        ),
        ("AKIDEXAMPLE", &long, "Credential must have at most 256 visible ASCII characters."),
        ("AKIDEXAMPLE", "AKIDÉXAMPLE", "Credential must have at most 256 visible ASCII characters."),
        ("host;", "host;host;", "SignedHeaders must name each header once, parted by semicolons."),
        ("host;", "host;;", "SignedHeaders must name each header once, parted by semicolons."),
        ("host;", &many, "SignedHeaders must not name more than 100 headers."),
    ];
    for (from, to, message) in cases {
        let request = signed().with_authorization(from, to);
        assert_eq!(verify_at(&request, NOW), incomplete(message), "{from} -> {to}");
    }
}

#[test]
fn a_repeated_single_header_or_one_that_is_not_text_is_refused() {
    for name in ["authorization", "x-amz-date", "date", "x-amz-security-token", "x-amz-content-sha256"] {
        let mut request = signed();
        request.headers.retain(|(other, _)| other != name || name == "authorization");
        let value = request.header(name).unwrap_or(b"20261121T103000Z").to_vec();
        request.headers.push((name.into(), value.clone()));
        if name != "authorization" {
            request.headers.push((name.into(), value));
        }
        let expected = incomplete(&format!("The request has more than one '{name}' header."));
        assert_eq!(verify_at(&request, NOW), expected, "{name}");

        let mut request = signed();
        request.headers.retain(|(other, _)| other != name);
        request.headers.push((name.into(), b"\xff".to_vec()));
        let refused = verify_at(&request, NOW).unwrap_err();
        assert_eq!(refused, SignatureRejection::Incomplete(format!("The value of the '{name}' header is not text.")));
    }
}

#[test]
fn a_head_over_the_size_limit_is_refused() {
    let mut request = signed();
    request.set_header("x-padding", &"a".repeat(64 * 1024));
    assert_eq!(verify_at(&request, NOW), incomplete("The request's head is larger than 65536 bytes."));
}

#[test]
fn a_request_with_two_claims_is_refused() {
    let mut request = signed();
    for name in ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X%2DAmz%2dSignature"] {
        request.query = format!("{name}=");
        let both = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.";
        assert_eq!(verify_at(&request, NOW), incomplete(both), "{name}");
    }
}

#[test]
fn the_error_of_an_incomplete_query_claim_names_all_missing_parts() {
    let request = Request { query: "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=".into(), ..unsigned() };
    let message = "AWS query-string parameters must include 'X-Amz-Credential'. \
         AWS query-string parameters must include 'X-Amz-Signature'. \
         AWS query-string parameters must include 'X-Amz-SignedHeaders'. \
         AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters.";
    assert_eq!(verify_at(&request, NOW), incomplete(message));
    for name in ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"] {
        let request = without_parameter(&presigned(60), name);
        let message =
            format!("AWS query-string parameters must include '{name}'. Re-examine the query-string parameters.");
        assert_eq!(verify_at(&request, NOW), incomplete(&message));
    }
}

#[test]
fn a_malformed_query_claim_is_refused_as_incomplete() {
    const EXPIRES: &str = "X-Amz-Expires must be a number of seconds between 1 and 604800.";
    let cases = [
        ("X-Amz-Expires", "0", EXPIRES),
        ("X-Amz-Expires", "604801", EXPIRES),
        ("X-Amz-Expires", "-60", EXPIRES),
        ("X-Amz-Expires", "%2B60", EXPIRES),
        ("X-Amz-Expires", "60.0", EXPIRES),
        ("X-Amz-Expires", "", EXPIRES),
        ("X-Amz-Expires", "99999999999999999999", EXPIRES),
        (
            "X-Amz-Date",
            "2026-11-21%0AT10",
            "Date must be in ISO-8601 'basic format'. Got '2026-11-21T10'. See http://en.wikipedia.org/wiki/ISO_8601",
        ),
        ("X-Amz-Algorithm", "none", "Unsupported AWS 'algorithm': 'none' (only AWS4-HMAC-SHA256 for now)."),
        ("X-Amz-Credential", "a%00b%2Fc%2Fd%2Fe%2Ff", "Credential must have at most 256 visible ASCII characters."),
        ("X-Amz-Signature", "%FF", "The value of 'X-Amz-Signature' is not text."),
    ];
    for (name, value, message) in cases {
        let request = with_parameter(&presigned(60), name, value);
        assert_eq!(verify_at(&request, NOW), incomplete(message), "{name}={value}");
    }
    let mut twice = presigned(60);
    twice.query.push_str("&X-Amz-Expires=600");
    assert_eq!(verify_at(&twice, NOW), incomplete("AWS query-string parameters must include 'X-Amz-Expires' once."));
}

#[test]
fn a_date_that_is_not_in_the_basic_format_is_refused_as_incomplete() {
    let dates = [
        "",
        "201",
        "20261121",
        "2026-11-21T10:30:00Z",
        "20261121T103000",
        "20261321T103000Z",
        "20261121T246000Z",
        "+0261121T103000Z",
    ];
    for date in dates {
        let mut request = signed();
        request.set_header("x-amz-date", date);
        let message =
            format!("Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601");
        assert_eq!(verify_at(&request, NOW), incomplete(&message), "{date}");
    }
}

#[test]
fn a_request_is_refused_if_its_time_differs_by_more_than_the_skew() {
    let request = signed();
    assert_eq!(verify_at(&request, NOW + SKEW_SECONDS), Ok(()));
    assert_eq!(verify_at(&request, NOW - SKEW_SECONDS), Ok(()));
    assert_eq!(
        verify_at(&request, NOW + SKEW_SECONDS + 1),
        time("Signature expired: 20261121T103000Z is now earlier than 20261121T103001Z (20261121T104501Z - 15 min.)")
    );
    assert_eq!(
        verify_at(&request, NOW - SKEW_SECONDS - 1),
        time(
            "Signature not yet current: 20261121T103000Z is still later than 20261121T102959Z (20261121T101459Z + 15 min.)"
        )
    );
}

#[test]
fn a_presigned_request_is_valid_for_its_stated_life() {
    let request = presigned(90);
    assert_eq!(verify_at(&request, NOW + 90), Ok(()));
    assert_eq!(
        verify_at(&request, NOW + 91),
        time("Signature expired: 20261121T103000Z is now earlier than 20261121T103001Z (20261121T103131Z - 90 sec.)")
    );
    assert_eq!(verify_at(&request, NOW - SKEW_SECONDS), Ok(()));
    assert!(matches!(verify_at(&request, NOW - SKEW_SECONDS - 1), Err(SignatureRejection::Time(_))));
    assert_eq!(verify_at(&presigned(604_800), NOW + 604_800), Ok(()));
}

#[test]
fn a_removed_expiry_breaks_the_signature() {
    let request = without_parameter(&presigned(90), "X-Amz-Expires");
    assert_eq!(verify_at(&request, NOW), Err(SignatureRejection::Mismatch));
}

#[test]
fn host_amz_headers_and_body_must_be_signed() {
    let without_host = signed().with_authorization("host;", "");
    assert_eq!(
        verify_at(&without_host, NOW),
        scope("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    );
    let without_target = signed().with_authorization(";x-amz-target", "");
    assert_eq!(
        verify_at(&without_target, NOW),
        scope("'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.")
    );
    let mut presigned = presigned(60);
    presigned.set_header("x-amz-security-token", "added");
    assert_eq!(
        verify_at(&presigned, NOW),
        scope("'x-amz-security-token' must be a 'SignedHeader' in the AWS Authorization.")
    );
}

#[test]
fn the_error_of_a_wrong_scope_names_all_wrong_parts() {
    const REGION: &str = "Credential should be scoped to a valid region.";
    const SERVICE: &str = "Credential should be scoped to correct service: 'ecr'.";
    const TERMINATOR: &str = "Credential should be scoped with a valid terminator: 'aws4_request'.";
    const DATE: &str = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261120' != '20261121', from '20261121T103000Z'.";
    let cases = [
        ("/us-east-1/", "/US_EAST/", REGION.to_owned()),
        ("/us-east-1/", "//", REGION.to_owned()),
        ("/ecr/", "/s3/", SERVICE.to_owned()),
        ("/aws4_request", "/aws4", TERMINATOR.to_owned()),
        ("/20261121/", "/20261120/", DATE.to_owned()),
        ("/20261121/us-east-1/ecr/aws4_request", "/20261120/u/e/a", format!("{REGION} {SERVICE} {TERMINATOR} {DATE}")),
    ];
    for (from, to, message) in cases {
        assert_eq!(verify_at(&signed().with_authorization(from, to), NOW), scope(&message), "{to}");
    }
    let region = signed().with_authorization("/us-east-1/", "/eu-west-1/");
    assert_eq!(verify_at(&region, NOW), Err(SignatureRejection::Mismatch), "the region is part of the key");
}

#[test]
fn a_date_header_takes_the_place_of_the_amz_date() {
    // The tests with botocore show that a `Date` header verifies. Here a date that is parsed gives another error than one that is not.
    for date in ["Sat, 21 Nov 2026 10:30:00 GMT", "Sat, 21 Nov 2026 10:30:00 -0000", "20261121T103000Z"] {
        let mut request = signed();
        request.headers.retain(|(name, _)| name != "x-amz-date");
        request.set_header("date", date);
        let request = request.with_authorization(";x-amz-date", "");
        assert_eq!(verify_at(&request, NOW), Err(SignatureRejection::Mismatch), "{date}");
        assert!(matches!(verify_at(&request, NOW + 3600), Err(SignatureRejection::Time(_))), "{date}");
    }
}

#[test]
fn the_declared_hash_of_the_body_must_be_the_bodys() {
    let signed_with = |declared: &str| {
        let mut request = unsigned();
        request.set_header("x-amz-content-sha256", declared);
        let added = request.with_head(|head| sign(head, [0; 32], &KEY, "us-east-1", "ecr", NOW * 1_000_000));
        request.headers.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())));
        request
    };
    let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let cases = [
        (hash, "{}", true),
        (&hash.to_uppercase(), "{}", true),
        (hash, "{ }", false),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "{}", false),
        ("unsigned-payload", "{}", false),
        ("", "{}", false),
    ];
    for (declared, body, good) in cases {
        let expected = if good { Ok(()) } else { Err(SignatureRejection::Mismatch) };
        let request = Request { body: body.into(), ..signed_with(declared) };
        assert_eq!(verify_at(&request, NOW), expected, "{declared:?} {body}");
    }
    assert_eq!(
        verify_at(&signed_with("UNSIGNED-PAYLOAD"), NOW),
        scope("The body must be signed: 'x-amz-content-sha256' must not be 'UNSIGNED-PAYLOAD'.")
    );
}

#[test]
fn time_scope_and_signed_headers_are_checked_before_the_body() {
    let check = |request: &Request, service: &str, now: i64| {
        request.with_head(|head: &Head<'_>| {
            PresentedSignature::read(head)?.check(head, &[service], now * 1_000_000, SKEW_SECONDS).map(drop)
        })
    };
    for request in [signed(), presigned(60)] {
        assert_eq!(check(&request, "ecr", NOW), Ok(()));
        assert!(matches!(check(&request, "ecr", NOW + 3600), Err(SignatureRejection::Time(_))));
        assert!(matches!(check(&request, "ecr", NOW - 3600), Err(SignatureRejection::Time(_))));
        assert!(matches!(check(&request, "sts", NOW), Err(SignatureRejection::Scope(_))));
        let mut more = request.clone();
        more.set_header("x-amz-meta", "unsigned");
        assert!(matches!(check(&more, "ecr", NOW), Err(SignatureRejection::Scope(_))));
    }
}

#[test]
fn a_signature_of_another_length_or_case_does_not_match() {
    let request = signed();
    let text = String::from_utf8(request.header("authorization").unwrap().to_vec()).unwrap();
    let (_, signature) = text.split_once("Signature=").unwrap();
    let changed = ["0", &signature[1..], &signature.to_uppercase(), &format!("{signature}0"), "é"];
    for other in changed {
        assert_eq!(
            verify_at(&request.with_authorization(signature, other), NOW),
            Err(SignatureRejection::Mismatch),
            "{other}"
        );
    }
    assert_eq!(
        SignatureRejection::Mismatch.to_string(),
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    );
}

#[test]
fn neither_debug_nor_a_refusal_shows_a_secret() {
    let key = SigningKey { session_token: Some("session-token"), ..KEY };
    let mut request = unsigned();
    let body = sha256(&request.body);
    let added = request.with_head(|head| sign(head, body, &key, "us-east-1", "ecr", NOW * 1_000_000));
    request.headers.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())));
    let text = String::from_utf8(request.header("authorization").unwrap().to_vec()).unwrap();
    let (_, signature) = text.split_once("Signature=").unwrap();
    let shown = [
        format!("{key:?}"),
        format!("{:?}", request.read().unwrap()),
        format!("{:?}", request.with_authorization("Credential=", "Credential= ").read()),
        format!("{:?}", request.with_authorization("Credential=", "Other=").read()),
        format!("{:?}", request.with_authorization("AKIDEXAMPLE/", "").read()),
        format!("{:?}", request.with_authorization("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256,").verify("", "ecr", NOW)),
    ];
    for text in shown {
        for secret in [SECRET, "session-token", signature] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
