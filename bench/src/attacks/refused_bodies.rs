//! Bodies without credentials: each is refused, and its connection holds little of it.
use super::Findings;
use crate::Result;
use crate::http::{Connection, Target};
use crate::server::Server;
use crate::threads;
use std::time::Duration;

/// Connections at once.
const CONNECTIONS: usize = 4000;
/// Bytes of each one's body.
const BODY: usize = 1_000_000;
/// Bytes that all send before any sends more.
const FIRST: usize = 60_000;
/// Threads that drive them.
const THREADS: usize = 50;
/// Resident memory at most, at once and later.
const GOAL_MIB: u64 = 200;
/// When memory is looked at again.
const LATER: Duration = Duration::from_secs(30);

pub fn run(server: &Server, findings: &mut Findings) -> Result<()> {
    let nobody = Target { authorization: String::new(), ..server.target.clone() };
    let request = nobody.request("PATCH", "/v2/app/blobs/uploads/x", "", &vec![7; BODY]);
    server.process.reset_peak()?;
    let mut held = (0..CONNECTIONS).map(|_| Connection::open(&nobody)).collect::<Result<Vec<_>>>()?;
    for connection in &mut held {
        connection.send(&request[..FIRST])?;
    }
    findings.memory("each has begun", server, GOAL_MIB)?;
    let share = CONNECTIONS / THREADS;
    let parts: Vec<_> = held.chunks_mut(share).map(std::sync::Mutex::new).collect();
    let answered = threads::each(THREADS, |number| {
        let mut part = parts[number].lock().map_err(|_| "another thread broke")?;
        let answer = |connection: &mut Connection| {
            connection.send(&request[FIRST..])?;
            connection.answer(false)?.must_be(&[401], &request, b"")
        };
        Ok(part.iter_mut().filter_map(|connection| answer(connection).ok()).count())
    })?;
    findings.note(&format!("answered 401: {} of {CONNECTIONS}", answered.iter().sum::<usize>()));
    findings.peak("peak while the bodies come", server, GOAL_MIB)?;
    findings.memory("each has its answer", server, GOAL_MIB)?;
    findings.others("another's GET /livez", &nobody, &nobody.request("GET", "/livez", "", b""), 200)?;
    std::thread::sleep(LATER);
    findings.memory("30 s later", server, GOAL_MIB)
}
