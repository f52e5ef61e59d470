//! The whole, against real servers: a real API server, the operator as a process, real identity providers; scripted
//! providers only for what no real server does on demand.

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod binding;
mod fixtures;
mod person;
mod terminal;
mod welcome;
mod world;

mod observability;
mod own_control_plane;
mod people;
mod rows;
mod tenancy;
mod tokens;
mod workload;
