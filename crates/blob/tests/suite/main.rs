//! The suite that judges every engine: the same tests over files, over the faulty disk, and over memory by two rules.
#![cfg(test)]
mod crash;
mod disk_faults;
mod engine_faults;
mod every_engine;
mod support;
