//! Nobody without verified credentials holds memory that others need, and nobody who reads slowly. Small budgets stand for those
//! of the process; real connections, whose clock is moved once the server waits for them.

use listen::memory::{Budget, BudgetSizes, STALL_TIME};
use serde_json::json;
use std::net::SocketAddr;
use testkit::http::Call;
use testkit::{AwsCaller, Image, TestApp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{advance, pause, resume};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Budgets of which a few connections take all.
const SMALL: BudgetSizes =
    BudgetSizes { forms: 64 * KIB, unverified: 64 * KIB, calls: 16 * MIB, manifests: 16 * MIB, answers: 16 * MIB };

/// A call as its head goes onto the wire, with a body of unknown length.
fn chunked(call: Call, address: SocketAddr) -> String {
    call.header("transfer-encoding", "chunked").head(address)
}

/// Sends a head and a first piece of its body, and no more.
async fn begin(address: SocketAddr, head: &str, piece: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let bytes = format!("{head}{piece:x}\r\n{}\r\n", "x".repeat(piece));
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

/// Returns once the budget has no more than so many bytes free.
async fn full(budget: &Budget, free: usize) {
    while budget.free() > free {
        tokio::task::yield_now().await;
    }
}

/// Lets the time pass in which a client must make progress.
async fn stall() {
    pause();
    advance(STALL_TIME).await;
    resume();
}

/// Everything that clients of a registry do, by a caller of whom the server knows nothing yet.
async fn all_is_served(caller: &AwsCaller<'_>) {
    let docker = caller.docker().await;
    let image = Image::new(7);
    docker.push("app", "v1", &image).await;
    docker.get("/v2/app/manifests/v1").await.expect(200);
    docker.get(&format!("/v2/app/referrers/{}", image.digest())).await.expect(200);
    caller.ecr("BatchGetImage", json!({"repositoryName": "app", "imageIds": [{"imageTag": "v1"}]})).await.ok();
    assert_eq!(caller.sts("GetCallerIdentity", "").await.status, 200);
}

/// The head of a call that is signed with another secret than the key's, and of a body whose length nobody knows.
fn forged(app: &TestApp, account: &str, operation: &str) -> String {
    let stranger = AwsCaller { secret: "wrong".to_owned(), ..app.account(account, "us-east-1") };
    let target = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
    chunked(stranger.sign("ecr", Call::new("POST", "/").header("x-amz-target", target)), app.address)
}

#[tokio::test]
async fn who_knows_an_access_key_id_alone_stops_nobody_by_bodies_that_trickle_in() {
    let app = TestApp::builder().memory(SMALL).start().await;
    let head = forged(&app, "111122223333", "CreateRepository");
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(begin(app.address, &head, 4000).await);
    }
    full(&app.budgets.unverified, 0).await;
    stall().await;
    // The key's owner, at the same address, and everybody else.
    for account in ["111122223333", "000000000000"] {
        all_is_served(&app.account(account, "us-east-1").with_repository("app").await).await;
    }
    assert!(app.budgets.unverified.evicted() > 0);
    // Who was cut off reads why.
    let mut answer = [0; 4096];
    let length = held.remove(0).read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"), "{answer}");
}

#[tokio::test]
async fn who_shares_an_address_with_the_owner_of_a_key_stops_nobody_either() {
    let app = TestApp::builder().memory(SMALL).start().await;
    let caller = app.administrator().with_repository("app").await;
    let head = forged(&app, "000000000000", "UploadLayerPart");
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(begin(app.address, &head, MIB - 1000).await);
    }
    full(&app.budgets.calls, 0).await;
    stall().await;
    all_is_served(&caller).await;
    all_is_served(&app.account("111122223333", "us-east-1").with_repository("app").await).await;
    assert!(app.budgets.calls.evicted() > 0);
    drop(held);
}

#[tokio::test]
async fn forms_of_nobody_stop_nobody() {
    let app = TestApp::builder().memory(SMALL).start().await;
    let call = Call::new("POST", "/").header("content-type", "application/x-www-form-urlencoded");
    let head = chunked(call, app.address);
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(begin(app.address, &head, 4000).await);
    }
    full(&app.budgets.forms, 0).await;
    stall().await;
    all_is_served(&app.administrator().with_repository("app").await).await;
    assert!(app.budgets.forms.evicted() > 0);
    drop(held);
}

