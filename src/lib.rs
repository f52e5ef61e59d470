//! Liaison makes connections to SaaS applications a Kubernetes resource.
//!
//! ```text
//! bin ─► runtime ─► adapters { cluster  provider  web  plugin } ─► ports ─► pure { pages  oauth  envelope  domain  catalogue } ─► api
//! ```
//!
//! An arrow may skip layers to the right and never points left; adapters do not know each other; the pure ring has no
//! clock, network, disk or randomness of its own. A test keeps it so (tests/it/architecture.rs).
//!
//! One way leads through: a watch tells of a change; `cluster` observes; `domain` decides, purely; `cluster` acts, with
//! at most one effect outside, and records facts, from which the next decision follows. docs/ARCHITECTURE.md walks one
//! Connection along it.

pub mod api;
pub mod catalogue;
pub mod cluster;
pub mod domain;
pub mod envelope;
pub mod oauth;
pub mod pages;
pub mod plugin;
pub mod ports;
pub mod provider;
pub mod runtime;
pub mod web;
