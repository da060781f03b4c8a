//! What strangers and greedy neighbours send, and what everybody else notices of it. The large numbers are in `bench attack`.

use blob::faulty::EngineCall as StoreCall;
use listen::connections::ConnectionLimits;
use testkit::http::{self, Call};
use testkit::{Docker, TestApp, chance, digest, with_query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, pause, resume};

const MIB: usize = 1024 * 1024;

async fn app(connections: usize, spare: usize) -> TestApp {
    let limits = ConnectionLimits { connections, spare, ..ConnectionLimits::default() };
    TestApp::builder().connections(limits).start().await
}

/// Asks over a connection that stays open, and reads the head and the short body of the answer.
async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("the connection ended"));
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

fn ping(authorization: &str) -> String {
    format!("GET /v2/ HTTP/1.1\r\nhost: x\r\n{authorization}\r\n")
}

/// The header line of a client that is known.
fn authorization(docker: &Docker<'_>) -> String {
    let call = docker.call("GET", "/");
    let (name, value) = call.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    format!("{name}: {value}\r\n")
}

/// A stranger that was answered and stays.
async fn stranger(app: &TestApp) -> TcpStream {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    assert!(ask(&mut stream, &ping("")).await.starts_with("HTTP/1.1 401 "));
    stream
}

async fn metric(app: &TestApp, name: &str) -> u64 {
    let text = Call::new("GET", "/metrics").send(app.address).await.expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap_or_else(|| panic!("{text}"));
    line.parse().unwrap()
}

#[tokio::test]
async fn idle_strangers_make_room_for_who_comes_and_who_is_known_stays() {
    let app = app(6, 4).await;
    let docker = app.administrator().docker().await;
    let mut known = TcpStream::connect(app.address).await.unwrap();
    let known_ping = ping(&authorization(&docker));
    assert!(ask(&mut known, &known_ping).await.starts_with("HTTP/1.1 200 "));
    let mut strangers = Vec::new();
    for _ in 0..5 {
        strangers.push(stranger(&app).await);
    }
    // Twice as many as there may be.
    for _ in 0..12 {
        Call::new("GET", "/livez").send(app.address).await.expect(200);
        docker.get("/v2/").await.expect(200);
        strangers.push(stranger(&app).await);
    }
    assert_eq!(strangers[0].read(&mut [0]).await.unwrap_or(0), 0, "the first stranger is still there");
    assert!(ask(&mut known, &known_ping).await.starts_with("HTTP/1.1 200 "), "the known one idled longest");
    assert!(metric(&app, "ecru_connections_evicted_total").await >= 12);
    assert_eq!(metric(&app, "ecru_connections_turned_away_total").await, 0);
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let app = app(4, 2).await;
    let docker = app.administrator().docker().await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(app.address).await.unwrap());
    }
    Call::new("GET", "/livez").send(app.address).await.expect(200);
    docker.get("/v2/").await.expect(200);
    // Heads and bodies that come byte by byte are no better.
    for begun in
        ["GET /v2/ HTTP/1.1\r\nhost", "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: a.b\r\ncontent-length: 10\r\n\r\n1"]
    {
        for _ in 0..10 {
            let mut slow = TcpStream::connect(app.address).await.unwrap();
            slow.write_all(begun.as_bytes()).await.unwrap();
            silent.push(slow);
        }
        Call::new("GET", "/livez").send(app.address).await.expect(200);
        docker.get("/v2/").await.expect(200);
    }
}

#[tokio::test]
async fn health_and_metrics_answer_when_all_connections_are_busy_and_others_are_told_to_come_again() {
    let app = app(1, 3).await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let target = format!("/v2/app/blobs/{}", docker.push_blob("app", &chance::bytes(1, 300_000)).await);
    let gate = app.faults.hold(StoreCall::Read);
    let pull = async {
        let answer = docker.get(&target).await;
        assert_eq!(answer.expect(200).body.len(), 300_000);
    };
    let others = async {
        gate.reached().await;
        for _ in 0..5 {
            Call::new("GET", "/livez").send(app.address).await.expect(200);
            Call::new("GET", "/readyz").send(app.address).await.expect(200);
            let refused = docker.call("GET", "/v2/").send(app.address).await.expect(503);
            assert_eq!((refused.header("retry-after"), refused.header("connection")), (Some("1"), Some("close")));
        }
        assert!(metric(&app, "ecru_connections_turned_away_total").await >= 15);
        gate.open();
    };
    tokio::join!(pull, others);
    docker.get("/v2/").await.expect(200);
}

