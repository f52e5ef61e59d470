//! The folder of one run: data, keys, kubeconfig and a log per server.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::build_folder;

/// A folder under `target/` that this process holds as long as it lives. It is
/// emptied when taken and kept afterwards, so that logs can be read.
pub struct RunDirectory {
    path: PathBuf,
    _lock: File,
}

impl RunDirectory {
    /// Takes `target/run/<name>`, or a numbered neighbour while that one is in use.
    pub fn take(name: &str) -> Result<Self> {
        for number in 1..100 {
            let numbered = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            if let Some(directory) = Self::try_take(&Path::new("run").join(numbered))? {
                return Ok(directory);
            }
        }
        bail!("all run directories for `{name}` are in use")
    }

    /// Takes exactly `target/<name>`.
    pub fn take_fixed(name: &str) -> Result<Self> {
        let taken = Self::try_take(Path::new(name))?;
        taken.with_context(|| format!("`target/{name}` is in use: is another one running?"))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn try_take(below_target: &Path) -> Result<Option<Self>> {
        let target = build_folder()?.parent().context("target folder")?.to_owned();
        let path = target.join(below_target);
        fs::create_dir_all(path.parent().context("parent folder")?)?;
        let lock = File::create(path.with_extension("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).context("lock the run directory"),
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A server of an earlier run is just shutting down and still writes.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("empty `{}`", path.display())),
        }
        fs::create_dir(&path)?;
        Ok(Some(Self { path, _lock: lock }))
    }
}
