//! Pushes and pulls big layers.

use super::upload::{PushMethod, push_big, send_big};
use crate::Result;
use crate::bare::BareLoop;
use crate::bench::{Bench, Side, WorkloadSamples, remove};
use crate::content::{BigLayer, MIB, fresh_seed};
use crate::http::{Connection, Target};
use crate::report::{Goal, Report, Unit};
use crate::sample::{Sample, ratio};
use crate::server::{Server, ServerKind, WorkloadResult};
use crate::threads;

pub const REPOSITORY: &str = "bulk";

/// Returns the size of the layer in MiB, and its name.
pub fn layer(bench: &Bench) -> (u64, &'static str) {
    if bench.quick { (256, "256 MiB") } else { (1024, "1 GiB") }
}

pub fn push_patch(bench: &Bench, report: &mut Report) -> Result<()> {
    push(bench, report, "one PATCH", PushMethod::Patch)
}

pub fn push_put(bench: &Bench, report: &mut Report) -> Result<()> {
    push(bench, report, "one PUT", PushMethod::Put)
}

/// Measures a push. Each sample uses a new server on a new directory, so that the disk does not fill and memory starts fresh.
fn push(bench: &Bench, report: &mut Report, how: &str, by: PushMethod) -> Result<()> {
    let (mib, size) = layer(bench);
    let turn = |side, _| {
        let server = bench.start(side)?;
        let mut big = BigLayer::new(mib, fresh_seed());
        server.repository(REPOSITORY)?;
        let sample = server.measure(|target| push_once(&server, target, &mut big, by));
        let directory = server.directory.clone();
        drop(server);
        remove(&directory)?;
        sample
    };
    let mut sides = bench.sides();
    sides.extend([Side::Bare(BareLoop::Receive), Side::Bare(BareLoop::ReceiveDirect)]);
    let turns = bench.rounds(&sides, turn)?;
    let mut goals = Vec::new();
    if !turns.peer.0.is_empty() {
        goals.push(Goal::at_least("MB/s", 2.0, ratio(&turns.ecru, &turns.peer, Sample::rate).of_medians));
        goals.push(Goal::at_most("CPU", 0.4, ratio(&turns.ecru, &turns.peer, Sample::cpu_each).of_medians));
    }
    goals.push(to_bare(&turns));
    report.row(&format!("push {size}, {how}"), Unit::Bytes, &turns, &goals);
    Ok(())
}

fn to_bare(turns: &WorkloadSamples) -> Goal {
    Goal::at_most("CPU to bare", 1.3, ratio(&turns.ecru, &turns.bare, Sample::cpu_each).of_medians)
}

pub fn push_once(server: &Server, target: &Target, big: &mut BigLayer, by: PushMethod) -> Result<WorkloadResult> {
    let mut connection = Connection::open(target)?;
    if server.kind == ServerKind::Bare {
        send_big(&mut connection, target, "PUT", "/", big, 201)?;
    } else {
        push_big(&mut connection, target, REPOSITORY, big, by)?;
    }
    Ok(WorkloadResult::bytes(big.len()))
}

pub fn pull_one(bench: &Bench, report: &mut Report) -> Result<()> {
    pull(bench, report, 1)
}

pub fn pull_four(bench: &Bench, report: &mut Report) -> Result<()> {
    pull(bench, report, 4)
}

fn pull(bench: &Bench, report: &mut Report, streams: usize) -> Result<()> {
    let (mib, size) = layer(bench);

    // Every server gets the same layer.
    let mut sides = bench.sides();
    sides.push(Side::Bare(BareLoop::Send));
    let servers = bench.start_all(&sides)?;
    let mut big = BigLayer::new(mib, fresh_seed());
    for (_, server) in &servers {
        server.repository(REPOSITORY)?;
        place(server, &mut big)?;
    }

    // Measure with the layer in the page cache, then from the disk.
    let path = format!("/v2/{REPOSITORY}/blobs/{}", big.digest);
    for is_cached in [true, false] {
        let turns = bench.rounds_of(&servers, |server, _| {
            if is_cached {
                pull_once(&server.target, &path, 1, big.len())?;
            } else {
                server.forget_pages()?;
            }
            server.measure(|target| pull_once(target, &path, streams, big.len()))
        })?;
        let mut goals = Vec::new();
        if !turns.peer.0.is_empty() {
            goals.push(Goal::at_least("MB/s", 1.1, ratio(&turns.ecru, &turns.peer, Sample::rate).of_medians));
            goals.push(Goal::at_most("CPU", 0.7, ratio(&turns.ecru, &turns.peer, Sample::cpu_each).of_medians));
        }
        goals.push(to_bare(&turns));
        let streams = if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") };
        let cached = if is_cached { "cached" } else { "from disk" };
        report.row(&format!("pull {size}, {streams}, {cached}"), Unit::Bytes, &turns, &goals);
    }

    for (_, server) in servers {
        let directory = server.directory.clone();
        drop(server);
        remove(&directory)?;
    }
    Ok(())
}

/// Stores the layer on a server, in a repository that exists.
pub fn place(server: &Server, big: &mut BigLayer) -> Result<()> {
    if server.kind == ServerKind::Bare {
        let mut file = std::fs::File::create(server.directory.join(crate::bare::FILE))?;
        return Ok(big.each(|piece| std::io::Write::write_all(&mut file, piece))?);
    }
    push_big(&mut Connection::open(&server.target)?, &server.target, REPOSITORY, big, PushMethod::Put)
}

pub fn pull_once(target: &Target, path: &str, streams: usize, length: u64) -> Result<WorkloadResult> {
    let get = target.head("GET", path, "", None);
    threads::each(streams, |_| {
        let mut connection = Connection::open(target)?;
        let mut through = vec![0; MIB];
        connection.send(get.as_bytes())?;
        let answer = connection.answer(false)?;
        answer.must_be(&[200], get.as_bytes(), b"")?;
        match connection.skip(answer.body, &mut through)? {
            read if read == length => Ok(()),
            read => Err(format!("a pull had {read} bytes of {length}").into()),
        }
    })?;
    Ok(WorkloadResult::bytes(length * streams as u64))
}
