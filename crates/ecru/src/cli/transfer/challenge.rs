//! How a registry asks for a login: `WWW-Authenticate` (RFC 9110 11.6.1, distribution's "Token Authentication Specification").

/// What a registry wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Bearer(BearerChallenge),
}

/// Where a token is to be had, and what for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BearerChallenge {
    pub realm: String,
    pub service: Option<String>,
    pub scope: Option<String>,
}

/// The challenge to answer among all that the headers have: a token before a password. Schemes that are not known are passed over.
pub fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let challenges: Vec<Challenge> = headers.flat_map(parse).collect();
    let bearer = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer(_)));
    bearer.or(challenges.first()).cloned()
}

/// All challenges of one header that are known.
fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = header;
    let mut current: Option<BearerChallenge> = None;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        let (word, behind) = rest.split_at(end);
        match behind.trim_start_matches([' ', '\t']).strip_prefix('=') {
            // A parameter of the current challenge.
            Some(value) => {
                let (value, behind) = parameter(value.trim_start_matches([' ', '\t']));
                if let Some(bearer) = &mut current {
                    match word.to_ascii_lowercase().as_str() {
                        "realm" => bearer.realm = value,
                        "service" => bearer.service = Some(value),
                        "scope" => bearer.scope = Some(value),
                        _ => {}
                    }
                }
                rest = behind;
            }
            // A scheme: the next challenge begins.
            None => {
                found.extend(current.take().map(Challenge::Bearer));
                match word.to_ascii_lowercase().as_str() {
                    "basic" => found.push(Challenge::Basic),
                    "bearer" => current = Some(BearerChallenge::default()),
                    _ => {}
                }
                rest = behind;
            }
        }
    }
    found.extend(current.map(Challenge::Bearer));
    found
}

/// A value, quoted or not, and what stands behind it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            c => value.push(c),
        }
    }
    (value, "")
}

/// A `tchar` of RFC 9110 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let (service, scope) = (service.map(str::to_owned), scope.map(str::to_owned));
        Some(Challenge::Bearer(BearerChallenge { realm: realm.to_owned(), service, scope }))
    }

    #[test]
    fn the_challenges_of_real_registries_are_read() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#;
        let scope = Some("repository:library/nginx:pull");
        assert_eq!(
            choose([hub].into_iter()),
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), scope)
        );
        assert_eq!(choose([r#"Basic realm="Registry Realm""#].into_iter()), Some(Challenge::Basic));
        // Several in one header and in several, one of a scheme that nobody knows.
        let both = r#"Negotiate, Basic realm="a, b", Bearer realm=https://r/t , scope="a\"b""#;
        assert_eq!(choose([both].into_iter()), bearer("https://r/t", None, Some("a\"b")));
        assert_eq!(choose(["Basic realm=x", "bearer REALM=\"y\""].into_iter()), bearer("y", None, None));
        assert_eq!(choose(["Negotiate abc=="].into_iter()), None);
        assert_eq!(choose([""].into_iter()), None);
    }

    proptest! {
        #[test]
        fn no_header_stops_the_reader(text in "\\PC{0,80}") {
            choose([text.as_str()].into_iter());
        }

        #[test]
        fn what_is_quoted_is_read_back(realm in "[ -~]{1,40}", scope in "[ -~]{0,40}") {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!(r#"Bearer realm="{}", scope="{}""#, quote(&realm), quote(&scope));
            prop_assert_eq!(choose([header.as_str()].into_iter()), bearer(&realm, None, Some(&scope)));
        }
    }
}
