use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::RequestBuilder;
use rstest::rstest;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::*;
use crate::api::AuthType;
use crate::domain::hand_out::Wanted;
use crate::domain::reason::Reason;
use crate::ports::{Admitted, Reviewed};

const CANARY: &str = "the-token";

/// Says the same to everybody, and remembers who asked for what.
struct Says {
    answer: fn() -> Result<HandedOut, NotHandedOut>,
    asked: Mutex<Vec<Question>>,
}

/// The bearer token, and what was wanted.
type Question = (Option<String>, Result<Wanted, String>);

#[async_trait]
impl TokenDesk for Says {
    async fn answer(&self, request: CredentialRequest) -> Result<(String, HandedOut), NotHandedOut> {
        assert!(request.source.is_loopback());
        let bearer = request.bearer.map(|bearer| bearer.expose_secret().to_owned());
        self.asked.lock().unwrap().push((bearer, request.wanted));
        (self.answer)().map(|handed_out| ("team/crm".to_owned(), handed_out))
    }
}

struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0).unwrap()
    }
}

#[derive(Default)]
struct Counted(Mutex<Vec<HandOut>>);

impl Telemetry for Counted {
    fn reconciled(&self, _: &'static str, _: Duration, _: bool) {}
    fn running(&self, _: &'static str, _: i64) {}
    fn token_requested(&self, _: &str, _: Duration) {}
    fn admitted(&self, _: Reviewed, _: &'static str, _: Admitted, _: Duration) {}
    fn handed_out(&self, outcome: HandOut, _: Duration) {
        self.0.lock().unwrap().push(outcome);
    }
}

struct Scene {
    url: String,
    desk: Arc<Says>,
    counted: Arc<Counted>,
}

/// What came back: status, headers, body.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Scene {
    async fn new(answer: fn() -> Result<HandedOut, NotHandedOut>) -> Self {
        let desk = Arc::new(Says { answer, asked: Mutex::default() });
        let counted = Arc::new(Counted::default());
        let (asked, telemetry) = (Arc::clone(&desk), Arc::clone(&counted));
        let routes = router(asked as Arc<dyn TokenDesk>, Arc::new(At(100)), telemetry as Arc<dyn Telemetry>);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { url, desk, counted }
    }

    fn post(&self) -> RequestBuilder {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        reqwest::Client::new().post(&self.url)
    }

    fn question(&self) -> RequestBuilder {
        self.post().header("authorization", "Bearer a.b.c").form(&[("connection", "team/crm")])
    }
}

async fn sent(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default();
    Answer { status, headers, body }
}

fn handed(credential: Credential) -> HandedOut {
    HandedOut {
        credential,
        auth_type: AuthType::OAuth2AuthorizationCode,
        base_url: Some("https://api.example.com".to_owned()),
        account: Some("ada".to_owned()),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that the desk takes")]
fn token() -> Result<HandedOut, NotHandedOut> {
    Ok(handed(Credential::Token {
        access_token: SecretString::from(CANARY),
        expires_at: Some(Timestamp::from_second(160).unwrap()),
        granted_scopes: vec!["read".to_owned(), "write".to_owned()],
    }))
}

fn blocked() -> Blocked {
    Blocked { reason: Reason::AwaitingAuthentication, message: "connection \"crm\" awaits".to_owned() }
}

#[tokio::test]
async fn a_token_is_answered_as_rfc_6749_says_and_nothing_keeps_it() {
    let scene = Scene::new(token).await;
    let answer = sent(scene.question()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        json!({
            "access_token": CANARY, "token_type": "Bearer", "expires_in": 60, "scope": "read write",
            "connection": "team/crm", "auth_type": "OAuth2AuthorizationCode",
            "base_url": "https://api.example.com", "account": "ada",
        })
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["pragma"], "no-cache");
    assert_eq!(answer.headers["content-type"], "application/json");
    let wanted = Wanted::Connection { namespace: "team".to_owned(), name: "crm".to_owned() };
    assert_eq!(*scene.desk.asked.lock().unwrap(), [(Some("a.b.c".to_owned()), Ok(wanted))]);
    assert_eq!(*scene.counted.0.lock().unwrap(), [HandOut::Token]);
}

#[tokio::test]
async fn credentials_without_a_short_lived_form_have_their_own() {
    let values = || {
        let values = BTreeMap::from([("apiKey".to_owned(), SecretString::from(CANARY))]);
        Ok(handed(Credential::Static(values)))
    };
    let scene = Scene::new(values).await;
    let answer = sent(scene.question()).await;
    assert_eq!(answer.body["credentials"], json!({ "apiKey": CANARY }));
    assert_eq!(answer.body.get("access_token"), None);
    assert_eq!(*scene.counted.0.lock().unwrap(), [HandOut::Static]);

    let answer = sent(Scene::new(|| Ok(handed(Credential::Nothing))).await.question()).await;
    assert_eq!((answer.status, answer.body.get("credentials")), (200, None));
    assert_eq!(answer.body["base_url"], "https://api.example.com");
}

fn unbound() -> NotHandedOut {
    NotHandedOut::BoundToNoPod { audience: "liaison.dev".to_owned() }
}

#[rstest]
#[case::no_token(|| Err(NotHandedOut::NoToken), 401, "invalid_client", HandOut::Unauthenticated)]
#[case::rejected(|| Err(NotHandedOut::TokenRejected), 401, "invalid_client", HandOut::Unauthenticated)]
#[case::bound_to_no_pod(|| Err(unbound()), 401, "invalid_client", HandOut::Unauthenticated)]
#[case::malformed(|| Err(NotHandedOut::Malformed("x".to_owned())), 400, "invalid_request", HandOut::Malformed)]
#[case::not_accessible(|| Err(NotHandedOut::NotAccessible(blocked())), 403, "access_denied", HandOut::NotAccessible)]
#[case::refused(|| Err(NotHandedOut::Refused(blocked())), 400, "invalid_grant", HandOut::Refused)]
#[case::waiting(|| Err(NotHandedOut::Waiting(blocked())), 503, "temporarily_unavailable", HandOut::Waiting)]
#[case::limited(|| Err(NotHandedOut::Limited(Duration::from_millis(1500))), 429, "slow_down", HandOut::Limited)]
#[case::failed(|| Err(NotHandedOut::TryLater), 503, "server_error", HandOut::Failed)]
#[tokio::test]
async fn a_refusal_has_the_status_and_the_code_that_clients_know(
    #[case] refusal: fn() -> Result<HandedOut, NotHandedOut>,
    #[case] status: u16,
    #[case] code: &str,
    #[case] outcome: HandOut,
) {
    let scene = Scene::new(refusal).await;
    let answer = sent(scene.question()).await;
    assert_eq!((answer.status, answer.body["error"].as_str()), (status, Some(code)));
    assert!(answer.body["error_description"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
    let retries = [429, 503].contains(&status);
    assert_eq!(answer.headers.contains_key("retry-after"), retries);
    assert_eq!(*scene.counted.0.lock().unwrap(), [outcome]);
}

#[tokio::test]
async fn who_has_to_wait_is_told_for_how_many_whole_seconds() {
    let limited = |wait: fn() -> Result<HandedOut, NotHandedOut>| async move {
        sent(Scene::new(wait).await.question()).await.headers["retry-after"].clone()
    };
    assert_eq!(limited(|| Err(NotHandedOut::Limited(Duration::from_millis(1500)))).await, "2");
    assert_eq!(limited(|| Err(NotHandedOut::Limited(Duration::ZERO))).await, "1");
}

#[tokio::test]
async fn the_challenge_says_invalid_token_only_where_there_was_one() {
    let challenge = |answer: fn() -> Result<HandedOut, NotHandedOut>| async move {
        sent(Scene::new(answer).await.question()).await.headers["www-authenticate"].clone()
    };
    assert_eq!(challenge(|| Err(NotHandedOut::NoToken)).await, "Bearer realm=\"liaison\"");
    let expected = "Bearer realm=\"liaison\", error=\"invalid_token\"";
    assert_eq!(challenge(|| Err(NotHandedOut::TokenRejected)).await, expected);
    assert_eq!(challenge(|| Err(unbound())).await, expected);
}

#[tokio::test]
async fn who_is_bound_to_no_pod_is_told_how_to_be() {
    let answer = sent(Scene::new(|| Err(unbound())).await.question()).await;
    let message = answer.body["message"].as_str().unwrap();
    for words in ["bound to no pod", "projected volume", "serviceAccountToken", "\"liaison.dev\""] {
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_question_that_cannot_be_understood_reaches_the_desk_as_such_with_its_asker() {
    let scene = Scene::new(token).await;
    let asked = || scene.post().header("authorization", "bearer a.b.c");
    sent(asked().json(&json!({ "connection": "team/crm" }))).await;
    sent(asked().form(&[("connection", "x".repeat(FORM_LIMIT))])).await;
    sent(asked().form(&[("connection", "a/b"), ("connection", "c/d")])).await;
    sent(scene.post().header("authorization", "Basic YTpi").form(&[("connection", "team/crm")])).await;
    let seen = scene.desk.asked.lock().unwrap();
    let faults: Vec<_> = seen.iter().map(|(_, wanted)| wanted.clone().err().unwrap_or_default()).collect();
    assert!(faults[0].contains("form") && faults[1].contains("too large") && faults[2].contains("twice"));
    assert!(seen[..3].iter().all(|(bearer, _)| bearer.as_deref() == Some("a.b.c")));
    assert_eq!((seen[3].0.as_deref(), faults[3].as_str()), (None, ""));
}

#[tokio::test]
async fn a_token_in_the_address_or_the_body_is_none_and_only_post_is_answered() {
    let scene = Scene::new(token).await;
    let form = [("connection", "team/crm"), ("access_token", "a.b.c")];
    sent(scene.post().query(&[("access_token", "a.b.c")]).form(&form)).await;
    assert_eq!(scene.desk.asked.lock().unwrap()[0].0, None);
    let client = reqwest::Client::new();
    assert_eq!(sent(client.get(format!("{}?connection=team/crm", scene.url))).await.status, 405);
    assert_eq!(scene.desk.asked.lock().unwrap().len(), 1);
}
