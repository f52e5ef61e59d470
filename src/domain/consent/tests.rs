//! Decisions about ConsentRequests: each phase, each reason to end, and what nobody is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;

use super::*;
use crate::api::consent_request::{ConnectionIdentity, ConsentRequestSpec, Requester};
use crate::api::schema::{NameReference, SecretSource};
use crate::api::{AuthType, Connection, ConnectionPolicy, ConnectionSpec};
use crate::catalogue;
use crate::domain::connection::{
    ConnectorState, FolderState, Observed, SecretState, Settings, TokenState, prepare,
};
use crate::domain::neighbours::Neighbours;
use crate::domain::policy::{Ancestry, EffectivePolicy};

const CONNECTOR: &str = r"
displayName: CRM
authMethods:
- type: OAuth2AuthorizationCode
  oauth2: {authorizeURL: 'https://login.example.com/authorize', tokenURL: 'https://login.example.com/token'}
- type: PersonalAccessToken
  request: {headers: {Authorization: 'Bearer {token}'}}
";

const RECEIPT: &str = "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr";

/// S256 of the start secret `start`.
fn challenge() -> String {
    "c".repeat(43)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn connection() -> Observed {
    let mut connection = Connection::new("crm", ConnectionSpec::default());
    connection.spec.connector_ref.name = "crm".to_owned();
    connection.spec.auth_type = Some(AuthType::OAuth2BringYourOwnApp);
    connection.spec.oauth_app = Some(SecretSource { secret_ref: NameReference { name: "app".to_owned() } });
    connection.metadata.namespace = Some("sales".to_owned());
    connection.metadata.uid = Some("uid-crm".to_owned());
    connection.metadata.generation = Some(1);
    let definition = catalogue::check(&serde_yaml::from_str(CONNECTOR).unwrap()).unwrap();
    let values = [("clientId", "web"), ("clientSecret", "digest")];
    Observed {
        connector: ConnectorState::Valid {
            definition: Arc::new(definition),
            identity: "connector/1".to_owned(),
        },
        folder: FolderState::Ready("sales".to_owned()),
        policy: Arc::default(),
        credentials: SecretState::NotReferenced,
        oauth_app: SecretState::Found {
            name: "app".to_owned(),
            fingerprints: values.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            client_id: Some("web".to_owned()),
        },
        token: TokenState::Missing,
        consent: None,
        neighbours: Neighbours::default(),
        settings: Arc::new(Settings {
            refresh_fraction: 0.8,
            verify_interval: Duration::from_hours(1),
            egress_exceptions: BTreeSet::new(),
            egress_addresses: Vec::new(),
            public_url: "https://liaison.example".to_owned(),
        }),
        connection,
    }
}

fn terms() -> BTreeMap<String, String> {
    let observed = connection();
    let prepared = prepare(&observed).unwrap();
    terms_of(&observed, &prepared, "https://liaison.example/callback/crm").to_map()
}

/// A request as it is made, stamped and sealed.
fn made() -> ObservedConsent {
    let mut request = ConsentRequest::new("crm-abcde", ConsentRequestSpec::default());
    request.metadata.namespace = Some("sales".to_owned());
    request.metadata.uid = Some("uid-request".to_owned());
    request.metadata.creation_timestamp = Some(Time(at(0)));
    request.spec.connection_ref = ConnectionIdentity { name: "crm".to_owned(), uid: "uid-crm".to_owned() };
    request.spec.challenge = challenge();
    request.spec.loopback_port = Some(40_000);
    request.spec.requester = Some(Requester { username: "ana".to_owned(), ..Requester::default() });
    ObservedConsent {
        request,
        stamped: true,
        connection: Some(Box::new(connection())),
        older_open: 0,
        result: ResultState::Absent,
        authorized: true,
        recorded: false,
        settled: true,
        rehearsal: None,
    }
}

fn in_phase(phase: Phase) -> ObservedConsent {
    let mut observed = made();
    observed.request.status = Some(ConsentRequestStatus {
        phase: Some(phase),
        url: Some("https://liaison.example/consent/sales/crm-abcde".to_owned()),
        expires_at: Some(Time(at(600))),
        ..ConsentRequestStatus::default()
    });
    observed
}

/// The browser is back, and the receipt handed in.
fn returned() -> ObservedConsent {
    let mut observed = in_phase(Phase::Returned);
    observed.request.spec.receipt = Some(RECEIPT.to_owned());
    observed.request.status.as_mut().unwrap().sealed_result = Some("sealed".to_owned());
    observed.result = ResultState::Opened { receipt_matches: true, terms: terms() };
    observed
}

fn ends(observed: &ObservedConsent, second: i64) -> (Option<Phase>, String, String) {
    let decision = decide(observed, at(second));
    assert_eq!(decision.effect, None, "{:?}", decision.status);
    assert_eq!((&decision.status.sealed_result, &decision.status.url), (&None, &None));
    let status = decision.status;
    (status.phase, status.reason.unwrap_or_default(), status.message.unwrap_or_default())
}

#[test]
fn a_link_is_given_out_once_a_token_could_be_stored() {
    let mut observed = made();
    let first = decide(&observed, at(1));
    assert_eq!((first.effect, first.status.phase), (Some(Effect::Rehearse), None));

    observed.rehearsal = Some(Ok(()));
    let issued = decide(&observed, at(1));
    assert_eq!(issued.status.phase, Some(Phase::Issued));
    assert_eq!(issued.status.url.as_deref(), Some("https://liaison.example/consent/sales/crm-abcde"));
    assert_eq!(issued.status.expires_at, Some(Time(at(600))));
    assert_eq!(issued.next, Some(at(600)));

    observed.rehearsal = Some(Err("exceeded quota".to_owned()));
    let (phase, reason, message) = ends(&observed, 1);
    assert_eq!((phase, reason.as_str()), (Some(Phase::Failed), "TokenStoreBlocked"));
    assert!(message.contains("exceeded quota"));
}

#[test]
fn s42_nobody_is_sent_anywhere_before_the_client_is_known() {
    let mut observed = made();
    observed.connection.as_mut().unwrap().oauth_app = SecretState::NotFound("app".to_owned());
    let (phase, reason, message) = ends(&observed, 1);
    assert_eq!((phase, reason.as_str()), (Some(Phase::Failed), "ClientCredentialsMissing"));
    assert!(message.contains("\"app\" does not exist"), "{message}");
}

/// The Connection names no app; a policy has one, whose Secret can be read, and lends it to these.
fn lent_to(observed: &mut ObservedConsent, auth_type: &str) {
    let entry = "connector: crm, oauthApp: {secretRef: {name: org}}, allowedHosts: ['*.example.com']";
    let spec = format!("{{defaults: [{{{entry}, authTypes: [{auth_type}]}}]}}");
    let policy = ConnectionPolicy::new("p", serde_yaml::from_str(&spec).unwrap());
    let connection = observed.connection.as_mut().unwrap();
    connection.policy = Arc::new(EffectivePolicy::of(&[&policy], &Ancestry::default(), "crm"));
    connection.connection.spec.oauth_app = None;
    connection.connection.spec.auth_type = Some(AuthType::OAuth2AuthorizationCode);
}

#[test]
fn s44_nobody_consents_with_an_app_that_is_lent_to_other_auth_types() {
    let mut observed = made();
    lent_to(&mut observed, "OAuth2AuthorizationCode");
    assert_eq!(decide(&observed, at(1)).effect, Some(Effect::Rehearse));

    for mut observed in [made(), returned()] {
        lent_to(&mut observed, "OAuth2ClientCredentials");
        let (phase, reason, message) = ends(&observed, 60);
        assert_eq!((phase, reason.as_str()), (Some(Phase::Failed), "ClientCredentialsMissing"));
        let words = "policy \"p\" does not lend its OAuth app to authType \"OAuth2AuthorizationCode\"";
        assert!(message.contains(words), "{message}");
    }
}

#[rstest]
#[case::no_stamp(|observed: &mut ObservedConsent| observed.stamped = false, "RequesterNotStamped")]
#[case::gone(|observed: &mut ObservedConsent| observed.connection = None, "ConsentOutdated")]
#[case::no_person(|observed: &mut ObservedConsent| {
    let connection = observed.connection.as_mut().unwrap();
    connection.connection.spec.auth_type = Some(AuthType::PersonalAccessToken);
    connection.connection.spec.credentials = Some(SecretSource::default());
    connection.credentials = SecretState::Found {
        name: "pat".to_owned(),
        fingerprints: BTreeMap::from([("token".to_owned(), "digest".to_owned())]),
        client_id: None,
    };
}, "ConsentNotNeeded")]
#[case::suspended(|observed: &mut ObservedConsent| {
    observed.connection.as_mut().unwrap().connection.spec.suspend = true;
}, "Suspended")]
#[case::no_browser(|observed: &mut ObservedConsent| observed.request.spec.loopback_port = None, "CodeEntryNotAllowed")]
#[case::too_many(|observed: &mut ObservedConsent| observed.older_open = OPEN_LIMIT, "TooManyConsents")]
fn a_request_that_cannot_succeed_says_so_at_once(
    #[case] with: fn(&mut ObservedConsent),
    #[case] expected: &str,
) {
    let mut observed = made();
    with(&mut observed);
    let (phase, reason, message) = ends(&observed, 1);
    assert_eq!((phase, reason.as_str()), (Some(Phase::Failed), expected), "{message}");
    assert!(message.len() > 40, "what to do: {message}");
}

