//! Measures the time from the start of the process to the first 200.

use super::kept;
use crate::Result;
use crate::bench::{Bench, Peer, Side, remove};
use crate::docker_registry;
use crate::report::{Goal, Report, Table, mib, milliseconds, of};
use crate::sample::{Sample, Samples};
use crate::server::Server;
use std::time::{Duration, Instant};

pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let head = ["store", "Ecru", "least to most", "CPU", "MiB", "peer", "goal", "reached"];
    let mut table = Table::new("Start-up to the first 200", &head);
    let empty = bench.directory.join("start-up");
    let new = bench.rounds(&bench.sides(), |side, _| {
        remove(&empty)?;
        match (side, &bench.peer) {
            (Side::Ecru, _) => timed(|| bench.ecru.spawn(&empty)),
            (_, Peer::Ecru(peer)) => timed(|| peer.spawn(&empty)),
            _ => timed(|| docker_registry::start(&empty)),
        }
    })?;
    remove(&empty)?;
    table.rows.push(row("a new directory".to_owned(), &new.ecru, &new.peer, Duration::from_millis(50)));
    let count = if bench.quick { 10_000 } else { 1_000_000 };
    let directory = kept::images(bench, count)?;
    let full = bench.rounds(&[Side::Ecru], |_, _| timed(|| bench.ecru.spawn(&directory)))?;
    table.rows.push(row(format!("{count} images"), &full.ecru, &full.peer, Duration::from_millis(200)));
    report.table(table);
    Ok(())
}

fn timed(start: impl FnOnce() -> Result<Server>) -> Result<Sample> {
    let began = Instant::now();
    let server = start()?;
    let seconds = began.elapsed().as_secs_f64();
    let (cpu, peak) = (server.process.cpu()?, server.process.peak()?);
    Ok(Sample { amount: 1.0, seconds, cpu, latencies: vec![Duration::from_secs_f64(seconds)], peak, refused: 0 })
}

fn row(store: String, ecru: &Samples, peer: &Samples, goal: Duration) -> Vec<String> {
    let median = |samples: &Samples| Duration::from_secs_f64(samples.median(|sample| sample.seconds));
    let edge = |share| milliseconds(ecru.latency(share).unwrap_or_default());
    let goals = [Goal::within("start", goal, median(ecru))];
    vec![
        store,
        format!("{} ms", milliseconds(median(ecru))),
        format!("{} to {} ms", edge(0.0), edge(1.0)),
        format!("{:.0} ms", ecru.cpu_each() * 1e3),
        mib(ecru.peak()),
        of(peer, |peer| format!("{} ms", milliseconds(median(peer)))),
        Goal::texts(&goals),
        Goal::reached(&goals),
    ]
}
