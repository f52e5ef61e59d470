//! Hands out credentials to workloads that ask with the token of their `ServiceAccount`. Every replica answers, from what
//! its own watches show and what it has opened before; what it asks the API server is remembered for a moment.

mod audit;
mod held;
mod limits;
mod remembered;
mod standing;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::authentication::v1::TokenReview;
use kube::api::PostParams;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use secrecy::SecretString;
use tokio::task::JoinSet;

use crate::api::names::GROUP;
use crate::api::{Connection, Connector, ProcessBinding};
use crate::domain::folder::Territory;
use crate::domain::hand_out::{
    self, BindingFault, Bound, Caller, Offer, Refusal, StaticHandOut, Unacceptable, Wanted,
};
use crate::domain::reason::Reason;
use crate::envelope::Keyring;
use crate::oauth::service_account;
use crate::ports::{Clock, Credential, CredentialRequest, HandedOut, NotHandedOut, TokenDesk};

use super::hand_out::Source;
use super::review::{Subject, may};
use super::watch::{self, kept};
use super::{Guarded, connector};
use audit::Audit;
use held::{Edition, Held};
use limits::Limits;
use remembered::Remembered;

/// How long an answer of the API server about a caller or its rights is good for. Withdrawn rights are seen after it.
const REVIEW_LIFETIME: Duration = Duration::from_secs(10);

/// A new token is stored before the status tells of it. That comes in a moment, and is waited for this often.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOKS: usize = 20;

/// What the endpoint has at hand, on every replica.
pub struct Desk {
    client: Client,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    audience: String,
    definitions: Arc<connector::Definitions>,
    connectors: Store<Guarded<Connector>>,
    connections: Store<Guarded<Connection>>,
    bindings: Store<Guarded<ProcessBinding>>,
    limits: Limits,
    callers: Remembered<[u8; 32], Result<Arc<Caller>, Unacceptable>>,
    rights: Remembered<([u8; 32], String, String), bool>,
    held: Arc<Held>,
    audit: Audit,
}

/// Who asks.
struct Asker {
    caller: Arc<Caller>,
    /// Of its token.
    digest: [u8; 32],
    source: IpAddr,
}

impl Desk {
    /// Begins to watch what answers depend on; the watches end with the tasks. `audience` is what tokens have to be made
    /// for, `identity` this replica's name.
    pub fn open(
        client: &Client,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        (audience, identity): (&str, &str),
        territory: &Territory,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let definitions = Arc::new(connector::Definitions::default());
        let held = Arc::new(Held::default());
        Self {
            keyring,
            clock,
            audience: audience.to_owned(),
            connectors: kept(watch::objects(Api::all(client.clone())), tasks, {
                let definitions = Arc::clone(&definitions);
                move |changed: &Guarded<Connector>, gone| {
                    if gone {
                        definitions.forget(&changed.uid().unwrap_or_default());
                    }
                }
            }),
            connections: kept(watch::reduced_in(client, territory, hand_out::reduce), tasks, {
                let held = Arc::clone(&held);
                move |changed: &Guarded<Connection>, gone| {
                    let connection = changed.0.as_ref().ok().filter(|_| !gone);
                    let offered = connection
                        .and_then(|connection| hand_out::judge(connection, &StaticHandOut::Allowed).ok());
                    let form = offered.map(|offer| offer.form);
                    held.keep_only(&changed.uid().unwrap_or_default(), form);
                }
            }),
            bindings: kept(watch::objects_in(client, territory), tasks, |_, _| {}),
            definitions,
            limits: Limits::default(),
            callers: Remembered::new(REVIEW_LIFETIME, Result::is_ok),
            rights: Remembered::new(REVIEW_LIFETIME, |may_use| *may_use),
            held,
            audit: Audit::new(client.clone(), identity),
            client: client.clone(),
        }
    }

    /// Waits until everything has been read once; before, all would seem to be missing.
    pub async fn filled(&self) -> bool {
        tokio::try_join!(
            self.connectors.wait_until_ready(),
            self.connections.wait_until_ready(),
            self.bindings.wait_until_ready()
        )
        .is_ok()
    }

