//! Bytes by location: engines that store what an upload wrote and read it back in ranges.
//!
//! A location is chosen when its first byte is written, created exclusively, and never reused (DESIGN "Layers").

mod buffer;
mod engine;

pub use buffer::{Buffer, Buffers};
pub use engine::{Durable, Engine, EngineState, Error, Location, Reader, Stat, Writer};
