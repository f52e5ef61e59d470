//! Where the programs of a control plane come from.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use super::{environment, repository};

/// Finds a program: `KUBEBUILDER_ASSETS` first, then the cache that
/// `tests/controlplane/build` fills (it builds what is missing).
pub fn find(name: &str) -> Result<PathBuf> {
    if let Some(assets) = environment("KUBEBUILDER_ASSETS") {
        let program = Path::new(&assets).join(name);
        if program.is_file() {
            return Ok(program);
        }
    }
    let program = built()?.join(name);
    if !program.is_file() {
        bail!("`{name}` is neither in KUBEBUILDER_ASSETS nor in what tests/controlplane/build made");
    }
    Ok(program)
}

/// The same for a client program, which may also be installed on this machine: with
/// an existing cluster nobody needs to build one.
pub fn find_client(name: &str) -> Result<PathBuf> {
    let path = environment("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    installed.map_or_else(|| find(name), Ok)
}

fn built() -> Result<&'static Path> {
    static FOLDER: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        printed_folder(&repository().join("tests/controlplane/build")).map_err(|error| format!("{error:#}"))
    });
    folder.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// Runs a script that prepares a cache folder and prints its name; progress goes to
/// our own standard error.
pub fn printed_folder(script: &Path) -> Result<PathBuf> {
    let shown = script.display();
    let output = Command::new(script).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("run `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}", output.status);
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