#[tokio::test]
async fn behind_a_trusted_proxy_nobody_is_a_stranger_for_the_others_there() {
    let limits = ConnectionLimits { connections: 4, spare: 2, ..ConnectionLimits::default() };
    let app = TestApp::builder().connections(limits).trusted_proxies(&["127.0.0.1"]).start().await;
    // The longest idle goes, whatever it is.
    let mut first = stranger(&app).await;
    let mut held = vec![stranger(&app).await, stranger(&app).await, stranger(&app).await];
    held.push(stranger(&app).await);
    assert_eq!(first.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(ask(&mut held[3], &ping("")).await.starts_with("HTTP/1.1 401 "));
}

/// Sends everything without reading, and then reads all that came.
async fn answer_after_sending<S: AsyncReadExt + AsyncWriteExt + Unpin>(
    mut stream: S,
    head: &str,
    bytes: usize,
) -> String {
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    let piece = vec![7; 64 * 1024];
    for _ in 0..bytes.div_ceil(piece.len()) {
        stream.write_all(&piece).await.expect("the body is sent");
    }
    stream.flush().await.expect("all of it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the answer is read to its end");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn who_sends_a_large_body_before_it_reads_gets_the_refusal() {
    let app = TestApp::builder().tls(false).start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let wrong = Docker::new(&app, Some("wrong".to_owned()));
    for round in 0..20 {
        let (call, bytes, status) = match round % 4 {
            0 => (wrong.call("PATCH", "/v2/app/blobs/uploads/x"), 8 * MIB, "401"),
            1 => (wrong.call("PUT", "/v2/app/manifests/v1"), 4 * MIB - MIB / 8, "401"),
            2 => (docker.call("PATCH", "/v2/gone/blobs/uploads/x"), 8 * MIB, "404"),
            _ => (docker.call("PUT", "/v2/app/manifests/v1"), 5 * MIB, "413"),
        };
        let length = bytes.div_ceil(64 * 1024) * 64 * 1024;
        let head =
            call.header("content-length", length.to_string()).header("connection", "keep-alive").head(app.address);
        let answer = answer_after_sending(TcpStream::connect(app.address).await.unwrap(), &head, bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        if round < 4 {
            let stream = app.secure().client().connect().await.unwrap();
            let answer = answer_after_sending(stream, &head, bytes).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "over TLS: {answer}");
        }
    }
    let head = wrong.call("PATCH", "/v2/app/blobs/uploads/x").header("content-length", (50 * MIB).to_string());
    let stream = TcpStream::connect(app.address).await.unwrap();
    assert!(answer_after_sending(stream, &head.head(app.address), 50 * MIB).await.starts_with("HTTP/1.1 401 "));
    // A head that is too long, too.
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(70_000));
    let answer = answer_after_sending(TcpStream::connect(app.address).await.unwrap(), &head, MIB).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn over_http2_a_large_body_is_refused_and_its_connection_goes_on() {
    let app = TestApp::builder().tls(true).start().await;
    let client = app.secure().http2_client();
    let wrong = Docker::new(&app, Some("wrong".to_owned())).over(client);
    let refused = wrong.send(wrong.call("PATCH", "/v2/app/blobs/uploads/x").body(vec![7; 4 * MIB])).await;
    assert!(refused.http2 && refused.header("connection").is_none(), "{refused:?}");
    refused.expect(401);
}

#[tokio::test]
async fn a_connection_goes_on_after_a_large_transfer_with_what_was_sent_behind_it() {
    let app = TestApp::builder().tls(false).start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let bytes = chance::bytes(1, 4 * MIB);
    let mut plain = TcpStream::connect(app.address).await.unwrap();
    for round in 0..4 {
        let upload = docker.start_upload("app").await;
        let call = docker.call("PATCH", upload.clone()).header("connection", "keep-alive");
        let mut sent = call.header("content-length", bytes.len().to_string()).head(app.address).into_bytes();
        sent.extend_from_slice(&bytes);
        // The next request comes with the last bytes of the body.
        sent.extend_from_slice(ping(&authorization(&docker)).as_bytes());
        plain.write_all(&sent[..sent.len() - round]).await.unwrap();
        assert!(ask(&mut plain, "").await.starts_with("HTTP/1.1 202 "));
        plain.write_all(&sent[sent.len() - round..]).await.unwrap();
        assert!(ask(&mut plain, "").await.starts_with("HTTP/1.1 200 "));
        docker.put(&with_query(&upload, &format!("digest={}", digest(&bytes))), "").await.expect(201);
    }
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    for (request, status) in [
        ("GET /livez HTTP/1.1\r\n\r\n", 400),
        ("GET http://x/livez HTTP/1.1\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: a:b\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost:\r\n\r\n", 400),
        ("GET /livez HTTP/1.0\r\n\r\n", 200),
        ("GET /livez HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: a_b.example:1\r\nconnection: close\r\n\r\n", 200),
    ] {
        let answer = http::raw(app.address, request.as_bytes(), false).await.expect("an answer");
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        assert!(status == 200 || answer.header("connection") == Some("close"), "{request}: {answer:?}");
    }
    let upload = docker.start_upload("app").await;
    let call = docker.call("PATCH", upload.clone()).header("transfer-encoding", "gzip, chunked");
    let coded = format!("{}3\r\nabc\r\n0\r\n\r\n", call.head(app.address));
    assert_eq!(http::raw(app.address, coded.as_bytes(), false).await.expect("an answer").status, 501);
    assert_eq!(docker.get(&upload).await.expect(204).header("range"), Some("0-0"), "nothing was stored");
}

/// A pull that reads nothing but the answer's head.
async fn stalled_pull(app: &TestApp, call: &Call) -> TcpStream {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(call.head(app.address).as_bytes()).await.unwrap();
    stream
}

/// Waits until so many buffers are taken, by looking at it.
async fn until_taken(app: &TestApp, most_left: usize) {
    while app.system.buffers.available() > most_left {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn stalled_pulls_of_one_caller_leave_buffers_to_others_and_are_cut_when_their_own_wait() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let other = app.account("111111111111", "us-east-1").with_repository("app").await.docker().await;
    // More than the sockets of both sides hold.
    let layer = format!("/v2/app/blobs/{}", docker.push_blob("app", &vec![7; 32 * MIB]).await);
    let small = docker.push_blob("app", &chance::bytes(2, 50_000)).await;
    let large = chance::bytes(3, 2 * MIB);
    let mut stalled = Vec::new();
    for _ in 0..70 {
        stalled.push(stalled_pull(&app, &docker.call("GET", layer.clone())).await);
    }
    // Three quarters of 64 are theirs.
    until_taken(&app, 16).await;
    // Another caller's push and pull go on, and what is small goes on for everybody.
    let began = Instant::now();
    let pushed = other.push_blob("app", &large).await;
    assert!(other.get(&format!("/v2/app/blobs/{pushed}")).await.expect(200).body == large);
    docker.push_blob("app", b"small").await;
    assert_eq!(docker.get(&format!("/v2/app/blobs/{small}")).await.expect(200).body.len(), 50_000);
    assert!(began.elapsed() < blob::Buffers::PATIENCE, "somebody waited");
    // A large one of the same caller waits until the longest stalled is cut.
    pause();
    let answer = docker.get(&layer).await;
    resume();
    assert_eq!(answer.expect(200).body.len(), 32 * MIB);
    drop(stalled);
}

#[tokio::test]
async fn http2_streams_whose_windows_stay_closed_keep_nobody_waiting() {
    let app = TestApp::builder().tls(true).start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let layer = format!("/v2/app/blobs/{}", docker.push_blob("app", &vec![7; 4 * MIB]).await);
    let closed = testkit::Http2Client::with_window(app.secure().http2_client(), 0).await;
    let mut held = Vec::new();
    // Three quarters of 64; each answer's first piece is there, and stays there.
    for _ in 0..48 {
        held.push(closed.begin(&docker.call("GET", layer.clone())).await);
    }
    until_taken(&app, 16).await;
    docker.push_blob("app", b"small").await;
    pause();
    let answer = docker.get(&layer).await;
    resume();
    assert_eq!(answer.expect(200).body.len(), 4 * MIB);
}

#[tokio::test]
async fn stalled_pulls_that_have_all_files_open_are_cut_when_another_waits_for_one() {
    let app = TestApp::builder().tls(true).open_files(4).start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let layer = format!("/v2/app/blobs/{}", docker.push_blob("app", &vec![7; 4 * MIB]).await);
    let closed = testkit::Http2Client::with_window(app.secure().http2_client(), 0).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(closed.begin(&docker.call("GET", layer.clone())).await);
    }
    pause();
    let answer = docker.get(&layer).await;
    resume();
    assert_eq!(answer.expect(200).body.len(), 4 * MIB);
}

#[tokio::test]
async fn ranges_of_a_byte_whose_windows_stay_closed_hold_no_buffer() {
    let app = TestApp::builder().tls(true).start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let layer = format!("/v2/app/blobs/{}", docker.push_blob("app", &vec![7; MIB]).await);
    let closed = testkit::Http2Client::with_window(app.secure().http2_client(), 0).await;
    let buffers = app.system.buffers.available();
    let mut held = Vec::new();
    // More than there are buffers. Each byte lies in a block that is larger than what needs no buffer; some lie in two.
    for at in 0..buffers + 6 {
        let range = if at % 2 == 0 { "bytes=0-0" } else { "bytes=131071-131072" };
        let answer = closed.begin(&docker.call("GET", layer.clone()).header("range", range)).await;
        assert_eq!(answer.status(), 206);
        held.push(answer);
    }
    assert_eq!(app.system.buffers.available(), buffers);
    assert_eq!(docker.get(&layer).await.expect(200).body.len(), MIB);
    drop(held);
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_pulls_that_are_stalled() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let layer = format!("/v2/app/blobs/{}", docker.push_blob("app", &vec![7; 32 * MIB]).await);
    let upload = docker.start_upload("app").await;
    let (pull, mut push) =
        (stalled_pull(&app, &docker.call("GET", layer)).await, TcpStream::connect(app.address).await.unwrap());
    let patch = docker.call("PATCH", upload).header("content-length", (4 * MIB).to_string());
    push.write_all(patch.head(app.address).as_bytes()).await.unwrap();
    // A buffer and a half: the half is held until more comes.
    push.write_all(&vec![7; MIB * 3 / 4]).await.unwrap();
    until_taken(&app, 62).await;
    let began = Instant::now();
    let app = app.restart().await;
    assert!(began.elapsed() < listen::listener::DRAIN_TIME, "it waited as long as it may");
    drop((pull, push, app));
}
