//! Heads that never end. The memory that the server holds for them must be bounded.

use super::Findings;
use crate::Result;
use crate::http::{Connection, Target};
use crate::server::Server;
use std::time::Duration;

const CONNECTIONS: usize = 4000;
/// Bytes of each head. The server allows 64 KiB.
const HEAD: usize = 60_000;
const GOAL_MIB: u64 = 200;
/// The time that the server needs to read the heads.
const SETTLE: Duration = Duration::from_secs(3);

pub fn run(server: &Server, findings: &mut Findings) -> Result<()> {
    let nobody = Target { authorization: String::new(), ..server.target.clone() };
    let mut head = format!("GET /v2/ HTTP/1.1\r\nhost: {}\r\n", nobody.address).into_bytes();
    while head.len() < HEAD {
        head.extend_from_slice(b"x-filler: ");
        head.resize(head.len() + 1000, b'x');
        head.extend_from_slice(b"\r\n");
    }
    server.process.reset_peak()?;
    let mut held = (0..CONNECTIONS).map(|_| Connection::open(&nobody)).collect::<Result<Vec<_>>>()?;
    // The server closes connections that hold too much, so sending to them fails.
    let refused = held.iter_mut().filter_map(|connection| connection.send(&head).err()).count();
    findings.note(&format!("closed while sending: {refused} of {CONNECTIONS}"));
    std::thread::sleep(SETTLE);
    findings.peak("peak", server, GOAL_MIB)?;
    findings.others("another client's GET /livez", &nobody, &nobody.request("GET", "/livez", "", b""), 200)
}
