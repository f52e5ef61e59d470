//! The desk at which the API server asks before it stores what people write. Every replica has one: it reads what the
//! watches show and what it looks up, and writes nothing.

mod asked;

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, Operation};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::task::JoinSet;

use crate::api::{Connection, ConnectionPolicy, Connector, ConsentRequest, Folder, ProcessBinding};
use crate::domain::admission::{
    self, ConnectorSeen, Leaving, Ruling, is_open, reaches_other_hosts, requester,
};
use crate::domain::folder::{Held, Territory, permitted};
use crate::domain::policy::{EffectivePolicy, own_secrets};
use crate::envelope::{Keyring, RequesterStamp};
use crate::ports::{AdmissionDesk, Clock, ReviewFault, Reviewed};

use super::review::{Subject, may};
use super::watch::{self, drained, kept};
use super::{Guarded, Surroundings, connector, folder, policy};
use asked::Asked;

/// Who deletes what belongs to something that is gone, in the two ways in which clusters run these controllers. They
/// are never kept from it.
const CLEANERS: [&str; 3] = [
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:kube-controller-manager",
];

/// What admission has at hand, on every replica.
pub struct Desk {
    client: Client,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    territory: Territory,
    definitions: Arc<connector::Definitions>,
    connectors: Store<Guarded<Connector>>,
    folders: Store<Guarded<Folder>>,
    /// Display names of connections; the connections themselves are not kept.
    names: Arc<Surroundings>,
    requests: Store<Guarded<ConsentRequest>>,
    policies: Store<Guarded<ConnectionPolicy>>,
}

impl Desk {
    /// Begins to watch what rulings depend on; the watches end with the tasks.
    pub fn open(
        client: &Client,
        keyring: Arc<Keyring>,
        territory: Territory,
        clock: Arc<dyn Clock>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let definitions = Arc::new(connector::Definitions::default());
        let (names, _) = Surroundings::new();
        drained(watch::only_followed::<Connection>(client, &territory, Arc::clone(&names)), tasks);
        Self {
            names,
            keyring,
            clock,
            connectors: kept(watch::objects(Api::all(client.clone())), tasks, {
                let definitions = Arc::clone(&definitions);
                move |changed: &Guarded<Connector>, gone| {
                    if gone {
                        definitions.forget(&changed.uid().unwrap_or_default());
                    }
                }
            }),
            folders: kept(watch::objects(Api::all(client.clone())), tasks, |_, _| {}),
            requests: kept(watch::objects_in(client, &territory), tasks, |_, _| {}),
            policies: kept(watch::objects(Api::all(client.clone())), tasks, |_, _| {}),
            definitions,
            territory,
            client: client.clone(),
        }
    }

    /// Waits until everything has been read once; before, all would seem to be missing.
    pub async fn filled(&self) -> bool {
        tokio::try_join!(
            self.connectors.wait_until_ready(),
            self.folders.wait_until_ready(),
            self.requests.wait_until_ready(),
            self.policies.wait_until_ready()
        )
        .is_ok()
            && self.names.filled().await
    }

    fn connector(&self, name: &str) -> ConnectorSeen {
        self.seen(self.connectors.get(&ObjectRef::new(name)).as_deref())
    }

    fn seen(&self, connector: Option<&Guarded<Connector>>) -> ConnectorSeen {
        match connector.map(|object| &object.0) {
            Some(Ok(connector)) => ConnectorSeen::found(connector, self.definitions.state_of(connector)),
            // One that does not fit its kind is of as little use as none.
            Some(Err(_)) | None => ConnectorSeen::not_found(),
        }
    }

    /// The same from the API server, for what the watch does not show, or not yet.
    async fn current_connector(&self, name: &str) -> Result<ConnectorSeen, ReviewFault> {
        let connectors: Api<Guarded<Connector>> = Api::all(self.client.clone());
        let found = connectors.get_opt(name).await.map_err(fault("read the Connector"))?;
        Ok(self.seen(found.as_ref()))
    }

    /// What the policies come to for a Connection, as the watch shows them.
    fn policy(&self, connection: &Connection) -> EffectivePolicy {
        let namespace = connection.metadata.namespace.as_deref().unwrap_or_default();
        let (_, ancestry) = policy::ancestry_of(&self.folders, namespace);
        policy::effective(&self.policies, &ancestry, &connection.spec.connector_ref.name)
    }

    /// The same with the policies as the API server has them.
    async fn current_policy(&self, connection: &Connection) -> Result<EffectivePolicy, ReviewFault> {
        let namespace = connection.metadata.namespace.as_deref().unwrap_or_default();
        let (_, ancestry) = policy::ancestry_of(&self.folders, namespace);
        let policies: Api<Guarded<ConnectionPolicy>> = Api::all(self.client.clone());
        let policies = policies.list(&ListParams::default()).await.map_err(fault("read the policies"))?;
        let policies: Vec<_> = policies.items.iter().filter_map(|object| object.0.as_ref().ok()).collect();
        Ok(EffectivePolicy::of(&policies, &ancestry, &connection.spec.connector_ref.name))
    }

