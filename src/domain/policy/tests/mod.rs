//! What policies come to, over trees that a few words build.

mod precedence;
mod properties;
mod review;
mod violations;

use super::*;
use crate::api::{ConnectionPolicySpec, Folder, FolderSpec};

/// A policy with this spec, in YAML.
fn policy(name: &str, spec: &str) -> ConnectionPolicy {
    let spec: ConnectionPolicySpec = serde_yaml::from_str(spec).unwrap();
    ConnectionPolicy::new(name, spec)
}

/// The way to the folder `leaf` over `middle` from `root`, each with its own name as the label `at`.
fn tree() -> Ancestry {
    let folder = |name: &str, parent: Option<&str>| {
        let parent_ref = parent.map(|name| crate::api::schema::NameReference { name: name.to_owned() });
        let mut folder = Folder::new(name, FolderSpec { parent_ref, ..FolderSpec::default() });
        folder.metadata.labels = Some([("at".to_owned(), name.to_owned())].into());
        folder
    };
    let folders = [
        folder("leaf", Some("middle")),
        folder("sibling", Some("middle")),
        folder("root", None),
        folder("middle", Some("root")),
    ];
    ancestry("leaf", &folders.iter().collect::<Vec<_>>())
}

fn effective(policies: &[ConnectionPolicy]) -> EffectivePolicy {
    EffectivePolicy::of(&policies.iter().collect::<Vec<_>>(), &tree(), "crm")
}
