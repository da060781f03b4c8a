//! More writers at once than the metadata's queue has places: each has to wait for its place, and none is refused.
use super::Findings;
use crate::Result;
use crate::content::{Noise, SmallImage, fresh_seed};
use crate::crowd::{self, Ask, Client};
use crate::http::{Answer, Connection, Target};
use crate::report::Goal;
use crate::server::Server;
use crate::works::upload;
use std::time::Instant;

/// Connections at once, each with one write under way.
const CONNECTIONS: usize = 3000;
/// Writes of each connection.
const WRITES: usize = 20;
/// Images that the writers' tags move between: so many that none comes to its limit of 1,000 tags.
const IMAGES: usize = 8;
const REPOSITORY: &str = "crowd/app";

pub fn run(server: &Server, findings: &mut Findings) -> Result<()> {
    let mut noise = Noise::new(fresh_seed());
    let images: Vec<_> = (0..IMAGES).map(|number| SmallImage::new(&mut noise, format!("first{number}"))).collect();
    let target = &server.target;
    server.repository(REPOSITORY)?;
    let mut connection = Connection::open(target)?;
    images.iter().try_for_each(|image| upload::push_image(&mut connection, target, REPOSITORY, image))?;
    let writers = (0..CONNECTIONS).map(|number| Writer { target, images: &images, number, written: 0 }).collect();
    let began = Instant::now();
    let found = crowd::drive(target, writers)?;
    let took = began.elapsed().as_secs_f64();
    let (writes, slowest) = (CONNECTIONS * WRITES, found.latencies.iter().max().copied().unwrap_or_default());
    findings.note(&format!(
        "{writes} writes in {took:.1} s, {:.0} a second; the slowest took {:.2} s",
        writes as f64 / took,
        slowest.as_secs_f64()
    ));
    findings.goal(
        "writes that were refused",
        Goal { text: format!("{} of 0", found.refused), reached: found.refused == 0 },
    );
    Ok(())
}

/// Moves its tag from one image to another.
struct Writer<'a> {
    target: &'a Target,
    images: &'a [SmallImage],
    number: usize,
    written: usize,
}

impl Client for Writer<'_> {
    fn next(&mut self, _answer: Option<Answer>) -> Result<Option<Ask>> {
        if self.written == WRITES {
            return Ok(None);
        }
        self.written += 1;
        let image = &self.images[(self.number + self.written % 2) % IMAGES];
        let request = upload::naming(self.target, REPOSITORY, &format!("t{}", self.number), &image.manifest);
        Ok(Some(Ask { request, wanted: &[201] }))
    }
}
