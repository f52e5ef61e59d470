//! What has to be right first: each thing that can be missing, what is said of it, and that it heals.

use rstest::rstest;

use super::*;

/// Ready's reason and message, and that nothing is done and Authenticated says the same.
fn blocked(observed: &Observed) -> (String, String) {
    let decision = decide(observed, at(0));
    assert_eq!((decision.effect, decision.next), (None, None));
    let ready = condition(&decision.status, ConditionType::Ready);
    assert_eq!(condition(&decision.status, ConditionType::Authenticated), ready);
    assert_eq!(ready.0, "False");
    (ready.1, ready.2)
}

fn says(reason: &str, message: &str) -> (String, String) {
    (reason.to_owned(), message.to_owned())
}

#[test]
fn s02_a_connector_that_does_not_exist_is_reported_and_heals_when_it_appears() {
    let mut observed = client(CLIENT);
    observed.connector = ConnectorState::NotFound;
    assert_eq!(
        blocked(&observed),
        says(
            "ConnectorNotFound",
            "connector jira does not exist; `kubectl get connectors` lists the catalogue"
        )
    );
    let mut healed = recorded(&observed, &decide(&observed, at(0)).status);
    healed.connector = valid(CLIENT, 1);
    assert!(asks_for_token(decide(&healed, at(1)).effect.as_ref()));
}

#[test]
fn a_faulty_connector_is_reported_with_all_its_faults() {
    let mut observed = client(CLIENT);
    observed.connector = ConnectorState::Invalid(vec!["spec.a is wrong".into(), "spec.b is wrong".into()]);
    assert_eq!(
        blocked(&observed),
        says(
            "ConnectorInvalid",
            "connector jira has faults that its administrator has to mend: spec.a is wrong; spec.b is wrong"
        )
    );
}

#[test]
fn a_connector_whose_issuer_names_no_endpoints_yet_is_reported_with_the_cause() {
    let mut observed = client(CLIENT);
    observed.connector = ConnectorState::Unavailable("login.example.com:443 is down".into());
    assert_eq!(
        blocked(&observed),
        says("ConnectorInvalid", "connector jira cannot be used yet: login.example.com:443 is down")
    );
}

#[test]
fn s14_a_namespace_that_no_folder_owns_is_reported_before_anything_else() {
    let mut observed = on(CLIENT);
    observed.connector = ConnectorState::NotFound;
    observed.folder = FolderState::NotFound;
    let (reason, message) = blocked(&observed);
    assert_eq!(reason, "FolderNotFound");
    assert!(message.starts_with("no Folder owns namespace \"finance\"; create a Folder"), "{message}");
}

#[test]
fn a_folder_that_is_not_ready_is_quoted() {
    let mut observed = client(CLIENT);
    observed.folder = FolderState::NotReady("finance".into(), "the namespace is being made".into());
    assert_eq!(
        blocked(&observed),
        says("FolderNotReady", "folder \"finance\" is not ready: the namespace is being made")
    );
}

#[test]
fn s36_with_several_auth_types_one_has_to_be_named() {
    assert_eq!(
        blocked(&on(SEVERAL)),
        says(
            "AuthTypeRequired",
            "connector \"jira\" supports several auth types; set spec.authType to one of \
             OAuth2AuthorizationCode, OAuth2BringYourOwnApp, PersonalAccessToken; it cannot be set later, so create \
             the Connection again"
        )
    );
}

#[test]
fn s36_a_single_auth_type_is_the_default() {
    let status = decide(&client(CLIENT), at(0)).status;
    assert_eq!(status.auth_type, Some(AuthType::OAuth2ClientCredentials));

    let code = "displayName: X\nauthMethods: [{type: OAuth2AuthorizationCode, oauth2: {authorizeURL: 'https://x.example.com/a', tokenURL: 'https://x.example.com/t'}}]";
    let status = decide(&client(code), at(0)).status;
    assert_eq!(status.auth_type, Some(AuthType::OAuth2AuthorizationCode));
}

