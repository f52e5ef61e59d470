//! Connectors: what each situation says, when their issuers are asked, and what Connections see.

use std::collections::BTreeSet;

use rstest::rstest;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn connector(yaml: &str) -> Connector {
    let mut connector = Connector::new("feed", serde_yaml::from_str(yaml).unwrap());
    connector.metadata.uid = Some("uid".to_owned());
    connector.metadata.generation = Some(1);
    connector
}

fn seen(connector: Connector) -> Observed {
    let settings = Settings {
        refresh_fraction: 0.8,
        verify_interval: Duration::from_hours(1),
        egress_exceptions: BTreeSet::new(),
        egress_addresses: Vec::new(),
        public_url: "https://liaison.example.com".to_owned(),
    };
    Observed { connector, settings: Arc::new(settings) }
}

fn valid(status: &ConnectorStatus) -> (&str, &str, &str) {
    let condition = conditions::find(&status.conditions, ConditionType::Valid).unwrap();
    (&condition.status, &condition.reason, &condition.message)
}

const GOOD: &str = "displayName: Feed\nbaseURL: https://feed.example.com\nauthMethods: [{type: None}]";
const BAD: &str = "displayName: Feed\nbaseURL: ftp://feed.example.com\nauthMethods: []";

#[test]
fn a_description_without_faults_is_valid_and_nobody_is_told() {
    let decision = decide(&seen(connector(GOOD)), at(0));
    assert_eq!(valid(&decision.status), ("True", "DescriptionValid", ""));
    assert_eq!((decision.events, decision.effect, decision.next), (Vec::new(), None, None));
    assert_eq!(decision.status.observed_generation, Some(1));
}

#[test]
fn all_faults_are_listed_and_told_once() {
    let mut observed = seen(connector(BAD));
    let decision = decide(&observed, at(0));
    let (status, reason, message) = valid(&decision.status);
    assert_eq!((status, reason), ("False", "DescriptionInvalid"));
    assert!(message.contains("spec.authMethods: ") && message.contains("; spec.baseURL: "), "{message}");
    assert_eq!(decision.events, [Event::warning(Reason::DescriptionInvalid)]);

    observed.connector.status = Some(decision.status.clone());
    let second = decide(&observed, at(100));
    assert_eq!((second.status, second.events), (decision.status, Vec::new()));
}

#[test]
fn a_corrected_description_heals_and_a_new_fault_is_told_again() {
    let mut observed = seen(connector(BAD));
    observed.connector.status = Some(decide(&observed, at(0)).status);
    observed.connector.spec = connector(GOOD).spec;
    observed.connector.metadata.generation = Some(2);
    let healed = decide(&observed, at(10)).status;
    assert_eq!((valid(&healed).0, healed.observed_generation), ("True", Some(2)));
    observed.connector.spec = connector(BAD).spec;
    observed.connector.status = Some(healed);
    assert_eq!(decide(&observed, at(20)).events, [Event::warning(Reason::DescriptionInvalid)]);
}

const ISSUER: &str = "https://login.example.com";

const SHARED: &str = "displayName: Feed\nredirect: Shared\nauthMethods: [{type: OAuth2AuthorizationCode, oauth2: \
                      {issuer: 'https://login.example.com', iss: Required}}]";

const OTHER_ISSUER: &str = "displayName: Feed\nredirect: Shared\nauthMethods: [{type: OAuth2AuthorizationCode, \
                            oauth2: {issuer: 'https://other.example.com', iss: Required}}]";

fn metadata(host: &str, second: i64) -> IssuerMetadata {
    IssuerMetadata {
        issuer: ISSUER.to_owned(),
        authorization_endpoint: format!("https://{host}/authorize"),
        token_endpoint: format!("https://{host}/token"),
        revocation_endpoint: None,
        introspection_endpoint: None,
        time: whole_seconds(at(second)),
    }
}

fn failed(message: &str, retry_after: Option<Duration>) -> Outcome {
    Outcome::NotFetched { message: message.to_owned(), retry_after }
}

fn shared() -> Observed {
    seen(connector(SHARED))
}

/// What is decided once an effect has had this outcome, as the next pass sees it.
fn after(observed: Observed, outcome: Outcome, second: i64) -> (Observed, Decision<ConnectorStatus, Effect>) {
    let mut observed = learn(observed, outcome, at(second));
    let decision = decide(&observed, at(second));
    observed.connector.status = Some(decision.status.clone());
    (observed, decision)
}

fn with_metadata() -> Observed {
    after(shared(), Outcome::Fetched(metadata("login.example.com", 0)), 0).0
}

