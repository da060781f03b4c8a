//! Measures the server's processor time of one request, for each kind of request.

use super::upload::{self, push_image};
use crate::Result;
use crate::bench::{Bench, Side, WorkloadSamples};
use crate::content::{Layer, MANIFEST_TYPE, Noise, SmallImage, fresh_seed, manifest};
use crate::ecru;
use crate::http::{Connection, Target};
use crate::perf;
use crate::report::{Report, Table, of};
use crate::sample::{Sample, Samples, ratio};
use crate::server::{Server, ServerKind, WorkloadResult};
use crate::threads;
use serde_json::json;

const CONNECTIONS: usize = 4;
const REPOSITORY: &str = "cpu";

/// Requests of one kind, and the accepted statuses. Each request is sent once.
struct Batch {
    requests: Vec<Vec<u8>>,
    wanted: &'static [u16],
}

/// Makes the requests of one kind. Returns `None` if the server does not support it.
type Make = fn(&Server, &SmallImage, usize) -> Result<Option<Batch>>;

const KINDS: &[(&str, Make)] = &[
    ("GET /livez, no login", |server, _, count| {
        Ok((server.kind == ServerKind::Ecru)
            .then(|| same(server.target.request("GET", "/livez", "", b""), count, &[200])))
    }),
    ("GET /v2/", |server, _, count| Ok(Some(same(server.target.request("GET", "/v2/", "", b""), count, &[200])))),
    ("HEAD blob", |server, image, count| Ok(Some(same(blob(server, "HEAD", &image.layer), count, &[200])))),
    ("GET blob of 1 KiB", |server, image, count| Ok(Some(same(blob(server, "GET", &image.config), count, &[200])))),
    ("GET blob of 10 KiB", |server, image, count| Ok(Some(same(blob(server, "GET", &image.layer), count, &[200])))),
    ("HEAD manifest by tag", |server, image, count| Ok(Some(same(of_tag(server, "HEAD", image), count, &[200])))),
    ("GET manifest by tag", |server, image, count| Ok(Some(same(of_tag(server, "GET", image), count, &[200])))),
    ("POST upload", |server, _, count| Ok(Some(same(upload::opening(&server.target, REPOSITORY), count, &[202])))),
    ("PUT blob of 1 KiB", |server, _, count| Ok(Some(uploads(server, count, 1024)?))),
    ("PUT blob of 10 KiB", |server, _, count| Ok(Some(uploads(server, count, 10 * 1024)?))),
    ("PUT manifest by tag", |server, image, count| Ok(Some(manifests(server, image, count)))),
    ("DescribeImages of a tag", |server, image, count| {
        if server.kind != ServerKind::Ecru {
            return Ok(None);
        }
        let input = json!({"repositoryName": REPOSITORY, "imageIds": [{"imageTag": image.tag}]});
        Ok(Some(same(ecru::signed(&server.target, "DescribeImages", &input)?, count, &[200])))
    }),
];

pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let count = if bench.quick { 1000 } else { 4000 };
    let servers = bench.start_all(&bench.sides())?;
    let image = new_image();
    servers.iter().try_for_each(|(_, server)| begin(server, &image))?;
    let head = ["request", "Ecru", "peer", "ratio", "p50 Ecru", "p50 peer"];
    let mut table = Table::new(&format!("Processor time of a request, {CONNECTIONS} connections"), &head);
    for (name, make) in KINDS {
        // Compare only the servers that support this kind.
        let mut able = Vec::new();
        for (side, server) in &servers {
            if make(server, &image, 1)?.is_some() {
                able.push(*side);
            }
        }
        let turns = bench.rounds(&able, |side, _| {
            let (_, server) = servers.iter().find(|(of, _)| *of == side).ok_or("a side without a server")?;
            turn(server, *make, &image, share(count, side))
        })?;
        table.rows.push(row(name, &turns));
    }
    report.table(table);
    Ok(())
}