#[rstest]
#[case::s39(
    AuthType::OAuth2Password,
    "connector \"jira\" does not support authType \"OAuth2Password\"; supported: PersonalAccessToken"
)]
#[case::s41(
    AuthType::OAuth2BringYourOwnApp,
    "connector \"jira\" has no OAuth2 authorization code method, so it cannot take your own app"
)]
fn s39_s41_an_auth_type_that_is_not_offered_is_reported(#[case] auth_type: AuthType, #[case] message: &str) {
    let mut observed = personal(TOKEN);
    observed.connection.spec.auth_type = Some(auth_type);
    assert_eq!(blocked(&observed), says("AuthTypeNotSupported", message));
}

#[test]
fn s12_everything_that_is_missing_is_named_at_once() {
    let observed = on(TOKEN);
    assert_eq!(
        blocked(&observed),
        says(
            "ParametersMissing",
            "connector \"jira\" with authType \"PersonalAccessToken\" needs parameters: siteUrl, token; set the \
             others in spec.parameters, and put token into a Secret with the label liaison.dev/credentials: \"true\" \
             and name it in spec.credentials.secretRef"
        )
    );
}

#[test]
fn s12_only_what_is_missing_is_asked_for() {
    let mut secret_missing = personal(TOKEN);
    secret_missing.connection.spec.credentials = None;
    secret_missing.credentials = SecretState::NotReferenced;
    let (_, message) = blocked(&secret_missing);
    assert!(message.contains("needs parameters: token; put token into a Secret"), "{message}");

    let mut plain_missing = personal(TOKEN);
    plain_missing.connection.spec.parameters.clear();
    let (_, message) = blocked(&plain_missing);
    assert!(message.ends_with("needs parameters: siteUrl; set them in spec.parameters"), "{message}");
}

#[test]
fn a_parameter_with_a_dot_in_its_name_is_named_in_full() {
    let connector =
        TOKEN.replace("siteUrl, required", "site.name, required").replace("{siteUrl}", "{site.name}");
    let mut observed = personal(&connector);
    observed.connection.spec.parameters.clear();
    let (_, message) = blocked(&observed);
    assert!(message.contains("needs parameters: site.name;"), "{message}");
}

#[test]
fn parameters_that_do_not_fit_are_all_named() {
    let mut observed = personal(TOKEN);
    let given = [("siteUrl", "ACME"), ("other", "x")];
    observed.connection.spec.parameters =
        given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(
        blocked(&observed),
        says(
            "ParametersInvalid",
            "spec.parameters.other is not a parameter of this connector; declared: siteUrl; \
             spec.parameters.siteUrl must match the pattern [a-z]+"
        )
    );
}

#[rstest]
#[case::gone(
    SecretState::NotFound("pat".into()),
    "spec.credentials.secretRef: secret \"pat\" does not exist in namespace \"finance\"; create it with the label \
     liaison.dev/credentials: \"true\""
)]
#[case::unlabelled(
    SecretState::NotLabelled("pat".into()),
    "spec.credentials.secretRef: secret \"pat\" does not allow its use by connections; run `kubectl label secret pat \
     -n finance liaison.dev/credentials=true`"
)]
#[case::incomplete(
    secret("pat", &[("other", "x")]),
    "secret \"pat\" in namespace \"finance\" lacks a value under the key token; add it"
)]
fn s40_a_secret_of_credentials_that_cannot_be_used_is_reported_and_heals(
    #[case] state: SecretState,
    #[case] message: &str,
) {
    let mut observed = personal(TOKEN);
    observed.credentials = state;
    assert_eq!(blocked(&observed), says("CredentialsMissing", message));

    let mut healed = recorded(&observed, &decide(&observed, at(0)).status);
    healed.credentials = secret("pat", &[("token", "first")]);
    assert_eq!(decide(&healed, at(1)).effect, Some(Effect::Probe));
}

#[rstest]
#[case::not_named(
    SecretState::NotReferenced,
    "spec.oauthApp.secretRef is not set; name a Secret of namespace \"finance\" with the label \
     liaison.dev/credentials: \"true\", or ask whether a ConnectionPolicy can lend the organisation's; how to register \
     an OAuth app: https://docs.example.com/apps"
)]
#[case::one_key_missing(
    secret("crm-app", &[("clientId", "client-1")]),
    "secret \"crm-app\" in namespace \"finance\" lacks a value under the key clientSecret; add it; how to register \
     an OAuth app: https://docs.example.com/apps"
)]
#[case::both_keys_missing(
    secret("crm-app", &[]),
    "secret \"crm-app\" in namespace \"finance\" lacks a value under the key clientId, clientSecret; add it; how to \
     register an OAuth app: https://docs.example.com/apps"
)]
fn s43_a_missing_oauth_client_is_named_by_its_key_and_heals(
    #[case] state: SecretState,
    #[case] message: &str,
) {
    let mut observed = client(CLIENT);
    observed.oauth_app = state;
    assert_eq!(blocked(&observed), says("ClientCredentialsMissing", message));

    let mut healed = recorded(&observed, &decide(&observed, at(0)).status);
    healed.oauth_app = app("client-1", "first");
    assert!(asks_for_token(decide(&healed, at(1)).effect.as_ref()));
}

