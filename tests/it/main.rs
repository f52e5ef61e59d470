//! Tests that start no process: the shape of the code, and that what is generated or written down is true.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read the repository has failed")]

mod architecture;
mod behaviours;
mod crds;
mod documents;
mod errors;
mod generated;
mod house_rules;
mod repository;
mod rust_text;
