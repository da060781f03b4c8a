//! Slow bodies and slow readers, which must not use up the memory that other clients need.

use super::{AT_ONCE, Findings};
use crate::Result;
use crate::ecru::{call, forged, signed};
use crate::http::{Connection, Target};
use crate::report::Goal;
use crate::server::Server;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Threads that drive the attackers' connections.
const THREADS: usize = 8;
/// The time that the attackers get before other clients are measured.
const TAKE_HOLD: Duration = Duration::from_secs(4);
/// Requests of other clients, of each kind.
const ROUNDS: usize = 12;
/// The pause between two pieces of a slow body. Other clients pause half as long between two requests.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of a manifest near the largest allowed size.
const LARGE: usize = 4_000_000;

/// Runs 400 connections of someone who knows only an access key id. Each sends 256 KiB of a body and then 2 bytes a second.
pub fn bodies(server: &Server, findings: &mut Findings) -> Result<()> {
    trickle(server, findings, 400, &forged(&server.target, "UploadLayerPart")?, 256 * 1024)
}

/// Runs 80 connections of someone who knows only an access key id. Each sends a byte, and then 2 bytes a second: with the chunk
/// framing 560 B/s for all.
pub fn few_bodies(server: &Server, findings: &mut Findings) -> Result<()> {
    trickle(server, findings, 80, &forged(&server.target, "UploadLayerPart")?, 1)
}

/// Runs 400 connections without credentials that send forms. Each sends 64 KiB and then 2 bytes a second.
pub fn forms(server: &Server, findings: &mut Findings) -> Result<()> {
    let nobody = Target { authorization: String::new(), ..server.target.clone() };
    let more = "content-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n";
    trickle(server, findings, 400, &nobody.head("POST", "/", more, None), 64 * 1024)
}

/// Runs 100 clients that request 28 MB or 4 MB of manifests each, and read nothing.
pub fn readers(server: &Server, findings: &mut Findings) -> Result<()> {
    // Push manifests of almost the largest size.
    let others = Others::prepare(server)?;
    call(&server.target, "CreateRepository", &json!({"repositoryName": "large"}))?;
    let mut ids = Vec::new();
    for number in 0..7 {
        let tag = format!("v{number}");
        let manifest = manifest(number, LARGE);
        let input = json!({"repositoryName": "large", "imageTag": tag, "imageManifest": manifest});
        call(&server.target, "PutImage", &input)?;
        ids.push(json!({"imageTag": tag}));
    }

    // Half of the clients request all manifests in one answer, half request one manifest.
    let batch = signed(&server.target, "BatchGetImage", &json!({"repositoryName": "large", "imageIds": ids}))?;
    let manifest = server.target.request("GET", "/v2/large/manifests/v0", "", b"");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for request in [&batch, &manifest] {
            for _ in 0..THREADS {
                scope.spawn(|| read_nothing(server.target.address, request, 50 / THREADS, &stop));
            }
        }
        thread::sleep(TAKE_HOLD);
        let looked = others.look(findings);
        stop.store(true, Ordering::Relaxed);
        looked
    })?;
    findings.memory("resident at the end", server, 400)
}

/// Opens connections that send a first piece of a chunked body and then 2 bytes a second, and measures other clients meanwhile.
fn trickle(server: &Server, findings: &mut Findings, connections: usize, head: &str, first: usize) -> Result<()> {
    let others = Others::prepare(server)?;
    let address = server.target.address;
    let begin = format!("{head}{first:x}\r\n{}\r\n", "x".repeat(first));
    let (stop, begun) = (AtomicBool::new(false), AtomicUsize::new(0));
    let looked = thread::scope(|scope| {
        // The attackers.
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut held: Vec<Option<TcpStream>> = (0..connections / THREADS).map(|_| None).collect();
                while !stop.load(Ordering::Relaxed) {
                    for slot in &mut held {
                        // An attacker that was cut off connects again.
                        let alive = slot.as_mut().is_some_and(trickles);
                        if !alive {
                            begun.fetch_add(1, Ordering::Relaxed);
                            *slot = connect(address, begin.as_bytes());
                        }
                    }
                    thread::sleep(PAUSE);
                }
            });
        }

        // The other clients.
        thread::sleep(TAKE_HOLD);
        let looked = others.look(findings);
        stop.store(true, Ordering::Relaxed);
        looked
    });
    looked?;
    findings.note(&format!("the attackers began {} bodies", begun.load(Ordering::Relaxed)));
    findings.memory("resident at the end", server, 400)
}

fn connect(address: SocketAddr, bytes: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_write_timeout(Some(PAUSE)).ok()?;
    stream.write_all(bytes).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// Sends two more bytes of a body. Returns false if the server has answered or closed the connection.
fn trickles(stream: &mut TcpStream) -> bool {
    let answered = !matches!(stream.read(&mut [0; 512]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    !answered && stream.write_all(b"2\r\nxx\r\n").is_ok()
}

/// Keeps `connections` connections open. Each sends the request and reads nothing, and connects again when it is cut off.
fn read_nothing(address: SocketAddr, request: &[u8], connections: usize, stop: &AtomicBool) {
    let mut held: Vec<Option<TcpStream>> = (0..connections).map(|_| None).collect();
    while !stop.load(Ordering::Relaxed) {
        for slot in &mut held {
            let gone = slot.as_mut().is_none_or(|stream| matches!(stream.peek(&mut [0; 1]), Ok(0)));
            if gone {
                *slot = connect(address, request);
            }
        }
        thread::sleep(PAUSE);
    }
}

fn manifest(number: usize, bytes: usize) -> String {
    let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [],
        "annotations": {"number": number.to_string(), "filler": "x".repeat(bytes), "empty": empty},
    })
    .to_string()
}

/// The requests of other clients during an attack.
struct Others {
    target: Target,
    requests: [(&'static str, Vec<u8>, u16); 3],
}

impl Others {
    fn prepare(server: &Server) -> Result<Others> {
        let target = server.target.clone();
        call(&target, "CreateRepository", &json!({"repositoryName": "app"}))?;
        let (manifest, kind) = (manifest(0, 500), "content-type: application/vnd.oci.image.index.v1+json\r\n");
        let put = target.request("PUT", "/v2/app/manifests/v1", kind, manifest.as_bytes());
        Connection::open(&target)?.call(&put, &[201])?;
        let requests = [
            ("GET manifest", target.request("GET", "/v2/app/manifests/v1", "", b""), 200),
            ("PUT manifest", put, 201),
            ("GetAuthorizationToken", signed(&target, "GetAuthorizationToken", &json!({}))?, 200),
        ];
        Ok(Others { target, requests })
    }

    /// Sends each request repeatedly, and checks the longest wait.
    fn look(&self, findings: &mut Findings) -> Result<()> {
        for (what, request, wanted) in &self.requests {
            let (mut longest, mut refused) = (Duration::ZERO, Vec::new());
            for _ in 0..ROUNDS {
                let began = Instant::now();
                let answered =
                    Connection::open(&self.target).and_then(|mut connection| connection.call(request, &[*wanted]));
                longest = longest.max(began.elapsed());
                match answered {
                    Ok(_) => {}
                    Err(error) => refused.push(error.to_string()),
                }
                thread::sleep(PAUSE / 2);
            }
            let mut goal = Goal::within("longest answer", AT_ONCE, longest);
            if let Some(first) = refused.first() {
                goal = Goal { text: format!("{} of {ROUNDS} refused: {first}", refused.len()), reached: false };
            }
            findings.goal(&format!("another client's {what}, {ROUNDS} times"), goal);
        }
        Ok(())
    }
}
