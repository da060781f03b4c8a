//! What all doors share: listeners and connections, TLS, bodies and their memory, the access log. It knows no door
//! ([`door::Doors`]).

// The future that sends a layer nests futures of the domain, the store and the disk deeper than the default limit.
#![recursion_limit = "256"]

pub mod access_log;
pub mod addresses;
pub mod app;
pub mod body;
pub mod conditional;
pub mod connection;
pub mod connections;
pub mod door;
mod forward;
pub mod forwarded;
mod framing;
mod handler;
pub mod health;
mod http_stream;
mod linger;
pub mod listener;
pub mod local_only;
pub mod loggable;
pub mod memory;
pub mod metrics;
pub mod outage;
pub mod outbound;
mod pace;
mod streams;
pub mod tls;
pub mod whole_file;
mod wire;
