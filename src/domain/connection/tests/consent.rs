//! Connections that a person authenticates in a browser.

mod destinations;

use rstest::rstest;

use super::*;

const COMMAND: &str = "`kubectl liaison connect crm -n finance`";

fn ann_consented() -> Observed {
    consented("consent-1", Some("ann@example.com"))
}

/// What the record says becomes something else.
fn change(observed: &mut Observed, change: impl FnOnce(&mut TokenFacts)) {
    let TokenState::Present(token) = &mut observed.token else { unreachable!() };
    change(token);
}

fn seen(observed: &Observed, second: i64) -> Observed {
    recorded(observed, &decide(observed, at(second)).status)
}

fn refresh(present_sequence: i64, consent_id: &str) -> Effect {
    let consent_id = consent_id.to_owned();
    Effect::RequestToken(TokenPlan { grant: Grant::Refresh, present_sequence, rehearse: true, consent_id })
}

/// The page and the redirect address that the status shows.
fn shown(observed: &Observed, second: i64) -> (Option<String>, Option<String>) {
    let authentication = decide(observed, at(second)).status.authentication.unwrap_or_default();
    (authentication.url, authentication.redirect_uri)
}

#[rstest]
#[case(AuthType::OAuth2AuthorizationCode)]
#[case(AuthType::OAuth2BringYourOwnApp)]
fn s06_a_connection_for_a_person_awaits_one_and_asks_for_nothing(#[case] auth_type: AuthType) {
    let mut observed = person();
    observed.connection.spec.auth_type = Some(auth_type);
    let decision = decide(&observed, at(0));
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(standing(&observed, 0), pair("False/AwaitingAuthentication", "False/AwaitingAuthentication"));
    assert_eq!(
        message(&decision.status, ConditionType::Authenticated),
        "a person has to authenticate this connection: run `kubectl liaison connect crm -n finance`, or open \
         https://liaison.example.com/connections/finance/crm"
    );
    assert_eq!(decision.events, [Event::normal(Reason::AwaitingAuthentication)]);
}

#[test]
fn s71_before_anybody_has_authenticated_the_account_is_system() {
    let status = decide(&person(), at(0)).status;
    assert_eq!((status.state, status.account.as_deref()), (State::Inactive, Some("System")));
}

#[test]
fn s32_the_page_is_shown_while_a_person_has_to_act_and_carries_nothing_but_the_name() {
    let page = Some("https://liaison.example.com/connections/finance/crm".to_owned());
    assert_eq!(shown(&person(), 0).0, page);
    assert_eq!(shown(&ann_consented(), 60).0, None);
    let mut suspended = person();
    suspended.connection.spec.suspend = true;
    assert_eq!(shown(&suspended, 0).0, None);
    assert_eq!(decide(&client(CLIENT), at(0)).status.authentication, None);
}

#[rstest]
#[case("", "https://liaison.example.com/callback/jira")]
#[case("redirect: PerConnection", "https://liaison.example.com/callback/finance/crm")]
fn s46_the_redirect_address_can_be_registered_before_there_is_a_client(
    #[case] mode: &str,
    #[case] expected: &str,
) {
    let mut observed = person();
    observed.connector = valid(&format!("{PERSON}{mode}\n"), 1);
    assert_eq!(shown(&observed, 0).1.as_deref(), Some(expected));
    observed.oauth_app = SecretState::NotFound("crm-app".to_owned());
    assert_eq!(shown(&observed, 0), (None, Some(expected.to_owned())));
}

#[test]
fn s42_nobody_is_sent_to_a_page_until_the_client_is_there() {
    let mut observed = person();
    observed.connection.spec.auth_type = Some(AuthType::OAuth2BringYourOwnApp);
    observed.oauth_app = secret("crm-app", &[("clientId", "client-1")]);
    let status = decide(&observed, at(0)).status;
    assert_eq!(short(&status, ConditionType::Authenticated), "False/ClientCredentialsMissing");
    assert!(
        message(&status, ConditionType::Authenticated).contains("lacks a value under the key clientSecret")
    );
    assert_eq!(shown(&observed, 0).0, None);
    let mut healed = recorded(&observed, &status);
    healed.oauth_app = app("client-1", "first");
    assert_eq!(standing(&healed, 1).0, "False/AwaitingAuthentication");
    assert!(shown(&healed, 1).0.is_some());
}

