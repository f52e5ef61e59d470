//! What the test binaries and the demo share: real servers, started on loopback
//! and stopped for certain.
//!
//! Everything is started through [`guarded::Guarded`], so nothing outlives the
//! process that started it, not even when that process is killed.
//! Include it with `#[path = "../support/mod.rs"] mod support;`.
#![allow(dead_code, reason = "each binary that includes this module uses a part of it")]
#![allow(unreachable_pub, reason = "included as a private module; `pub` marks what a test may use")]

pub mod audit_log;
pub mod binaries;
pub mod boundaries;
pub mod browser;
pub mod certificates;
pub mod control_plane;
pub mod fault_proxy;
pub mod guarded;
pub mod identity_provider;
pub mod installation;
pub mod oidc_provider;
pub mod operator;
pub mod own_servers;
pub mod run_directory;
pub mod strict_provider;
pub mod waiting;
pub mod walker;

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A setting of the person or the machine that runs the tests.
pub fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Ports below those that the system gives to connections and to listeners that do not choose: one that is free now
/// stays free until its server has started.
const PORTS: std::ops::Range<u32> = 10_240..32_000;

/// A loopback port that nobody listens on, and that no other call in this process gets.
pub fn free_port() -> anyhow::Result<u16> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Several test runs on one machine begin in different places.
    let start = std::process::id().wrapping_mul(7919);
    for _ in PORTS {
        let number = start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + number % (PORTS.end - PORTS.start))?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port is free between {} and {}", PORTS.start, PORTS.end)
}

/// Names the one cryptography library before the first TLS connection: with two
/// candidates in a binary, rustls refuses to guess.
pub fn install_cryptography() {
    // An error only says that somebody was here before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Folder of the built programs: `target/debug`, wherever `target` is.
pub fn build_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.ancestors().nth(2).map(Path::to_owned);
    folder.ok_or_else(|| anyhow::anyhow!("`{}` is not in a build folder", program.display()))
}
