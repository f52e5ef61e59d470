//! Tests that start no process: the shape of the code, and that what is generated or written down is true.

mod architecture;
mod behaviours;
mod crds;
mod errors;
mod generated;
mod house_rules;
mod repository;
mod rust_text;
