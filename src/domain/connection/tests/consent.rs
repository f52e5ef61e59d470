//! Connections that a person authenticates in a browser.

use rstest::rstest;

use super::*;

/// A person consents; the ID token names the account.
const PERSON: &str = r"
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

/// A Connection for a person, its OAuth client in place.
fn person() -> Observed {
    let mut observed = client(PERSON);
    observed.connection.spec.auth_type = Some(AuthType::OAuth2AuthorizationCode);
    observed
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
    let mut observed = person();
    observed.token = TokenState::Present(issued_at(&observed, 0, Some(3600)));
    assert_eq!(shown(&observed, 60).0, None);
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
