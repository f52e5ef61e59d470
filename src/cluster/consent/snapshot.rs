//! A Connection as it is this moment, read from the API server itself: what a person agrees to, and what is done with
//! their consent, must not depend on how late a watch is.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

use crate::api::consent_request::ConnectionIdentity;
use crate::api::names::FOLDER_LABEL;
use crate::api::{Connection, Connector, Folder};
use crate::cluster::connector::Definitions;
use crate::cluster::{Error, folder, secrets};
use crate::domain::connection::{ConnectorState, FolderState, Observed, Settings, TokenState};
use crate::domain::neighbours::Neighbours;
use crate::envelope::Keyring;

/// Reads what a consent depends on; it works on every replica, leading or not.
#[derive(Clone)]
pub struct Snapshots {
    pub(super) client: Client,
    pub(super) keyring: Arc<Keyring>,
    pub(super) settings: Arc<Settings>,
    definitions: Arc<Definitions>,
}

impl Snapshots {
    /// Reads through this client.
    pub fn new(client: Client, keyring: Arc<Keyring>, settings: Arc<Settings>) -> Self {
        Self { client, keyring, settings, definitions: Arc::default() }
    }

    /// The Connection with this uid, and all that it depends on but its token; `None` where there is no such one.
    pub(super) async fn of(
        &self,
        namespace: &str,
        identity: &ConnectionIdentity,
    ) -> Result<Option<Observed>, Error> {
        let connections: Api<Connection> = Api::namespaced(self.client.clone(), namespace);
        let found = connections.get_opt(&identity.name).await.map_err(Error::api("read the Connection"))?;
        let same = |connection: &Connection| {
            connection.metadata.uid.as_ref() == Some(&identity.uid)
                && connection.metadata.deletion_timestamp.is_none()
        };
        let Some(connection) = found.filter(same) else { return Ok(None) };
        let secret = |source| secrets::fresh_state(&self.client, &self.keyring, namespace, source);
        let spec = connection.spec.clone();
        Ok(Some(Observed {
            connector: self.connector(&spec.connector_ref.name).await?,
            folder: self.folder(namespace).await?,
            credentials: secret(spec.credentials.as_ref()).await?,
            oauth_app: secret(spec.oauth_app.as_ref()).await?,
            token: TokenState::Missing,
            consent: None,
            neighbours: Neighbours::default(),
            settings: Arc::clone(&self.settings),
            connection,
        }))
    }

    async fn connector(&self, name: &str) -> Result<ConnectorState, Error> {
        let connectors: Api<Connector> = Api::all(self.client.clone());
        let found = connectors.get_opt(name).await.map_err(Error::api("read the Connector"))?;
        Ok(found.map_or(ConnectorState::NotFound, |connector| self.definitions.state_of(&connector)))
    }

    /// The folder that the namespace's label names, if that folder says so too.
    async fn folder(&self, namespace: &str) -> Result<FolderState, Error> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found =
            namespaces.get_metadata_opt(namespace).await.map_err(Error::api("look up the namespace"))?;
        let Some(metadata) = found.map(|found| found.metadata) else { return Ok(FolderState::NotFound) };
        if metadata.deletion_timestamp.is_some() {
            return Ok(FolderState::Terminating);
        }
        let Some(name) = metadata.labels.unwrap_or_default().remove(FOLDER_LABEL) else {
            return Ok(FolderState::NotFound);
        };
        let folders: Api<Folder> = Api::all(self.client.clone());
        let found = folders.get_opt(&name).await.map_err(Error::api("read the Folder"))?;
        let owner = found.filter(|folder| folder.namespace_name() == namespace);
        Ok(owner.map_or(FolderState::NotFound, |owner| folder::state_for_connections(&owner)))
    }
}
