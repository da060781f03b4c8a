//! Reads manifests by tag, to measure the cost of a pull that finds nothing new.

use super::upload::push_image;
use crate::Result;
use crate::bench::Bench;
use crate::content::{MANIFEST_TYPE, Noise, SmallImage, fresh_seed};
use crate::crowd::{self, Client, CrowdRequest};
use crate::http::{Answer, Connection, Target};
use crate::report::{Goal, Report, Unit};
use crate::sample::{Sample, ratio};
use crate::server::{Server, WorkloadResult};
use std::time::{Duration, Instant};

pub(super) const CONNECTIONS: usize = 16;
pub(super) const REPOSITORY: &str = "read";
/// The number of tags to read, each of its own image.
pub(super) const TAGS: usize = 100;

pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let span = if bench.quick { Duration::from_secs(2) } else { Duration::from_secs(10) };
    let servers = bench.start_all(&bench.sides())?;
    let images = images();
    for (_, server) in &servers {
        push(server, &images)?;
    }
    let turns = bench.rounds_of(&servers, |server, _| server.measure(|target| read(target, &images, span)))?;
    let on_postgres = bench.ecru.postgres.is_some();
    let mut goals = Vec::new();
    if !turns.peer.0.is_empty() {
        let goal = if on_postgres { 6.0 } else { 15.0 };
        goals.push(Goal::at_least("requests/s", goal, ratio(&turns.ecru, &turns.peer, Sample::rate).of_medians));
    }
    if !on_postgres {
        let p99 = turns.ecru.latency(0.99).unwrap_or(Duration::MAX);
        goals.push(Goal::within("p99", Duration::from_millis(5), p99));
    }
    let work = format!("HEAD + GET of a manifest by tag, {CONNECTIONS} connections");
    report.row(&work, Unit::Things("requests"), &turns, &goals);
    Ok(())
}

/// Makes an image for each tag.
pub(super) fn images() -> Vec<SmallImage> {
    let mut noise = Noise::new(fresh_seed());
    (0..TAGS).map(|number| SmallImage::new(&mut noise, format!("v{number}"))).collect()
}

/// Creates the repository with the images.
pub(super) fn push(server: &Server, images: &[SmallImage]) -> Result<()> {
    server.repository(REPOSITORY)?;
    let mut connection = Connection::open(&server.target)?;
    images.iter().try_for_each(|image| push_image(&mut connection, &server.target, REPOSITORY, image))
}

/// Sends HEAD and GET for one tag after the other, until the time is over.
pub(super) fn read(target: &Target, images: &[SmallImage], span: Duration) -> Result<WorkloadResult> {
    let more = format!("accept: {MANIFEST_TYPE}\r\n");
    let requests: Vec<_> = images
        .iter()
        .flat_map(|image| {
            let path = format!("/v2/{REPOSITORY}/manifests/{}", image.tag);
            ["HEAD", "GET"].map(|method| target.head(method, &path, &more, None).into_bytes())
        })
        .collect();
    let end = Instant::now() + span;
    let reader = |number: usize| Reader { requests: &requests, next: 2 * number * TAGS / CONNECTIONS, end };
    let found = crowd::drive(target, (0..CONNECTIONS).map(reader).collect())?;
    Ok(WorkloadResult::things(vec![(found.latencies, found.refused)]))
}

/// Sends one request after the other, until the time is over.
struct Reader<'a> {
    requests: &'a [Vec<u8>],
    next: usize,
    end: Instant,
}

impl Client for Reader<'_> {
    fn next(&mut self, _: Option<Answer>) -> Result<Option<CrowdRequest>> {
        if Instant::now() > self.end {
            return Ok(None);
        }
        let request = self.requests[self.next % self.requests.len()].clone();
        self.next += 1;
        Ok(Some(CrowdRequest { request, wanted: &[200] }))
    }
}
