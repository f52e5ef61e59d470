//! Liaison makes connections to SaaS applications a Kubernetes resource.

pub mod api;
pub mod catalogue;
pub mod cluster;
pub mod domain;
pub mod envelope;
pub mod oauth;
pub mod plugin;
pub mod ports;
pub mod provider;
pub mod runtime;
pub mod web;
