//! Many concurrent, unfinished pushes by one caller.

use super::Findings;
use crate::Result;
use crate::http::Connection;
use crate::server::Server;
use crate::workloads::upload::begin;
use std::io::Write as _;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 2000;
/// Bytes that each push sends of its body.
const SENT: usize = 1024 * 1024;
/// Bytes of the body of each push.
const BODY: u64 = 64 * 1024 * 1024;
const GOAL_MIB: u64 = 400;
/// The longest time that the pushes may send. The attack does not wait longer for a push that is blocked.
const SPAN: Duration = Duration::from_secs(20);

pub fn run(server: &Server, findings: &mut Findings) -> Result<()> {
    // Open all uploads.
    let target = &server.target;
    server.repository("app")?;
    server.process.reset_peak()?;
    let mut first = Connection::open(target)?;
    let mut held = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let upload = begin(&mut first, target, "app")?;
        let mut connection = Connection::open(target)?;
        connection.send(target.head("PATCH", &upload, "", Some(BODY)).as_bytes())?;
        connection.socket().set_nonblocking(true)?;
        held.push((connection, 0));
    }

    // Write to all connections round robin, because the server reads only what it has memory for.
    let (piece, until) = (vec![7; SENT], Instant::now() + SPAN);
    while Instant::now() < until && held.iter().any(|(_, sent)| *sent < SENT) {
        for (connection, sent) in &mut held {
            *sent += connection.socket().write(&piece[*sent..]).unwrap_or_default();
        }
    }
    let done = held.iter().filter(|(_, sent)| *sent == SENT).count();
    findings.note(&format!("{done} of {CONNECTIONS} could send {} MiB", SENT / 1024 / 1024));

    findings.peak("peak", server, GOAL_MIB)?;
    findings.others("another client's GET /livez", target, &target.request("GET", "/livez", "", b""), 200)?;
    drop(held);
    std::thread::sleep(Duration::from_secs(5));
    findings.memory("5 s after the pushes closed", server, GOAL_MIB)
}
