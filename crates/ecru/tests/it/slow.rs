//! Clients that keep the server waiting. Real connections and a paused clock: it is paused only once the server waits, since a
//! paused clock runs ahead whenever nothing but the network moves.

use blob::faulty::EngineCall;
use std::time::Duration;
use testkit::{Image, TestApp, chance, digest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, pause, resume, sleep};

const MIB: usize = 1024 * 1024;

/// Reads a head, 100 Continue's as well.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("the connection ended"));
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_pull_that_finds_no_buffer_is_told_to_come_again() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let layer = chance::bytes(1, 300_000);
    let target = format!("/v2/app/blobs/{}", docker.push_blob("app", &layer).await);
    // Every one of them, also one that the push has not given back yet: with that one the pull would begin, and the paused clock
    // would take it for one whose client reads nothing.
    let mut taken = Vec::new();
    for _ in 0..64 {
        taken.push(app.system.buffers.take().await);
    }
    let gate = app.faults.hold(EngineCall::Next);
    let pull = docker.get(&target);
    let wait = async {
        gate.reached().await;
        pause();
        gate.open();
    };
    let (answer, ()) = tokio::join!(pull, wait);
    resume();
    let answer = answer.expect(503);
    assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("TOOMANYREQUESTS", Some("1")));
    drop(taken);
    assert_eq!(docker.get(&target).await.expect(200).body, layer);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_cut_and_what_came_is_kept() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let upload = docker.start_upload("app").await;
    let call = docker.call("PATCH", upload.clone()).header("content-length", "1000").header("expect", "100-continue");
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    // The server's patience begins when it asks for the body, which is before its 100 is read here.
    let began = Instant::now();
    stream.write_all(call.head(app.address).as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 100 "));
    // Now the server waits for the body, and nothing but its patience is left to pass.
    pause();
    let answer = head(&mut stream).await;
    resume();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(began.elapsed() >= Duration::from_secs(60));
    assert_eq!(docker.get(&upload).await.expect(204).header("range"), Some("0-0"));
}

#[tokio::test]
async fn a_pull_whose_client_reads_nothing_is_cut_and_gives_its_buffers_back() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    // More than the sockets of both sides hold.
    let layer = vec![7; 32 * MIB];
    let target = format!("/v2/app/blobs/{}", docker.push_blob("app", &layer).await);
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(docker.call("GET", target).head(app.address).as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200 "));
    let buffers = &app.system.buffers;
    pause();
    sleep(Duration::from_secs(3600)).await;
    resume();
    assert_eq!(buffers.available(), 64, "a client that is gone holds buffers");
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest).await;
    assert!(end.is_err() || rest.len() < layer.len(), "the whole layer was sent");
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_closed_long_before_an_idle_one() {
    let app = TestApp::start().await;
    let mut silent = TcpStream::connect(app.address).await.unwrap();
    let mut idle = TcpStream::connect(app.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(head(&mut idle).await.starts_with("HTTP/1.1 200 "));
    let mut body = [0; 3];
    idle.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"ok\n");
    let began = Instant::now();
    pause();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    let first = began.elapsed();
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
    let second = began.elapsed();
    assert!(first < Duration::from_secs(15) && second > Duration::from_secs(90), "{first:?} {second:?}");
}

#[tokio::test]
async fn who_waits_for_100_continue_and_is_refused_never_hears_it() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let nobody = testkit::Docker::new(&app, None);
    let body = digest(b"body");
    let target = format!("/v2/app/blobs/uploads/?digest={body}");
    for (call, status) in [
        (nobody.call("POST", target.clone()), "401"),
        (docker.call("POST", target.replace("app", "missing")), "404"),
        (docker.call("PUT", "/v2/app/manifests/UPPER:wrong"), "400"),
    ] {
        let call = call.header("content-length", "1000000").header("expect", "100-continue");
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(call.head(app.address).as_bytes()).await.unwrap();
        let answer = head(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    docker.push("app", "v1", &Image::new(1)).await;
}
