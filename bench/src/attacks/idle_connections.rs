//! Idle connections that use up all of a server's places.

use super::Findings;
use crate::Result;
use crate::http::{Connection, Target};
use crate::server::Server;

/// Connections that stay open after one request: as many as the server allows.
const IDLE: usize = 4096;
/// Connections that send nothing at all.
const SILENT: usize = 5000;

pub fn run(server: &Server, findings: &mut Findings) -> Result<()> {
    let nobody = Target { authorization: String::new(), ..server.target.clone() };
    let ping = nobody.request("GET", "/v2/", "", b"");
    let live = nobody.request("GET", "/livez", "", b"");
    let mut idle = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut connection = Connection::open(&nobody)?;
        connection.call(&ping, &[401])?;
        idle.push(connection);
    }
    let known = server.target.request("GET", "/v2/", "", b"");
    findings.others("GET /livez beside 4,096 idle connections", &nobody, &live, 200)?;
    findings.others("GET /v2/ with a login", &server.target, &known, 200)?;
    // This process may not have enough file descriptors for both groups, so close the first.
    drop(idle);
    let silent = (0..SILENT).map(|_| Connection::open(&nobody)).collect::<Result<Vec<_>>>()?;
    findings.others("GET /livez beside 5,000 silent connections", &nobody, &live, 200)?;
    findings.others("GET /v2/ with a login", &server.target, &known, 200)?;
    drop(silent);
    Ok(())
}
