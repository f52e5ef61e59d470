//! What policies mean for a Connection: new ones are stopped, existing ones are reported or suspended, all heal.

mod accounts;

use rstest::rstest;

use super::*;
use crate::api::connection_policy::Enforcement;
use crate::api::{ConnectionPolicy, ConnectionPolicySpec};
use crate::domain::policy::{Ancestry, EffectivePolicy};

/// What a policy "p" for all folders comes to, from its spec in YAML.
fn governed(observed: &Observed, spec: &str) -> Observed {
    let spec: ConnectionPolicySpec = serde_yaml::from_str(spec).unwrap();
    let policy = ConnectionPolicy::new("p", spec);
    let connector = &observed.connection.spec.connector_ref.name;
    let policy = EffectivePolicy::of(&[&policy], &Ancestry::default(), connector);
    Observed { policy: Arc::new(policy), ..observed.clone() }
}

const DENIED: &str = "{connectors: {deny: [jira]}}";
const SUSPENDED: &str = "{connectors: {deny: [jira]}, enforcement: Suspend}";
const WORDS: &str = "connector \"jira\" is disabled by policy \"p\"; ask its administrator";

/// PolicyAllowed and Ready, in short.
fn allowed(status: &ConnectionStatus) -> (String, String) {
    (short(status, ConditionType::PolicyAllowed), short(status, ConditionType::Ready))
}

/// A static Connection that the provider has accepted.
fn accepted() -> Observed {
    after(&personal(TOKEN), probed(VerificationOutcome::Succeeded), at(0))
}

#[test]
fn n42_without_a_policy_and_with_an_empty_one_nothing_changes() {
    let observed = with_token(CLIENT);
    let without = decide(&observed, at(1));
    assert_eq!(allowed(&without.status), pair("True/Allowed", "True/Ready"));
    assert_eq!(without.status.policy, None);
    let empty = decide(&governed(&observed, "{}"), at(1));
    assert_eq!(empty.effect, without.effect);
    assert_eq!(empty.status.conditions, without.status.conditions);
    let shown = empty.status.policy.unwrap();
    assert_eq!((shown.sources, shown.enforcement.as_deref()), (vec!["p".to_owned()], Some("Report")));
}

#[rstest]
#[case::client(client(CLIENT))]
#[case::static_credential(personal(TOKEN))]
#[case::unverified(personal(TOKEN_UNVERIFIED))]
#[case::person(person())]
fn n44_a_new_connection_that_is_not_allowed_is_stopped_before_anything_is_asked(
    #[case] observed: Observed,
    #[values(DENIED, SUSPENDED)] policy: &str,
) {
    let decision = decide(&governed(&observed, policy), at(0));
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(allowed(&decision.status), pair("False/ConnectorDisabled", "False/ConnectorDisabled"));
    assert_eq!(short(&decision.status, ConditionType::Authenticated), "False/ConnectorDisabled");
    assert_eq!(message(&decision.status, ConditionType::PolicyAllowed), WORDS);
    assert_eq!(decision.events, [Event::warning(Reason::ConnectorDisabled)], "once");
    assert_eq!(decision.status.authentication.and_then(|shown| shown.url), None);

    let healed = recorded(&observed, &decide(&governed(&observed, policy), at(0)).status);
    let before = decide(&observed, at(1));
    let after = decide(&healed, at(1));
    assert_eq!(after.effect, before.effect);
    assert_eq!(allowed(&after.status), allowed(&before.status));
}