#[test]
fn s06_a_consent_authenticates_and_says_whose_it_is() {
    let waiting = seen(&person(), 0);
    let observed = Observed { token: ann_consented().token, ..waiting };
    let decision = decide(&observed, at(60));
    assert_eq!(standing(&observed, 60), pair("True/TokenIssued", "True/Ready"));
    assert_eq!(decision.events, [Event::normal(Reason::Authenticated)]);
    let status = decision.status;
    assert_eq!((status.state, status.account.as_deref()), (State::Connected, Some("ann@example.com")));
    assert_eq!(status.authenticated_by.as_deref(), Some("ann"));
    assert_eq!(status.token.unwrap().refresh_token_expires_at.unwrap().0, at(100_000));
}

#[test]
fn n02_the_name_is_that_of_the_account_that_consented() {
    let status = decide(&ann_consented(), at(60)).status;
    assert_eq!(status.display_name.as_deref(), Some("ann@example.com"));
}

#[test]
fn n22_a_connection_shows_where_its_api_requests_start() {
    let status = decide(&ann_consented(), at(60)).status;
    assert_eq!(status.base_url.as_deref(), Some("https://api.example.com/v1"));
}

#[test]
fn s72_the_account_stays_when_a_persons_token_is_lost() {
    let mut observed = seen(&ann_consented(), 60);
    observed.token = TokenState::Missing;
    let status = decide(&observed, at(120)).status;
    assert_eq!((status.state, status.account.as_deref()), (State::Disconnected, Some("ann@example.com")));
    assert_eq!(status.authenticated_by.as_deref(), Some("ann"));
    assert_eq!(short(&status, ConditionType::Authenticated), "False/AwaitingAuthentication");
}

#[test]
fn n05_a_persons_token_is_refreshed_in_time_with_its_refresh_token() {
    let observed = ann_consented();
    let decision = decide(&observed, at(60));
    assert_eq!(decision.effect, None);
    let due = decision.next.unwrap();
    assert!((at(2592)..=at(2880)).contains(&due), "{due}");
    assert_eq!(decide(&observed, due).effect, Some(refresh(1, "consent-1")));
    // Also when the access token has expired meanwhile.
    assert_eq!(decide(&observed, at(50_000)).effect, Some(refresh(1, "consent-1")));
    assert_eq!(standing(&observed, 50_000).0, "False/TokenExpired");
    assert_eq!(shown(&observed, 50_000).0, None);
}

#[test]
fn a_token_of_a_person_is_held_for_revocation_as_soon_as_it_is_seen() {
    let mut observed = ann_consented();
    observed.connector =
        valid(&PERSON.replace("tokenURL:", "revokeURL: https://login.example.com/revoke\n    tokenURL:"), 1);
    let targets = prepare(&observed).unwrap().targets;
    change(&mut observed, |token| token.targets = targets);
    assert_eq!(decide(&observed, at(60)).effect, Some(Effect::HoldForRevocation));
    let held = learn(observed, Outcome::Held, at(60));
    assert_eq!(decide(&held, at(60)).effect, None);
    assert_eq!(decide(&held, at(3000)).effect, Some(refresh(1, "consent-1")));
}

#[rstest]
#[case::no_refresh_token(
    |token: &mut TokenFacts| token.refreshable = false,
    "the token has expired, and the provider gave no refresh token with it"
)]
#[case::refresh_token_expired(
    |token: &mut TokenFacts| token.refresh_token_expires_at = Some(at(3000)),
    "the token and its refresh token have expired"
)]
fn n20_a_token_that_nothing_can_refresh_ends_in_another_consent(
    #[case] changed: fn(&mut TokenFacts),
    #[case] cause: &str,
) {
    let mut observed = ann_consented();
    change(&mut observed, changed);
    let decision = decide(&observed, at(3300));
    assert_eq!((decision.effect, decision.next), (None, Some(at(3600))));
    assert_eq!(standing(&observed, 3300), pair("True/TokenIssued", "True/Ready"));

    let decision = decide(&observed, at(3600));
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(short(&decision.status, ConditionType::Ready), "False/ReconsentRequired");
    let said = message(&decision.status, ConditionType::Ready);
    assert!(said.starts_with(cause) && said.contains(COMMAND), "{said}");
    assert!(shown(&observed, 3600).0.is_some());
}

