//! A Connection as it is this moment, read from the API server itself: what a person agrees to, and what is done with
//! their consent, must not depend on how late a watch is.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::api::consent_request::ConnectionIdentity;
use crate::api::names::FOLDER_LABEL;
use crate::api::{Connection, ConnectionPolicy, Connector, Folder};
use crate::cluster::connector::Definitions;
use crate::cluster::{self, Error, Guarded, folder, secrets};
use crate::domain::connection::{ConnectorState, FolderState, Observed, Settings, TokenState};
use crate::domain::neighbours::Neighbours;
use crate::domain::policy::{self, Ancestry, EffectivePolicy, ancestry};
use crate::envelope::Keyring;

/// Reads what a consent depends on; it works on every replica, leading or not.
#[derive(Clone)]
pub struct Snapshots {
    pub(super) client: Client,
    pub(super) keyring: Arc<Keyring>,
    pub(super) settings: Arc<Settings>,
    operator_namespace: String,
    definitions: Arc<Definitions>,
}

impl Snapshots {
    /// Reads through this client; what policies lend lies in the operator's namespace.
    pub fn new(
        client: Client,
        keyring: Arc<Keyring>,
        settings: Arc<Settings>,
        operator_namespace: &str,
    ) -> Self {
        let operator_namespace = operator_namespace.to_owned();
        Self { client, keyring, settings, operator_namespace, definitions: Arc::default() }
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
        let spec = &connection.spec;
        let connector = &spec.connector_ref.name;
        let (folder, policy) = self.governing(namespace, connector).await?;
        let credentials = policy::credentials(spec, &policy);
        let state = self.connector(connector).await?;
        let oauth_app = policy::oauth_app(spec, state.auth_type_of(spec), &policy);
        let places = (namespace, self.operator_namespace.as_str());
        let secret = |choice| secrets::fresh_state(&self.client, &self.keyring, places, choice);
        Ok(Some(Observed {
            connector: state,
            folder,
            credentials: secret(credentials.as_ref()).await?,
            oauth_app: secret(oauth_app.as_ref()).await?,
            policy: Arc::new(policy),
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

    /// The folder of a namespace, and what the policies of the folder tree come to there.
    async fn governing(
        &self,
        namespace: &str,
        connector: &str,
    ) -> Result<(FolderState, EffectivePolicy), Error> {
        let (state, owner) = self.folder(namespace).await?;
        let folders = self.with_ancestors(owner).await?;
        let ancestry = match folders.first() {
            Some(owner) => {
                let name = owner.metadata.name.as_deref().unwrap_or_default();
                ancestry(name, &folders.iter().collect::<Vec<_>>())
            }
            None => Ancestry::default(),
        };
        let policies: Api<Guarded<ConnectionPolicy>> = Api::all(self.client.clone());
        let policies = policies.list(&ListParams::default()).await.map_err(Error::api("read policies"))?;
        let policies: Vec<_> = policies.items.iter().filter_map(|object| object.0.as_ref().ok()).collect();
        let policy = EffectivePolicy::of(&policies, &ancestry, connector);
        let state = match folders.first() {
            Some(owner) if matches!(state, FolderState::Ready(_)) => {
                cluster::policy::folder_state(Some(owner), &ancestry)
            }
            _ => state,
        };
        Ok((state, policy))
    }

    /// A folder, and those above it.
    async fn with_ancestors(&self, owner: Option<Folder>) -> Result<Vec<Folder>, Error> {
        let folders: Api<Folder> = Api::all(self.client.clone());
        let mut upwards: Vec<Folder> = Vec::new();
        let mut next = owner;
        while let Some(folder) = next {
            let parent = folder.spec.parent_ref.clone().filter(|_| upwards.len() < policy::FARTHEST);
            upwards.push(folder);
            next = match parent {
                Some(parent) => folders.get_opt(&parent.name).await.map_err(Error::api("read the Folder"))?,
                None => None,
            };
        }
        Ok(upwards)
    }

    /// The folder that the namespace's label names, if that folder says so too.
    async fn folder(&self, namespace: &str) -> Result<(FolderState, Option<Folder>), Error> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found =
            namespaces.get_metadata_opt(namespace).await.map_err(Error::api("look up the namespace"))?;
        let Some(metadata) = found.map(|found| found.metadata) else {
            return Ok((FolderState::NotFound, None));
        };
        if metadata.deletion_timestamp.is_some() {
            return Ok((FolderState::Terminating, None));
        }
        let Some(name) = metadata.labels.unwrap_or_default().remove(FOLDER_LABEL) else {
            return Ok((FolderState::NotFound, None));
        };
        let folders: Api<Folder> = Api::all(self.client.clone());
        let found = folders.get_opt(&name).await.map_err(Error::api("read the Folder"))?;
        let owner = found.filter(|folder| folder.namespace_name() == namespace);
        let state = owner.as_ref().map_or(FolderState::NotFound, folder::state_for_connections);
        Ok((state, owner))
    }
}
