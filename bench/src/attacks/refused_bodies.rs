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
    let held = threads::each(THREADS, |_| {
        let mut held = Vec::with_capacity(CONNECTIONS / THREADS);
        for _ in 0..CONNECTIONS / THREADS {
            let mut connection = Connection::open(&nobody)?;
            connection.call(&request, &[401])?;
            held.push(connection);
        }
        Ok(held)
    })?;
    findings.peak("peak while the bodies come", server, GOAL_MIB)?;
    findings.memory("at once", server, GOAL_MIB)?;
    findings.others("another's GET /livez", &nobody, &nobody.request("GET", "/livez", "", b""), 200)?;
    std::thread::sleep(LATER);
    findings.memory("30 s later", server, GOAL_MIB)?;
    drop(held);
    Ok(())
}
