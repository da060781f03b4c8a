//! Reduces parts of a request to what may be logged or repeated: never anything that grants access.
//!
//! A signed URL grants read access to a layer, and clients and proxies write URLs in many ways: with an encoded `?`, which makes
//! the query a part of the path; encoded twice; below a prefix; or with a password before the host.

use http::Uri;

/// The prefix of a signed layer URL's path. A layer's id follows; the query grants the access.
pub const LAYER_PATH: &str = "/layers/";

/// Maximum characters of a path or a User-Agent.
const SHOWN: usize = 512;
/// Maximum characters of a refusal's reason.
const REASON: usize = 200;
/// Replaces the part of a path that is cut.
const CUT: char = '…';
/// Maximum hex digits of a layer's id; more of such a path is not shown.
const ID_DIGITS: usize = 32;

/// Returns the part of a request's target that may be logged: the path, as far as it can name a repository, tag, digest, upload
/// or layer. Query, host and user are left out. The path is cut at the first character that no such name contains, encoded or
/// not.
pub fn path(uri: &Uri) -> String {
    let path = uri.path();
    let end = names(path);
    let end = path[..end].find("://").unwrap_or(end);
    let end = layer(&path[..end]).unwrap_or(end);
    let shown: String = path[..end].chars().take(SHOWN).collect();
    if shown.len() < path.len() && end < path.len() { shown + &CUT.to_string() } else { shown }
}

/// Returns how many leading bytes of a path consist of name characters: letters, digits and `/._:~+-`, plain or encoded once.
fn names(path: &str) -> usize {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"/._:~+-".contains(&byte);
    let bytes = path.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let encoded = || u8::from_str_radix(path.get(at + 1..at + 3)?, 16).ok();
        at += match byte {
            b'%' if encoded().is_some_and(is_name) => 3,
            byte if is_name(*byte) => 1,
            _ => break,
        };
    }
    at
}

/// Returns where the layer's id ends in a path to a layer, below any prefix; `None` for other paths.
fn layer(path: &str) -> Option<usize> {
    let id = path.find(LAYER_PATH)? + LAYER_PATH.len();
    let digits = path[id..].bytes().take(ID_DIGITS).take_while(u8::is_ascii_hexdigit).count();
    Some(id + digits)
}

/// Makes a User-Agent safe to log and store: bounded, printable ASCII, and without anything that looks like credentials, which a
/// misconfigured client may put there.
pub fn user_agent(bytes: &[u8]) -> String {
    const SECRETS: [&str; 6] = ["authorization", "basic ", "bearer ", "password=", "signature=", "token="];
    let printable = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '?' };
    let text: String = bytes.iter().take(SHOWN).map(printable).collect();
    let lower = text.to_ascii_lowercase();
    let secret = SECRETS.iter().filter_map(|secret| lower.find(secret)).min();
    match secret {
        None => text,
        Some(at) => format!("{}{CUT}", &text[..at]),
    }
}

