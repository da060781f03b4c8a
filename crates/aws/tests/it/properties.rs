//! Properties of signing and verification for random requests.

use aws::sigv4::{Head, PresentedSignature, SigningKey, presign, sign};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::request::{Request, sha256};

const NOW: i64 = 1_795_257_000;
const SECRET: &str = "secret";

/// Requests that a client may send.
fn requests() -> impl Strategy<Value = Request> {
    let path = vec("[a-z0-9._~%:@ -]{1,8}", 0..4).prop_map(|segments| format!("/{}", segments.join("/")));
    let pair = ("[a-z0-9._~+ é-]{1,6}|a%2[bB]|%zz|%", "[a-z0-9+=/ é~-]{0,6}|a%20b|%C3%A9|%");
    let query = vec(pair.prop_map(|(name, value)| format!("{name}={value}")), 0..5).prop_map(|pairs| pairs.join("&"));
    let header = ("[a-z][a-z0-9-]{0,8}", vec(select(&b" \t,;:=\"abcXYZ019\xc3\xa9\xff"[..]), 0..12));
    let headers = vec(header.prop_map(|(name, value)| (format!("x-p-{name}"), value)), 0..5);
    let methods = select(vec!["GET", "POST", "PUT", "DELETE"]);
    (methods, path, query, headers, vec(any::<u8>(), 0..64)).prop_map(|(method, path, query, mut headers, body)| {
        headers.push(("host".into(), b"localhost:5050".to_vec()));
        Request { method: method.into(), path, query, headers, body }
    })
}

fn keys() -> impl Strategy<Value = (String, Option<String>)> {
    ("[A-Z0-9]{3,20}", proptest::option::of("[A-Za-z0-9/+=]{1,60}"))
}

fn signed(request: &Request, id: &str, token: Option<&str>, service: &str, by_query: bool) -> Request {
    let key = SigningKey { access_key_id: id, secret: SECRET, session_token: token };
    let body = sha256(&request.body);
    let mut signed = request.clone();
    if by_query {
        signed.query = request.with_head(|head| presign(head, body, &key, "us-east-1", service, NOW * 1_000_000, 600));
    } else {
        let added = request.with_head(|head| sign(head, body, &key, "us-east-1", service, NOW * 1_000_000));
        signed.headers.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())));
    }
    signed
}

/// The decoded pairs of a query, sorted. A `%` without two hex digits stays as it is.
fn meaning(query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decode = |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).collect::<Vec<u8>>();
    let pairs = query.split('&').filter(|pair| !pair.is_empty() && *pair != "=");
    let mut pairs: Vec<_> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    pairs.sort();
    pairs
}

/// The segments of a path without `.`, `..` and the segments that `..` removes, as they are signed.
fn resolved(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    segments
}