#[rstest]
#[case::client(with_token(CLIENT))]
#[case::static_credential(accepted())]
#[case::person(consented("a", Some("ann")))]
fn n44_an_existing_connection_that_is_not_allowed_any_more_is_reported_and_works_on(
    #[case] observed: Observed,
) {
    let observed = recorded(&observed, &decide(&observed, at(1)).status);
    let decision = decide(&governed(&observed, DENIED), at(2));
    assert_eq!(allowed(&decision.status), pair("False/ConnectorDisabled", "True/Ready"));
    assert_eq!(message(&decision.status, ConditionType::PolicyAllowed), WORDS);
    assert_eq!(decision.events, [Event::warning(Reason::ConnectorDisabled)]);
    assert_eq!(decision.next, decide(&observed, at(2)).next, "it is kept up as before");

    let suspended = decide(&governed(&observed, SUSPENDED), at(2));
    assert_eq!(allowed(&suspended.status), pair("False/ConnectorDisabled", "False/ConnectorDisabled"));
    assert_eq!(suspended.effect, None);
    assert_eq!(suspended.events, [Event::warning(Reason::ConnectorDisabled)], "once");
    let status = decide(&recorded(&observed, &suspended.status), at(3)).status;
    assert_eq!(allowed(&status), pair("True/Allowed", "True/Ready"), "as soon as the policy is gone");
}

#[test]
fn n44_tokens_of_an_existing_connection_are_refreshed_while_it_is_only_reported() {
    for observed in [with_token(CLIENT), consented("a", Some("ann"))] {
        let due = decide(&governed(&observed, DENIED), at(3500));
        assert!(asks_for_token(due.effect.as_ref()));
        let expired = decide(&governed(&observed, DENIED), at(3601));
        assert!(asks_for_token(expired.effect.as_ref()));
        assert_eq!(decide(&governed(&observed, SUSPENDED), at(3500)).effect, None);
    }
}

#[test]
fn n44_nobody_authenticates_anew_what_is_not_allowed() {
    let mut client = with_token(CLIENT);
    annotate(&mut client, REAUTHENTICATE_AT_ANNOTATION, "now");
    assert!(asks_for_token(decide(&client, at(60)).effect.as_ref()));
    let refused = governed(&client, DENIED);
    let decision = decide(&refused, at(60));
    assert_eq!(decision.effect, None);
    let healed = recorded(&client, &decision.status);
    assert!(asks_for_token(decide(&healed, at(61)).effect.as_ref()), "the wish is kept");

    let mut asked = consented("a", Some("ann"));
    annotate(&mut asked, REAUTHENTICATE_AT_ANNOTATION, "now");
    let page =
        |observed: &Observed| decide(observed, at(60)).status.authentication.and_then(|shown| shown.url);
    assert!(page(&asked).is_some());
    let refused = governed(&asked, DENIED);
    assert_eq!(page(&refused), None);
    assert!(prepare(&refused).is_ok());
    assert_eq!(prepare_anew(&refused).unwrap_err().message, WORDS);
    let unseen = Observed { token: TokenState::Missing, ..refused };
    assert_eq!(prepare(&unseen).unwrap_err().message, WORDS, "as a consent sees it");
}

#[test]
fn n44_what_has_lost_its_authentication_is_no_existing_connection() {
    let mut moved = with_token(CLIENT);
    moved.connector = valid(&CLIENT.replace("login.example.com", "other.example.com"), 2);
    let over = Observed {
        token: TokenState::Present(TokenFacts {
            refreshable: false,
            ..consent_facts(&person(), "a", None, 0)
        }),
        ..person()
    };
    let rotated = Observed { credentials: secret("pat", &[("token", "second")]), ..accepted() };
    for (observed, second) in [(moved, 10), (over, 4000), (rotated, 10)] {
        assert_ne!(
            short(&decide(&observed, at(second)).status, ConditionType::Authenticated),
            "True/TokenIssued"
        );
        let decision = decide(&governed(&observed, DENIED), at(second));
        assert_eq!(short(&decision.status, ConditionType::Authenticated), "False/ConnectorDisabled");
        assert_eq!(allowed(&decision.status), pair("False/ConnectorDisabled", "False/ConnectorDisabled"));
        assert_eq!(decision.effect, None);
    }
}

/// A policy that lends an app to clients that act for themselves, for these hosts, and says this besides.
fn lending(hosts: &str, more: &str) -> String {
    lending_to("authTypes: [OAuth2ClientCredentials]", hosts, more)
}