    /// What the Connector and policies have to say first, then what the others of the folder have.
    async fn connections(
        &self,
        asked: &Asked<'_>,
        old: Option<&Connection>,
        new: &Connection,
    ) -> Result<Ruling, ReviewFault> {
        if old.is_none()
            && let refused @ Ruling::Refuse(_) = admission::place(asked.namespace, &self.territory)
        {
            return Ok(refused);
        }
        let ruling = self.fits(old, new).await?;
        if matches!(ruling, Ruling::Refuse(_)) {
            return Ok(ruling);
        }
        Ok(match self.display_name(old, new) {
            Ruling::Pass => ruling,
            refused => refused,
        })
    }

    fn display_name(&self, old: Option<&Connection>, new: &Connection) -> Ruling {
        let namespace = new.namespace().unwrap_or_default();
        let Some(name) = &new.spec.display_name else { return Ruling::Pass };
        let taken = self.names.is_named(&namespace, name, &new.name_any());
        let folders = self.folders.state();
        let owner = folders.iter().filter_map(|object| object.0.as_ref().ok()).find(|folder| {
            folder.status.as_ref().and_then(|status| status.namespace.as_ref()) == Some(&namespace)
        });
        let folder = owner.map_or_else(|| namespace.clone(), ResourceExt::name_any);
        admission::display_name(old, new, &folder, taken)
    }

    /// Nobody is refused by a Connector or a policy as it was, and a Connector that was just applied counts.
    async fn fits(&self, old: Option<&Connection>, new: &Connection) -> Result<Ruling, ReviewFault> {
        let name = &new.spec.connector_ref.name;
        let seen = self.connector(name);
        let ruling = admission::connection(old, new, &seen, &self.policy(new));
        if seen.is_usable() && !matches!(ruling, Ruling::Refuse(_)) {
            return Ok(ruling);
        }
        let (seen, policy) = (self.current_connector(name).await?, self.current_policy(new).await?);
        Ok(admission::connection(old, new, &seen, &policy))
    }

    /// Whoever sends credentials elsewhere has to be allowed to read them.
    async fn parameters(
        &self,
        asked: &Asked<'_>,
        old: &Connection,
        new: &Connection,
    ) -> Result<Ruling, ReviewFault> {
        let name = &new.spec.connector_ref.name;
        let mut connector = self.connector(name);
        if !connector.is_usable() {
            connector = self.current_connector(name).await?;
        }
        let reaches_others = || reaches_other_hosts(&old.spec, &new.spec, &connector, &self.policy(new));
        if new.metadata.deletion_timestamp.is_some() || !reaches_others() {
            return Ok(Ruling::Pass);
        }
        let namespace = new.namespace().unwrap_or_default();
        for secret in own_secrets(&new.spec) {
            let subject =
                Subject { verb: "get", group: "", resource: "secrets", namespace: &namespace, name: secret };
            if !may(&self.client, asked.user, &subject).await.map_err(fault("review access"))? {
                return Ok(Ruling::Refuse(format!(
                    "a change of spec.parameters that sends credentials to another host needs the right to get secret \
                     \"{secret}\" in namespace \"{namespace}\""
                )));
            }
        }
        Ok(Ruling::Pass)
    }

    fn process_binding(
        &self,
        asked: &Asked<'_>,
        old: Option<&ProcessBinding>,
        new: &ProcessBinding,
    ) -> Ruling {
        match admission::place(asked.namespace, &self.territory) {
            refused @ Ruling::Refuse(_) if old.is_none() => refused,
            _ => admission::process_binding(new, &self.all_folders()),
        }
    }

    fn all_folders(&self) -> Vec<Folder> {
        self.folders.state().iter().filter_map(|object| object.0.as_ref().ok().cloned()).collect()
    }

    async fn folder_written(
        &self,
        asked: &Asked<'_>,
        old: Option<&Folder>,
        new: &Folder,
    ) -> Result<Ruling, ReviewFault> {
        if new.metadata.deletion_timestamp.is_some() {
            return Ok(Ruling::Pass);
        }
        if old.is_none() {
            let ruling = admission::folder(new, &self.all_folders(), &self.territory);
            if ruling != Ruling::Pass {
                return Ok(ruling);
            }
        }
        if new.spec.adopt && !old.is_some_and(|old| old.spec.adopt) {
            let namespace = new.namespace_name();
            let subject =
                Subject { verb: "update", group: "", resource: "namespaces", namespace, name: namespace };
            if !may(&self.client, asked.user, &subject).await.map_err(fault("review access"))? {
                return Ok(Ruling::Refuse(admission::adoption_refused(namespace)));
            }
        }
        Ok(Ruling::Pass)
    }