fn replaced(text: &str, at: Index, byte: char) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = at.index(characters.len());
    characters[at] = byte;
    characters.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_signed_request_is_verified(
        request in requests(), (id, token) in keys(), service in select(vec!["ecr", "ecr-public", "sts", "ecru"]),
        by_query in any::<bool>()
    ) {
        let signed = signed(&request, &id, token.as_deref(), service, by_query);
        let presented = signed.verify(SECRET, service, NOW);
        let presented = presented.map_err(|rejection| TestCaseError::fail(format!("{rejection}: {signed:?}")))?;
        prop_assert_eq!(presented.access_key_id, id);
        prop_assert_eq!(presented.session_token, token);
        prop_assert_eq!(presented.presigned, by_query);
        prop_assert!(signed.verify("secreT", service, NOW).is_err());
        prop_assert!(signed.verify(SECRET, "s3", NOW).is_err());
    }

    #[test]
    fn a_changed_byte_is_refused(
        request in requests(), by_query in any::<bool>(), at in any::<Index>(), nth in any::<Index>(),
        letter in "[A-Z0-9]"
    ) {
        let letter = letter.chars().next().unwrap();
        let signed = signed(&request, "AKID", Some("token"), "ecr", by_query);
        prop_assert!(signed.verify(SECRET, "ecr", NOW).is_ok());
        let refused = |changed: &Request| changed.verify(SECRET, "ecr", NOW).is_err();

        let method = Request { method: replaced(&signed.method, at, 'Q'), ..signed.clone() };
        prop_assert!(refused(&method), "method {}", method.method);

        let path = Request { path: replaced(&signed.path, at, letter), ..signed.clone() };
        let same = resolved(&path.path) == resolved(&signed.path);
        prop_assert!(same || refused(&path), "path {} {}", signed.path, path.path);

        if !signed.query.is_empty() {
            let query = Request { query: replaced(&signed.query, at, letter), ..signed.clone() };
            let same = meaning(&query.query) == meaning(&signed.query);
            prop_assert!(same || refused(&query), "query {} {}", signed.query, query.query);
        }

        let mut header = signed.clone();
        let nth = nth.index(header.headers.len());
        let (name, value) = &mut header.headers[nth];
        if name != "authorization" && !value.is_empty() {
            let at = at.index(value.len());
            value[at] = if value[at] == b'#' { b'$' } else { b'#' };
            prop_assert!(refused(&header), "header {:?}", header.headers[nth]);
        }

        let mut body = signed.clone();
        if !body.body.is_empty() {
            let at = at.index(body.body.len());
            body.body[at] ^= 1;
            prop_assert!(refused(&body), "body");
        }
    }

    #[test]
    fn a_changed_byte_of_the_claim_is_refused_or_names_another_key(
        request in requests(), at in any::<Index>(), letter in "[A-Za-z0-9/=]"
    ) {
        let mut changed = signed(&request, "AKID", None, "ecr", false);
        let claim = String::from_utf8(changed.header("authorization").unwrap().to_vec()).unwrap();
        let other = replaced(&claim, at, letter.chars().next().unwrap());
        prop_assume!(other != claim);
        changed.set_header("authorization", &other);
        if let Ok(presented) = changed.verify(SECRET, "ecr", NOW) {
            // The access key id is not signed. A changed id has another secret.
            prop_assert_ne!(presented.access_key_id, "AKID");
        }
    }

    #[test]
    fn no_head_causes_a_panic(
        method in ".{0,8}", path in ".{0,40}", now in any::<i64>(), skew in any::<i64>(),
        query in vec(select(fragments()), 0..12), authorization in vec(select(fragments()), 0..12),
        noise in ".{0,20}", headers in vec((select(names()), vec(any::<u8>(), 0..20)), 0..6)
    ) {
        let query = format!("{}{noise}", query.concat());
        let authorization = format!("AWS4-HMAC-SHA256 {}{noise}", authorization.concat());
        let mut headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        if !query.contains("X-Amz") {
            headers.push(("authorization", authorization.as_bytes()));
        }
        let head = Head { method: &method, path: &path, query: &query, headers: &headers };
        let checked = PresentedSignature::read(&head).and_then(|presented| presented.check(&head, &["ecr"], now, skew));
        if let Ok(checked) = checked {
            prop_assert!(checked.verify(&head, SECRET, [0; 32]).is_err());
        }
        let key = SigningKey { access_key_id: &noise, secret: &noise, session_token: Some(&noise) };
        prop_assert!(!sign(&head, [0; 32], &key, &noise, &noise, now).is_empty());
        prop_assert!(!presign(&head, [0; 32], &key, &noise, &noise, now, 1).is_empty());
    }
}

/// Parts of valid and invalid claims.
fn fragments() -> Vec<&'static str> {
    vec![
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&",
        "X-Amz-Credential=a/20261121/us-east-1/ecr/aws4_request&",
        "X-Amz-Date=20261121T103000Z&",
        "X-Amz-Date=00000000T000000Z&",
        "X-Amz-Date=99991231T235959Z&",
        "X-Amz-SignedHeaders=host&",
        "X-Amz-Signature=0&",
        "X-Amz-Expires=60&",
        "X-Amz-Security-Token=%&",
        "Credential=a/20261121/us-east-1/ecr/aws4_request, ",
        "Credential=////,",
        "SignedHeaders=host;x-amz-date ",
        "SignedHeaders=; ",
        "Signature=00",
        "=",
        "&",
        "%",
        "%f",
        "+",
        ",",
        "é",
        "\u{0}",
    ]
}

fn names() -> Vec<&'static str> {
    vec!["host", "date", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "authorization", "", "x"]
}
