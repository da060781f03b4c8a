//! Bodies without credentials. The server refuses each, and may hold only little of it in memory.

use super::Findings;
use crate::Result;
use crate::http::{Connection, Target};
use crate::server::Server;
use crate::threads;
use std::time::Duration;

/// Concurrent connections.
const CONNECTIONS: usize = 4000;
/// Bytes of each body.
const BODY: usize = 1_000_000;
/// Bytes that every connection sends before any of them sends more.
const FIRST: usize = 60_000;
/// Threads that drive the connections.
const THREADS: usize = 50;
/// The most resident memory, during the attack and later.
const GOAL_MIB: u64 = 200;
/// The pause before memory is measured again.
const LATER: Duration = Duration::from_secs(30);

pub fn run(server: &Server, findings: &mut Findings) -> Result<()> {
    // Every connection sends the beginning of its body.
    let nobody = Target { authorization: String::new(), ..server.target.clone() };
    let request = nobody.request("PATCH", "/v2/app/blobs/uploads/x", "", &vec![7; BODY]);
    server.process.reset_peak()?;
    let mut held = (0..CONNECTIONS).map(|_| Connection::open(&nobody)).collect::<Result<Vec<_>>>()?;
    for connection in &mut held {
        connection.send(&request[..FIRST])?;
    }
    findings.memory("after the beginning of every body", server, GOAL_MIB)?;

    // Every connection sends the rest and reads its refusal.
    let share = CONNECTIONS / THREADS;
    let parts: Vec<_> = held.chunks_mut(share).map(std::sync::Mutex::new).collect();
    let answered = threads::each(THREADS, |number| {
        let mut part = parts[number].lock().map_err(|_| "another thread panicked")?;
        let answer = |connection: &mut Connection| {
            connection.send(&request[FIRST..])?;
            connection.answer(false)?.must_be(&[401], &request, b"")
        };
        Ok(part.iter_mut().filter_map(|connection| answer(connection).ok()).count())
    })?;
    findings.note(&format!("answered 401: {} of {CONNECTIONS}", answered.iter().sum::<usize>()));
    findings.peak("peak during the bodies", server, GOAL_MIB)?;
    findings.memory("after every answer", server, GOAL_MIB)?;
    findings.others("another client's GET /livez", &nobody, &nobody.request("GET", "/livez", "", b""), 200)?;
    std::thread::sleep(LATER);
    findings.memory("30 s later", server, GOAL_MIB)
}