    /// Who brings this token. What the API server would refuse does not reach it, and what it refused does not for a
    /// while.
    async fn caller(&self, bearer: &SecretString, source: IpAddr) -> Result<Asker, NotHandedOut> {
        if !service_account::may_be_for(bearer, &self.audience, self.clock.now()) {
            return Err(NotHandedOut::TokenRejected);
        }
        let digest = service_account::token_digest(bearer);
        let admit = |known: Option<&Result<Arc<Caller>, Unacceptable>>| {
            let checked = match known {
                Some(Ok(caller)) => self.limits.known_token(&caller.namespace),
                _ => self.limits.new_token(source, Instant::now()),
            };
            checked.map_err(NotHandedOut::Limited)
        };
        let asked = || async {
            let reviews: Api<TokenReview> = Api::all(self.client.clone());
            let review = service_account::review(bearer, &self.audience);
            let reviewed = reviews.create(&PostParams::default(), &review).await.map_err(try_later)?;
            let caller = hand_out::caller(reviewed.status.unwrap_or_default(), &self.audience);
            if caller.is_ok() {
                self.limits.accepted(source);
            }
            Ok(caller.map(Arc::new))
        };
        let caller = self.callers.get(digest, admit, asked).await?.map_err(|why| match why {
            Unacceptable::Rejected => NotHandedOut::TokenRejected,
            Unacceptable::BoundToNoPod => NotHandedOut::BoundToNoPod { audience: self.audience.clone() },
        })?;
        self.limits.answer(&caller.namespace).map_err(NotHandedOut::Limited)?;
        Ok(Asker { caller, digest, source })
    }

    /// Whether the caller may use a Connection of that name, be there one or not.
    async fn may_use(&self, asker: &Asker, namespace: &str, name: &str) -> Result<bool, NotHandedOut> {
        let caller = &asker.caller;
        let admit = |known: Option<&bool>| {
            let checked = match known {
                Some(_) => self.limits.known_right(&caller.namespace),
                None => self.limits.new_right(&caller.namespace, &caller.service_account),
            };
            checked.map_err(NotHandedOut::Limited)
        };
        let question = || async {
            let subject = Subject { verb: "use", group: GROUP, resource: "connections", namespace, name };
            may(&self.client, &caller.user, &subject).await.map_err(try_later)
        };
        self.rights.get((asker.digest, namespace.to_owned(), name.to_owned()), admit, question).await
    }

    async fn handed_out(
        &self,
        asker: &Asker,
        wanted: &Wanted,
    ) -> Result<(Arc<Guarded<Connection>>, HandedOut), NotHandedOut> {
        match wanted {
            Wanted::Connection { namespace, name } => {
                // The right comes before the look-up, so that nobody learns here what exists.
                let not_accessible =
                    || NotHandedOut::NotAccessible(hand_out::not_accessible(namespace, name));
                if !self.may_use(asker, namespace, name).await? {
                    return Err(not_accessible());
                }
                self.credential(namespace, name, |_| Ok(())).await
            }
            Wanted::Binding { namespace, name, user } => {
                let binding = self.bindings.get(&ObjectRef::new(name).within(namespace));
                let binding = binding.as_deref().and_then(|object| object.0.as_ref().ok());
                let at = (namespace.as_str(), name.as_str());
                let bound = hand_out::bound_connection(at, binding, &asker.caller, user.as_deref());
                let (bound, binding) = (bound.map_err(binding_fault)?, binding);
                let Bound { namespace, name, uid: _ } = &bound;
                if !self.may_use(asker, namespace, name).await? {
                    // Of another folder's connections nobody is told more than that.
                    let caller = &asker.caller;
                    return Err(NotHandedOut::NotAccessible(if *namespace == caller.namespace {
                        hand_out::lacks_use(&caller.service_account, namespace)
                    } else {
                        hand_out::not_accessible(namespace, name)
                    }));
                }
                let fits = |connection: &Connection| {
                    binding.map_or(Ok(()), |binding| hand_out::fits(binding, &bound, connection))
                };
                self.credential(namespace, name, fits).await
            }
        }
    }

