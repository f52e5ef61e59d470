//! Which address is asked when, and what is sent to nobody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::oauth::message::{Purpose, Request, Response, SendFailure};

const ISSUER: &str = "https://login.example.com/tenant";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }
}

/// A provider that answers in turn, and remembers what it was asked.
#[derive(Default)]
struct Provider {
    answers: Mutex<VecDeque<Result<(u16, String), SendFailure>>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl ProviderClient for Provider {
    async fn send(&self, request: Request, _: Option<Instant>) -> Result<Response, SendFailure> {
        assert_eq!((request.purpose, request.body.is_none()), (Purpose::Metadata, true));
        self.asked.lock().unwrap().push(request.url.to_string());
        let (status, body) = self.answers.lock().unwrap().pop_front().unwrap()?;
        Ok(Response { status, headers: BTreeMap::new(), body: body.into_bytes().into() })
    }
}

fn document() -> String {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://login.example.com/authorize",
        "token_endpoint": "https://login.example.com/token",
        "authorization_response_iss_parameter_supported": true,
    })
    .to_string()
}

fn settings() -> Settings {
    Settings {
        refresh_fraction: 0.8,
        verify_interval: Duration::from_hours(1),
        egress_exceptions: BTreeSet::new(),
        egress_addresses: vec!["203.0.113.7".to_owned()],
        public_url: "https://liaison.example.com".to_owned(),
    }
}

type Fetched = Option<Result<IssuerMetadata, Failure>>;

/// What comes of these answers, and which addresses were asked.
async fn fetched(
    issuer: &str,
    answers: Vec<Result<(u16, String), SendFailure>>,
    deadline: Option<Instant>,
) -> (Fetched, Vec<String>) {
    let provider = Provider { answers: Mutex::new(answers.into()), asked: Mutex::default() };
    let settings = settings();
    let sender = Sender { provider: &provider, clock: &Fixed, settings: &settings, deadline: &|| deadline };
    let outcome = sender.fetch(issuer).await;
    (outcome, provider.asked.into_inner().unwrap())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

const OPENID: &str = "https://login.example.com/tenant/.well-known/openid-configuration";
const OAUTH: &str = "https://login.example.com/.well-known/oauth-authorization-server/tenant";

#[rstest]
#[case::at_the_first(vec![(200, document())], true, &[OPENID])]
#[case::at_the_second(vec![(404, String::new()), (200, document())], true, &[OPENID, OAUTH])]
#[case::nowhere(vec![(404, String::new()), (404, String::new())], false, &[OPENID, OAUTH])]
#[case::a_redirect_is_not_followed(vec![(302, document())], false, &[OPENID])]
#[case::one_at_the_second_neither(vec![(404, String::new()), (301, document())], false, &[OPENID, OAUTH])]
#[case::a_fault_is_no_absence(vec![(500, String::new())], false, &[OPENID])]
#[case::a_page(vec![(200, "<html></html>".to_owned())], false, &[OPENID])]
#[tokio::test]
async fn the_second_address_is_asked_only_where_nothing_is_at_the_first(
    #[case] answers: Vec<(u16, String)>,
    #[case] had: bool,
    #[case] asked: &[&str],
) {
    let (outcome, addresses) = fetched(ISSUER, answers.into_iter().map(Ok).collect(), Some(soon())).await;
    assert_eq!(outcome.unwrap().is_ok(), had);
    assert_eq!(addresses, asked);
}

#[tokio::test]
async fn an_answer_that_is_too_large_or_none_at_all_is_a_failure_with_host_and_cause() {
    let host = || "login.example.com:443".to_owned();
    let cases = [
        (SendFailure::TooLarge { host: host(), limit: 1_048_576 }, "is larger than 1048576 bytes"),
        (SendFailure::Unreachable { host: host(), cause: "refused".to_owned() }, "ours are 203.0.113.7"),
        (SendFailure::TimedOut { host: host(), limit: Duration::from_secs(8) }, "did not answer within 8 s"),
    ];
    for (failure, text) in cases {
        let (outcome, _) = fetched(ISSUER, vec![Err(failure)], Some(soon())).await;
        let message = outcome.unwrap().unwrap_err().message;
        assert!(message.contains(&host()) && message.contains(text), "{message}");
    }
}

#[tokio::test]
async fn nothing_is_sent_without_leadership_or_without_tls() {
    let (outcome, asked) = fetched(ISSUER, Vec::new(), None).await;
    assert!(outcome.is_none() && asked.is_empty());

    let (outcome, asked) = fetched("http://login.example.com", Vec::new(), Some(soon())).await;
    assert!(asked.is_empty());
    let message = outcome.unwrap().unwrap_err().message;
    assert!(message.contains("plain http to login.example.com:80"), "{message}");
}

#[tokio::test]
async fn what_our_own_limits_hold_back_is_no_failure() {
    let crowded = SendFailure::Crowded { host: "login.example.com:443".to_owned() };
    let (outcome, _) = fetched(ISSUER, vec![Err(crowded)], Some(soon())).await;
    assert!(outcome.is_none());
}