fn lending_to(auth_types: &str, hosts: &str, more: &str) -> String {
    format!(
        "{{defaults: [{{connector: jira, oauthApp: {{secretRef: {{name: org}}}}, {auth_types}, allowedHosts: \
         [{hosts}]}}]{more}}}"
    )
}

#[test]
fn s44_a_lent_app_is_used_where_the_connection_names_none_and_its_source_is_shown() {
    let policy = lending("login.example.com, api.example.com", "");
    let mut observed = client(CLIENT);
    let own = decide(&governed(&observed, &policy), at(0)).status;
    assert_eq!(own.credential_source.as_deref(), Some("Connection/crm-app"));
    assert_eq!(own.policy.unwrap().defaults.as_deref(), Some("p"));

    observed.connection.spec.oauth_app = None;
    observed.oauth_app = SecretState::NotReferenced;
    assert_eq!(
        short(&decide(&observed, at(0)).status, ConditionType::Ready),
        "False/ClientCredentialsMissing"
    );
    observed.oauth_app = app("org-client", "first");
    let decision = decide(&governed(&observed, &policy), at(0));
    assert!(asks_for_token(decision.effect.as_ref()));
    assert_eq!(decision.status.credential_source.as_deref(), Some("Policy/p"));
}

const HOSTS: &str = "'*.example.com'";
const TO_PEOPLE: &str = "authTypes: [OAuth2AuthorizationCode]";
const TO_CLIENTS: &str = "authTypes: [OAuth2ClientCredentials]";

#[rstest]
#[case::without_a_word(client(CLIENT), "scopes: []", "OAuth2ClientCredentials")]
#[case::only_to_people(client(CLIENT), TO_PEOPLE, "OAuth2ClientCredentials")]
#[case::only_to_clients(person(), TO_CLIENTS, "OAuth2AuthorizationCode")]
fn s44_who_is_not_lent_the_app_has_none_though_its_secret_is_there(
    #[case] mut observed: Observed,
    #[case] auth_types: &str,
    #[case] auth_type: &str,
) {
    observed.connection.spec.oauth_app = None;
    observed.oauth_app = app("org-client", "first");
    let decision = decide(&governed(&observed, &lending_to(auth_types, HOSTS, "")), at(0));
    assert_eq!(decision.effect, None, "nothing is asked for");
    assert_eq!(short(&decision.status, ConditionType::Ready), "False/ClientCredentialsMissing");
    assert_eq!(decision.status.credential_source, None);
    assert_eq!(decision.status.authentication.clone().and_then(|shown| shown.url), None, "nobody is called");
    let told = &conditions::find(&decision.status.conditions, ConditionType::Ready).unwrap().message;
    let words = format!(
        "; policy \"p\" does not lend its OAuth app to authType \"{auth_type}\", which its administrator can change in \
         authTypes of its default for this connector"
    );
    assert!(told.starts_with("spec.oauthApp.secretRef is not set") && told.contains(&words), "{told}");

    let lent = governed(&observed, &lending_to(&format!("authTypes: [{auth_type}]"), HOSTS, ""));
    let healed = decide(&recorded(&lent, &decision.status), at(1)).status;
    assert_eq!(healed.credential_source.as_deref(), Some("Policy/p"), "as soon as the policy says so");
}

#[test]
fn s44_a_client_that_is_not_lent_the_app_any_more_is_not_refreshed() {
    let mut observed = with_token(CLIENT);
    observed.connection.spec.oauth_app = None;
    let lent = governed(&observed, &lending(HOSTS, ""));
    assert!(asks_for_token(decide(&lent, at(3500)).effect.as_ref()));
    let taken_back = governed(&observed, &lending_to(TO_PEOPLE, HOSTS, ""));
    for at_second in [1, 3500, 3601] {
        let decision = decide(&taken_back, at(at_second));
        assert_eq!(decision.effect, None);
        assert_eq!(short(&decision.status, ConditionType::Ready), "False/ClientCredentialsMissing");
    }
}

