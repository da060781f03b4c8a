//! The workloads, a file for each kind.

mod bulk;
mod cpu;
mod kept;
mod manifests;
mod memory;
mod parallel_push;
mod policies;
mod small_images;
mod start_up;
mod tags;
mod tls;
pub mod upload;

use crate::Result;
use crate::bench::Bench;
use crate::report::Report;

/// One workload. `run` measures it and adds its results to the report.
pub struct Workload {
    pub name: &'static str,
    pub about: &'static str,
    pub run: fn(&Bench, &mut Report) -> Result<()>,
}

/// All workloads, in the order in which they run.
pub const ALL: &[Workload] = &[
    Workload { name: "push-1g-patch", about: "push 1 GiB: POST, one PATCH, PUT", run: bulk::push_patch },
    Workload { name: "push-1g-put", about: "push 1 GiB: POST, one PUT", run: bulk::push_put },
    Workload { name: "pull-1g", about: "pull 1 GiB, 1 stream, cached and not", run: bulk::pull_one },
    Workload { name: "pull-1g-4", about: "pull 1 GiB, 4 streams, cached and not", run: bulk::pull_four },
    Workload { name: "small-images", about: "push 1,000 images of 11 KiB over 8 connections", run: small_images::run },
    Workload { name: "manifests", about: "HEAD and GET of manifests by tag over 16 connections", run: manifests::run },
    Workload {
        name: "policies",
        about: "the same as a user with ten statements and conditions, beside the administrator",
        run: policies::run,
    },
    Workload { name: "parallel-push", about: "push 8 layers of 128 MiB at once", run: parallel_push::run },
    Workload { name: "tags", about: "pages of 1,000 tags, of 10,000 and of 1,000,000", run: tags::run },
    Workload {
        name: "start-up",
        about: "from the start to the first 200, empty and with 1,000,000 images",
        run: start_up::run,
    },
    Workload { name: "tls", about: "push and pull 1 GiB through TLS, beside plain HTTP", run: tls::run },
    Workload { name: "memory", about: "resident memory against connections", run: memory::run },
    Workload { name: "cpu", about: "processor time of a request, by kind", run: cpu::run },
    Workload {
        name: "shares",
        about: "where the processor time of a request goes, by kind (with perf)",
        run: cpu::shares,
    },
];

/// The workloads that also run on PostgreSQL: those that depend on records, and need no prepared store.
const ON_POSTGRES: &[&str] = &["small-images", "manifests", "policies", "cpu", "shares"];

/// Returns the workloads with these names, or all that can run.
pub fn named(names: &[String], on_postgres: bool) -> Result<Vec<&'static Workload>> {
    let able = |workload: &&Workload| !on_postgres || ON_POSTGRES.contains(&workload.name);
    if names.is_empty() {
        return Ok(ALL.iter().filter(able).collect());
    }
    let find = |name: &String| {
        let workload = ALL.iter().find(|workload| workload.name == name);
        let workload = workload.ok_or_else(|| format!("there is no workload {name}; --list shows them"))?;
        Some(workload).filter(able).ok_or_else(|| format!("{name} is not measured on PostgreSQL").into())
    };
    names.iter().map(find).collect()
}