fn edited(mut observed: Observed, yaml: &str) -> Observed {
    observed.connector.spec = connector(yaml).spec;
    observed.connector.metadata.generation = observed.connector.metadata.generation.map(|one| one + 1);
    observed
}

fn asks(observed: &Observed, second: i64) -> bool {
    decide(observed, at(second)).effect.is_some()
}

/// Seconds from the beginning until the issuer is asked next.
fn asked_in(observed: &Observed, second: i64) -> i64 {
    decide(observed, at(second)).next.map_or(0, |next| next.as_second() - at(0).as_second())
}

#[test]
fn the_issuer_of_a_shared_redirect_is_asked_at_once_and_names_the_endpoints() {
    let decision = decide(&shared(), at(0));
    assert_eq!(decision.effect, Some(Effect::FetchMetadata { issuer: ISSUER.to_owned() }));
    assert_eq!(
        (valid(&decision.status).0, valid(&decision.status).1),
        ("False", "IssuerMetadataUnavailable")
    );

    let (observed, decision) = after(shared(), Outcome::Fetched(metadata("login.example.com", 0)), 0);
    assert_eq!(valid(&decision.status), ("True", "DescriptionValid", ""));
    assert_eq!((decision.events, decision.effect), (Vec::new(), None));
    assert_eq!(decision.status.metadata, Some(metadata("login.example.com", 0)));
    assert!((77_000..=86_400).contains(&asked_in(&observed, 0)), "{}", asked_in(&observed, 0));
    assert!(!asks(&observed, 70_000) && asks(&observed, 86_400));
}

#[test]
fn a_pass_between_two_requests_changes_nothing() {
    let observed = with_metadata();
    assert_eq!(Some(decide(&observed, at(5000)).status), observed.connector.status);
    let (observed, _) = after(shared(), failed("it is down", None), 0);
    assert_eq!(Some(decide(&observed, at(30)).status), observed.connector.status);
}

#[test]
fn without_metadata_the_cause_and_the_next_step_are_said_and_told_once() {
    let (observed, decision) =
        after(shared(), failed("login.example.com:443 answered with status 503.", None), 0);
    let expected = "login.example.com:443 answered with status 503. It is asked again within an hour, and soon after a \
                    change of the connector.";
    assert_eq!(valid(&decision.status), ("False", "IssuerMetadataUnavailable", expected));
    assert_eq!(decision.events, [Event::warning(Reason::IssuerMetadataUnavailable)]);
    assert!(after(observed, failed("it is down", None), 60).1.events.is_empty());
}

#[test]
fn failures_space_out_to_an_hour_and_stay_few() {
    let (mut observed, mut second, mut requests) = (shared(), 0, Vec::new());
    while second < 86_400 {
        assert!(asks(&observed, second), "{second}");
        requests.push(second);
        observed = after(observed, failed("it is down", None), second).0;
        second = asked_in(&observed, second);
    }
    assert!(requests.iter().filter(|second| **second < 3600).count() <= 4, "{requests:?}");
    assert!(requests.len() <= 4 + 24, "{requests:?}");
}

#[test]
fn what_the_issuer_asks_for_is_honoured_up_to_an_hour_and_by_changes_too() {
    let wait = |minutes| Some(Duration::from_mins(minutes));
    let (observed, _) = after(shared(), failed("throttled", wait(20)), 0);
    assert_eq!(asked_in(&observed, 0), 1200);
    assert_eq!(asked_in(&edited(observed, SHARED), 10), 1200);
    let (observed, _) = after(shared(), failed("throttled", wait(2000)), 0);
    assert_eq!(asked_in(&observed, 0), 3600);
}

#[test]
fn a_change_of_the_description_or_the_exceptions_is_worth_asking_again_soon() {
    let observed = edited(with_metadata(), SHARED);
    assert_eq!((asks(&observed, 2), asked_in(&observed, 2), asks(&observed, 5)), (false, 5, true));
    assert_eq!(valid(&decide(&observed, at(2)).status).0, "True", "the copy stays in use meanwhile");

    let (mut observed, _) = after(shared(), failed("not allowed", None), 0);
    let mut settings = (*observed.settings).clone();
    settings.egress_exceptions.insert(("login.example.com".to_owned(), 443));
    observed.settings = Arc::new(settings);
    assert!(!asks(&observed, 2) && asks(&observed, 5));
}

