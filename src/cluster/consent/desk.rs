//! What browsers are told, and what they bring. Any replica serves any step: what has to be known from one step to
//! the next is in the request itself, or sealed in the browser's cookie.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::Api;
use secrecy::SecretString;

use crate::api::ConsentRequest;
use crate::api::consent_request::{ConsentRequestStatus, Phase};
use crate::cluster::effects;
use crate::cluster::record::{self, Recorded};
use crate::domain::connection::{Blocked, Observed, Prepared, prepare_anew};
use crate::domain::consent::{self, LinkRefusal, terms_of};
use crate::domain::folder::Territory;
use crate::domain::reason::Reason;
use crate::envelope::{ConsentResult, ConsentSession, s256};
use crate::oauth::{self, Attempt};
use crate::ports::{Arrival, Clock, ConsentDesk, ConsentLink, Departure, Invitation, Receipt, VisitRefusal};

use super::FIELD_MANAGER;
use super::snapshot::Snapshots;

/// Length of states, nonces, verifiers and receipts in bytes: 256 bits.
const SECRET_LENGTH: usize = 32;

/// Serves browsers.
pub struct Desk {
    snapshots: Snapshots,
    clock: Arc<dyn Clock>,
    territory: Territory,
}

impl Desk {
    /// Serves browsers with what these snapshots show.
    pub fn new(snapshots: Snapshots, clock: Arc<dyn Clock>, territory: Territory) -> Self {
        Self { snapshots, clock, territory }
    }

    fn requests(&self, namespace: &str) -> Api<ConsentRequest> {
        Api::namespaced(self.snapshots.client.clone(), namespace)
    }

    async fn request(&self, namespace: &str, name: &str) -> Result<ConsentRequest, VisitRefusal> {
        // Whoever visits names the namespace.
        if !self.territory.serves(namespace) {
            return Err(VisitRefusal::Link(LinkRefusal::NotValid));
        }
        let found = self.requests(namespace).get_opt(name).await.map_err(unavailable)?;
        found.ok_or(VisitRefusal::Link(LinkRefusal::NotValid))
    }

    /// The request that a link opens, and its Connection.
    async fn opened(&self, link: &ConsentLink) -> Result<(ConsentRequest, Observed), VisitRefusal> {
        let request = self.request(&link.namespace, &link.name).await?;
        consent::may_open(&request, &s256(&link.start), self.clock.now()).map_err(VisitRefusal::Link)?;
        let snapshot = self.snapshots.of(&link.namespace, &request.spec.connection_ref).await;
        let observed = snapshot.map_err(unavailable)?.ok_or_else(|| {
            VisitRefusal::Blocked(Blocked {
                reason: Reason::ConsentOutdated,
                message: format!(
                    "the connection \"{}\" that this link is for is gone; make it again, and then {}",
                    request.spec.connection_ref.name,
                    consent::again(&request)
                ),
            })
        })?;
        Ok((request, observed))
    }

    /// Writes a status over the one that was seen; whether it is written.
    async fn record(
        &self,
        request: &ConsentRequest,
        status: &ConsentRequestStatus,
    ) -> Result<bool, VisitRefusal> {
        let namespace = request.metadata.namespace.as_deref().unwrap_or_default();
        let recorded = record::status(&self.requests(namespace), request, status, FIELD_MANAGER).await;
        Ok(matches!(recorded.map_err(unavailable)?, Recorded::Written(_)))
    }

    /// Ends a request whose answer cannot be used, so that no other answer to it can.
    async fn fail(&self, request: &ConsentRequest, blocked: &Blocked) -> Result<(), VisitRefusal> {
        let status = consent::concluded(request, Err(blocked.clone()), self.clock.now());
        self.record(request, &status).await.map(|_| ())
    }
}

#[async_trait]
impl ConsentDesk for Desk {
    async fn invite(&self, link: &ConsentLink) -> Result<Invitation, VisitRefusal> {
        let (request, observed) = self.opened(link).await?;
        let prepared = prepared(&observed)?;
        Ok(invitation(&request, &observed, &prepared))
    }

