mod blobs;
mod errors;
mod manifests;
mod paths;
mod referrers;
mod tags;
mod uploads;
