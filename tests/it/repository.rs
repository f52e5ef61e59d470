//! The files of the repository.

use std::path::{Path, PathBuf};

/// The root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, by its path from the root.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files under a folder, by their paths from the root, in order. A folder that is not there has none.
pub(crate) fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(next) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            match (path.is_dir(), path.file_name().and_then(|name| name.to_str())) {
                (true, Some("node_modules" | "target")) => {}
                (true, _) => folders.push(path),
                (false, _) => found.push(from_root(&path)),
            }
        }
    }
    found.sort();
    found
}

/// Rust files under a folder.
pub(crate) fn rust_files(folder: &str) -> Vec<String> {
    files(folder).into_iter().filter(|path| Path::new(path).extension().is_some_and(|e| e == "rs")).collect()
}

fn from_root(path: &Path) -> String {
    let relative: PathBuf = path.strip_prefix(root()).unwrap().into();
    relative.to_str().unwrap().to_owned()
}