    async fn depart(&self, link: &ConsentLink) -> Result<Departure, VisitRefusal> {
        let (request, observed) = self.opened(link).await?;
        let prepared = prepared(&observed)?;
        let (session, location) = session(&request, &observed, &prepared)?;
        let uid = request.metadata.uid.clone().unwrap_or_default();
        let sealed = self.snapshots.keyring.seal_consent_session(&uid, &session).map_err(unavailable)?;
        let seen = request.status.clone().unwrap_or_default();
        let started = ConsentRequestStatus { phase: Some(Phase::Started), ..seen };
        if !self.record(&request, &started).await? {
            return Err(VisitRefusal::Link(LinkRefusal::Used));
        }
        Ok(Departure { location, uid, sealed, max_age: consent::LIFETIME })
    }

    async fn arrive(
        &self,
        path: &str,
        query: &str,
        cookies: &[(String, String)],
    ) -> Result<Arrival, VisitRefusal> {
        let not_valid = || VisitRefusal::Link(LinkRefusal::NotValid);
        let answer = oauth::parse_callback(query).map_err(|_| not_valid())?;
        let now = self.clock.now();
        let (uid, session) = cookies
            .iter()
            .filter_map(|(uid, sealed)| {
                Some((uid, self.snapshots.keyring.open_consent_session(uid, sealed)?))
            })
            // The path says which application was asked; an answer of another one is none (RFC 9700, section 4.4).
            .filter(|(_, session)| path_of(&session.redirect_uri) == path)
            .find(|(_, session)| session.has_state(&answer.state))
            .ok_or_else(not_valid)?;
        if now >= session.expires_at {
            return Err(VisitRefusal::Link(LinkRefusal::Expired));
        }
        let request = self.request(&session.namespace, &session.name).await?;
        let phase = request.status.as_ref().and_then(|status| status.phase);
        if request.metadata.uid.as_ref() != Some(uid) || phase != Some(Phase::Started) {
            return Err(VisitRefusal::Link(LinkRefusal::Used));
        }
        if !oauth::is_from(session.issuer_check, session.issuer.as_deref(), answer.issuer.as_deref()) {
            let blocked = foreign(&request);
            self.fail(&request, &blocked).await?;
            return Err(VisitRefusal::Blocked(blocked));
        }
        let code = match answer.outcome {
            Ok(code) => code,
            Err(error) => {
                let blocked = consent::refused_by_provider(&request, &error.code, &session.redirect_uri);
                self.fail(&request, &blocked).await?;
                return Err(VisitRefusal::Provider { blocked, error });
            }
        };
        self.keep(&request, uid, session, code).await
    }
}

impl Desk {
    /// Keeps what came back, sealed, and hands out the receipt for it.
    async fn keep(
        &self,
        request: &ConsentRequest,
        uid: &str,
        session: ConsentSession,
        code: SecretString,
    ) -> Result<Arrival, VisitRefusal> {
        let text = random()?;
        let ConsentSession { nonce, verifier, terms, redirect_uri, .. } = session;
        let receipt_digest = s256(&text);
        let result = ConsentResult { code, nonce, verifier, receipt_digest, redirect_uri, terms };
        let sealed = self.snapshots.keyring.seal_consent_result(uid, &result).map_err(unavailable)?;
        let seen = request.status.clone().unwrap_or_default();
        let returned =
            ConsentRequestStatus { phase: Some(Phase::Returned), sealed_result: Some(sealed), ..seen };
        if !self.record(request, &returned).await? {
            return Err(VisitRefusal::Link(LinkRefusal::Used));
        }
        let port = request.spec.loopback_port.and_then(|port| u16::try_from(port).ok());
        let receipt = match port {
            Some(port) => Receipt::Brought(oauth::loopback_address(port, &SecretString::from(text))),
            None => Receipt::Entered(text),
        };
        Ok(Arrival { uid: uid.to_owned(), receipt })
    }
}

