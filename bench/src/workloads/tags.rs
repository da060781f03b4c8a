//! Reads pages of tags in a repository with few tags and in one with many.

use super::kept;
use crate::Result;
use crate::bench::Bench;
use crate::content::Noise;
use crate::http::{Connection, Target};
use crate::report::{Goal, Report, Table, milliseconds};
use crate::sample::Samples;
use crate::server::WorkloadResult;
use std::time::{Duration, Instant};

const PAGE: usize = 1000;
const PAGES: usize = 200;
/// The greatest ratio of the two that counts as equal: runs differ by as much.
const SAME: f64 = 1.15;

/// Measures Ecru only, because docker-registry 2.8 has no pages of tags.
///
/// The records are in the page cache, as those of a server in use are. For the last row they are read from the disk.
pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let many = if bench.quick { 100_000 } else { 1_000_000 };
    let repositories = [("few", 10_000), ("many", many)];
    let directory = kept::tags(bench, &repositories)?;
    let server = bench.ecru.start(&directory)?;
    server.forget_pages()?;
    let [mut disk, mut few_cached, mut many_cached] = [(); 3].map(|()| Samples::default());

    // Read from the disk first, then with everything in the page cache.
    let mut seed = 0;
    let mut measure = |(repository, tags): (&str, usize), samples: &mut Samples| {
        seed += 1;
        samples.0.push(server.measure(|target| read(target, repository, tags, seed))?);
        Ok::<_, crate::Failure>(())
    };
    measure(repositories[1], &mut disk)?;
    server.recall_pages()?;
    for _ in 0..bench.rounds {
        measure(repositories[0], &mut few_cached)?;
        measure(repositories[1], &mut many_cached)?;
    }
    drop(server);

    let few = page(&few_cached);
    let goals = |samples: &Samples| {
        let same = page(samples).as_secs_f64() / few.as_secs_f64();
        let time = Goal::within("a page", Duration::from_micros(1200), page(samples));
        [time, Goal::at_most("to 10,000", SAME, same)]
    };
    let head = ["tags", "a page", "p50 / p99", "CPU of a page", "goal", "reached"];
    let mut table = Table::new("Pages of 1,000 tags", &head);
    table.rows.push(row(format!("{}", repositories[0].1), &few_cached, &goals(&few_cached)));
    table.rows.push(row(format!("{many}"), &many_cached, &goals(&many_cached)));
    table.rows.push(row(format!("{many}, from disk"), &disk, &[]));
    report.table(table);
    Ok(())
}

/// Returns the time of one page.
fn page(samples: &Samples) -> Duration {
    Duration::from_secs_f64(1.0 / samples.rate())
}

fn row(tags: String, samples: &Samples, goals: &[Goal]) -> Vec<String> {
    let (p50, p99) = (samples.latency(0.5).unwrap_or_default(), samples.latency(0.99).unwrap_or_default());
    vec![
        tags,
        format!("{} ms", milliseconds(page(samples))),
        format!("{} / {} ms", milliseconds(p50), milliseconds(p99)),
        format!("{:.0} µs", samples.cpu_each() * 1e6),
        Goal::texts(goals),
        Goal::reached(goals),
    ]
}

/// Reads pages that start at random tags of the repository.
fn read(target: &Target, repository: &str, tags: usize, seed: u64) -> Result<WorkloadResult> {
    let mut noise = Noise::new(seed);
    let mut connection = Connection::open(target)?;
    let mut latencies = Vec::with_capacity(PAGES);
    for _ in 0..PAGES {
        let last = noise.next() % (tags - PAGE) as u64;
        let path = format!("/v2/{repository}/tags/list?n={PAGE}&last=build-{last:07}");
        let began = Instant::now();
        let (_, body) = connection.call(target.head("GET", &path, "", None).as_bytes(), &[200])?;
        latencies.push(began.elapsed());
        let found = body.windows(6).filter(|bytes| bytes == b"build-").count();
        if found != PAGE {
            return Err(format!("a page of {repository} had {found} tags").into());
        }
    }
    Ok(WorkloadResult::things(vec![(latencies, 0)]))
}