/// Sends a request and reads the head of its answer, through a window so small that the rest stays with the server.
async fn read_nothing(address: SocketAddr, call: &Call) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(call.head(address).as_bytes()).await.unwrap();
    stream.write_all(&call.body).await.unwrap();
    let mut status = [0; 15];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test]
async fn answers_that_nobody_reads_stop_nobody() {
    let app = TestApp::builder().memory(SMALL).start().await;
    let caller = app.administrator().with_repository("app").await;
    let docker = caller.docker().await;
    docker.push("app", "small", &Image::new(7)).await;
    // Two of them take the share of a caller.
    let large = "x".repeat(3900 * KIB);
    let large: Vec<Image> =
        (0..2).map(|seed| Image::builder(seed).member("annotations", json!({ "x": large.clone() })).build()).collect();
    let mut ids = Vec::new();
    for image in &large {
        docker.push("app", &image.digest(), image).await;
        ids.push(json!({"imageDigest": image.digest()}));
    }
    let batch = |caller: &AwsCaller<'_>| {
        let call = Call::new("POST", "/")
            .header("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.BatchGetImage")
            .body(json!({"repositoryName": "app", "imageIds": ids}).to_string());
        caller.sign("ecr", call)
    };
    let unread = read_nothing(app.address, &batch(&caller)).await;
    full(&app.budgets.answers, 9 * MIB).await;
    // Another account's caller finds room at once.
    let other = app.account("111122223333", "us-east-1").with_repository("app").await;
    all_is_served(&other).await;
    assert_eq!(app.budgets.answers.evicted(), 0);
    // The same caller's next answer takes the place of the one that nobody reads.
    stall().await;
    let answer = batch(&caller).send(app.address).await.expect(200).json();
    assert_eq!(answer["images"].as_array().map(Vec::len), Some(2));
    assert_eq!(app.budgets.answers.evicted(), 1);
    // So it is with manifests on docker's door.
    let mut unread = vec![unread];
    for image in large.iter().cycle().take(3) {
        let get = docker.call("GET", format!("/v2/app/manifests/{}", image.digest()));
        unread.push(read_nothing(app.address, &get).await);
    }
    full(&app.budgets.manifests, 5 * MIB).await;
    all_is_served(&other).await;
    // The caller's own small manifests find room even before.
    docker.get("/v2/app/manifests/small").await.expect(200);
    stall().await;
    all_is_served(&caller).await;
    assert!(app.budgets.manifests.evicted() > 0);
    drop(unread);
}

#[tokio::test]
async fn manifests_that_trickle_in_stop_no_manifest_of_others() {
    let app = TestApp::builder().memory(SMALL).start().await;
    let caller = app.administrator().with_repository("app").await;
    let docker = caller.docker().await;
    let head = chunked(docker.call("PUT", "/v2/app/manifests/slow"), app.address);
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(begin(app.address, &head, MIB - 1000).await);
    }
    full(&app.budgets.manifests, 4 * MIB).await;
    all_is_served(&app.account("111122223333", "us-east-1").with_repository("app").await).await;
    stall().await;
    all_is_served(&caller).await;
    assert!(app.budgets.manifests.evicted() > 0);
    drop(held);
}

#[tokio::test]
async fn a_forged_call_that_states_its_bodys_hash_is_refused_before_its_body_comes() {
    let app = TestApp::builder().memory(SMALL).start().await;
    let hash = "0".repeat(64);
    let call = |caller: &AwsCaller<'_>| {
        let call = Call::new("POST", "/")
            .header("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.UploadLayerPart")
            .header("x-amz-content-sha256", hash.clone())
            .header("content-length", "1000000");
        caller.sign("ecr", call)
    };
    let forger = AwsCaller { secret: "wrong".to_owned(), ..app.administrator() };
    let answer = call(&forger).send(app.address).await.expect(400);
    assert_eq!(answer.json()["__type"], "InvalidSignatureException");
    // Of the key's owner the body is read, in the budget of callers that are known, and found to be another.
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(call(&app.administrator()).head(app.address).as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; 500_000]).await.unwrap();
    full(&app.budgets.calls, SMALL.calls - 500_000).await;
    assert_eq!(app.budgets.unverified.free(), SMALL.unverified);
    stream.write_all(&vec![b'x'; 500_000]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("InvalidSignatureException"), "{answer}");
}
