//! Calls of AWS services that are not here, as `AWS_ENDPOINT_URL` sends them.

use testkit::TestApp;
use testkit::http::{Answer, Call};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What every form says, in its own way.
fn sentence(service: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "This is Ecru {version}: it has ECR, STS and IAM, and not {service}. AWS_ENDPOINT_URL sends every service here; set \
         AWS_ENDPOINT_URL_ECR instead, which names ECR alone"
    )
}

async fn signed(app: &TestApp, service: &str, call: Call) -> Answer {
    app.administrator().send(service, call).await.expect(400)
}

fn form(action: &str) -> Call {
    Call::new("POST", "/")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body(format!("Action={action}&Version=2010-05-08"))
}

#[tokio::test]
async fn a_call_of_s3_is_answered_in_the_form_of_s3() {
    let app = TestApp::start().await;
    for target in
        ["/", "/bucket", "/bucket?list-type=2&prefix=a%2Fb", "/bucket/key/of/it", "/v2/key", "/v1/key", "/layers/key"]
    {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = signed(&app, "s3", Call::new(method, target)).await;
            assert_eq!(answer.header("content-type"), Some("application/xml"), "{target}");
            let text = answer.text();
            let expected =
                format!("<Error><Code>NotImplemented</Code><Message>{}</Message><RequestId>", sentence("s3"));
            assert!(
                text.starts_with("<?xml") && text.contains(&expected) && text.ends_with("</HostId></Error>"),
                "{text}"
            );
        }
        let head = app.administrator().sign("s3", Call::new("HEAD", target)).send(app.address).await.expect(400);
        assert!(head.body.is_empty(), "{target}");
    }
    let presigned = app.administrator().presign("s3", Call::new("GET", "/bucket/key"), 60);
    assert!(presigned.send(app.address).await.expect(400).text().contains("<Code>NotImplemented</Code>"));
}

#[tokio::test]
async fn a_call_of_another_service_is_answered_in_the_form_of_its_protocol() {
    let app = TestApp::start().await;
    for (service, call, content_type, before, after) in [
        (
            "autoscaling",
            form("DescribeAutoScalingGroups"),
            "text/xml",
            "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>",
            "</Message></Error><RequestId>",
        ),
        (
            "ec2",
            form("DescribeVpcs"),
            "text/xml",
            "<Response><Errors><Error><Code>InvalidAction</Code><Message>",
            "</Message></Error></Errors><RequestID>",
        ),
        (
            "route53",
            Call::new("GET", "/2013-04-01/hostedzone"),
            "text/xml",
            "<Code>InvalidAction</Code><Message>",
            "</Message></Error>",
        ),
        ("lambda", Call::new("GET", "/2015-03-31/functions/"), "application/json", "\"message\":\"", "\"}"),
        ("apigateway", Call::new("GET", "/v2/apis"), "application/json", "\"message\":\"", "\"}"),
        (
            "ssm",
            Call::new("POST", "/")
                .header("x-amz-target", "AmazonSSM.ListCommands")
                .header("content-type", "application/x-amz-json-1.1"),
            "application/x-amz-json-1.1",
            "\"__type\":\"UnknownOperationException\",\"message\":\"",
            "\"}",
        ),
        (
            "dynamodb",
            Call::new("POST", "/")
                .header("x-amz-target", "DynamoDB_20120810.ListTables")
                .header("content-type", "application/x-amz-json-1.0"),
            "application/x-amz-json-1.0",
            "\"message\":\"",
            "\"}",
        ),
        (
            "monitoring",
            Call::new("POST", "/service/GraniteServiceVersion20100801/operation/ListMetrics")
                .header("smithy-protocol", "rpc-v2-cbor"),
            "application/cbor",
            "UnknownOperationException\u{67}message",
            "",
        ),
    ] {
        let answer = signed(&app, service, call).await;
        assert_eq!(answer.header("content-type"), Some(content_type), "{service}");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let (head, tail) = text.split_once(&sentence(service)).unwrap_or_else(|| panic!("{service}: {text}"));
        assert!(head.contains(before) && tail.starts_with(after), "{service}: {text}");
    }
}

/// A client that sends its whole body before it reads must not be cut off: it would report that instead of the answer.
#[tokio::test]
async fn a_body_for_another_service_is_read_before_its_connection_ends() {
    let app = TestApp::start().await;
    for (service, target) in [("lambda", "/2015-03-31/functions"), ("s3", "/bucket/key"), ("autoscaling", "/")] {
        let body = vec![b'x'; 900 * 1024];
        let call = app.administrator().sign(service, Call::new("POST", target).body(body.clone()));
        let call = call.header("connection", "keep-alive");
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(call.head(app.address).as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("the connection was reset");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection: close\r\n"), "{service}: {answer}");
    }
}

#[tokio::test]
async fn what_names_no_other_service_is_answered_as_before() {
    let app = TestApp::start().await;
    // Signed for a service that is here, or not signed at all.
    assert_eq!(
        Call::new("GET", "/").send(app.address).await.expect(400).json()["__type"],
        "MissingAuthenticationTokenException"
    );
    Call::new("GET", "/bucket").send(app.address).await.expect(404);
    app.administrator().sign("ecr", Call::new("GET", "/bucket")).send(app.address).await.expect(404);
    app.administrator().sign("ecr", Call::new("GET", "/v2/")).send(app.address).await.expect(401);
    // A target of ECR in the scope of another service is a wrong signature, not another service.
    let target = "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories";
    let call =
        Call::new("POST", "/").header("x-amz-target", target).header("content-type", "application/x-amz-json-1.1");
    let answer = signed(&app, "s3", call.body("{}")).await.json();
    assert_eq!(answer["__type"], "InvalidSignatureException");
    // A name that is none is not repeated.
    let strange =
        Call::new("GET", "/").header("authorization", "AWS4-HMAC-SHA256 Credential=a/b/c/<script>/aws4_request, X=y");
    assert_eq!(strange.send(app.address).await.expect(400).json()["__type"], "MissingAuthenticationTokenException");
}
