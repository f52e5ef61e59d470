//! Inbound HTTP. What the world may reach and what only the cluster may reach are two routers on two listeners.

mod answer;
mod cookies;
pub mod internal;
pub mod public;