#[rstest]
#[case(Phase::Issued)]
#[case(Phase::Started)]
#[case(Phase::Returned)]
fn n06_a_request_expires_after_ten_minutes_in_any_open_phase(#[case] phase: Phase) {
    assert_eq!(decide(&in_phase(phase), at(599)).status.phase, Some(phase));
    let (ended, reason, message) = ends(&in_phase(phase), 600);
    assert_eq!((ended, reason.as_str()), (Some(Phase::Expired), "SessionExpired"));
    assert!(message.contains("kubectl liaison connect crm -n sales"), "{message}");
}

#[test]
fn s46_who_never_came_back_is_told_which_address_to_register() {
    let mut observed = in_phase(Phase::Started);
    let status = observed.connection.as_mut().unwrap().connection.status.get_or_insert_default();
    let redirect_uri = Some("https://liaison.example/callback/crm".to_owned());
    status.authentication = Some(crate::api::connection::AuthenticationStatus { url: None, redirect_uri });
    let (_, _, message) = ends(&observed, 600);
    assert!(message.contains("register exactly https://liaison.example/callback/crm"), "{message}");
}

#[test]
fn terms_fit_a_cookie_however_many_scopes_there_are() {
    let mut observed = connection();
    observed.connection.spec.scopes = (0..64).map(|number| format!("{number:0>256}")).collect();
    let prepared = prepare(&observed).unwrap();
    let terms = terms_of(&observed, &prepared, "https://liaison.example/callback/crm").to_map();
    let length: usize = terms.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(length < 400, "{length}");
    let other = connection();
    let changed = terms_of(&other, &prepare(&other).unwrap(), "x");
    assert_eq!(changed.differences(&terms), ["the redirect address", "the scopes"]);
}