#[test]
fn n20_a_consent_that_the_provider_takes_back_disconnects_at_once_and_says_what_to_do() {
    let revoked = failed(Reason::ReconsentRequired, FailureClass::Permanent);
    let observed = after(&ann_consented(), revoked, at(3000));
    let decision = decide(&observed, at(3001));
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(short(&decision.status, ConditionType::Ready), "False/ReconsentRequired");
    assert_eq!(decision.status.state, State::Disconnected);
    assert_eq!(
        message(&decision.status, ConditionType::Ready),
        format!("no luck. To authenticate, run {COMMAND}")
    );
    assert!(shown(&observed, 3001).0.is_some());

    let mut blocked = observed.clone();
    blocked.connector = ConnectorState::NotFound;
    assert_eq!(standing(&blocked, 3002).0, "False/ReconsentRequired");
}

#[test]
fn n16_a_refresh_that_fails_in_passing_is_tried_again_and_leaves_the_token_in_use() {
    let observed = after(&ann_consented(), Outcome::AttemptFailed(transient(None)), at(3000));
    assert_eq!(standing(&observed, 3001), pair("True/TokenIssued", "True/Ready"));
    let next = decide(&observed, at(3001)).next.unwrap();
    assert!((at(3005)..=at(3006)).contains(&next), "{next}");
    assert_eq!(decide(&observed, next).effect, Some(refresh(1, "consent-1")));
}

#[test]
fn a_new_token_is_not_blamed_for_what_failed_before_it() {
    let revoked = failed(Reason::ReconsentRequired, FailureClass::Permanent);
    let mut observed = after(&ann_consented(), revoked, at(3000));
    let fresh = TokenFacts { sequence: 2, ..consent_facts(&observed, "consent-2", None, 3010) };
    observed.token = TokenState::Present(TokenFacts { expires_at: Some(at(3012)), ..fresh });
    // Even where it is due at once: the status does not know it yet.
    assert_eq!(decide(&observed, at(3011)).effect, None);
    assert_eq!(standing(&observed, 3011).0, "True/TokenIssued");
    assert_eq!(decide(&observed, at(3012)).effect, Some(refresh(2, "consent-2")));
}

#[test]
fn s41_a_folders_own_app_takes_the_way_of_the_connectors_code() {
    let mut observed = person();
    observed.connection.spec.auth_type = Some(AuthType::OAuth2BringYourOwnApp);
    assert_eq!(standing(&observed, 0).0, "False/AwaitingAuthentication");
    observed.connector = valid(CLIENT, 1);
    let status = decide(&observed, at(0)).status;
    assert_eq!(short(&status, ConditionType::Ready), "False/AuthTypeNotSupported");
    assert_eq!(
        message(&status, ConditionType::Ready),
        "connector \"jira\" has no OAuth2 authorization code method, so it cannot take your own app"
    );
    assert_eq!(status.authentication, None);
}

#[test]
fn s45_a_missing_client_names_where_to_register_one_and_heals_without_an_edit() {
    let mut observed = person();
    observed.oauth_app = SecretState::NotFound("crm-app".to_owned());
    let status = decide(&observed, at(0)).status;
    let said = message(&status, ConditionType::Ready);
    assert_eq!(short(&status, ConditionType::Ready), "False/ClientCredentialsMissing");
    assert!(said.ends_with("how to register an OAuth app: https://docs.example.com/apps"), "{said}");
    let healed = Observed { oauth_app: app("client-1", "first"), ..recorded(&observed, &status) };
    assert_eq!(standing(&healed, 1).0, "False/AwaitingAuthentication");
}

#[test]
fn s11_a_new_consent_that_was_asked_for_leaves_the_token_in_use_and_is_handled_once() {
    let mut observed = seen(&ann_consented(), 60);
    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, "2027-01-15");
    let decision = decide(&observed, at(61));
    assert_eq!((decision.effect, decision.status.last_handled_reauthenticate_at.clone()), (None, None));
    assert_eq!(standing(&observed, 61), pair("True/TokenIssued", "True/Ready"));
    let said = message(&decision.status, ConditionType::Authenticated);
    assert!(said.contains("a new consent was asked for") && said.contains(COMMAND), "{said}");
    assert!(shown(&observed, 61).0.is_some());
    // It is still refreshed meanwhile.
    assert_eq!(decide(&observed, at(3000)).effect, Some(refresh(1, "consent-1")));

    let mut answered = consent_facts(&observed, "consent-2", Some("ann@example.com"), 70);
    (answered.sequence, answered.answers) = (2, Some("2027-01-15".to_owned()));
    observed.token = TokenState::Present(answered);
    let status = decide(&observed, at(71)).status;
    assert_eq!(status.last_handled_reauthenticate_at.as_deref(), Some("2027-01-15"));
    assert_eq!(message(&status, ConditionType::Authenticated), "the provider issued a token");
    assert_eq!(shown(&observed, 71).0, None);
}

