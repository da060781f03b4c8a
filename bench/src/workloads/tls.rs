//! Measures the cost of TLS: big layers through TLS, compared with plain HTTP.

use super::bulk::{REPOSITORY, layer, place, pull_once, push_once};
use super::upload::{PushMethod, begin, closing};
use crate::Result;
use crate::bare::{self, BareLoop};
use crate::bench::{Bench, Side, WorkloadSamples, remove};
use crate::content::{BigLayer, fresh_seed};
use crate::http::{Connection, Target};
use crate::report::{Goal, Report, Table, Unit, of, times};
use crate::sample::{Sample, ratio};
use crate::server::{Server, WorkloadResult};
use crate::tls::Tls;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The HTTP version inside TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Http1,
    /// The client is curl, not the client of plain HTTP, so only the server's processor time can be compared.
    Http2,
}

pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let (mib, size) = layer(bench);
    let directory = bench.directory.join("tls");
    remove(&directory)?;
    let tls = Tls::init(&bench.ecru.binary, &directory)?;
    let head = [
        "workload",
        "TLS",
        "plain",
        "CPU TLS",
        "CPU plain",
        "CPU ratio",
        "CPU bare loop with TLS",
        "to bare loop with TLS",
        "goal",
        "reached",
    ];
    let mut table = Table::new("Through TLS, beside plain HTTP", &head);
    for over in [Over::Http1, Over::Http2] {
        if over == Over::Http2 && !curl_speaks_http2() {
            eprintln!("tls: HTTP/2 skipped, because curl is missing or does not support it");
            continue;
        }
        // Push and pull over this version of HTTP, and add a row for each.
        let name = if over == Over::Http1 { "HTTP/1.1" } else { "HTTP/2 (curl)" };
        let mut add = |work: String, turns: &WorkloadSamples| {
            let cpu = ratio(&turns.ecru, &turns.peer, Sample::cpu_each);
            let goals = [Goal::at_most("CPU", 1.3, cpu.of_medians)];
            let goals = if over == Over::Http1 { &goals[..] } else { &[] };
            let unit = Unit::Bytes;
            table.rows.push(vec![
                work,
                unit.rate(turns.ecru.rate()),
                unit.rate(turns.peer.rate()),
                unit.cpu(turns.ecru.cpu_each()),
                unit.cpu(turns.peer.cpu_each()),
                times(cpu),
                of(&turns.bare, |bare| unit.cpu(bare.cpu_each())),
                of(&turns.bare, |bare| times(ratio(&turns.ecru, bare, Sample::cpu_each))),
                Goal::texts(goals),
                Goal::reached(goals),
            ]);
        };
        add(format!("push {size}, {name}"), &push(bench, &tls, mib, over)?);
        add(format!("pull {size}, {name}"), &pull(bench, &tls, mib, over)?);
    }
    remove(&directory)?;
    report.table(table);
    Ok(())
}

/// Returns the sides: `Ecru` is Ecru with TLS, and `Peer` is Ecru without TLS. The bare loop speaks HTTP/1.1 through TLS.
fn sides(over: Over, run: BareLoop) -> Vec<Side> {
    let sides = [Side::Ecru, Side::Peer, Side::Bare(run)];
    if over == Over::Http1 { sides.to_vec() } else { sides[..2].to_vec() }
}

fn start(bench: &Bench, tls: &Tls, side: Side, over: Over) -> Result<Server> {
    let name = match side {
        Side::Ecru => "ecru-tls",
        Side::Peer => "ecru-plain",
        Side::Bare(_) => "bare-tls",
    };
    let directory = bench.directory.join(name);
    remove(&directory)?;
    let flags: &[&str] = if over == Over::Http2 { &["--http2"] } else { &[] };
    let server = match side {
        Side::Ecru => bench.ecru.start_tls(&directory, tls, flags)?,
        Side::Peer => bench.ecru.start(&directory)?,
        Side::Bare(run) => bare::start(run, &directory, Some(tls))?,
    };
    server.repository(REPOSITORY)?;
    Ok(server)
}

fn push(bench: &Bench, tls: &Tls, mib: u64, over: Over) -> Result<WorkloadSamples> {
    let file = bench.directory.join("tls/layer");
    bench.rounds(&sides(over, BareLoop::Receive), |side, _| {
        let server = start(bench, tls, side, over)?;
        let mut big = BigLayer::new(mib, fresh_seed());
        // curl sends a file.
        let by_curl = side == Side::Ecru && over == Over::Http2;
        if by_curl {
            let mut file = std::fs::File::create(&file)?;
            big.each(|piece| file.write_all(piece))?;
        }
        let sample = server.measure(|target| {
            if !by_curl {
                return push_once(&server, target, &mut big, PushMethod::Put);
            }
            let upload = begin(&mut Connection::open(target)?, target, REPOSITORY)?;
            curl(target, tls, &closing(&upload, &big.digest), Some(&file))?;
            Ok(WorkloadResult::bytes(big.len()))
        })?;
        let directory = server.directory.clone();
        drop(server);
        remove(&directory)?;
        Ok(sample)
    })
}

fn pull(bench: &Bench, tls: &Tls, mib: u64, over: Over) -> Result<WorkloadSamples> {
    let mut big = BigLayer::new(mib, fresh_seed());
    let mut servers = Vec::new();
    for side in sides(over, BareLoop::Send) {
        let server = start(bench, tls, side, over)?;
        place(&server, &mut big)?;
        servers.push((side, server));
    }
    let path = format!("/v2/{REPOSITORY}/blobs/{}", big.digest);
    let turns = bench.rounds_of(&servers, |server, _| {
        server.measure(|target| {
            if target.tls.is_some() && over == Over::Http2 {
                curl(target, tls, &path, None)?;
                return Ok(WorkloadResult::bytes(big.len()));
            }
            pull_once(target, &path, 1, big.len())
        })
    })?;
    for (_, server) in servers {
        let directory = server.directory.clone();
        drop(server);
        remove(&directory)?;
    }
    Ok(turns)
}

fn curl_speaks_http2() -> bool {
    let output = Command::new("curl").arg("--version").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(" HTTP2"))
}

/// Transfers a layer with curl: gets the path, or puts the file there.
fn curl(target: &Target, tls: &Tls, path: &str, upload: Option<&Path>) -> Result<()> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--http2", "--output", "/dev/null", "--config", "-"]);
    command.arg("--cacert").arg(&tls.authority);
    if let Some(file) = upload {
        command.arg("--upload-file").arg(file);
    }
    command.arg(format!("https://{}{path}", target.address));
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    // Pass the credentials through standard input, because every user of the machine can read the arguments.
    let secret = format!("header = \"authorization: {}\"\n", target.authorization);
    child.stdin.take().ok_or("curl has no input")?.write_all(secret.as_bytes())?;
    match child.wait()? {
        status if status.success() => Ok(()),
        status => Err(format!("curl ended with {status}").into()),
    }
}