#[test]
fn a_receipt_makes_the_code_be_redeemed_and_takes_it_out_of_the_request_first() {
    let decision = decide(&returned(), at(60));
    assert_eq!(decision.effect, Some(Effect::Redeem));
    assert_eq!(decision.status.phase, Some(Phase::Redeeming));
    assert_eq!(decision.status.sealed_result, None);
}

#[rstest]
#[case(Phase::Issued)]
#[case(Phase::Started)]
#[case(Phase::Returned)]
fn without_a_receipt_nothing_is_redeemed(#[case] phase: Phase) {
    let decision = decide(&in_phase(phase), at(60));
    assert_eq!((decision.effect, decision.status.phase), (None, Some(phase)));
}

#[rstest]
#[case::wrong_receipt(|observed: &mut ObservedConsent| {
    observed.result = ResultState::Opened { receipt_matches: false, terms: terms() };
}, "ReceiptMismatch", "")]
#[case::receipt_before_the_browser(|observed: &mut ObservedConsent| {
    observed.result = ResultState::Absent;
}, "ReceiptMismatch", "")]
#[case::foreign_result(|observed: &mut ObservedConsent| {
    observed.result = ResultState::Unreadable;
}, "ReceiptMismatch", "")]
#[case::right_taken_away(|observed: &mut ObservedConsent| observed.authorized = false, "AuthenticateForbidden", "\"ana\"")]
#[case::stamp_gone(|observed: &mut ObservedConsent| observed.stamped = false, "RequesterNotStamped", "")]
#[case::connection_made_anew(|observed: &mut ObservedConsent| observed.connection = None, "ConsentOutdated", "gone")]
#[case::connection_edited(|observed: &mut ObservedConsent| {
    observed.connection.as_mut().unwrap().connection.metadata.generation = Some(2);
}, "ConsentOutdated", "the connection")]
#[case::connector_edited(|observed: &mut ObservedConsent| {
    let connection = observed.connection.as_mut().unwrap();
    let ConnectorState::Valid { identity, .. } = &mut connection.connector else { unreachable!() };
    *identity = "connector/2".to_owned();
}, "ConsentOutdated", "the connector")]
#[case::client_changed(|observed: &mut ObservedConsent| {
    let SecretState::Found { client_id, .. } = &mut observed.connection.as_mut().unwrap().oauth_app else { unreachable!() };
    *client_id = Some("other".to_owned());
}, "ConsentOutdated", "the OAuth client")]
#[case::public_address_changed(|observed: &mut ObservedConsent| {
    let settings = &mut observed.connection.as_mut().unwrap().settings;
    *settings = Arc::new(Settings { public_url: "https://other.example".to_owned(), ..(**settings).clone() });
}, "ConsentOutdated", "the redirect address")]
fn what_is_not_as_agreed_to_ends_without_a_request(
    #[case] with: fn(&mut ObservedConsent),
    #[case] expected: &str,
    #[case] named: &str,
) {
    let mut observed = returned();
    with(&mut observed);
    let (phase, reason, message) = ends(&observed, 60);
    assert_eq!((phase, reason.as_str()), (Some(Phase::Failed), expected), "{message}");
    assert!(message.contains(named), "{message}");
}