/// Measures for each kind of request how Ecru's processor time divides among its parts.
pub fn shares(bench: &Bench, report: &mut Report) -> Result<()> {
    if !perf::is_there() {
        eprintln!(
            "shares: skipped, because perf is missing or may not sample processes (`apt-get install linux-perf`, as root)"
        );
        return Ok(());
    }
    let count = if bench.quick { 2000 } else { 10_000 };
    let (server, image) = (bench.start(Side::Ecru)?, new_image());
    begin(&server, &image)?;
    let parts = perf::PARTS.iter().map(|(name, _)| *name);
    let head: Vec<&str> = ["request"].into_iter().chain(parts).chain(["rest"]).collect();
    let mut table = Table::new("Where the processor time of a request goes", &head);
    for (name, make) in KINDS {
        let batch = make(&server, &image, count)?.ok_or("a kind that Ecru does not support")?;
        let shares = perf::shares(&server.process, &bench.directory, || send(&server.target, &batch).map(|_| ()))?;
        let cells = shares.into_iter().map(|share| format!("{:.0} %", share * 100.0));
        table.rows.push([(*name).to_owned()].into_iter().chain(cells).collect());
    }
    report.table(table);
    Ok(())
}

fn new_image() -> SmallImage {
    SmallImage::new(&mut Noise::new(fresh_seed()), "v1".to_owned())
}

/// Pushes the image that the reading requests ask for.
fn begin(server: &Server, image: &SmallImage) -> Result<()> {
    server.repository(REPOSITORY)?;
    push_image(&mut Connection::open(&server.target)?, &server.target, REPOSITORY, image)
}

/// Returns the number of requests of a side. The peer gets fewer, because it writes slowly.
fn share(count: usize, side: Side) -> usize {
    if side == Side::Ecru { count } else { count / 4 }
}

fn row(name: &str, turns: &WorkloadSamples) -> Vec<String> {
    let micros = |seconds: f64| format!("{:.0} µs", seconds * 1e6);
    let p50 = |samples: &Samples| micros(samples.latency(0.5).unwrap_or_default().as_secs_f64());
    vec![
        name.to_owned(),
        micros(turns.ecru.cpu_each()),
        of(&turns.peer, |peer| micros(peer.cpu_each())),
        of(&turns.peer, |peer| format!("{:.2} ×", ratio(&turns.ecru, peer, Sample::cpu_each).of_medians)),
        p50(&turns.ecru),
        of(&turns.peer, p50),
    ]
}

fn turn(server: &Server, make: Make, image: &SmallImage, count: usize) -> Result<Sample> {
    let batch = make(server, image, count)?.ok_or("a kind that this server does not support")?;
    server.measure(|target| send(target, &batch))
}

fn send(target: &Target, batch: &Batch) -> Result<WorkloadResult> {
    let found = threads::each(CONNECTIONS, |number| {
        let mut connection = Connection::open(target)?;
        let mut latencies = Vec::with_capacity(batch.requests.len() / CONNECTIONS + 1);
        for request in batch.requests.iter().skip(number).step_by(CONNECTIONS) {
            let began = std::time::Instant::now();
            connection.ask(request, batch.wanted)?;
            latencies.push(began.elapsed());
        }
        Ok((latencies, connection.refused))
    })?;
    Ok(WorkloadResult::things(found))
}

fn same(request: Vec<u8>, count: usize, wanted: &'static [u16]) -> Batch {
    Batch { requests: vec![request; count], wanted }
}

fn blob(server: &Server, method: &str, layer: &Layer) -> Vec<u8> {
    server.target.head(method, &format!("/v2/{REPOSITORY}/blobs/{}", layer.digest), "", None).into_bytes()
}

fn of_tag(server: &Server, method: &str, image: &SmallImage) -> Vec<u8> {
    let more = format!("accept: {MANIFEST_TYPE}\r\n");
    server.target.head(method, &format!("/v2/{REPOSITORY}/manifests/{}", image.tag), &more, None).into_bytes()
}

/// Opens uploads, and returns the requests that send their only body and close them.
fn uploads(server: &Server, count: usize, length: usize) -> Result<Batch> {
    let mut noise = Noise::new(fresh_seed());
    let mut connection = Connection::open(&server.target)?;
    let requests: Result<Vec<_>> = (0..count)
        .map(|_| {
            let layer = Layer::new(noise.bytes(length));
            let upload = upload::begin(&mut connection, &server.target, REPOSITORY)?;
            Ok(upload::whole(&server.target, &upload, &layer))
        })
        .collect();
    Ok(Batch { requests: requests?, wanted: &[201] })
}

/// Returns requests that push images, each with its own tag, which differ only in their manifests.
fn manifests(server: &Server, image: &SmallImage, count: usize) -> Batch {
    let seed = fresh_seed();
    let request = |number: usize| {
        let tag = format!("v{seed}-{number}");
        upload::naming(&server.target, REPOSITORY, &tag, &manifest(&image.config, &image.layer, &tag))
    };
    Batch { requests: (0..count).map(request).collect(), wanted: &[201] }
}
