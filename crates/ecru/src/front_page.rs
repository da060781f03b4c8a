//! The page at `/` for browsers: what this server is, how to log in, and where to read more. Clients of the AWS API never see it:
//! they do not ask for HTML, or they sign their call or name its operation.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, header};
use listen::addresses::host;
use listen::app::App;
use listen::body::{Response, full};

/// The page's content security policy: nothing but its inline style.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::VARY, "accept"),
    (header::CACHE_CONTROL, "no-cache"),
];

/// Whether a request to `/` is a browser's: a GET or HEAD that accepts HTML and is not a call. Presigned calls are recognized by
/// their query.
pub fn is_asked(head: &Parts) -> bool {
    let reads = head.method == Method::GET || head.method == Method::HEAD;
    let calls = head.uri.query().is_some()
        || head.headers.contains_key(header::AUTHORIZATION)
        || head.headers.contains_key("x-amz-target");
    let accepts = head.headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let html = accepts
        .flat_map(|accept| accept.split(','))
        .any(|media| media.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/html")));
    reads && !calls && html
}

/// Returns the page, with this server's name as the browser uses it.
pub fn respond(app: &App, head: &Parts, tls: bool) -> Response {
    let reached_at = app.addresses.reached_at(host(head), tls);
    let mut response = Response::new(full(page(&reached_at, &app.addresses.default_region().to_string())));
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn page(reached_at: &str, region: &str) -> String {
    let url = escaped(reached_at);
    let host = escaped(reached_at.split_once("://").map_or(reached_at, |(_, host)| host));
    let (version, region) = (env!("CARGO_PKG_VERSION"), escaped(region));
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Ecru at {host}</title>
<style>body {{ font-family: sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em }} pre {{ background: #eee; padding: 1em; overflow: auto }}</style>
</head>
<body>
<h1>Ecru</h1>
<p>This is Ecru {version}: a registry for container images with the API of Amazon ECR and the Docker and OCI registry API. There is
nothing to click here; clients speak to it.</p>
<h2>Log in</h2>
<p>Point the AWS CLI (2.13 or newer) at it, with the keys that its administrator gave you. On the machine where it runs,
<code>eval "$(ecru env)"</code> does that.</p>
<pre>export AWS_ENDPOINT_URL={url} AWS_REGION={region}
aws ecr create-repository --repository-name app
aws ecr get-login-password | docker login --username AWS --password-stdin {host}
docker push {host}/app:v1</pre>
<h2>Read on</h2>
<p><code>ecru help</code> and <code>ecru man</code> say what the program does; the directory <code>docs</code> of its source has more.
<a href="https://docs.aws.amazon.com/AmazonECR/latest/userguide/">Amazon's user guide of ECR</a> holds here too.
<a href="/readyz">/readyz</a> says whether this server can serve now.</p>
</body>
</html>
"#
    )
}

/// Escapes a text for HTML, between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_a_browser_is_shown_a_page() {
        let browser = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
        for (method, uri, headers, shown) in [
            ("GET", "/", &[browser][..], true),
            ("HEAD", "/", &[browser], true),
            ("GET", "/", &[("accept", "application/json"), ("accept", "Text/HTML;q=0.5")], true),
            ("GET", "/", &[], false),
            ("GET", "/", &[("accept", "*/*")], false),
            ("GET", "/", &[("accept", "text/html-fragment")], false),
            ("POST", "/", &[browser], false),
            ("GET", "/?Action=GetCallerIdentity&X-Amz-Signature=1", &[browser], false),
            ("GET", "/", &[browser, ("authorization", "AWS4-HMAC-SHA256 x")], false),
            ("GET", "/", &[browser, ("x-amz-target", "x")], false),
        ] {
            assert_eq!(is_asked(&head(method, uri, headers)), shown, "{method} {uri} {headers:?}");
        }
    }

    #[test]
    fn what_a_client_says_stands_in_the_page_as_text() {
        let page = page("http://<script>\"&", "us-east-1");
        assert!(page.contains("docker login --username AWS --password-stdin &lt;script&gt;&quot;&amp;\n"), "{page}");
        assert!(!page.contains("<script"), "{page}");
    }
}
