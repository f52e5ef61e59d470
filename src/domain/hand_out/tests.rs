use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;

use super::*;
use crate::api::ConnectionSpec;
use crate::api::connection::{AuthenticationStatus, PolicyStatus, TokenStatus};
use crate::api::schema::SecretSource;
use crate::domain::conditions::{Verdict, merge};

const NOW: i64 = 1_000;
const PAGE: &str = "https://liaison.example.com/connections/team/crm";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn connection(auth_type: AuthType, ready: Verdict) -> Connection {
    let mut connection = Connection::new("crm", ConnectionSpec::default());
    connection.metadata.namespace = Some("team".to_owned());
    let token = TokenStatus { sequence: 7, ..TokenStatus::default() };
    connection.status = Some(ConnectionStatus {
        auth_type: Some(auth_type),
        account: Some("ada@example.com".to_owned()),
        base_url: Some("https://api.example.com".to_owned()),
        token: Some(token).filter(|_| !auth_type.is_static() && auth_type != AuthType::None),
        conditions: merge(&[], [(ConditionType::Ready, ready)], Some(1), at(0)),
        ..ConnectionStatus::default()
    });
    connection
}

fn ready(auth_type: AuthType) -> Connection {
    connection(auth_type, Verdict::yes(Reason::Ready, ""))
}

fn judged(connection: &Connection) -> Result<Offer, Refusal> {
    judge(connection, &StaticHandOut::Allowed)
}

fn withdrawn(reason: Reason, message: &str) -> Result<Offer, Refusal> {
    Err(Refusal::Withdrawn(Blocked { reason, message: message.to_owned() }))
}

#[rstest]
#[case(AuthType::OAuth2AuthorizationCode, Form::Token { sequence: 7 })]
#[case(AuthType::OAuth2ClientCredentials, Form::Token { sequence: 7 })]
#[case(AuthType::PersonalAccessToken, Form::Static)]
#[case(AuthType::APIKey, Form::Static)]
#[case(AuthType::Basic, Form::Static)]
#[case(AuthType::None, Form::Nothing)]
fn a_ready_connection_offers_what_its_auth_type_has(#[case] auth_type: AuthType, #[case] form: Form) {
    let offer = judged(&ready(auth_type)).unwrap();
    assert_eq!((offer.form, offer.auth_type), (form, auth_type));
    assert_eq!(offer.base_url.as_deref(), Some("https://api.example.com"));
    assert_eq!(offer.account.as_deref(), Some("ada@example.com"));
}

#[test]
fn suspension_and_deletion_count_before_the_operator_has_recorded_them() {
    let mut suspended = ready(AuthType::OAuth2ClientCredentials);
    suspended.spec.suspend = true;
    assert_eq!(judged(&suspended), withdrawn(Reason::Suspended, "connection \"crm\" is suspended"));

    let mut going = ready(AuthType::OAuth2ClientCredentials);
    going.metadata.deletion_timestamp = Some(Time(at(NOW)));
    let message = "connection \"crm\" is being deleted";
    assert_eq!(judged(&going), withdrawn(Reason::ConnectionNotAccessible, message));
}

#[test]
fn a_consumer_is_told_where_a_person_has_to_authenticate() {
    for reason in [Reason::AwaitingAuthentication, Reason::ReconsentRequired, Reason::TokenUnreadable] {
        let mut awaiting = connection(AuthType::OAuth2AuthorizationCode, Verdict::no(reason, "run it"));
        awaiting.status.as_mut().unwrap().authentication =
            Some(AuthenticationStatus { url: Some(PAGE.to_owned()), ..AuthenticationStatus::default() });
        let message = format!("connection \"crm\" awaits authentication: {PAGE}");
        assert_eq!(judged(&awaiting), withdrawn(reason, &message));
    }
}

