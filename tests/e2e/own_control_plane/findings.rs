//! Where canaries are searched for, and what is found there.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, ListParams};
use kube::discovery::{ApiGroup, Discovery, verbs};
use kube::{Api, Client, ResourceExt};

use super::Stage;
use super::canary::Search;

/// Where the search has been, and what it found there.
pub(super) struct Findings<'a> {
    search: &'a Search,
    pub(super) lines: Vec<String>,
    /// Bytes that were looked at.
    pub(super) searched: usize,
}

impl<'a> Findings<'a> {
    pub(super) fn of(search: &'a Search) -> Self {
        Self { search, lines: Vec::new(), searched: 0 }
    }

    pub(super) fn look(&mut self, place: &str, text: &[u8]) {
        self.searched += text.len();
        self.lines.extend(self.search.hits(text).into_iter().map(|hit| format!("{place}: {hit}")));
    }

    /// All objects of all kinds, as they are given out, but for Secrets that a person wrote; tells how many of each kind.
    pub(super) async fn look_at_objects(&mut self, client: &Client) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        let discovery = Discovery::new(client.clone()).run().await?;
        for (resource, capabilities) in discovery.groups().flat_map(ApiGroup::recommended_resources) {
            if !capabilities.supports_operation(verbs::LIST) {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let objects = api.list(&ListParams::default()).await;
            let objects = objects.with_context(|| format!("list {}", resource.plural))?.items;
            *counts.entry(resource.kind.clone()).or_default() += objects.len();
            for object in &objects {
                if resource.kind == "Secret" {
                    self.look_at_secret(object)?;
                } else {
                    self.look(&resource.kind, &serde_json::to_vec(object)?);
                }
            }
        }
        Ok(counts)
    }

    fn look_at_secret(&mut self, object: &DynamicObject) -> Result<()> {
        if object.labels().contains_key("liaison.dev/credentials") {
            return Ok(());
        }
        self.look("Secret", &serde_json::to_vec(object)?);
        let secret: Secret = object.clone().try_parse()?;
        for value in secret.data.iter().flatten().map(|(_, value)| &value.0) {
            self.look("value of a Secret", value);
        }
        Ok(())
    }

    /// What the servers and the operator wrote down: logs, metrics, the audit log, in which `known` stands.
    pub(super) async fn look_at_files(&mut self, stage: &Stage, known: &str) -> Result<()> {
        let directory = stage.control_plane.directory();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let is_log = path.extension().is_some_and(|extension| extension == "log");
            if is_log && name.starts_with("operator-") {
                self.look_at_file(&path, "TRACE")?;
            } else if is_log && name.starts_with("kube-") {
                self.look_at_file(&path, "")?;
            }
        }
        self.look_at_file(&directory.join("audit.log"), known)?;
        let metrics =
            reqwest::get(format!("{}/metrics", stage.settings.internal_url())).await?.text().await?;
        ensure!(metrics.contains(&stage.provider.authority()), "{metrics}");
        self.look("metrics", metrics.as_bytes());
        Ok(())
    }

    fn look_at_file(&mut self, path: &Path, known: &str) -> Result<()> {
        let text = std::fs::read(path)?;
        let finds = known.is_empty() || text.windows(known.len()).any(|window| window == known.as_bytes());
        ensure!(finds, "`{}` is not the text to search in", path.display());
        self.look(&path.display().to_string(), &text);
        Ok(())
    }
}
