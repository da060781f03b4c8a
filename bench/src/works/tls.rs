//! What TLS costs: big layers through it, beside the same over plain HTTP.
use super::bulk::{REPOSITORY, layer, place, pull_once, push_once};
use super::upload::{By, begin, closing};
use crate::Result;
use crate::bare::{self, Loop};
use crate::bench::{Bench, Side, Turns, remove};
use crate::content::{Big, fresh_seed};
use crate::http::{Connection, Target};
use crate::report::{Goal, Report, Table, Unit, of, times};
use crate::sample::{Sample, ratio};
use crate::server::{Done, Server};
use crate::tls::Tls;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// How bytes travel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Http1,
    /// By curl, which is another client than that of plain HTTP: only the server's own time compares.
    Http2,
}

pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let (mib, size) = layer(bench);
    let directory = bench.directory.join("tls");
    remove(&directory)?;
    let tls = Tls::init(&bench.ecru.binary, &directory)?;
    let head = [
        "work",
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
            eprintln!("tls: no curl that speaks HTTP/2; left out");
            continue;
        }
        let name = if over == Over::Http1 { "HTTP/1.1" } else { "HTTP/2 (curl)" };
        let mut add = |work: String, turns: &Turns| {
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

/// The server with TLS has Ecru's turn, the one without the peer's. The bare loop speaks HTTP/1.1 through TLS.
fn sides(over: Over, run: Loop) -> Vec<Side> {
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

fn push(bench: &Bench, tls: &Tls, mib: u64, over: Over) -> Result<Turns> {
    let file = bench.directory.join("tls/layer");
    bench.rounds(&sides(over, Loop::Receive), |side, _| {
        let server = start(bench, tls, side, over)?;
        let mut big = Big::new(mib, fresh_seed());
        let by_curl = side == Side::Ecru && over == Over::Http2;
        if by_curl {
            let mut file = std::fs::File::create(&file)?;
            big.each(|piece| file.write_all(piece))?;
        }
        let sample = server.measure(|target| {
            if !by_curl {
                return push_once(&server, target, &mut big, By::Put);
            }
            let upload = begin(&mut Connection::open(target)?, target, REPOSITORY)?;
            curl(target, tls, &closing(&upload, &big.digest), Some(&file))?;
            Ok(Done::bytes(big.len()))
        })?;
        let directory = server.directory.clone();
        drop(server);
        remove(&directory)?;
        Ok(sample)
    })
}

fn pull(bench: &Bench, tls: &Tls, mib: u64, over: Over) -> Result<Turns> {
    let mut big = Big::new(mib, fresh_seed());
    let mut servers = Vec::new();
    for side in sides(over, Loop::Send) {
        let server = start(bench, tls, side, over)?;
        place(&server, &mut big)?;
        servers.push((side, server));
    }
    let path = format!("/v2/{REPOSITORY}/blobs/{}", big.digest);
    let turns = bench.rounds_of(&servers, |server, _| {
        server.measure(|target| {
            if target.tls.is_some() && over == Over::Http2 {
                curl(target, tls, &path, None)?;
                return Ok(Done::bytes(big.len()));
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

/// Moves a layer with curl: gets the path, or puts the file there.
fn curl(target: &Target, tls: &Tls, path: &str, upload: Option<&Path>) -> Result<()> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--http2", "--output", "/dev/null", "--config", "-"]);
    command.arg("--cacert").arg(&tls.authority);
    if let Some(file) = upload {
        command.arg("--upload-file").arg(file);
    }
    command.arg(format!("https://{}{path}", target.address));
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    // Not among the arguments, which everybody on the machine can read.
    let secret = format!("header = \"authorization: {}\"\n", target.authorization);
    child.stdin.take().ok_or("curl has no input")?.write_all(secret.as_bytes())?;
    match child.wait()? {
        status if status.success() => Ok(()),
        status => Err(format!("curl ended with {status}").into()),
    }
}
