//! Measures the memory of idle connections and of slow transfers.

use super::upload::{PushMethod, begin, push_big};
use crate::Result;
use crate::bench::{Bench, Peer, Side, remove};
use crate::content::{BigLayer, MIB, fresh_seed};
use crate::http::{Connection, Target};
use crate::process::raise_open_files;
use crate::report::{NONE, Report, Table, mib};
use crate::server::Server;
use crate::threads;
use crate::tls::Tls;
use std::time::{Duration, Instant};

const REPOSITORY: &str = "memory";
/// The numbers of idle connections to measure, one after the other.
const IDLE: [usize; 2] = [100, 1000];
/// Concurrent transfers.
const ACTIVE: usize = 200;
/// Bytes that a slow client moves between two pauses, which makes 1.3 MB/s.
const PIECE: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(50);
/// Larger than all buffers between server and client, so that every transfer stays in progress.
const LAYER_MIB: u64 = 64;

pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    raise_open_files()?;
    let span = Duration::from_secs(if bench.quick { 2 } else { 10 });
    let head = ["connections", "Ecru", "Ecru through TLS", &bench.peer_name()];
    let mut table = Table::new("Resident memory in MiB", &head);
    let plain = column(bench.start(Side::Ecru)?, span)?;
    let directory = bench.directory.join("tls");
    remove(&directory)?;
    let tls = Tls::init(&bench.ecru.binary, &directory)?;
    let encrypted = bench.directory.join("ecru-tls");
    remove(&encrypted)?;
    let encrypted = column(bench.ecru.start_tls(&encrypted, &tls, &[])?, span)?;
    remove(&directory)?;
    let peer = match bench.peer {
        Peer::None => Vec::new(),
        _ => column(bench.start(Side::Peer)?, span)?,
    };
    for (number, (state, bytes)) in plain.into_iter().enumerate() {
        let other = |column: &Column| column.get(number).map_or(NONE.to_owned(), |(_, bytes)| mib(*bytes));
        table.rows.push(vec![state, mib(bytes), other(&encrypted), other(&peer)]);
    }
    report.table(table);
    Ok(())
}

/// The states, each with its peak of resident memory in bytes.
type Column = Vec<(String, u64)>;

/// Measures a server in every state, and stops it.
fn column(server: Server, span: Duration) -> Result<Column> {
    let column = states(&server, span)?;
    let directory = server.directory.clone();
    drop(server);
    remove(&directory)?;
    Ok(column)
}

fn states(server: &Server, span: Duration) -> Result<Column> {
    // Idle connections, each after one request.
    let target = &server.target;
    let mut found = vec![("none, just started".to_owned(), server.process.resident()?)];
    server.repository(REPOSITORY)?;
    let ping = target.request("GET", "/v2/", "", b"");
    let mut idle = Vec::new();
    for count in IDLE {
        server.process.reset_peak()?;
        while idle.len() < count {
            let mut connection = Connection::open(target)?;
            connection.ask(&ping, &[200])?;
            idle.push(connection);
        }
        found.push((format!("{count} idle"), server.process.peak()?));
    }
    drop(idle);

    // Slow transfers.
    let mut big = BigLayer::new(LAYER_MIB, fresh_seed());
    push_big(&mut Connection::open(target)?, target, REPOSITORY, &mut big, PushMethod::Put)?;
    server.process.reset_peak()?;
    let get = target.head("GET", &format!("/v2/{REPOSITORY}/blobs/{}", big.digest), "", None);
    threads::each(ACTIVE, |_| pull_slowly(target, get.as_bytes(), span))?;
    found.push((format!("{ACTIVE} slow pulls"), server.process.peak()?));
    server.process.reset_peak()?;
    threads::each(ACTIVE, |_| push_slowly(target, span))?;
    found.push((format!("{ACTIVE} slow pushes"), server.process.peak()?));
    Ok(found)
}

fn pull_slowly(target: &Target, get: &[u8], span: Duration) -> Result<()> {
    let end = Instant::now() + span;
    let mut connection = Connection::open(target)?;
    connection.send(get)?;
    connection.answer(false)?.must_be(&[200], get, b"")?;
    let mut piece = vec![0; PIECE];
    while Instant::now() < end {
        connection.read(&mut piece)?;
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn push_slowly(target: &Target, span: Duration) -> Result<()> {
    let end = Instant::now() + span;
    let mut connection = Connection::open(target)?;
    let upload = begin(&mut connection, target, REPOSITORY)?;
    let length = LAYER_MIB * MIB as u64;
    connection.send(target.head("PATCH", &upload, "", Some(length)).as_bytes())?;
    let piece = vec![7; PIECE];
    while Instant::now() < end {
        connection.send(&piece)?;
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
