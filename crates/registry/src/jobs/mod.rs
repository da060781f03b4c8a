//! Durable background work: rows written in the transaction that makes them necessary (DESIGN "Jobs").

/// Wakes the runner of this node when a transaction wrote a job that is due.
#[derive(Clone, Default)]
pub struct Bell;

/// Runs due jobs until `stop` resolves; what runs then ends first.
pub async fn run(_system: std::sync::Arc<crate::System>, _stop: tokio::sync::watch::Receiver<bool>) { todo!() }
