//! Effects against an API server that knows Secrets only, and a provider that answers as it is told.

mod api_server;
mod consent_record;
mod refresh;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::store;
use secrecy::ExposeSecret;
use serde_json::Value;

use self::api_server::ApiServer;
use crate::cluster::consent::Snapshots;
use crate::cluster::{Context, KnownRecords, OwnWrites, Secrets, connector, token_store};
use crate::domain::connection::{Observed, at, person, prepare};
use crate::domain::folder::Territory;
use crate::envelope::{Keyring, TokenRecord};
use crate::oauth::message::{Request, Response, SendFailure};
use crate::ports::{Admitted, Clock, HandOut, Leadership, ProviderClient, Reviewed, Telemetry};

/// The time of all tests: the first token is due for a refresh, and valid.
const NOW: i64 = 3000;

const NAMESPACE: &str = "finance";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        at(NOW)
    }
}

struct Leads {
    since: Instant,
}

impl Leadership for Leads {
    fn leads_until(&self) -> Option<Instant> {
        Some(Instant::now() + Duration::from_hours(1))
    }

    fn leads_since(&self) -> Option<Instant> {
        Some(self.since)
    }
}

struct Silent;

impl Telemetry for Silent {
    fn reconciled(&self, _: &'static str, _: Duration, _: bool) {}
    fn running(&self, _: &'static str, _: i64) {}
    fn token_requested(&self, _: &str, _: Duration) {}
    fn admitted(&self, _: Reviewed, _: &'static str, _: Admitted, _: Duration) {}
    fn handed_out(&self, _: HandOut, _: Duration) {}
}

/// A provider: what it answers in turn, what it was sent, and what happens elsewhere while it thinks.
#[derive(Default)]
struct Provider {
    answers: Mutex<VecDeque<Result<(u16, Value), SendFailure>>>,
    sent: Mutex<Vec<String>>,
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Provider {
    fn answers(&self, status: u16, body: Value) {
        self.answers.lock().unwrap().push_back(Ok((status, body)));
    }

    fn breaks(&self) {
        let (host, cause) = ("login.example.com:443".to_owned(), "the connection broke".to_owned());
        self.answers.lock().unwrap().push_back(Err(SendFailure::Unreachable { host, cause }));
    }

    fn meanwhile(&self, happens: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::new(happens));
    }

    /// The bodies that it was sent.
    fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait]
impl ProviderClient for Provider {
    async fn send(&self, request: Request, _: Option<Instant>) -> Result<Response, SendFailure> {
        let body = request.body.map(|body| body.expose_secret().to_owned()).unwrap_or_default();
        self.sent.lock().unwrap().push(body);
        if let Some(happens) = self.meanwhile.lock().unwrap().take() {
            happens();
        }
        let (status, body) = self.answers.lock().unwrap().pop_front().unwrap()?;
        let body = body.to_string().into_bytes().into();
        Ok(Response { status, headers: std::collections::BTreeMap::new(), body })
    }
}

/// A Connection for a person with its client's Secret, and all that an effect needs.
struct Stage {
    api: ApiServer,
    provider: Arc<Provider>,
    context: Context,
    observed: Observed,
}

impl Stage {
    async fn new() -> Self {
        Self::leading_for(Duration::from_mins(10)).await
    }

    async fn leading_for(time: Duration) -> Self {
        let api = ApiServer::start().await;
        let client = api.client();
        api.put_secret(
            "crm-app",
            "liaison.dev/credentials",
            "true",
            &[("clientId", "client-1"), ("clientSecret", "first")],
        );
        let provider = Arc::new(Provider::default());
        let observed = person();
        let keyring = Arc::new(Keyring::new("first", [7; 32]).unwrap());
        let context = Context {
            client: client.clone(),
            provider: Arc::clone(&provider) as Arc<dyn ProviderClient>,
            clock: Arc::new(Fixed),
            leadership: Arc::new(Leads { since: Instant::now().checked_sub(time).unwrap() }),
            telemetry: Arc::new(Silent),
            snapshots: Snapshots::new(
                client.clone(),
                Arc::clone(&keyring),
                Arc::clone(&observed.settings),
                "liaison-system",
            ),
            keyring,
            recorder: Recorder::new(
                client.clone(),
                Reporter { controller: "test".to_owned(), instance: None },
            ),
            settings: Arc::clone(&observed.settings),
            provider_timeout: Duration::from_secs(8),
            operator_namespace: "liaison-system".to_owned(),
            territory: Territory::default(),
            adoptions_are_reviewed: false,
            owner_role: store().0,
            connectors: store().0,
            definitions: connector::Definitions::default(),
            folders: store().0,
            connections: store().0,
            consents: store().0,
            policies: store().0,
            bindings: store().0,
            surroundings: crate::cluster::Surroundings::new().0,
            written: OwnWrites::default(),
            secrets: Secrets::new(client, "liaison-system", store().0, store().0),
            binding: crate::cluster::binding::Shared::new(store().0),
            records: KnownRecords::default(),
        };
        Self { api, provider, context, observed }
    }

    /// What a consent of "ann" brought at the beginning, valid for an hour.
    fn record(&self) -> TokenRecord {
        let prepared = prepare(&self.observed).unwrap();
        TokenRecord {
            access_token: "access-1".to_owned().into(),
            refresh_token: Some("refresh-1".to_owned().into()),
            issued_at: at(0),
            expires_at: Some(at(3600)),
            refresh_token_expires_at: Some(at(90_000)),
            granted_scopes: vec!["read".to_owned(), "write".to_owned()],
            requested_scopes: prepared.scopes.clone(),
            client_id: "client-1".to_owned(),
            auth_type: "OAuth2AuthorizationCode".to_owned(),
            targets: prepared.targets,
            authenticated_by: Some("ann".to_owned()),
            account: Some("ann@example.com".to_owned()),
            answers: Some("2027-01-15".to_owned()),
        }
    }

    /// The record that is stored now.
    async fn stored(&self) -> TokenRecord {
        token_store::tokens(&self.context, &self.observed.connection).await.unwrap().unwrap()
    }
}

fn token_of(record: &TokenRecord) -> (&str, Option<&str>) {
    (record.access_token.expose_secret(), record.refresh_token.as_ref().map(ExposeSecret::expose_secret))
}
