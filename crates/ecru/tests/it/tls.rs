//! TLS: versions, protocols, certificates that change, and clients that speak the wrong thing.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ProtocolVersion, version};
use std::time::Duration;
use testkit::http::{Call, raw};
use testkit::{Image, TestApp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, pause, resume, sleep};

const MIB: usize = 1024 * 1024;

async fn livez(app: &TestApp) -> u16 {
    app.secure().client().send(&Call::new("GET", "/livez")).await.status
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_with_http_1_1() {
    let app = TestApp::builder().tls(false).start().await;
    for (offered, agreed) in [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let client = app.secure().client_with(&[offered], &["http/1.1"]);
        assert_eq!(client.connect().await.unwrap().get_ref().1.protocol_version(), Some(agreed));
        assert_eq!(client.send(&Call::new("GET", "/livez")).await.expect(200).text(), "ok\n");
    }
}

#[tokio::test]
async fn http_2_is_spoken_only_where_it_is_switched_on() {
    let versions = [&version::TLS13, &version::TLS12];
    for http2 in [false, true] {
        let app = TestApp::builder().tls(http2).start().await;
        for (offered, agreed) in [
            (&["h2", "http/1.1"][..], Some(if http2 { "h2" } else { "http/1.1" })),
            (&["http/1.1"], Some("http/1.1")),
            // An old client that knows nothing of ALPN speaks HTTP/1.1.
            (&[], None),
        ] {
            let client = app.secure().client_with(&versions, offered);
            let stream = client.connect().await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}, {http2}");
            client.send(&Call::new("GET", "/livez")).await.expect(200);
        }
        // Nothing in common is a refusal, not a guess.
        assert_eq!(app.secure().http2_client().connect().await.is_ok(), http2);
    }
}

#[tokio::test]
async fn an_image_is_pushed_and_pulled_over_tls_and_over_http_2() {
    let app = TestApp::builder().tls(true).start().await;
    for (repository, client) in [("one", app.secure().client()), ("two", app.secure().http2_client())] {
        let docker = app.administrator().with_repository(repository).await.docker().await.over(client);
        let image = Image::builder(1).layers(&[100, 3 * MIB]).build();
        docker.push(repository, "v1", &image).await;
        docker.pull(repository, "v1", &image).await;
        let layer = format!("/v2/{repository}/blobs/{}", testkit::digest(image.layer()));
        let part = docker.send(docker.call("GET", layer.clone()).header("range", "bytes=10-19")).await.expect(206);
        assert_eq!(part.body, image.layer()[10..20]);
        docker.head(&layer).await.expect(200);
        docker.get(&format!("/v2/{repository}/manifests/none")).await.expect(404);
        let target = format!("/v2/{repository}x/blobs/uploads/?digest={}", testkit::digest(b"other"));
        let refused = docker.call("POST", target).body(vec![0; MIB]);
        docker.send(refused).await.expect(404);
    }
}

