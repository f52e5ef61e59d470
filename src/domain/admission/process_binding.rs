//! ProcessBindings. Who may set what is a policy; this is about what people regret later.

use crate::api::folder::FolderType;
use crate::api::{Folder, ProcessBinding};

use super::Ruling;

/// Warns who lets a process depend on one person's folder. It tells nothing of the Connection, which its author may not
/// be allowed to see.
pub fn process_binding(new: &ProcessBinding, folders: &[Folder]) -> Ruling {
    let own = new.metadata.namespace.as_deref().unwrap_or_default();
    let named = new.spec.connection_ref.as_ref().and_then(|reference| reference.namespace.as_deref());
    let Some(there) = named.filter(|there| *there != own) else { return Ruling::Pass };
    let is_personal = |namespace: &str| {
        let mut folders = folders.iter();
        folders.any(|folder| {
            folder.spec.folder_type == FolderType::Personal && folder.namespace_name() == namespace
        })
    };
    if is_personal(own) || !is_personal(there) {
        return Ruling::Pass;
    }
    Ruling::Warn(format!(
        "namespace \"{there}\" is a personal folder: this process stops working when its owner leaves, or takes the \
         connection or the right to use it away; take a connection of a shared folder for what runs without them"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::process_binding::ConnectionReference;
    use crate::api::{FolderSpec, ProcessBindingSpec};

    fn folder(name: &str, folder_type: FolderType) -> Folder {
        Folder::new(name, FolderSpec { folder_type, ..FolderSpec::default() })
    }

    fn judged(own: &str, there: Option<&str>) -> Ruling {
        let namespace = there.map(str::to_owned);
        let spec = ProcessBindingSpec {
            connection_ref: Some(ConnectionReference { namespace, name: "crm".to_owned() }),
            ..ProcessBindingSpec::default()
        };
        let mut binding = ProcessBinding::new("orders", spec);
        binding.metadata.namespace = Some(own.to_owned());
        let folders = [
            folder("team", FolderType::Shared),
            folder("ada", FolderType::Personal),
            folder("bob", FolderType::Personal),
        ];
        process_binding(&binding, &folders)
    }

    #[test]
    fn n11_a_shared_process_that_depends_on_one_persons_folder_is_warned_of() {
        for own in ["team", "no-folder"] {
            let Ruling::Warn(text) = judged(own, Some("ada")) else { panic!("{own}: no warning") };
            assert!(text.starts_with("namespace \"ada\" is a personal folder: "), "{text}");
        }
        for (own, there) in [("team", None), ("team", Some("other")), ("ada", None), ("ada", Some("bob"))] {
            assert_eq!(judged(own, there), Ruling::Pass, "{own} {there:?}");
        }
    }
}
