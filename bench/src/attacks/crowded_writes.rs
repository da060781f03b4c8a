//! More concurrent writers than the metadata's queue has places. Each writer has to wait for a place, and none may be refused.

use super::Findings;
use crate::Result;
use crate::content::{Noise, SmallImage, fresh_seed};
use crate::crowd::{self, Client, CrowdRequest};
use crate::http::{Answer, Connection, Target};
use crate::report::Goal;
use crate::server::Server;
use crate::workloads::upload;
use std::time::Instant;

/// Concurrent connections, each with one write in flight.
const CONNECTIONS: usize = 3000;
/// Writes of each connection.
const WRITES: usize = 20;
/// The images that the writers move their tags between. They are enough that no image reaches its limit of 1,000 tags.
const IMAGES: usize = 8;
const REPOSITORY: &str = "crowd/app";

pub fn run(server: &Server, findings: &mut Findings) -> Result<()> {
    // Push the images that the tags will name.
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
    findings.goal("refused writes", Goal { text: format!("{} of 0", found.refused), reached: found.refused == 0 });
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
    fn next(&mut self, _answer: Option<Answer>) -> Result<Option<CrowdRequest>> {
        if self.written == WRITES {
            return Ok(None);
        }
        self.written += 1;
        let image = &self.images[(self.number + self.written % 2) % IMAGES];
        let request = upload::naming(self.target, REPOSITORY, &format!("t{}", self.number), &image.manifest);
        Ok(Some(CrowdRequest { request, wanted: &[201] }))
    }
}
