//! What is measured: a file for each kind of work.
mod bulk;
mod cpu;
mod kept;
mod manifests;
mod memory;
mod parallel_push;
mod small_images;
mod start_up;
mod tags;
mod tls;
pub mod upload;

use crate::Result;
use crate::bench::Bench;
use crate::report::Report;

/// One thing that is measured.
pub struct Work {
    pub name: &'static str,
    pub about: &'static str,
    pub run: fn(&Bench, &mut Report) -> Result<()>,
}

/// All of them, in the order in which they run.
pub const ALL: &[Work] = &[
    Work { name: "push-1g-patch", about: "push 1 GiB: POST, one PATCH, PUT", run: bulk::push_patch },
    Work { name: "push-1g-put", about: "push 1 GiB: POST, one PUT", run: bulk::push_put },
    Work { name: "pull-1g", about: "pull 1 GiB, 1 stream, cached and not", run: bulk::pull_one },
    Work { name: "pull-1g-4", about: "pull 1 GiB, 4 streams, cached and not", run: bulk::pull_four },
    Work { name: "small-images", about: "push 1,000 images of 11 KiB over 8 connections", run: small_images::run },
    Work { name: "manifests", about: "HEAD and GET of manifests by tag over 16 connections", run: manifests::run },
    Work { name: "parallel-push", about: "push 8 layers of 128 MiB at once", run: parallel_push::run },
    Work { name: "tags", about: "pages of 1,000 tags, of 10,000 and of 1,000,000", run: tags::run },
    Work {
        name: "start-up",
        about: "from the start to the first 200, empty and with 1,000,000 images",
        run: start_up::run,
    },
    Work { name: "tls", about: "push and pull 1 GiB through TLS, beside plain HTTP", run: tls::run },
    Work { name: "memory", about: "resident memory against connections", run: memory::run },
    Work { name: "cpu", about: "processor time of a request, by kind", run: cpu::run },
    Work { name: "shares", about: "where the processor time of a request goes, by kind (with perf)", run: cpu::shares },
];

/// What is measured on PostgreSQL too: what is of records, and needs no kept store.
const ON_POSTGRES: &[&str] = &["small-images", "manifests", "cpu", "shares"];

/// The works of these names, or all that can be measured.
pub fn named(names: &[String], on_postgres: bool) -> Result<Vec<&'static Work>> {
    let able = |work: &&Work| !on_postgres || ON_POSTGRES.contains(&work.name);
    if names.is_empty() {
        return Ok(ALL.iter().filter(able).collect());
    }
    let find = |name: &String| {
        let work = ALL.iter().find(|work| work.name == name);
        let work = work.ok_or_else(|| format!("no work is called {name}; --list shows them"))?;
        Some(work).filter(able).ok_or_else(|| format!("{name} is not measured on PostgreSQL").into())
    };
    names.iter().map(find).collect()
}
