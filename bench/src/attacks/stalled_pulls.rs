//! Pulls that read nothing hold what others need.
use super::{AT_ONCE, Findings};
use crate::Result;
use crate::content::{Big, Noise, fresh_seed};
use crate::http::Connection;
use crate::server::Server;
use crate::works::upload::{By, push_big};
use oci::{Algorithm, Digest};
use std::time::Duration;

/// Pulls at once, of one layer.
const PULLS: usize = 600;
const LAYER_MIB: u64 = 256;
/// Bytes of another's layers: one that is kept in a record, one that is read in one small piece, one that needs buffers.
const OTHERS: [usize; 3] = [1000, 50_000, 2_000_000];
/// Bytes of a body, and of a layer that is read, that need no buffer.
const SMALL_PUSH: usize = 16 * 1024;
const SMALL_PULL: usize = 64 * 1024;
/// After so long the server cuts a stalled transfer off, when others wait.
const STALL_TIME: Duration = Duration::from_secs(5);

pub fn run(server: &Server, findings: &mut Findings) -> Result<()> {
    let target = &server.target;
    server.repository("app")?;
    let mut big = Big::new(LAYER_MIB, fresh_seed());
    push_big(&mut Connection::open(target)?, target, "app", &mut big, By::Put)?;
    let get = target.head("GET", &format!("/v2/app/blobs/{}", big.digest), "", None);
    let mut stalled = Vec::with_capacity(PULLS);
    for _ in 0..PULLS {
        let mut connection = Connection::open(target)?;
        connection.send(get.as_bytes())?;
        stalled.push(connection);
    }
    for bytes in OTHERS {
        // The same caller's larger transfers wait until the longest stalled are cut off.
        let within = |small: usize| if bytes > small { STALL_TIME + AT_ONCE } else { AT_ONCE };
        let body = Noise::new(fresh_seed()).bytes(bytes);
        let digest = Digest::of(Algorithm::Sha256, &body);
        let push = target.request("POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), "", &body);
        findings.others_within(
            &format!("a push of {bytes} bytes by the same caller"),
            target,
            &push,
            201,
            within(SMALL_PUSH),
        )?;
        let pull = target.request("GET", &format!("/v2/app/blobs/{digest}"), "", b"");
        findings.others_within(&format!("a pull of {bytes} bytes"), target, &pull, 200, within(SMALL_PULL))?;
    }
    drop(stalled);
    Ok(())
}
