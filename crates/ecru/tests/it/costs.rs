//! What a request costs: how often memory is taken for it, by the whole process. Time would say more about the machine than
//! about the code; this number changes with the code alone.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use testkit::{Image, TestApp, digest, location};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests that go before, so that what is made once is there.
const WARM: usize = 16;
const COUNTED: usize = 64;

/// A request as it goes onto the wire, with the status that its answer must have.
struct Exchange {
    request: Vec<u8>,
    status: &'static str,
}

/// Sends it over a connection that stays open, and reads the answer to its end.
async fn exchange(stream: &mut TcpStream, Exchange { request, status }: &Exchange, buffer: &mut [u8]) {
    stream.write_all(request).await.unwrap();
    let mut filled = 0;
    let end = loop {
        filled += stream.read(&mut buffer[filled..]).await.unwrap();
        if let Some(at) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = std::str::from_utf8(&buffer[..end]).unwrap();
    assert!(head.starts_with(status), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    while !request.starts_with(b"HEAD") && filled < end + length {
        filled += stream.read(&mut buffer[filled..]).await.unwrap();
    }
}

/// Allocations for one of these requests, on the average of [`COUNTED`].
async fn allocations(app: &TestApp, exchanges: &[Exchange]) -> usize {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let (warm, counted) = exchanges.split_at(WARM);
    for exchange in warm {
        self::exchange(&mut stream, exchange, &mut buffer).await;
    }
    let region = Region::new(ALLOCATOR);
    for exchange in counted {
        self::exchange(&mut stream, exchange, &mut buffer).await;
    }
    let change = region.change();
    (change.allocations + change.reallocations) / counted.len()
}

/// The limits are what was counted when they were written, and a tenth: who passes one adds work to every request of its kind,
/// and either takes it out again or says here what it is for.
#[tokio::test]
async fn the_commonest_requests_take_memory_no_more_often_than_they_did() {
    let app = TestApp::start().await;
    if app.system.db.engine() != "sqlite" {
        // The limits are SQLite's; what PostgreSQL costs is counted in `registry`.
        return;
    }
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push("app", "v1", &image).await;
    let wire = |method: &str, target: &str, status, body: &[u8]| {
        let call = docker.call(method, target).header("connection", "keep-alive").body(body.to_vec());
        Exchange { request: [call.head(app.address).as_bytes(), body].concat(), status }
    };
    let mut puts = Vec::new();
    for number in 0..WARM + COUNTED {
        let layer = format!("layer {number}").repeat(100);
        let upload = location(&docker.post("/v2/app/blobs/uploads/", "").await.expect(202));
        let target = format!("{upload}?digest={}", digest(layer.as_bytes()));
        puts.push(wire("PUT", &target, "HTTP/1.1 201", layer.as_bytes()));
    }
    let same = |method: &str, target: &str| -> Vec<Exchange> {
        (0..WARM + COUNTED).map(|_| wire(method, target, "HTTP/1.1 200", b"")).collect()
    };
    let layer = format!("/v2/app/blobs/{}", digest(image.layer()));
    let mut exceeded = Vec::new();
    for (what, exchanges, limit) in [
        ("GET a manifest by tag", same("GET", "/v2/app/manifests/v1"), 90),
        ("HEAD a layer", same("HEAD", &layer), 92),
        ("PUT a small layer", puts, 168),
    ] {
        let counted = allocations(&app, &exchanges).await;
        if counted > limit {
            exceeded.push(format!("{what}: {counted}, at most {limit} were expected"));
        }
    }
    assert!(exceeded.is_empty(), "{exceeded:#?}");
}