/// Returns the part of a refusal's message that may be logged. Messages repeat what the client sent, which may be a signed URL in
/// any form, so the text is cut at the first character of a query or an address.
pub fn sentence(message: &str) -> String {
    let ends = [message.find(['?', '=', '&', '%']), message.find("://"), layer(message)];
    let end = ends.into_iter().flatten().min();
    let shown = &message[..end.unwrap_or(message.len())];
    let printable = shown.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut text: String = printable.take(REASON).collect();
    if text.len() < message.len() {
        text.push(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(target: &str) -> String {
        path(&target.parse().unwrap())
    }

    #[test]
    fn names_are_shown_whole_and_what_follows_them_is_not() {
        let id = "0123456789abcdef0123456789abcdef";
        for (target, expected) in [
            ("/".to_owned(), "/".to_owned()),
            ("/v2/team/app/manifests/v1.0_x".to_owned(), "/v2/team/app/manifests/v1.0_x".to_owned()),
            ("/v2/a%2Fb/manifests/sha256%3aabc".to_owned(), "/v2/a%2Fb/manifests/sha256%3aabc".to_owned()),
            ("/v2/app/tags/list?n=5".to_owned(), "/v2/app/tags/list".to_owned()),
            ("http://user:secret@registry:5050/v2/app".to_owned(), "/v2/app".to_owned()),
            ("/http://user:secret@registry/v2/app".to_owned(), "/http…".to_owned()),
            ("/a@b".to_owned(), "/a…".to_owned()),
            (format!("/layers/{id}?key=1&signature=secret"), format!("/layers/{id}")),
            (format!("/layers/{id}%3Fkey=1&signature=secret"), format!("/layers/{id}…")),
            (format!("/layers/{id}/secret"), format!("/layers/{id}…")),
            (format!("/layers/{id}secret"), format!("/layers/{id}…")),
            (format!("/prefix/layers/{id}secret"), format!("/prefix/layers/{id}…")),
            ("/a%2500b".to_owned(), "/a…".to_owned()),
            ("/a%zzb".to_owned(), "/a…".to_owned()),
            ("/a%".to_owned(), "/a…".to_owned()),
            ("/a%C3%BCb".to_owned(), "/a…".to_owned()),
            ("*".to_owned(), "…".to_owned()),
        ] {
            assert_eq!(shown(&target), expected, "{target}");
        }
        assert_eq!(shown(&format!("/{}", "x".repeat(2 * SHOWN))).len(), SHOWN);
    }

    #[test]
    fn a_user_agent_is_bounded_and_holds_no_credentials() {
        for (bytes, expected) in [
            (&b"docker/26.1.5 go/go1.22"[..], "docker/26.1.5 go/go1.22"),
            (b"caf\xc3\xa9\r\n", "caf????"),
            (b"curl/8 Authorization: Basic abc", "curl/8 …"),
            (b"x https://host/layers/1?key=1&Signature=abc", "x https://host/layers/1?key=1&…"),
            (b"", ""),
        ] {
            assert_eq!(user_agent(bytes), expected);
        }
        assert_eq!(user_agent(&[b'x'; 2 * SHOWN]).len(), SHOWN);
    }

    /// A character as it is, or encoded up to three times.
    fn encoded(character: char, times: usize) -> String {
        let mut text = character.to_string();
        for time in 0..times {
            text = if time == 0 { format!("%{:02X}", u32::from(character)) } else { text.replace('%', "%25") };
        }
        text
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_signed_url_shows_its_signature(
            before in prop::sample::select(vec![
                "", "/", "/proxy", "/v2", "http://localhost:5050", "http://user:secret@localhost", "/http://user:pw@localhost",
            ]),
            layers in prop::sample::select(vec!["/layers/", "//layers/", "/layers//", "/Layers/", "/%6Cayers/", "/layers%2F"]),
            parting in prop::sample::select(vec!['?', ';', '#', '&', '/', ',', '!', '=', ' ', '|', ':', '.']),
            times in 0_usize..4,
            equals in 0_usize..3,
            signature in "[A-Za-z0-9_-]{43}",
        ) {
            let parting = encoded(parting, times);
            let (equals, and) = (encoded('=', equals), encoded('&', equals));
            let claim = format!("key{equals}1{and}expires{equals}1796122800{and}signature{equals}{signature}");
            let target = format!("{before}{layers}0123456789abcdef0123456789abcdef{parting}{claim}");
            if let Ok(uri) = target.parse::<Uri>() {
                let logged = path(&uri);
                prop_assert!(!logged.contains(&signature) && !logged.contains("1796122800"), "{} from {}", logged, target);
                prop_assert!(!logged.contains("secret") && !logged.contains("pw"), "{} from {}", logged, target);
            }
        }
    }

    #[test]
    fn a_reason_ends_where_a_signature_or_a_password_could_begin() {
        let long = "x".repeat(REASON + 1);
        for (message, shown) in [
            ("the tag 'v1' is immutable", "the tag 'v1' is immutable"),
            ("'app%3FX-Amz-Signature=1' is no name", "'app…"),
            ("'app?sig' is no name", "'app…"),
            ("'https://user:password@host' is no name", "'https…"),
            (
                "no layer at /layers/0123456789abcdef0123456789abcdefsecret",
                "no layer at /layers/0123456789abcdef0123456789abcdef…",
            ),
            ("two\nlines\u{1b}[31m", "two lines [31m"),
            (&long, &format!("{}…", &long[1..])),
        ] {
            assert_eq!(sentence(message), shown);
        }
    }
}