fn prepared(observed: &Observed) -> Result<Prepared<'_>, VisitRefusal> {
    prepare_anew(observed).map_err(VisitRefusal::Blocked)
}

fn invitation(request: &ConsentRequest, observed: &Observed, prepared: &Prepared<'_>) -> Invitation {
    let requester = request.spec.requester.as_ref();
    let folder = match &observed.folder {
        crate::domain::connection::FolderState::Ready(name) => name.clone(),
        _ => observed.namespace().to_owned(),
    };
    Invitation {
        requester: requester.map(|requester| requester.username.clone()).unwrap_or_default(),
        folder,
        namespace: observed.namespace().to_owned(),
        name: observed.name().to_owned(),
        display_name: observed.connection.spec.display_name.clone(),
        application: prepared.definition.display_name().to_owned(),
        scopes: prepared.scopes.clone(),
        host: prepared.authorize_host().unwrap_or_default().to_owned(),
    }
}

/// Everything that makes this attempt unlike every other, and the address that it begins at.
fn session(
    request: &ConsentRequest,
    observed: &Observed,
    prepared: &Prepared<'_>,
) -> Result<(ConsentSession, String), VisitRefusal> {
    let redirect_uri = observed.redirect_uri(prepared.definition);
    let verifier = if oauth::uses_pkce(prepared.method) { Some(random()?.into()) } else { None };
    let attempt = Attempt { state: random()?.into(), nonce: random()?.into(), verifier };
    let client_id = prepared.client_id.clone().unwrap_or_default();
    let http_allowed = |host: &str, port: u16| observed.http_allowed(host, port);
    let location = oauth::authorization_url(
        prepared.method,
        &prepared.values,
        &client_id,
        &prepared.scopes,
        &redirect_uri,
        &attempt,
        &http_allowed,
    );
    let location = location.map_err(|fault| {
        let failure = fault.failure();
        VisitRefusal::Blocked(Blocked { reason: failure.reason, message: failure.message })
    })?;
    if !effects::reach(observed).covers(&location) {
        let message = "no policy lets a person be sent there with that OAuth app; an administrator can look at the policies";
        return Err(VisitRefusal::Blocked(Blocked {
            reason: Reason::HostNotAllowed,
            message: message.to_owned(),
        }));
    }
    let Attempt { state, nonce, verifier } = attempt;
    let session = ConsentSession {
        namespace: observed.namespace().to_owned(),
        name: request.metadata.name.clone().unwrap_or_default(),
        expires_at: consent::expires_at(request),
        state,
        nonce,
        verifier,
        issuer: oauth::issuer(prepared.method, &prepared.values),
        issuer_check: prepared.method.oauth2().map(|oauth2| oauth2.iss).unwrap_or_default(),
        terms: terms_of(observed, prepared, &redirect_uri).to_map(),
        redirect_uri,
    };
    Ok((session, location.into()))
}

fn foreign(request: &ConsentRequest) -> Blocked {
    Blocked {
        reason: Reason::ResponseMismatch,
        message: format!(
            "the answer does not come from the issuer that the connector names; nothing was sent. If this repeats, \
             an administrator has to look at the connector; else {}",
            consent::again(request)
        ),
    }
}

fn path_of(address: &str) -> String {
    url::Url::parse(address).map(|url| url.path().to_owned()).unwrap_or_default()
}

/// 256 bits that nobody can guess, in base64url.
fn random() -> Result<String, VisitRefusal> {
    let mut bytes = [0_u8; SECRET_LENGTH];
    rand::fill(&mut bytes).map_err(|_| unavailable("the system gave no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Our own side's fault: the person is asked to try again, the log has the cause.
fn unavailable(cause: impl std::fmt::Display) -> VisitRefusal {
    tracing::warn!(%cause, "a browser could not be served");
    VisitRefusal::TryLater
}
