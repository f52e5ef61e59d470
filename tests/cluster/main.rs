//! Tests against a real kube-apiserver, etcd and kube-controller-manager.

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod chart;
mod harness_browser;
mod harness_control_plane;
mod harness_guard;
mod harness_providers;
mod pages;
