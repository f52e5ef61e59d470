//! Decisions about Connections, over snapshots that a few words build.

mod beside;
mod consent;
mod consent_outcome;
mod deletion;
mod governance;
mod health;
mod life;
mod prerequisites;
mod properties;
mod reporting;
mod static_credential;
mod stored;
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::ConnectionSpec;
use crate::api::connection::FailureClass;
use crate::api::names::{
    ACCOUNT_BEFORE_AUTHENTICATION, REAUTHENTICATE_AT_ANNOTATION, REVOKE_FINALIZER, VERIFY_AT_ANNOTATION,
};
use crate::api::schema::{NameReference, SecretSource};
use crate::catalogue;
use crate::domain::neighbours::Neighbours;

/// A client that acts for itself, without verification.
const CLIENT: &str = r"
displayName: CRM
documentationURL: https://docs.example.com/apps
baseURL: https://api.example.com/v1
authMethods:
- type: OAuth2ClientCredentials
  oauth2: {tokenURL: 'https://login.example.com/token', scopes: {default: [read, write]}}
";

/// The same, with a verification and a place to revoke tokens.
const CLIENT_VERIFIED: &str = r"
displayName: CRM
baseURL: https://api.example.com/v1
authMethods:
- type: OAuth2ClientCredentials
  oauth2:
    tokenURL: https://login.example.com/token
    revokeURL: https://login.example.com/revoke
    scopes: {default: [read, write]}
verify: {url: 'https://api.example.com/me'}
";

/// A token that a person has made, with a parameter and a verification.
const TOKEN: &str = r"
displayName: Jira
baseURL: https://{siteUrl}.example.com/api
redirect: PerConnection
parameters: [{name: siteUrl, required: true, pattern: '[a-z]+'}]
authMethods: [{type: PersonalAccessToken, request: {headers: {Authorization: 'Bearer {token}'}}}]
verify: {url: 'https://{siteUrl}.example.com/me'}
";

/// A token that a person has made, and nothing to verify it with.
const TOKEN_UNVERIFIED: &str = r"
displayName: Jira
baseURL: https://jira.example.com/api
authMethods: [{type: PersonalAccessToken, request: {headers: {Authorization: 'Bearer {token}'}}}]
";

/// Two ways to authenticate, one of which needs a person.
const SEVERAL: &str = r"
displayName: GitHub
baseURL: https://api.example.com
authMethods:
- type: OAuth2AuthorizationCode
  oauth2: {authorizeURL: 'https://example.com/authorize', tokenURL: 'https://example.com/token'}
- type: PersonalAccessToken
  request: {headers: {Authorization: 'Bearer {token}'}}
";

/// A person consents; the ID token names the account.
pub(crate) const PERSON: &str = r"
displayName: CRM
baseURL: https://api.example.com/v1
documentationURL: https://docs.example.com/apps
authMethods:
- type: OAuth2AuthorizationCode
  oauth2:
    authorizeURL: https://login.example.com/authorize
    tokenURL: https://login.example.com/token
    scopes: {default: [read, write]}
account: {idTokenClaim: email}
";

/// A moment, in seconds after the one at which all begins.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn valid(connector: &str, generation: i64) -> ConnectorState {
    let definition = catalogue::check(&serde_yaml::from_str(connector).unwrap()).unwrap();
    ConnectorState::Valid { definition: Arc::new(definition), identity: format!("connector/{generation}") }
}

fn secret(name: &str, values: &[(&str, &str)]) -> SecretState {
    let fingerprint = |(key, value): &(&str, &str)| ((*key).to_owned(), format!("digest-of-{value}"));
    SecretState::Found {
        name: name.to_owned(),
        fingerprints: values.iter().map(fingerprint).collect(),
        client_id: values.iter().find(|(key, _)| *key == "clientId").map(|(_, value)| (*value).to_owned()),
    }
}

fn reference(name: &str) -> SecretSource {
    SecretSource { secret_ref: NameReference { name: name.to_owned() } }
}

fn app(client_id: &str, client_secret: &str) -> SecretState {
    secret("crm-app", &[("clientId", client_id), ("clientSecret", client_secret)])
}

/// A Connection "crm" in the folder's namespace "finance", which names its connector and nothing else.
fn on(connector: &str) -> Observed {
    let mut connection = Connection::new("crm", ConnectionSpec::default());
    connection.spec.connector_ref.name = "jira".to_owned();
    connection.metadata.namespace = Some("finance".to_owned());
    connection.metadata.uid = Some("0b3c".to_owned());
    connection.metadata.generation = Some(1);
    Observed {
        connection,
        connector: valid(connector, 1),
        folder: FolderState::Ready("finance".to_owned()),
        policy: Arc::default(),
        credentials: SecretState::NotReferenced,
        oauth_app: SecretState::NotReferenced,
        token: TokenState::Missing,
        consent: None,
        neighbours: Neighbours::default(),
        settings: Arc::new(Settings {
            refresh_fraction: 0.8,
            verify_interval: Duration::from_hours(1),
            egress_exceptions: BTreeSet::new(),
            egress_addresses: Vec::new(),
            public_url: "https://liaison.example.com/".to_owned(),
        }),
    }
}

/// A Connection on one of the client credentials connectors, its OAuth client in place.
fn client(connector: &str) -> Observed {
    let mut observed = on(connector);
    observed.connection.spec.oauth_app = Some(reference("crm-app"));
    observed.oauth_app = app("client-1", "first");
    observed
}