    async fn folder_deleted(&self, asked: &Asked<'_>, old: &Folder) -> Result<Ruling, ReviewFault> {
        if CLEANERS.contains(&asked.username()) {
            return Ok(Ruling::Pass);
        }
        let name = old.namespace_name();
        let namespace = if permitted(old, &self.territory).is_ok() {
            let namespaces: Api<Namespace> = Api::all(self.client.clone());
            namespaces.get_metadata_opt(name).await.map_err(fault("look up the namespace"))?
        } else {
            None
        };
        let owned = namespace.as_ref().is_some_and(|namespace| {
            namespace.labels().get(crate::api::names::FOLDER_LABEL) == old.metadata.name.as_ref()
        });
        let held = if owned {
            folder::held_in(&self.client, name).await.map_err(fault("look into the namespace"))?
        } else {
            Held::default()
        };
        let terminating = namespace.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some());
        Ok(admission::folder_deletion(old, &Leaving { folders: self.all_folders(), held, terminating }))
    }

    /// Stamps a new request with who made it, whatever was written there, or refuses it.
    fn consent_request(
        &self,
        asked: &Asked<'_>,
        new: &ConsentRequest,
        response: AdmissionResponse,
    ) -> Result<AdmissionResponse, ReviewFault> {
        if let Ruling::Refuse(message) = admission::place(asked.namespace, &self.territory) {
            return Ok(response.deny(message));
        }
        let open = self.requests.state();
        let open = open.iter().filter_map(|object| object.0.as_ref().ok());
        let open = open.filter(|request| is_open(request, asked.username(), self.clock.now())).count();
        if let Ruling::Refuse(message) = admission::consent_request(&new.spec, open) {
            return Ok(response.deny(message));
        }
        let mut stamp = match requester(asked.user) {
            Ok(stamp) => stamp,
            Err(message) => return Ok(response.deny(message)),
        };
        stamp.seal = self.keyring.seal_requester(RequesterStamp {
            namespace: asked.namespace,
            spec: &new.spec,
            requester: &stamp,
        });
        let patch = json!([{ "op": "add", "path": "/spec/requester", "value": stamp }]);
        let patch = serde_json::from_value(patch).map_err(|error| ReviewFault(error.to_string()))?;
        response.with_patch(patch).map_err(|error| ReviewFault(error.to_string()))
    }
}

#[async_trait]
impl AdmissionDesk for Desk {
    async fn review(
        &self,
        subject: Reviewed,
        request: &AdmissionRequest<DynamicObject>,
    ) -> Result<AdmissionResponse, ReviewFault> {
        let asked = Asked::of(request);
        let mut response = AdmissionResponse::from(request);
        let deletion = request.operation == Operation::Delete;
        let ruling = match subject {
            Reviewed::Connections => self.connections(&asked, old(request)?.as_ref(), &new(request)?).await?,
            Reviewed::Parameters => match old(request)? {
                Some(old) => self.parameters(&asked, &old, &new(request)?).await?,
                None => Ruling::Pass,
            },
            Reviewed::Folders if deletion => match old(request)? {
                Some(old) => self.folder_deleted(&asked, &old).await?,
                None => Ruling::Pass,
            },
            Reviewed::Folders => self.folder_written(&asked, old(request)?.as_ref(), &new(request)?).await?,
            Reviewed::ConsentRequests => return self.consent_request(&asked, &new(request)?, response),
            Reviewed::ProcessBindings => self.process_binding(&asked, old(request)?.as_ref(), &new(request)?),
        };
        match ruling {
            Ruling::Pass => {}
            Ruling::Warn(text) => response.warnings = Some(vec![text]),
            Ruling::Refuse(message) => response = response.deny(message),
        }
        Ok(response)
    }
}

fn fault(action: &'static str) -> impl FnOnce(kube::Error) -> ReviewFault {
    move |error| ReviewFault(format!("{action}: {error}"))
}

fn new<K: Resource + DeserializeOwned>(request: &AdmissionRequest<DynamicObject>) -> Result<K, ReviewFault> {
    typed(request.object.as_ref())?.ok_or_else(|| ReviewFault("the request has no object".to_owned()))
}

fn old<K: Resource + DeserializeOwned>(
    request: &AdmissionRequest<DynamicObject>,
) -> Result<Option<K>, ReviewFault> {
    typed(request.old_object.as_ref())
}

fn typed<K: Resource + DeserializeOwned>(object: Option<&DynamicObject>) -> Result<Option<K>, ReviewFault> {
    object
        .map(|object| object.clone().try_parse::<K>())
        .transpose()
        // What was found where is not repeated: a value in the wrong place may be a secret, and this is logged.
        .map_err(|_| ReviewFault("the object does not fit its kind; see `kubectl explain`".to_owned()))
}
