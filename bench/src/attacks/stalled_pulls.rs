//! Stalled pulls, which hold buffers and open files that other transfers need.

use super::{AT_ONCE, Findings};
use crate::Result;
use crate::content::{BigLayer, Noise, fresh_seed};
use crate::http::Connection;
use crate::server::Server;
use crate::workloads::upload::{PushMethod, push_big};
use oci::{Algorithm, Digest};
use std::time::Duration;

/// Concurrent pulls of one layer.
const PULLS: usize = 600;
const LAYER_MIB: u64 = 256;
/// Bytes of the other layers: one that is stored in its record, one that is read in one small piece, one that needs buffers.
const OTHERS: [usize; 3] = [1000, 50_000, 2_000_000];
/// The largest body of a push that needs no buffer, in bytes.
const SMALL_PUSH: usize = 16 * 1024;
/// The largest layer whose pull needs no buffer, in bytes.
const SMALL_PULL: usize = 64 * 1024;
/// The time after which the server cuts off a stalled transfer if others wait.
const STALL_TIME: Duration = Duration::from_secs(5);

pub fn run(server: &Server, findings: &mut Findings) -> Result<()> {
    // Start pulls that never read.
    let target = &server.target;
    server.repository("app")?;
    let mut big = BigLayer::new(LAYER_MIB, fresh_seed());
    push_big(&mut Connection::open(target)?, target, "app", &mut big, PushMethod::Put)?;
    let get = target.head("GET", &format!("/v2/app/blobs/{}", big.digest), "", None);
    let mut stalled = Vec::with_capacity(PULLS);
    for _ in 0..PULLS {
        let mut connection = Connection::open(target)?;
        connection.send(get.as_bytes())?;
        stalled.push(connection);
    }

    for bytes in OTHERS {
        // A transfer that needs buffers has to wait until the server cuts off the longest stalled pulls.
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
