//! Why somebody does not find a Connection. The causes look alike to a person and need different steps.

use jiff::Timestamp;

use crate::api::folder::FolderType;
use crate::api::{Connection, Folder};

use super::connection::Blocked;
use super::defaults::{self, Candidate};
use super::reason::Reason;

/// Most names that a message lists.
const LISTED: usize = 8;

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

/// The Connection that is taken where a namespace's default for a Connector is asked for. `connections` may be more than
/// those that come into question: others are left out here.
pub fn the_default<'a>(
    namespace: &str,
    connector: &str,
    connections: impl IntoIterator<Item = &'a Connection>,
) -> Result<&'a Connection, Blocked> {
    let in_question = |connection: &&Connection| {
        connection.metadata.namespace.as_deref() == Some(namespace)
            && connection.spec.connector_ref.name == connector
    };
    let connections: Vec<&Connection> = connections.into_iter().filter(in_question).collect();
    let candidates: Vec<_> = connections.iter().filter_map(|connection| Candidate::of(connection)).collect();
    if candidates.is_empty() {
        return Err(none_for_connector(Some(namespace), connector));
    }
    let chosen = defaults::choice(&candidates, Timestamp::MAX);
    let named = |name: &str| {
        connections.iter().copied().find(|connection| connection.metadata.name.as_deref() == Some(name))
    };
    chosen.and_then(|chosen| named(&chosen.name)).ok_or_else(|| {
        no_default(namespace, connector, candidates.into_iter().map(|candidate| candidate.name))
    })
}

/// There are several, and none of them is marked as the default.
fn no_default(namespace: &str, connector: &str, names: impl Iterator<Item = String>) -> Blocked {
    let mut names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    names.sort();
    let count = names.len();
    names.truncate(LISTED);
    let more = if count > LISTED { format!(" and {} more", count - LISTED) } else { String::new() };
    Blocked {
        reason: Reason::NoDefaultConnection,
        message: format!(
            "namespace \"{namespace}\" has {count} connections for connector \"{connector}\" and none of them is the \
             default: {}{more}; choose one with `kubectl liaison set-default NAME -n {namespace}`, or by spec.default: true",
            names.join(", ")
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
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rstest::rstest;

    use super::*;
    use crate::api::{ConnectionSpec, FolderSpec};

    fn connection(name: &str, default: bool, since: Option<i64>) -> Connection {
        let mut connection = Connection::new(name, ConnectionSpec { default, ..ConnectionSpec::default() });
        connection.spec.connector_ref.name = "slack".to_owned();
        connection.metadata.namespace = Some("team".to_owned());
        connection.metadata.creation_timestamp = Some(Time(Timestamp::from_second(100).unwrap()));
        let status = connection.status.get_or_insert_default();
        status.default_since = since.map(|second| Time(Timestamp::from_second(second).unwrap()));
        connection
    }

    #[rstest]
    #[case::the_only_one(&[("a", false, None)], "a")]
    #[case::the_only_flagged_one(&[("a", false, None), ("b", true, Some(5)), ("c", false, None)], "b")]
    #[case::the_flag_set_last(&[("a", true, Some(9)), ("b", true, Some(5))], "a")]
    #[case::a_flag_that_was_just_set(&[("a", true, None), ("b", true, Some(5))], "a")]
    #[case::both_at_once(&[("a", true, Some(5)), ("b", true, Some(5))], "b")]
    #[case::a_time_without_its_flag(&[("a", false, Some(9)), ("b", true, Some(5))], "b")]
    fn s25_a_look_up_by_default_takes_the_flag_that_was_set_last(
        #[case] folder: &[(&str, bool, Option<i64>)],
        #[case] expected: &str,
    ) {
        let mut all: Vec<_> =
            folder.iter().map(|(name, default, since)| connection(name, *default, *since)).collect();
        let mut elsewhere = connection("z", true, None);
        elsewhere.metadata.namespace = Some("other".to_owned());
        let mut for_another = connection("y", true, None);
        for_another.spec.connector_ref.name = "jira".to_owned();
        let mut going = connection("x", true, None);
        going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
        all.extend([elsewhere, for_another, going]);
        let found = the_default("team", "slack", &all).unwrap();
        assert_eq!(found.metadata.name.as_deref(), Some(expected));
        assert_eq!(found.metadata.namespace.as_deref(), Some("team"));
        all.reverse();
        assert_eq!(the_default("team", "slack", &all).unwrap().metadata.name.as_deref(), Some(expected));
    }

    #[test]
    fn s27_without_a_default_a_look_up_says_so_and_names_what_there_is() {
        let two = [connection("b", false, None), connection("a", false, None)];
        let blocked = the_default("team", "slack", &two).unwrap_err();
        assert_eq!(blocked.reason, Reason::NoDefaultConnection);
        assert_eq!(
            blocked.message,
            "namespace \"team\" has 2 connections for connector \"slack\" and none of them is the default: \"a\", \
             \"b\"; choose one with `kubectl liaison set-default NAME -n team`, or by spec.default: true"
        );
        let many: Vec<_> = (0..10).map(|number| connection(&format!("c{number}"), false, None)).collect();
        let blocked = the_default("team", "slack", &many).unwrap_err();
        assert!(blocked.message.contains("\"c7\" and 2 more;"), "{}", blocked.message);
        let none = the_default("team", "jira", &two).unwrap_err();
        assert_eq!(none, none_for_connector(Some("team"), "jira"));
    }

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
