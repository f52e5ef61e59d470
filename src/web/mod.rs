//! Inbound HTTP. What the world may reach, what only the cluster may reach, and what only the API server has to reach
//! are three routers on three listeners.

pub mod admission;
mod answer;
mod cookies;
pub mod internal;
pub mod public;