#[test]
fn n16_asking_for_a_new_consent_does_not_revive_a_refresh_that_failed_for_good() {
    let refused = failed(Reason::RequestRejected, FailureClass::Permanent);
    let mut observed = after(&ann_consented(), refused, at(3000));
    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, "now");
    assert_eq!(decide(&observed, at(3500)).effect, None);
    observed.oauth_app = app("client-1", "second");
    assert_eq!(decide(&observed, at(3500)).effect, Some(refresh(1, "consent-1")));
}

#[test]
fn s35_each_way_that_a_connector_offers_leads_on() {
    for (auth_type, ready) in [
        (AuthType::OAuth2AuthorizationCode, "False/AwaitingAuthentication"),
        (AuthType::OAuth2BringYourOwnApp, "False/AwaitingAuthentication"),
        (AuthType::PersonalAccessToken, "True/Ready"),
    ] {
        let mut observed = client(SEVERAL);
        observed.connection.spec.auth_type = Some(auth_type);
        observed.connection.spec.credentials = Some(reference("pat"));
        observed.credentials = secret("pat", &[("token", "first")]);
        assert_eq!(standing(&observed, 0).1, ready, "{auth_type}");
    }
}

#[test]
fn s36_the_chosen_type_is_shown_before_anybody_has_consented() {
    let status = decide(&person(), at(0)).status;
    assert_eq!(status.auth_type, Some(AuthType::OAuth2AuthorizationCode));
}

#[test]
fn n14_scopes_that_were_not_granted_call_for_a_person() {
    let mut observed = ann_consented();
    change(&mut observed, |token| token.granted_scopes = vec!["read".to_owned()]);
    let status = decide(&observed, at(60)).status;
    assert_eq!(short(&status, ConditionType::Authenticated), "True/TokenIssued");
    assert_eq!(short(&status, ConditionType::Ready), "False/ScopesMissing");
    assert_eq!(
        message(&status, ConditionType::Ready),
        format!(
            "the provider did not grant: write; allow them for the OAuth client, or remove them from spec.scopes, \
             then run {COMMAND}"
        )
    );
    assert!(shown(&observed, 60).0.is_some());
}

#[test]
fn n14_scopes_that_were_added_since_the_consent_call_for_a_person() {
    let mut observed = ann_consented();
    observed.connection.spec.scopes = vec!["read".to_owned(), "write".to_owned(), "admin".to_owned()];
    let status = decide(&observed, at(60)).status;
    assert_eq!(short(&status, ConditionType::Ready), "False/ScopesMissing");
    assert!(message(&status, ConditionType::Ready).starts_with("the provider did not grant: admin;"));
}

#[test]
fn n05_a_refresh_token_that_ends_first_is_used_before_it_does() {
    let mut observed = ann_consented();
    change(&mut observed, |token| {
        token.expires_at = Some(at(30 * 86_400));
        token.refresh_token_expires_at = Some(at(7 * 86_400));
    });
    let decision = decide(&observed, at(60));
    let due = decision.next.unwrap();
    assert!(at(4 * 86_400) < due && due < at(6 * 86_400), "{due}");
    assert!(matches!(decide(&observed, due).effect, Some(Effect::RequestToken(_))));
}

#[test]
fn s48_a_persons_record_that_cannot_be_used_calls_for_a_person_and_asks_for_nothing() {
    let mut observed = seen(&ann_consented(), 60);
    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, "now");
    observed.token = TokenState::Unreadable("no key \"2\"".to_owned());
    assert_eq!(
        message(&decide(&observed, at(61)).status, ConditionType::Ready),
        format!("no key \"2\"; restore the operator's keyring, or run {COMMAND}")
    );
    let mut put_back = ann_consented();
    change(&mut put_back, |token| token.sequence = 0);
    put_back.connection = observed.connection.clone();
    assert_eq!(standing(&put_back, 61).0, "False/TokenRolledBack");
    for observed in [observed, put_back] {
        assert_eq!(decide(&observed, at(50_000)).effect, None);
        assert!(shown(&observed, 61).0.is_some());
    }
}