#[test]
fn a_client_that_waits_for_its_first_token_is_waited_for_and_a_person_is_not() {
    let no = || Verdict::no(Reason::AwaitingAuthentication, "asked");
    let client = connection(AuthType::OAuth2ClientCredentials, no());
    assert!(matches!(judged(&client), Err(Refusal::Waits(_))));
    // A page that does not fit its field is not shown; a person is awaited all the same.
    let mut person = connection(AuthType::OAuth2AuthorizationCode, no());
    person.status.as_mut().unwrap().authentication = Some(AuthenticationStatus::default());
    assert!(matches!(judged(&person), Err(Refusal::Withdrawn(_))));
}

#[rstest]
#[case(Reason::TokenExpired, true)]
#[case(Reason::ProviderUnavailable, true)]
#[case(Reason::RateLimited, true)]
#[case(Reason::AnswerInvalid, true)]
#[case(Reason::ProviderUntrusted, true)]
#[case(Reason::EgressBlocked, true)]
#[case(Reason::TokenStoreBlocked, true)]
#[case(Reason::ConnectorInvalid, true)]
#[case(Reason::FolderNotReady, true)]
#[case(Reason::Suspended, false)]
#[case(Reason::ReauthenticationRequired, false)]
#[case(Reason::ReconsentRequired, false)]
#[case(Reason::ClientRejected, false)]
#[case(Reason::CredentialsRejected, false)]
#[case(Reason::CredentialsMissing, false)]
#[case(Reason::ClientCredentialsMissing, false)]
#[case(Reason::ScopesMissing, false)]
#[case(Reason::EgressDenied, false)]
#[case(Reason::ConnectorNotFound, false)]
#[case(Reason::FolderNotFound, false)]
#[case(Reason::NamespaceTerminating, false)]
#[case(Reason::TokenUnreadable, false)]
#[case(Reason::TokenRolledBack, false)]
#[case(Reason::ConnectorDisabled, false)]
#[case(Reason::AuthTypeDisabled, false)]
#[case(Reason::HostNotAllowed, false)]
#[case(Reason::AccountNotAllowed, false)]
#[case(Reason::PasswordGrantDenied, false)]
fn what_was_handed_out_is_taken_back_where_somebody_has_to_act(#[case] reason: Reason, #[case] waits: bool) {
    let refusal =
        judged(&connection(AuthType::OAuth2ClientCredentials, Verdict::no(reason, "why"))).unwrap_err();
    assert_eq!(matches!(refusal, Refusal::Waits(_)), waits, "{refusal:?}");
    assert_eq!(refusal.blocked().reason, reason);
    assert_eq!(refusal.blocked().message, "connection \"crm\" is not ready: why");
}

#[test]
fn what_nobody_has_looked_at_is_waited_for() {
    let mut unseen = ready(AuthType::OAuth2ClientCredentials);
    unseen.status = None;
    let unknown = connection(AuthType::APIKey, Verdict::unknown(Reason::Pending, ""));
    let mut without_token = ready(AuthType::OAuth2ClientCredentials);
    without_token.status.as_mut().unwrap().token = None;
    let mut without_type = ready(AuthType::APIKey);
    without_type.status.as_mut().unwrap().auth_type = None;
    for connection in [unseen, unknown, without_token, without_type] {
        let refusal = judged(&connection).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::Waits(blocked) if blocked.reason == Reason::Pending),
            "{refusal:?}"
        );
    }
}

#[test]
fn a_policy_forbids_static_credentials_and_no_tokens() {
    let policy = StaticHandOut::DeniedBy("strict".to_owned());
    for auth_type in [AuthType::PersonalAccessToken, AuthType::APIKey, AuthType::Basic] {
        let message = "policy \"strict\" does not allow to hand out the credential of connection \"crm\"";
        assert_eq!(judge(&ready(auth_type), &policy), withdrawn(Reason::StaticHandOutDenied, message));
    }
    for auth_type in [AuthType::OAuth2ClientCredentials, AuthType::None] {
        assert!(judge(&ready(auth_type), &policy).is_ok());
    }
}

#[test]
fn what_a_policy_lends_is_handed_to_nobody() {
    let message = "the credential of connection \"crm\" is lent by policy \"acme\" and not handed to processes; give the \
                   connection one of its own in spec.credentials.secretRef";
    let judged = judge(&ready(AuthType::APIKey), &StaticHandOut::LentBy("acme".to_owned()));
    assert_eq!(judged, withdrawn(Reason::StaticHandOutDenied, message));
}

