//! Inbound HTTP. What the world may reach, what only the cluster may reach, what only the API server has to reach, and
//! what workloads ask are four routers on four listeners.

pub mod admission;
mod answer;
mod cookies;
pub mod internal;
pub mod public;
pub mod tls;
pub mod tokens;
