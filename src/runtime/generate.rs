//! Files that are made from the types, and the check that they are current.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kube::ResourceExt;

use crate::api::crds;

use super::{chart, manifests, yaml};

/// First line of every generated file.
const NOTICE: &str = "# Made by `make generate` from src/api; do not edit.\n";

/// All generated files, by path from the repository's root.
pub fn files() -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let mut files = super::reference::pages();
    for crd in crds::all() {
        let kind = crd.spec.names.plural.clone();
        let yaml = yaml::text(&crd).with_context(|| format!("write {}", crd.name_any()))?;
        files.insert(PathBuf::from(format!("crds/{kind}.yaml")), format!("{NOTICE}{yaml}"));
        files.insert(chart::crd_path(&crd), chart::crd(&crd)?);
    }
    files.insert(PathBuf::from(chart::ACCESS_PATH), chart::access()?);
    files.extend(manifests::chart_templates().map(|(path, text)| (PathBuf::from(path), text)));
    Ok(files)
}

/// Writes every generated file that differs; says which.
pub fn write(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let stale = stale(root)?;
    for (path, text) in files()? {
        let target = root.join(&path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make the folder of {}", path.display()))?;
        }
        fs::write(&target, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(stale)
}

/// Generated files that are missing or differ from what the types say.
pub fn stale(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let differs = |path: &Path, text: &str| fs::read_to_string(root.join(path)).ok().as_deref() != Some(text);
    Ok(files()?.into_iter().filter(|(path, text)| differs(path, text)).map(|(path, _)| path).collect())
}