    /// The credential of a Connection that the caller may use.
    async fn credential(
        &self,
        namespace: &str,
        name: &str,
        fits: impl Fn(&Connection) -> Result<(), Refusal>,
    ) -> Result<(Arc<Guarded<Connection>>, HandedOut), NotHandedOut> {
        let mut looks = 0;
        loop {
            let shown = self.connections.get(&ObjectRef::new(name).within(namespace));
            let found = shown.as_deref().and_then(|object| object.0.as_ref().ok());
            let (Some(shown), Some(connection)) = (&shown, found) else {
                return Err(NotHandedOut::NotAccessible(hand_out::not_accessible(namespace, name)));
            };
            fits(connection).map_err(refused)?;
            looks += 1;
            match self.read(connection).await {
                Err(NotHandedOut::Waiting(blocked)) if blocked.reason == Reason::Pending && looks < LOOKS => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                read => return Ok((Arc::clone(shown), read?)),
            }
        }
    }

    async fn read(&self, connection: &Connection) -> Result<HandedOut, NotHandedOut> {
        let uid = connection.uid().unwrap_or_default();
        let offer = offered(connection).map_err(refused)?;
        let now = self.clock.now();
        let edition = Edition { form: offer.form, generation: connection.metadata.generation };
        let source = Source {
            client: &self.client,
            keyring: &self.keyring,
            connectors: &self.connectors,
            definitions: &self.definitions,
        };
        let read = async {
            match super::hand_out::credential(&source, connection, &offer, now).await {
                Ok(Ok(credential)) => Ok(Arc::new(credential)),
                Ok(Err(refusal)) => Err(refused(refusal)),
                Err(error) => Err(try_later(error)),
            }
        };
        let credential = self.held.get(&uid, edition, now, read).await?;
        if let Credential::Token { expires_at, .. } = &*credential {
            hand_out::lasting(&connection.name_any(), *expires_at, now).map_err(refused)?;
        }
        Ok(HandedOut::of(offer, (*credential).clone()))
    }
}

#[async_trait]
impl TokenDesk for Desk {
    async fn answer(&self, request: CredentialRequest) -> Result<(String, HandedOut), NotHandedOut> {
        let CredentialRequest { bearer, source, wanted } = request;
        self.limits.question(&source).map_err(NotHandedOut::Limited)?;
        let asker = self.caller(&bearer.ok_or(NotHandedOut::NoToken)?, source).await?;
        let wanted = wanted.map_err(NotHandedOut::Malformed)?;
        let who = (&*asker.caller, asker.source);
        match self.handed_out(&asker, &wanted).await {
            Ok((shown, handed_out)) => {
                let Ok(connection) = &shown.0 else { return Err(NotHandedOut::TryLater) };
                self.audit.handed_out(who, &wanted, connection, self.clock.now());
                let name =
                    format!("{}/{}", connection.namespace().unwrap_or_default(), connection.name_any());
                Ok((name, handed_out))
            }
            Err(refusal) => {
                if let NotHandedOut::NotAccessible(why)
                | NotHandedOut::Refused(why)
                | NotHandedOut::Waiting(why) = &refusal
                {
                    self.audit.refused(who, &wanted, why);
                }
                Err(refusal)
            }
        }
    }
}

fn offered(connection: &Connection) -> Result<Offer, Refusal> {
    hand_out::judge(connection, &StaticHandOut::recorded(connection))
}

fn refused(refusal: Refusal) -> NotHandedOut {
    match refusal {
        Refusal::Waits(blocked) => NotHandedOut::Waiting(blocked),
        Refusal::Withdrawn(blocked) => NotHandedOut::Refused(blocked),
    }
}

fn binding_fault(fault: BindingFault) -> NotHandedOut {
    match fault {
        BindingFault::NotAccessible(blocked) => NotHandedOut::NotAccessible(blocked),
        BindingFault::Malformed(message) => NotHandedOut::Malformed(message),
        BindingFault::Refused(refusal) => refused(refusal),
    }
}

fn try_later(error: impl std::fmt::Display) -> NotHandedOut {
    tracing::warn!(%error, "a question for a credential could not be answered");
    NotHandedOut::TryLater
}
