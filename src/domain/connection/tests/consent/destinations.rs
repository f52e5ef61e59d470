//! Where a person's token goes to, and what becomes of it where that changes.

use rstest::rstest;

use super::*;

/// A Connector whose issuer named endpoints on this host.
fn named_by_the_issuer(host: &str, path: &str, second: i64) -> ConnectorState {
    let shared = "{displayName: CRM, redirect: Shared, authMethods: [{type: OAuth2AuthorizationCode, oauth2: {issuer: \
                  'https://login.example.com', iss: Required, scopes: {default: [read, write]}}}]}";
    let mut connector = crate::api::Connector::new("crm", serde_yaml::from_str(shared).unwrap());
    let metadata = crate::api::connector::IssuerMetadata {
        issuer: "https://login.example.com".to_owned(),
        authorization_endpoint: format!("https://{host}/authorize"),
        token_endpoint: format!("https://{host}{path}"),
        revocation_endpoint: None,
        introspection_endpoint: None,
        time: Time(at(second)),
    };
    let status = crate::api::ConnectorStatus { metadata: Some(metadata), ..Default::default() };
    connector.status = Some(status);
    crate::domain::connector::state_of(&connector)
}

#[rstest]
#[case::renewed("login.example.com", "/token", "True/Ready")]
#[case::on_the_same_host("login.example.com", "/v2/token", "True/Ready")]
#[case::elsewhere("login2.example.com", "/token", "False/ReauthenticationRequired")]
fn s11_a_token_does_not_follow_its_issuer_to_another_host(
    #[case] host: &str,
    #[case] path: &str,
    #[case] ready: &str,
) {
    let mut observed = person();
    observed.connector = named_by_the_issuer("login.example.com", "/token", 0);
    observed.token = TokenState::Present(consent_facts(&observed, "consent-1", None, 0));
    assert_eq!(standing(&observed, 60).1, "True/Ready");
    observed.connector = named_by_the_issuer(host, path, 86_400);
    assert_eq!(standing(&observed, 120).1, ready);
}

#[rstest]
#[case::host(|observed: &mut Observed| observed.connector = valid(&PERSON.replace("api.example", "evil.example"), 2))]
#[case::client(|observed: &mut Observed| observed.oauth_app = app("client-2", "first"))]
fn s11_a_change_of_where_a_persons_token_goes_waits_for_another_consent(#[case] moved: fn(&mut Observed)) {
    let mut observed = ann_consented();
    moved(&mut observed);
    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, "approved");
    for second in [60, 3000, 50_000] {
        let decision = decide(&observed, at(second));
        assert_eq!((decision.effect, decision.next), (None, None));
        assert_eq!(short(&decision.status, ConditionType::Ready), "False/ReauthenticationRequired");
        let said = message(&decision.status, ConditionType::Ready);
        assert!(said.ends_with(&format!("If the change is wanted, run {COMMAND}")), "{said}");
        assert!(shown(&observed, second).0.is_some());
    }
}
