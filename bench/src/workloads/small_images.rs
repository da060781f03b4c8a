//! Pushes many small images, to measure the cost of a push apart from its bytes.

use super::upload;
use crate::Result;
use crate::bench::Bench;
use crate::content::{Noise, SmallImage, fresh_seed};
use crate::crowd::{self, Client, CrowdRequest};
use crate::http::{Answer, Target};
use crate::report::{Goal, Report, Unit};
use crate::sample::{Sample, ratio};
use crate::server::WorkloadResult;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 8;

pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let count = if bench.quick { 240 } else { 1000 };
    let servers = bench.start_all(&bench.sides())?;
    let turns = bench.rounds_of(&servers, |server, round| {
        let repository = format!("small/{round}");
        server.repository(&repository)?;
        let mut noise = Noise::new(fresh_seed());
        let images: Vec<_> = (0..count).map(|number| SmallImage::new(&mut noise, format!("v{number}"))).collect();
        server.measure(|target| push_all(target, &repository, &images))
    })?;
    let on_postgres = bench.ecru.postgres.is_some();
    let mut goals = Vec::new();
    if !turns.peer.0.is_empty() {
        let goal = if on_postgres { 8.0 } else { 20.0 };
        goals.push(Goal::at_least("images/s", goal, ratio(&turns.ecru, &turns.peer, Sample::rate).of_medians));
    }
    if !on_postgres {
        let p99 = turns.ecru.latency(0.99).unwrap_or(Duration::MAX);
        goals.push(Goal::within("p99", Duration::from_millis(20), p99));
    }
    report.row(&format!("{count} small images, {CONNECTIONS} connections"), Unit::Things("images"), &turns, &goals);
    Ok(())
}

fn push_all(target: &Target, repository: &str, images: &[SmallImage]) -> Result<WorkloadResult> {
    let pusher = |number: usize| Pusher {
        target,
        repository,
        images: images.iter().skip(number).step_by(CONNECTIONS),
        now: None,
        took: Vec::new(),
    };
    let mut pushers: Vec<_> = (0..CONNECTIONS).map(pusher).collect();
    let found = crowd::drive(target, pushers.iter_mut().collect())?;
    // Report the latency of a whole image, not of each request.
    let took = pushers.into_iter().flat_map(|pusher| pusher.took).collect();
    Ok(WorkloadResult::things(vec![(took, found.refused)]))
}

/// Pushes one image after the other.
struct Pusher<'a, I> {
    target: &'a Target,
    repository: &'a str,
    images: I,
    now: Option<Push<'a>>,
    took: Vec<Duration>,
}

/// An image that is being pushed.
struct Push<'a> {
    image: &'a SmallImage,
    began: Instant,
    step: Step,
}

/// The last request of a push. As clients do, it checks for a blob first, and sends it in one PUT.
#[derive(Clone, Copy)]
enum Step {
    Head(Part),
    Post(Part),
    Put(Part),
    Manifest,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Layer,
    Config,
}

impl<'a, I: Iterator<Item = &'a SmallImage>> Client for &mut Pusher<'a, I> {
    fn next(&mut self, answer: Option<Answer>) -> Result<Option<CrowdRequest>> {
        if let (Some(push), Some(answer)) = (&mut self.now, answer) {
            let there = answer.status == 200;
            push.step = match push.step {
                Step::Head(part) if !there => Step::Post(part),
                Step::Post(part) => Step::Put(part),
                Step::Head(Part::Layer) | Step::Put(Part::Layer) => Step::Head(Part::Config),
                Step::Head(Part::Config) | Step::Put(Part::Config) => Step::Manifest,
                Step::Manifest => {
                    self.took.push(push.began.elapsed());
                    return Ok(self.begin());
                }
            };
            let location =
                if matches!(push.step, Step::Put(_)) { upload::location(answer.location)? } else { String::new() };
            return Ok(Some(push.ask(self.target, self.repository, &location)));
        }
        Ok(self.begin())
    }
}

impl<'a, I: Iterator<Item = &'a SmallImage>> Pusher<'a, I> {
    fn begin(&mut self) -> Option<CrowdRequest> {
        let push = Push { image: self.images.next()?, began: Instant::now(), step: Step::Head(Part::Layer) };
        Some(self.now.insert(push).ask(self.target, self.repository, ""))
    }
}

impl Push<'_> {
    fn ask(&self, target: &Target, repository: &str, location: &str) -> CrowdRequest {
        let layer = |part| if part == Part::Layer { &self.image.layer } else { &self.image.config };
        match self.step {
            Step::Head(part) => {
                CrowdRequest { request: upload::asking(target, repository, layer(part)), wanted: &[200, 404] }
            }
            Step::Post(_) => CrowdRequest { request: upload::opening(target, repository), wanted: &[202] },
            Step::Put(part) => CrowdRequest { request: upload::whole(target, location, layer(part)), wanted: &[201] },
            Step::Manifest => {
                let SmallImage { tag, manifest, .. } = self.image;
                CrowdRequest { request: upload::naming(target, repository, tag, manifest), wanted: &[201] }
            }
        }
    }
}