#[test]
fn s43_a_public_client_needs_no_secret() {
    let mut observed = client(&CLIENT.replace("scopes:", "clientAuthentication: None, scopes:"));
    observed.oauth_app = secret("crm-app", &[("clientId", "client-1")]);
    assert!(asks_for_token(decide(&observed, at(0)).effect.as_ref()));
}

#[test]
fn plain_http_waits_for_an_exception_and_heals_with_it() {
    let connector = CLIENT.replace("https://login.example.com/", "http://login.example.com:8080/");
    let mut observed = client(&connector);
    assert_eq!(
        blocked(&observed),
        says(
            "EgressDenied",
            "must be https: plain http to login.example.com:8080 is not among the allowed exceptions"
        )
    );
    let mut settings = Settings::clone(&observed.settings);
    settings.egress_exceptions.insert(("login.example.com".to_owned(), 8080));
    observed.settings = Arc::new(settings);
    assert!(asks_for_token(decide(&observed, at(1)).effect.as_ref()));
}

#[test]
fn a_secret_that_was_away_and_is_back_is_worth_a_new_attempt() {
    // It may have been away while the attempt was made, which is then why the attempt failed.
    let no = || failed(Reason::ClientCredentialsMissing, FailureClass::Permanent);
    let mut observed = after(&client(CLIENT), no(), at(0));
    assert_eq!(decide(&observed, at(10)).effect, None);
    let found = std::mem::replace(&mut observed.oauth_app, SecretState::NotFound("crm-app".to_owned()));
    observed = recorded(&observed, &decide(&observed, at(10)).status);
    observed.oauth_app = found;
    assert!(asks_for_token(decide(&observed, at(11)).effect.as_ref()));
}

#[test]
fn a_token_that_is_still_valid_outlives_a_missing_prerequisite_but_the_connection_is_not_ready() {
    let mut observed = with_token(CLIENT);
    observed.connector = ConnectorState::NotFound;
    assert_eq!(standing(&observed, 60), pair("True/TokenIssued", "False/ConnectorNotFound"));
    // Somebody has to look when it expires, although nothing else is going to happen.
    assert_eq!(decide(&observed, at(60)).next, Some(at(3600)));
    assert_eq!(standing(&observed, 3600), pair("False/ConnectorNotFound", "False/ConnectorNotFound"));
}

#[test]
fn an_older_record_is_no_credential_while_a_prerequisite_is_missing_either() {
    let mut observed = with_token(CLIENT);
    let status = decide(&observed, at(60)).status;
    observed = recorded(&observed, &status);
    observed.connection.status.as_mut().unwrap().token.as_mut().unwrap().sequence = 2;
    observed.connector = ConnectorState::NotFound;
    assert_eq!(standing(&observed, 60), pair("False/ConnectorNotFound", "False/ConnectorNotFound"));
}

#[test]
fn a_connector_without_credentials_is_ready_at_once() {
    let observed = on("displayName: Feed\nbaseURL: https://feed.example.com\nauthMethods: [{type: None}]");
    assert_eq!(standing(&observed, 0), pair("True/NoCredentialsNeeded", "True/Ready"));
}

#[test]
fn an_auth_type_of_a_later_version_says_so() {
    let connector = "displayName: X\nauthMethods: [{type: AWSSignatureV4, parameters: [{name: accessKey, required: true, secret: true}]}]";
    let mut observed = personal(connector);
    observed.credentials = secret("pat", &[("accessKey", "x")]);
    let (reason, message) = blocked(&observed);
    assert_eq!(reason, "AuthTypeNotAvailable");
    assert_eq!(message, "this version of Liaison cannot authenticate with AWSSignatureV4 yet");
}