#[rstest]
#[case::that_fail(|_| failed("it is down", None))]
#[case::that_succeed(|second| Outcome::Fetched(metadata("login.example.com", second)))]
fn changes_cannot_make_it_many_requests(#[case] outcome: fn(i64) -> Outcome) {
    let (mut observed, mut requests) = (shared(), Vec::new());
    for second in 0..7200 {
        if asks(&observed, second) {
            requests.push(second);
            observed = after(observed, outcome(second), second).0;
        }
        observed = edited(observed, SHARED);
    }
    assert!(requests.len() <= 6 + 8, "{requests:?}");
    assert!(requests.windows(2).all(|pair| pair[1] - pair[0] >= 5), "{requests:?}");
}

#[test]
fn a_copy_stays_in_use_while_it_cannot_be_renewed() {
    let (observed, decision) = after(with_metadata(), failed("login.example.com:443 is down", None), 86_400);
    let (status, reason, message) = valid(&decision.status);
    assert_eq!((status, reason), ("True", "DescriptionValid"));
    let expected = format!(
        "the endpoints that the issuer named at {} stay in use: login.example.com:443 is down.",
        at(0)
    );
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(
        (decision.events, decision.status.metadata),
        (Vec::new(), Some(metadata("login.example.com", 0)))
    );
    assert!(matches!(state_of(&observed.connector), ConnectorState::Valid { .. }));
    assert_eq!(asked_in(&observed, 86_400) - 86_400, asked_in(&after(shared(), failed("x", None), 0).0, 0));
}

#[test]
fn the_metadata_of_another_issuer_is_of_no_use_and_of_no_issuer_is_forgotten() {
    let decision = decide(&edited(with_metadata(), OTHER_ISSUER), at(5));
    assert_eq!((valid(&decision.status).1, &decision.status.metadata), ("IssuerMetadataUnavailable", &None));
    let issuer = "https://other.example.com".to_owned();
    assert_eq!(decision.effect, Some(Effect::FetchMetadata { issuer }));

    let decision = decide(&edited(with_metadata(), GOOD), at(5));
    assert_eq!((decision.status.metadata, decision.status.metadata_fetch), (None, None));
    assert_eq!((decision.effect, decision.next), (None, None));
}

#[test]
fn a_faulty_description_asks_nobody_and_keeps_what_is_known() {
    let decision = decide(&edited(with_metadata(), BAD), at(86_400));
    assert_eq!(
        (valid(&decision.status).1, decision.effect, decision.next),
        ("DescriptionInvalid", None, None)
    );
    assert!(decision.status.metadata.is_some());
}

fn identity(observed: &Observed) -> String {
    match state_of(&observed.connector) {
        ConnectorState::Valid { identity, .. } => identity,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_identity_changes_with_the_endpoints_and_not_with_the_time_of_a_renewal() {
    let first = with_metadata();
    let renewed = |host, second| after(first.clone(), Outcome::Fetched(metadata(host, second)), second).0;
    assert!(identity(&first).starts_with("uid/1/"));
    assert_eq!(identity(&renewed("login.example.com", 86_400)), identity(&first));
    assert_ne!(identity(&renewed("login2.example.com", 86_400)), identity(&first));
    assert_ne!(identity(&edited(first.clone(), SHARED)), identity(&first));
    assert_eq!(identity(&seen(connector(GOOD))), "uid/1");

    let mut revoking = metadata("login.example.com", 0);
    revoking.revocation_endpoint = Some("https://login.example.com/revoke".to_owned());
    assert_ne!(identity(&after(first.clone(), Outcome::Fetched(revoking), 10).0), identity(&first));
}

#[test]
fn connections_see_the_endpoints_that_the_issuer_named() {
    let ConnectorState::Valid { definition, .. } = state_of(&with_metadata().connector) else { panic!() };
    let method = definition.method(crate::api::AuthType::OAuth2AuthorizationCode).unwrap();
    let values = definition.resolve(method, &std::collections::BTreeMap::new()).unwrap();
    let targets = definition.targets(method, &values, &|_, _| false).unwrap();
    let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
    assert_eq!(targets, ["authorize https://login.example.com:443", "token https://login.example.com:443"]);
}

#[test]
fn connections_see_why_the_metadata_is_missing() {
    let why = |observed: &Observed| match state_of(&observed.connector) {
        ConnectorState::Unavailable(why) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(&shared()), NOT_ASKED_YET);
    let (observed, decision) = after(shared(), failed("it is down", None), 0);
    assert_eq!(why(&observed), valid(&decision.status).2);
    assert_eq!(why(&edited(observed, OTHER_ISSUER)), NOT_ASKED_YET, "what was said of another description");
}