#[test]
fn a_spent_code_without_a_record_is_a_loss_and_with_one_a_success() {
    let lost = in_phase(Phase::Redeeming);
    let (phase, reason, message) = ends(&lost, 60);
    assert_eq!((phase, reason.as_str()), (Some(Phase::Failed), "ReconsentRequired"));
    assert!(message.contains("kubectl liaison connect crm -n sales"), "{message}");

    let recorded = ObservedConsent { recorded: true, ..in_phase(Phase::Redeeming) };
    assert_eq!(ends(&recorded, 60).0, Some(Phase::Succeeded));

    // Another leader's request may be under way still.
    let early = ObservedConsent { settled: false, ..in_phase(Phase::Redeeming) };
    let decision = decide(&early, at(60));
    assert_eq!((decision.status.phase, decision.next), (Some(Phase::Redeeming), Some(at(61))));
}

#[rstest]
#[case(Phase::Succeeded)]
#[case(Phase::Failed)]
#[case(Phase::Expired)]
fn an_outcome_stays_five_minutes_and_then_goes(#[case] phase: Phase) {
    let mut observed = in_phase(phase);
    observed.request.status.as_mut().unwrap().ended_at = Some(Time(at(100)));
    let kept = decide(&observed, at(399));
    assert_eq!((kept.effect, kept.next), (None, Some(at(400))));
    assert_eq!(Some(kept.status), observed.request.status, "nothing is written");
    assert_eq!(decide(&observed, at(400)).effect, Some(Effect::Delete));
}

#[test]
fn a_link_opens_once_for_who_holds_its_secret_and_in_time() {
    let request = |phase| in_phase(phase).request;
    let open = |phase, digest: &str, second| may_open(&request(phase), digest, at(second));
    assert_eq!(open(Phase::Issued, &challenge(), 1), Ok(()));
    assert_eq!(open(Phase::Issued, &"d".repeat(43), 1), Err(LinkRefusal::NotValid));
    assert_eq!(open(Phase::Issued, "", 1), Err(LinkRefusal::NotValid));
    assert_eq!(open(Phase::Issued, &challenge(), 600), Err(LinkRefusal::Expired));
    for phase in [Phase::Started, Phase::Returned, Phase::Redeeming, Phase::Succeeded, Phase::Failed] {
        assert_eq!(open(phase, &challenge(), 1), Err(LinkRefusal::Used), "{phase:?}");
        // Who lacks the secret does not learn even that.
        assert_eq!(open(phase, "guess", 1), Err(LinkRefusal::NotValid), "{phase:?}");
    }
    assert_eq!(may_open(&made().request, &challenge(), at(1)), Err(LinkRefusal::NotValid));
}

#[rstest]
#[case("access_denied", Reason::ConsentDenied)]
#[case("redirect_uri_mismatch", Reason::RedirectURIMismatch)]
#[case("invalid_scope", Reason::ScopeRejected)]
#[case("unauthorized_client", Reason::ClientRejected)]
#[case("temporarily_unavailable", Reason::ProviderUnavailable)]
#[case("server_error", Reason::ProviderUnavailable)]
#[case("<script>alert(1)</script>", Reason::RequestRejected)]
fn a_providers_refusal_has_a_reason_and_our_own_words(#[case] code: &str, #[case] reason: Reason) {
    let blocked = refused_by_provider(&made().request, code, "https://liaison.example/callback/crm");
    assert_eq!(blocked.reason, reason);
    assert!(!blocked.message.contains('<'), "{}", blocked.message);
    let quotes = blocked.message.contains("https://liaison.example/callback/crm");
    assert_eq!(quotes, reason == Reason::RedirectURIMismatch);
}