#[rstest]
#[case::gone(SecretState::NotFound("org".into()))]
#[case::unlabelled(SecretState::NotLabelled("org".into()))]
#[case::incomplete(secret("org", &[("clientId", "x")]))]
fn s44_of_a_lent_secret_that_is_missing_nothing_is_told_but_whom_to_ask(#[case] state: SecretState) {
    let mut observed = client(CLIENT);
    observed.connection.spec.oauth_app = None;
    observed.oauth_app = state;
    let status = decide(&governed(&observed, &lending("'*.example.com'", "")), at(0)).status;
    assert_eq!(short(&status, ConditionType::Ready), "False/ClientCredentialsMissing");
    let text = message(&status, ConditionType::Ready);
    assert!(
        text.starts_with(
            "the Secret that policy \"p\" lends to connections on connector \"jira\" is missing"
        ),
        "{text}"
    );
    assert!(!text.contains("org") && !text.contains("liaison-system"), "{text}");
    assert!(text.contains("how to register an OAuth app: https://docs.example.com/apps"), "{text}");
}

#[test]
fn s44_what_is_lent_never_leaves_the_hosts_of_its_entry_also_where_policies_only_report() {
    let mut observed = with_token(CLIENT);
    observed.connection.spec.oauth_app = None;
    let narrow = lending("login.example.com", "");
    let decision = decide(&governed(&observed, &narrow), at(3500));
    assert_eq!(decision.effect, None, "no refresh");
    assert_eq!(allowed(&decision.status), pair("False/HostNotAllowed", "False/HostNotAllowed"));
    let text = message(&decision.status, ConditionType::PolicyAllowed);
    assert!(text.contains("may not go to \"api.example.com\" (api requests); nothing was sent"), "{text}");
}

#[test]
fn a_list_of_hosts_reports_existing_connections_and_stops_new_ones() {
    let hosts = "{allowedHosts: [login.example.com]}";
    assert_eq!(
        allowed(&decide(&governed(&client(CLIENT), hosts), at(0)).status),
        pair("False/HostNotAllowed", "False/HostNotAllowed")
    );
    assert_eq!(
        allowed(&decide(&governed(&with_token(CLIENT), hosts), at(1)).status),
        pair("False/HostNotAllowed", "True/Ready")
    );
}

#[test]
fn n43_parameters_of_a_policy_are_used_and_their_faults_are_the_policys() {
    let with = |value: &str| {
        let mut observed = personal(TOKEN);
        observed.connection.spec.parameters.clear();
        governed(&observed, &format!("{{defaults: [{{connector: jira, parameters: {{siteUrl: {value}}}}}]}}"))
    };
    let decision = decide(&with("acme"), at(0));
    assert_eq!(decision.effect, Some(Effect::Probe));
    assert_eq!(decision.status.base_url.as_deref(), Some("https://acme.example.com/api"));
    let status = decide(&with("ACME"), at(0)).status;
    assert_eq!(short(&status, ConditionType::Ready), "False/ParametersInvalid");
    assert_eq!(
        message(&status, ConditionType::Ready),
        "parameter siteUrl, as policy \"p\" sets it, must match the pattern [a-z]+; ask its administrator"
    );
    let other = decide(&recorded(&with("acme"), &decision.status), at(0)).status;
    assert_eq!(other.credential_targets, decision.status.credential_targets);
    let moved = decide(&recorded(&with("evil"), &decision.status), at(1));
    assert_eq!(short(&moved.status, ConditionType::Ready), "False/ReauthenticationRequired");
    assert_eq!(moved.effect, None);
}

#[test]
fn egress_exceptions_of_a_policy_let_requests_go_without_tls() {
    let mut observed = client(&CLIENT.replace("https://login.example.com", "http://crm.internal:8080"));
    assert_eq!(short(&decide(&observed, at(0)).status, ConditionType::Ready), "False/EgressDenied");
    observed = governed(&observed, "{egressExceptions: ['crm.internal:8080']}");
    assert!(asks_for_token(decide(&observed, at(0)).effect.as_ref()));
}
