//! Verification of botocore's signatures over unusual requests.

use std::path::{Path, PathBuf};
use std::process::Command;

use aws::sigv4::SignatureRejection;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::request::{Request, SKEW_SECONDS};

struct Signed {
    name: String,
    service: String,
    region: String,
    access_key_id: String,
    secret: String,
    session_token: Option<String>,
    now: i64,
    request: Request,
}

impl Signed {
    fn of(entry: &Value) -> Signed {
        let text = |member: &str| entry[member].as_str().unwrap().to_owned();
        let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
        let headers = entry["headers"].as_array().unwrap().iter();
        Signed {
            name: text("name"),
            service: text("service"),
            region: text("region"),
            access_key_id: text("access_key_id"),
            secret: text("secret"),
            session_token: entry["session_token"].as_str().map(str::to_owned),
            now: entry["now"].as_i64().unwrap(),
            request: Request {
                method: text("method"),
                path: text("path"),
                query: text("query"),
                headers: headers.map(|pair| (pair[0].as_str().unwrap().to_owned(), bytes(&pair[1]))).collect(),
                body: bytes(&entry["body"]),
            },
        }
    }

    fn verify(&self, request: &Request) -> Result<(), SignatureRejection> {
        request.verify(&self.secret, &self.service, self.now).map(drop)
    }

    fn presigned(&self) -> bool {
        self.request.query.contains("X-Amz-Signature")
    }

    /// True if the body is not signed. No service here accepts that.
    fn unsigned_body(&self) -> bool {
        self.request.header("x-amz-content-sha256") == Some(b"UNSIGNED-PAYLOAD")
    }

    /// The names of the signed headers.
    fn signed_headers(&self) -> Vec<String> {
        let listed = match self.request.header("authorization") {
            Some(value) => String::from_utf8(value.to_vec()).unwrap(),
            None => self.request.query.replace("%3B", ";").replace('&', ", "),
        };
        let (_, rest) = listed.split_once("SignedHeaders=").unwrap();
        rest.split(',').next().unwrap().split(';').map(str::to_owned).collect()
    }

    /// Requests that differ from this one in one signed part each.
    fn tampered(&self) -> Vec<(String, Request)> {
        let mut all = Vec::new();
        let mut add = |what: &str, change: &dyn Fn(&mut Request)| {
            let mut request = self.request.clone();
            change(&mut request);
            all.push((what.to_owned(), request));
        };
        add("method", &|request| request.method.push('X'));
        add("path", &|request| request.path.push_str("/x"));
        add("a further query value", &|request| {
            let separator = if request.query.is_empty() { "" } else { "&" };
            request.query = format!("x=1{separator}{}", request.query);
        });
        let pairs: Vec<&str> = self.request.query.split('&').collect();
        for nth in (0..pairs.len()).filter(|nth| !pairs[*nth].is_empty()) {
            let mut changed: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
            let suffix = if pairs[nth].contains('=') { "0" } else { "=0" };
            changed[nth].push_str(suffix);
            add(pairs[nth], &|request| request.query = changed.join("&"));
        }
        for name in self.signed_headers() {
            let nth = self.request.headers.iter().position(|(other, _)| *other == name).unwrap();
            add(&name, &|request| request.headers[nth].1.push(b'0'));
            add(&format!("{name} gone"), &|request| drop(request.headers.remove(nth)));
        }
        add("body", &|request| request.body.push(b'0'));
        add("an unsigned x-amz header", &|request| request.set_header("x-amz-unsigned", "1"));
        add("signature", &|request| {
            let (place, digits) = match request.headers.iter().position(|(name, _)| name == "authorization") {
                Some(nth) => (Some(nth), String::from_utf8(request.headers[nth].1.clone()).unwrap()),
                None => (None, request.query.clone()),
            };
            let last = if digits.ends_with('0') { '1' } else { '0' };
            let changed = format!("{}{last}", &digits[..digits.len() - 1]);
            match place {
                Some(nth) => request.headers[nth].1 = changed.into_bytes(),
                None => request.query = changed,
            }
        });
        all
    }
}

/// Runs a script that needs botocore, with `arguments` and `file`.
pub fn run(script: &str, arguments: &[&str], file: &Path) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python =
        std::env::var_os("ECRU_PYTHON").map_or_else(|| workspace.join("target/venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "There is no Python with botocore at {}: run `./test`, which makes it, or set ECRU_PYTHON.",
        python.display()
    );
    let script = workspace.join("scripts").join(script);
    let ran = Command::new(&python).arg(&script).args(arguments).arg(file).output().unwrap();
    assert!(ran.status.success(), "{} failed: {}", script.display(), String::from_utf8_lossy(&ran.stderr));
}

/// A file of this test process. Tests run at the same time in several processes.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.json", std::process::id()))
}

fn signatures() -> Vec<Signed> {
    let out = file("botocore");
    run("botocore-signatures", &[], &out);
    let entries: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    std::fs::remove_file(&out).unwrap();
    entries.as_array().unwrap().iter().map(Signed::of).collect()
}

#[test]
fn signatures_of_botocore_are_valid_and_changed_requests_are_refused() {
    let signatures = signatures();
    assert!(signatures.len() >= 60, "only {} requests", signatures.len());
    assert!(signatures.iter().filter(|signed| signed.presigned()).count() >= 10);
    assert!(signatures.iter().any(Signed::unsigned_body));
    for signed in &signatures {
        let name = &signed.name;
        if signed.unsigned_body() {
            let refused = signed.verify(&signed.request);
            assert!(matches!(refused, Err(SignatureRejection::Scope(_))), "{name}: {refused:?}");
            continue;
        }
        let presented = signed.request.verify(&signed.secret, &signed.service, signed.now);
        let presented = presented.unwrap_or_else(|rejection| panic!("{name}: {rejection}"));
        assert_eq!(presented.access_key_id, signed.access_key_id, "{name}");
        assert_eq!(presented.session_token, signed.session_token, "{name}");
        assert_eq!(presented.region, signed.region, "{name}");
        assert_eq!(presented.service, signed.service, "{name}");
        assert_eq!(presented.presigned, signed.presigned(), "{name}");

        for (what, tampered) in signed.tampered() {
            assert!(signed.verify(&tampered).is_err(), "{name} with another {what} was accepted");
        }
        let other_secret = signed.request.verify("not the secret", &signed.service, signed.now);
        assert_eq!(other_secret.map(drop), Err(SignatureRejection::Mismatch), "{name}");
        for now in [signed.now - SKEW_SECONDS - 1, signed.now + 604_801] {
            let late = signed.request.verify(&signed.secret, &signed.service, now);
            assert!(matches!(late, Err(SignatureRejection::Time(_))), "{name} at {now}: {late:?}");
        }
    }
}
