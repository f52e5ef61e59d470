//! Looks a Connection up, and says why it is not found.

use kube::api::ListParams;
use kube::{Api, Client};

use crate::api::{Connection, Folder};
use crate::domain::connection::Blocked;
use crate::domain::lookup::{in_personal_folder, no_such_connection};

/// The Connection, or the cause in the words that everybody uses for it.
pub(super) async fn connection(client: &Client, namespace: &str, name: &str) -> anyhow::Result<Connection> {
    let connections: Api<Connection> = Api::namespaced(client.clone(), namespace);
    match connections.get(name).await {
        Ok(connection) => Ok(connection),
        Err(error) => Err(explained(client, namespace, name, error).await),
    }
}

/// An error of the API server about a Connection, where it has a cause that we know in the cause's own words.
pub(super) async fn explained(
    client: &Client,
    namespace: &str,
    name: &str,
    error: kube::Error,
) -> anyhow::Error {
    let blocked = match &error {
        kube::Error::Api(status) if status.is_not_found() => Some(no_such_connection(namespace, name)),
        kube::Error::Api(status) if status.is_forbidden() => {
            // Who may not see folders is told what the API server says.
            let folders: Api<Folder> = Api::all(client.clone());
            let folders = folders.list(&ListParams::default()).await.map(|list| list.items);
            in_personal_folder(&folders.unwrap_or_default(), namespace, name)
        }
        _ => None,
    };
    match blocked {
        Some(Blocked { reason, message }) => anyhow::anyhow!("{reason}: {message}"),
        None => anyhow::Error::from(error)
            .context(format!("look up the connection \"{name}\" in namespace \"{namespace}\"")),
    }
}