#[test]
fn what_a_policy_takes_back_is_taken_back_while_a_connection_waits_too() {
    let waiting = connection(AuthType::APIKey, Verdict::no(Reason::ConnectorInvalid, "it has faults"));
    assert!(matches!(judged(&waiting), Err(Refusal::Waits(_))), "by itself it only waits");
    let policies = [StaticHandOut::DeniedBy("strict".to_owned()), StaticHandOut::LentBy("acme".to_owned())];
    for policy in policies {
        let refusal = judge(&waiting, &policy).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::Withdrawn(blocked) if blocked.reason == Reason::StaticHandOutDenied),
            "{refusal:?}"
        );
    }
}

#[rstest]
#[case::as_recorded(7, Some(NOW + 1), None)]
#[case::without_an_end(7, None, None)]
#[case::at_its_end(7, Some(NOW), Some((true, Reason::TokenExpired)))]
#[case::newer(8, Some(NOW + 1), Some((true, Reason::Pending)))]
#[case::put_back(6, Some(NOW + 1), Some((false, Reason::TokenRolledBack)))]
#[case::put_back_and_over(6, Some(NOW - 1), Some((false, Reason::TokenRolledBack)))]
fn only_the_token_that_was_judged_is_handed_out_and_only_while_it_lasts(
    #[case] sequence: i64,
    #[case] expires_at: Option<i64>,
    #[case] refused: Option<(bool, Reason)>,
) {
    let record = RecordedToken { sequence, expires_at: expires_at.map(at) };
    let said = judge_record("crm", 7, record, at(NOW)).err();
    let said = said.map(|refusal| (matches!(refusal, Refusal::Waits(_)), refusal.blocked().reason));
    assert_eq!(said, refused);
}

#[test]
fn a_token_in_its_last_second_is_of_no_use() {
    let end = at(NOW);
    assert_eq!(lasting("crm", Some(end), end - SignedDuration::from_secs(1)), Ok(()));
    assert!(lasting("crm", Some(end), end - SignedDuration::from_millis(999)).is_err());
    assert_eq!(lasting("crm", None, end), Ok(()));
}

#[test]
fn what_is_left_of_a_connection_is_judged_as_before() {
    let mut suspended = ready(AuthType::APIKey);
    suspended.spec.suspend = true;
    let mut awaiting =
        connection(AuthType::OAuth2AuthorizationCode, Verdict::no(Reason::AwaitingAuthentication, ""));
    awaiting.status.as_mut().unwrap().authentication =
        Some(AuthenticationStatus { url: Some(PAGE.to_owned()), ..AuthenticationStatus::default() });
    let mut denied = ready(AuthType::Basic);
    let denied_by = Some("strict".to_owned());
    denied.status.as_mut().unwrap().policy =
        Some(PolicyStatus { static_hand_out_denied_by: denied_by, ..PolicyStatus::default() });
    let mut lent = ready(AuthType::APIKey);
    lent.status.as_mut().unwrap().credential_source = Some("Policy/acme".to_owned());
    let mut unseen = ready(AuthType::None);
    unseen.status = None;
    let failing = connection(AuthType::APIKey, Verdict::no(Reason::CredentialsRejected, "why"));
    let good = ready(AuthType::OAuth2ClientCredentials);
    for mut before in [suspended, awaiting, denied, lent, unseen, failing, good] {
        before.spec.credentials = Some(SecretSource::default());
        let mut after = before.clone();
        after.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        after.spec.description = Some("long".to_owned());
        reduce(&mut after);
        let judged = |connection: &Connection| judge(connection, &StaticHandOut::recorded(connection));
        assert_eq!(judged(&after), judged(&before));
        // Where the Secret is decides who may hand out what is in it.
        assert_eq!(after.spec.credentials, before.spec.credentials);
        assert_eq!((after.metadata.annotations, after.spec.description), (None, None));
    }
}
