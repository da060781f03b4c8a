//! Pushes several big layers concurrently.

use super::upload::{PushMethod, push_big};
use crate::Result;
use crate::bench::{Bench, remove};
use crate::content::{BigLayer, fresh_seed};
use crate::http::Connection;
use crate::report::{Goal, Report, Unit};
use crate::sample::{Sample, ratio};
use crate::server::WorkloadResult;
use crate::threads;
use std::sync::Mutex;

const PUSHES: u64 = 8;
const REPOSITORY: &str = "parallel";

pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let mib = if bench.quick { 32 } else { 128 };
    let turns = bench.rounds(&bench.sides(), |side, _| {
        let server = bench.start(side)?;
        server.repository(REPOSITORY)?;
        let seed = fresh_seed();
        // Each thread takes one layer.
        let layers = Mutex::new((0..PUSHES).map(|number| BigLayer::new(mib, seed + number)).collect::<Vec<_>>());
        let sample = server.measure(|target| {
            threads::each(PUSHES as usize, |_| {
                let big = layers.lock().map_err(|_| "a push's thread panicked")?.pop();
                let mut big = big.ok_or("fewer layers than pushes")?;
                push_big(&mut Connection::open(target)?, target, REPOSITORY, &mut big, PushMethod::Patch)
            })?;
            Ok(WorkloadResult::bytes(PUSHES * mib * 1024 * 1024))
        });
        let directory = server.directory.clone();
        drop(server);
        remove(&directory)?;
        sample
    })?;
    let mut goals = Vec::new();
    if !turns.peer.0.is_empty() {
        goals.push(Goal::at_least("MB/s", 2.0, ratio(&turns.ecru, &turns.peer, Sample::rate).of_medians));
    }
    goals.push(Goal::memory(64, turns.ecru.peak()));
    report.row(&format!("{PUSHES} parallel pushes of {mib} MiB"), Unit::Bytes, &turns, &goals);
    Ok(())
}