/// A Connection with a token of a person, its Secret in place.
fn personal(connector: &str) -> Observed {
    let mut observed = on(connector);
    observed.connection.spec.credentials = Some(reference("pat"));
    observed.credentials = secret("pat", &[("token", "first")]);
    if connector == TOKEN {
        observed.connection.spec.parameters = BTreeMap::from([("siteUrl".to_owned(), "acme".to_owned())]);
    }
    observed
}

/// What the record says of a token of the Connection as it is, issued then and valid for so long.
fn issued_at(observed: &Observed, second: i64, lifetime: Option<i64>) -> TokenFacts {
    let prepared = prepare(observed).unwrap();
    TokenFacts {
        sequence: 1,
        consent_id: String::new(),
        issued_at: at(second),
        expires_at: lifetime.map(|lifetime| at(second + lifetime)),
        refreshable: false,
        refresh_token_expires_at: None,
        requested_scopes: prepared.scopes.clone(),
        granted_scopes: prepared.scopes.clone(),
        client_id: prepared.client_id.clone().unwrap_or_default(),
        targets: prepared.targets.clone(),
        authenticated_by: None,
        account: None,
        answers: None,
    }
}

/// A Connection with a token that was issued at the beginning and is valid for an hour.
fn with_token(connector: &str) -> Observed {
    let mut observed = client(connector);
    observed.token = TokenState::Present(issued_at(&observed, 0, Some(3600)));
    observed
}

/// A Connection for a person, its OAuth client in place.
pub(crate) fn person() -> Observed {
    let mut observed = client(PERSON);
    observed.connection.spec.auth_type = Some(AuthType::OAuth2AuthorizationCode);
    observed
}

/// What the record says after a consent of the cluster's user "ann": valid for an hour, its refresh token for longer.
fn consent_facts(observed: &Observed, consent_id: &str, account: Option<&str>, second: i64) -> TokenFacts {
    TokenFacts {
        consent_id: consent_id.to_owned(),
        refreshable: true,
        refresh_token_expires_at: Some(at(100_000)),
        authenticated_by: Some("ann".to_owned()),
        account: account.map(ToOwned::to_owned),
        ..issued_at(observed, second, Some(3600))
    }
}

/// A Connection to which a person has consented at the beginning.
fn consented(consent_id: &str, account: Option<&str>) -> Observed {
    let observed = person();
    let token = TokenState::Present(consent_facts(&observed, consent_id, account, 0));
    Observed { token, ..observed }
}

fn annotate(observed: &mut Observed, annotation: &str, value: &str) {
    let annotations = observed.connection.metadata.annotations.get_or_insert_default();
    annotations.insert(annotation.to_owned(), value.to_owned());
}

fn failed(reason: Reason, class: FailureClass) -> Outcome {
    Outcome::AttemptFailed(AttemptFailure { reason, class, retry_after: None, message: "no luck".to_owned() })
}

fn transient(retry_after: Option<u64>) -> AttemptFailure {
    AttemptFailure {
        reason: Reason::ProviderUnavailable,
        class: FailureClass::Transient,
        retry_after: retry_after.map(Duration::from_secs),
        message: "api.example.com:443 answered with status 503".to_owned(),
    }
}

fn probed(verification: VerificationOutcome) -> Outcome {
    Outcome::Probed(ProbeOutcome { verification: Some(verification), account: None })
}

fn rejected() -> Outcome {
    probed(VerificationOutcome::Rejected("api.example.com:443 rejected the credential".to_owned()))
}

/// The snapshot once the API server holds the status: what it gives back has been text in between.
fn recorded(observed: &Observed, status: &ConnectionStatus) -> Observed {
    let text = serde_json::to_string(status).unwrap();
    let mut observed = observed.clone();
    observed.connection.status = Some(serde_json::from_str(&text).unwrap());
    observed
}

/// The snapshot after an effect and the record of what followed from it.
fn after(observed: &Observed, outcome: Outcome, now: Timestamp) -> Observed {
    let decision = decide(observed, now);
    assert!(decision.effect.is_some(), "nothing was to be done");
    let learnt = learn(recorded(observed, &decision.status), outcome, now);
    let status = decide(&learnt, now).status;
    recorded(&learnt, &status)
}

/// A condition as `status reason message`.
fn condition(status: &ConnectionStatus, condition_type: ConditionType) -> (String, String, String) {
    let found = conditions::find(&status.conditions, condition_type).unwrap();
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

/// A condition's status and reason, as `False/FolderNotFound`.
fn short(status: &ConnectionStatus, condition_type: ConditionType) -> String {
    let (status, reason, _) = condition(status, condition_type);
    format!("{status}/{reason}")
}

fn message(status: &ConnectionStatus, condition_type: ConditionType) -> String {
    condition(status, condition_type).2
}

/// Authenticated and Ready, in short.
fn standing(observed: &Observed, second: i64) -> (String, String) {
    let status = decide(observed, at(second)).status;
    (short(&status, ConditionType::Authenticated), short(&status, ConditionType::Ready))
}

fn pair(authenticated: &str, ready: &str) -> (String, String) {
    (authenticated.to_owned(), ready.to_owned())
}

fn asks_for_token(effect: Option<&Effect>) -> bool {
    matches!(effect, Some(Effect::RequestToken(_)))
}
