//! Why somebody does not find a Connection. The causes look alike to a person and need different steps.

use crate::api::Folder;
use crate::api::folder::FolderType;

use super::connection::Blocked;
use super::reason::Reason;

/// There is no Connection of that name in the namespace.
pub fn no_such_connection(namespace: &str, name: &str) -> Blocked {
    Blocked {
        reason: Reason::ConnectionNotFound,
        message: format!(
            "connection \"{name}\" does not exist in namespace \"{namespace}\"; `kubectl liaison list -n {namespace}` \
             shows those that do, `kubectl liaison list -A` all that you may see"
        ),
    }
}

/// No Connection is for that Connector, in the namespace or, without one, anywhere that the caller sees.
pub fn none_for_connector(namespace: Option<&str>, connector: &str) -> Blocked {
    let place = namespace.map(|namespace| format!(" in namespace \"{namespace}\"")).unwrap_or_default();
    Blocked {
        reason: Reason::NoConnectionForConnector,
        message: format!(
            "no connection is for connector \"{connector}\"{place}; `kubectl get connector {connector}` says whether it \
             exists, and a Connection that names it in spec.connectorRef makes one"
        ),
    }
}

/// The namespace is somebody else's Personal folder, if it is: what is in there is theirs alone.
pub fn in_personal_folder(folders: &[Folder], namespace: &str, name: &str) -> Option<Blocked> {
    let folder = folders.iter().find(|folder| {
        folder.spec.folder_type == FolderType::Personal && folder.namespace_name() == namespace
    })?;
    let owner = folder.spec.owner.as_deref().unwrap_or_default();
    Some(Blocked {
        reason: Reason::InPersonalFolder,
        message: format!(
            "connection \"{name}\" would be in the personal folder of \"{owner}\", whose connections are theirs alone; ask \
             them, or use one of a shared folder: `kubectl liaison list -A`"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::FolderSpec;

    fn folder(name: &str, folder_type: FolderType, owner: Option<&str>) -> Folder {
        let owner = owner.map(str::to_owned);
        Folder::new(name, FolderSpec { folder_type, owner, ..FolderSpec::default() })
    }

    #[test]
    fn n10_each_cause_of_not_finding_a_connection_has_its_own_reason_and_next_step() {
        let folders =
            [folder("team", FolderType::Shared, None), folder("own", FolderType::Personal, Some("ada"))];
        assert_eq!(in_personal_folder(&folders, "team", "crm"), None);
        assert_eq!(in_personal_folder(&folders, "elsewhere", "crm"), None);
        let found = [
            no_such_connection("team", "crm"),
            none_for_connector(Some("team"), "slack"),
            none_for_connector(None, "slack"),
            in_personal_folder(&folders, "own", "crm").unwrap(),
        ];
        let reasons = found.each_ref().map(|blocked| blocked.reason.as_str());
        assert_eq!(
            reasons,
            [
                "ConnectionNotFound",
                "NoConnectionForConnector",
                "NoConnectionForConnector",
                "InPersonalFolder"
            ]
        );
        assert!(found.iter().all(|blocked| blocked.message.contains("`kubectl ")), "{found:?}");
        assert!(found[3].message.contains("\"ada\""));
    }
}
