//! `/metrics`: the process's metrics in Prometheus's text format. No label names a repository, an account or a caller.

use crate::body::{Response, full};
use crate::door::Door;
use crate::memory::Budgets;
use crate::outage::Outages;
use crate::tls::Served;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use kernel::System;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

type Label = (&'static str, &'static str);

/// Upper bounds of durations in seconds: from the read of a record to a layer of many gigabytes.
const DURATIONS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

/// The metrics of the process.
pub struct Metrics {
    registry: Registry,
    requests: Family<[Label; 2], Counter>,
    durations: Family<[Label; 1], Histogram>,
    traffic: Traffic,
    certificate: Arc<OnceLock<Served>>,
}

/// The metrics of connections.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Bytes received from clients, including heads.
    pub received: Counter,
    /// Bytes sent to clients.
    pub sent: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Connections that were closed to make room for others.
    pub evicted: Counter,
    /// Connections that found no room and were answered 503.
    pub turned_away: Counter,
}

impl Metrics {
    pub fn new(system: Arc<System>, budgets: Arc<Budgets>) -> Metrics {
        let mut registry = Registry::with_prefix("ecru");
        let requests = Family::<[Label; 2], Counter>::default();
        let durations = Family::<[Label; 1], Histogram>::new_with_constructor(|| Histogram::new(DURATIONS));
        let traffic = Traffic::default();
        registry.register("requests", "Requests answered, by door and status class", requests.clone());
        registry.register(
            "request_duration_seconds",
            "Time from a request's head to the end of its answer",
            durations.clone(),
        );
        registry.register("received_bytes", "Bytes received from clients", traffic.received.clone());
        registry.register("sent_bytes", "Bytes sent to clients", traffic.sent.clone());
        registry.register("connections", "Connections open now", traffic.connections.clone());
        let evicted = "Idle or stalled connections closed to make room for others";
        registry.register("connections_evicted", evicted, traffic.evicted.clone());
        let turned_away = "Connections that found no room: they are answered health, metrics and 503";
        registry.register("connections_turned_away", turned_away, traffic.turned_away.clone());
        registry.register_collector(Box::new(Stores { system, budgets }));
        let certificate = Arc::new(OnceLock::new());
        registry.register_collector(Box::new(Certificate(certificate.clone())));
        Metrics { registry, requests, durations, traffic, certificate }
    }

    /// Adds the expiry of the served certificate to the metrics.
    pub fn show_certificate(&self, served: Served) {
        self.certificate.get_or_init(|| served);
    }

    /// Adds the outages of the stores to the metrics.
    pub fn count_outages(&mut self, outages: &Outages) {
        let (current, refused) = (outages.current.clone(), outages.refused.clone());
        self.registry.register("store_outages", "Reasons for which a store fails now", current);
        self.registry.register("store_refusals", "Calls refused because a store failed", refused);
    }

    /// Returns the counters for connections.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Counts a request whose response has ended.
    pub fn answered(&self, door: Door, status: u16, took: Duration) {
        let class = match status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&[("door", door.0), ("status", class)]).inc();
        self.durations.get_or_create(&[("door", door.0)]).observe(took.as_secs_f64());
    }

    /// Answers `/metrics`.
    pub fn respond(&self) -> Response {
        let mut body = String::new();
        // Encoding to a String fails only if a metric fails, and none of these does.
        let status = match text::encode(&mut body, &self.registry) {
            Ok(()) => StatusCode::OK,
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = Response::new(full(body));
        *response.status_mut() = status;
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

/// Collects the metrics of stores and budgets at each scrape.
struct Stores {
    system: Arc<System>,
    budgets: Arc<Budgets>,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

impl Collector for Stores {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (stats, jobs) = (self.system.db.stats(), kernel::jobs::JobQueue::of(&self.system).counts());
        for (name, help, value) in [
            ("metadata_transactions", "Write transactions that were run", stats.jobs),
            ("metadata_commits", "Commits that made them durable", stats.commits),
            ("metadata_retries", "Write transactions that were run again", stats.retries),
            (
                "push_log_dropped",
                "Refused pushes that were not written to their log",
                registry::push_log::dropped(&self.system),
            ),
            ("jobs_done", "Runs of background jobs that did not fail", jobs.done),
            ("jobs_failed", "Runs of background jobs that failed", jobs.failed),
            ("jobs_given_up", "Background jobs that failed for the last time: see `ecru jobs --dead`", jobs.given_up),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, EncodeMetric::metric_type(&counter))?)?;
        }
        let free = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (name, help, value) in [
            (
                "transfer_buffers_free",
                "Buffers that transfers of layers may still take",
                free(self.system.buffers.available()),
            ),
            (
                "call_body_bytes_free",
                "Bytes that bodies of AWS calls, manifests and their answers may still take",
                free(self.budgets.free()),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, EncodeMetric::metric_type(&gauge))?)?;
        }
        self.encode_budgets(&mut encoder)
    }
}

impl Stores {
    /// Encodes each memory budget's free bytes and evictions.
    fn encode_budgets(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Bytes that a class of bodies and answers may still take";
        let mut gauges = encoder.encode_descriptor("body_bytes_free", help, None, MetricType::Gauge)?;
        for budget in self.budgets.all() {
            let gauge = ConstGauge::new(i64::try_from(budget.free()).unwrap_or(i64::MAX));
            gauge.encode(gauges.encode_family(&[("class", budget.name)])?)?;
        }
        let help = "Bodies and answers of slow clients that were cut off since others needed their room";
        let mut counters = encoder.encode_descriptor("bodies_cut_off", help, None, MetricType::Counter)?;
        for budget in self.budgets.all() {
            let counter = ConstCounter::new(budget.evicted());
            counter.encode(counters.encode_family(&[("class", budget.name)])?)?;
        }
        Ok(())
    }
}

/// The expiry of the https:// listeners' certificate; not shown if there is none.
#[derive(Debug)]
struct Certificate(Arc<OnceLock<Served>>);

impl Collector for Certificate {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(pair) = self.0.get().and_then(Served::pair) else { return Ok(()) };
        let gauge = ConstGauge::new(pair.expires.0 / 1_000_000);
        let (name, help) = ("tls_certificate_expiry_seconds", "When the certificate ends, in seconds since 1970");
        gauge.encode(encoder.encode_descriptor(name, help, None, EncodeMetric::metric_type(&gauge))?)
    }
}
