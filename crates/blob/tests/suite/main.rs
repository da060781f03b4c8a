//! The suite that tests every engine: over files, over the faulty disk, and over memory under two sets of rules.

#![cfg(test)]
mod crash;
mod disk_faults;
mod engine_faults;
mod every_engine;
mod support;