#[tokio::test]
async fn what_came_over_tls_is_known_to_have_come_so() {
    let app = TestApp::builder().tls(true).start().await;
    let call = Call::new("GET", "/v2/").header("host", "registry.test");
    let realm = |answer: testkit::Answer| answer.expect(401).header("www-authenticate").unwrap().to_owned();
    assert!(realm(call.send(app.address).await).contains("\"http://registry.test"));
    for client in [app.secure().client(), app.secure().http2_client()] {
        let said = realm(client.send(&call).await);
        assert!(said.contains("\"https://registry.test"), "{said}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_connection_and_open_ones_go_on() {
    let app = TestApp::builder().tls(false).start().await;
    let secure = app.secure();
    let shown = async || {
        let stream = secure.client().connect().await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let before = shown().await;
    let open = secure.client().connect().await.unwrap();
    secure.renew();
    secure.reloader.lock().await.reload().await;
    let after = shown().await;
    assert_ne!(before, after);
    Call::new("GET", "/livez").send_over(open, app.address).await.expect(200);
    // What can't be served is not: the one before stays.
    let key = secure.directory.join("server-key.pem");
    for broken in [std::fs::read(secure.directory.join("ca-key.pem")).unwrap(), b"nonsense".to_vec(), Vec::new()] {
        std::fs::write(&key, broken).unwrap();
        secure.reloader.lock().await.reload().await;
        assert_eq!(shown().await, after);
    }
    std::fs::remove_file(&key).unwrap();
    secure.reloader.lock().await.reload().await;
    assert_eq!(shown().await, after);
    secure.renew();
    secure.reloader.lock().await.reload().await;
    assert_ne!(shown().await, after);
}

#[tokio::test]
async fn a_handshake_that_stalls_is_cut() {
    let app = TestApp::builder().tls(false).start().await;
    let mut silent = TcpStream::connect(app.secure().address).await.unwrap();
    let mut stalled = TcpStream::connect(app.secure().address).await.unwrap();
    // The head of a handshake's record whose bytes never come.
    stalled.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
    let shaken = app.secure().client().connect().await.unwrap();
    let began = Instant::now();
    pause();
    for stream in [&mut silent, &mut stalled] {
        assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let (mut shaken, _) = tokio::io::split(shaken);
    assert!(matches!(shaken.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    resume();
    assert_eq!(livez(&app).await, 200);
}

#[tokio::test]
async fn a_tls_hello_to_a_plain_listener_is_answered_in_http() {
    let app = TestApp::builder().tls(false).start().await;
    let plain = app.secure().client().at(app.address);
    assert!(plain.connect().await.is_err(), "a handshake with a plain listener");
    // What a client sends first, as far as it matters: containerd looks whether the answer begins with `HTTP/`.
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.resize(517, 7);
    let answer = raw(app.address, &hello, false).await.unwrap().expect(400);
    assert_eq!(answer.reason, "Client sent a TLS handshake to a plain HTTP server");
    assert_eq!(answer.text(), "Client sent a TLS handshake to a plain HTTP server\n");
}

#[tokio::test]
async fn a_plain_request_to_a_tls_listener_is_answered_with_what_is_wrong() {
    let app = TestApp::builder().tls(false).start().await;
    for (method, target) in [("GET", "/v2/"), ("POST", "/"), ("GET", "/livez"), ("PUT", "/v2/a/manifests/b")] {
        let call = Call::new(method, target).body(if method == "GET" { "" } else { "body" });
        let answer = call.send(app.secure().address).await.expect(400);
        assert_eq!(answer.text(), "Client sent an HTTP request to an HTTPS server\n");
        assert_eq!(answer.reason, "Client sent an HTTP request to an HTTPS server");
    }
    assert!(raw(app.secure().address, b"nonsense\r\n\r\n", true).await.is_none_or(|answer| answer.status == 400));
}

#[tokio::test]
async fn a_server_that_stops_ends_its_tls_connections_and_lets_requests_end() {
    for http2 in [false, true] {
        let app = TestApp::builder().tls(http2).start().await;
        let docker = app.administrator().with_repository("app").await.docker().await;
        let secure = app.secure();
        let client = if http2 { secure.http2_client() } else { secure.client() };
        let mut half_shaken = TcpStream::connect(secure.address).await.unwrap();
        half_shaken.write_all(&[0x16, 3, 1]).await.unwrap();
        let mut idle = client.connect().await.unwrap();
        let gate = app.faults.hold(blob::faulty::EngineCall::Next);
        let layer = testkit::chance::bytes(1, 300_000);
        let target = format!("/v2/app/blobs/{}", docker.push_blob("app", &layer).await);
        let docker = docker.over(client);
        let (answer, ()) = tokio::join!(docker.get(&target), async {
            gate.reached().await;
            app.stop();
            // Who has asked for nothing is let go at once, while the request still runs.
            let mut rest = Vec::new();
            let _ = idle.read_to_end(&mut rest).await;
            let _ = half_shaken.read_to_end(&mut rest).await;
            gate.open();
        });
        assert_eq!(answer.expect(200).body, layer);
    }
}

#[tokio::test]
async fn a_client_of_http_2_that_takes_nothing_is_cut_and_gives_its_buffers_back() {
    let app = TestApp::builder().tls(true).start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let layer = vec![7; 8 * MIB];
    let call = docker.call("GET", format!("/v2/app/blobs/{}", docker.push_blob("app", &layer).await));
    let client = app.secure().http2_client();
    let stream = TokioIo::new(client.connect().await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = http::Request::get(format!("https://{}{}", client.address, call.target));
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    // The body is not read, so its window stays shut; pings are answered all the while.
    pause();
    while app.system.buffers.available() < 64 {
        sleep(Duration::from_secs(60)).await;
    }
    resume();
    assert!(response.into_body().collect().await.is_err(), "the whole layer was sent");
    connection.abort();
    assert_eq!(livez(&app).await, 200);
}

#[tokio::test]
async fn a_body_that_stops_coming_over_http_2_is_cut() {
    let app = TestApp::builder().tls(true).start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let upload = docker.start_upload("app").await;
    let call = docker.call("PATCH", upload.clone());
    let client = app.secure().http2_client();
    let stream = TokioIo::new(client.connect().await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = http::Request::patch(format!("https://{}{}", client.address, call.target));
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let began = Instant::now();
    let never = http_body_util::StreamBody::new(futures_util::stream::pending::<
        Result<hyper::body::Frame<Bytes>, std::io::Error>,
    >());
    let answer = sender.send_request(request.body(never).unwrap());
    pause();
    let answer = answer.await.unwrap();
    resume();
    assert_eq!(answer.status(), 400);
    assert!(began.elapsed() >= Duration::from_secs(60));
    connection.abort();
    assert_eq!(docker.get(&upload).await.expect(204).header("range"), Some("0-0"));
}

#[tokio::test]
async fn an_http_2_connection_that_asks_for_nothing_is_closed() {
    let app = TestApp::builder().tls(true).start().await;
    let mut stream = app.secure().http2_client().connect().await.unwrap();
    let began = Instant::now();
    pause();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    resume();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}
