//! What holds for every snapshot, however odd.

mod people;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::api::connection::{
    ConsentFailureStatus, ConsumersStatus, FailureStatus, TokenStatus, VerificationResult, VerificationStatus,
};
use crate::domain::conditions::whole_seconds;
use crate::domain::defaults::Candidate;

fn connectors() -> impl Strategy<Value = ConnectorState> {
    let account = format!("{CLIENT_VERIFIED}account: {{url: 'https://api.example.com/me', idPath: /id}}\n");
    let by_request = PERSON.replace("idTokenClaim: email", "url: 'https://api.example.com/me', idPath: /id");
    let texts = [
        CLIENT,
        CLIENT_VERIFIED,
        TOKEN,
        TOKEN_UNVERIFIED,
        SEVERAL,
        account.as_str(),
        PERSON,
        PERSON,
        by_request.as_str(),
    ];
    let mut states: Vec<_> = texts.iter().map(|text| valid(text, 1)).collect();
    states.extend([ConnectorState::NotFound, ConnectorState::Invalid(vec!["spec.a is wrong".to_owned()])]);
    select(states)
}

fn folders() -> impl Strategy<Value = FolderState> {
    let ready = || FolderState::Ready("finance".to_owned());
    let not_ready = FolderState::NotReady("finance".to_owned(), "it has not been looked at yet".to_owned());
    select(vec![
        ready(),
        ready(),
        ready(),
        ready(),
        ready(),
        FolderState::NotFound,
        not_ready,
        FolderState::Settling,
        FolderState::Terminating,
    ])
}

fn secrets(keys: &'static [&'static str]) -> impl Strategy<Value = SecretState> {
    let found = |value: &str| secret("pat", &keys.iter().map(|key| (*key, value)).collect::<Vec<_>>());
    select(vec![
        found("first"),
        found("first"),
        found("second"),
        secret("pat", &[]),
        SecretState::NotReferenced,
        SecretState::NotFound("pat".to_owned()),
        SecretState::NotLabelled("pat".to_owned()),
    ])
}

/// Moments around the beginning, with fractions of a second.
fn times() -> impl Strategy<Value = Timestamp> {
    (-100_000_000_i64..=100_000_000)
        .prop_map(|millis| Timestamp::from_millisecond(at(0).as_millisecond() + millis).unwrap())
}

prop_compose! {
    fn tokens()(
        sequence in 0_i64..4,
        consent_id in select(vec!["", "a", "b"]),
        issued_at in times(),
        expires_at in prop::option::of(times()),
        refreshable in any::<bool>(),
        refresh_token_expires_at in prop::option::of(times()),
        authenticated_by in select(vec![None, Some("ann")]),
        account in select(vec![None, Some("ann@example.com"), Some("bob@example.com")]),
        answers in select(vec![None, Some("a"), Some("b")]),
        granted_scopes in prop::collection::vec(select(vec!["read", "write", "", "é", "x y"]), 0..4),
        client_id in select(vec!["first", "second", ""]),
        targets in select(vec![
            vec![],
            vec![
                "authorize https://login.example.com:443",
                "token https://login.example.com:443",
                "api https://api.example.com:443",
            ],
            vec!["token https://login.example.com:443", "api https://api.example.com:443"],
            vec![
                "token https://login.example.com:443",
                "revoke https://login.example.com:443",
                "verify https://api.example.com:443",
                "api https://api.example.com:443",
            ],
        ]),
    ) -> TokenFacts {
        let owned = |list: Vec<&str>| list.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>();
        TokenFacts {
            sequence,
            consent_id: consent_id.to_owned(),
            issued_at,
            expires_at,
            refreshable,
            refresh_token_expires_at,
            authenticated_by: authenticated_by.map(ToOwned::to_owned),
            account: account.map(ToOwned::to_owned),
            answers: answers.map(ToOwned::to_owned),
            requested_scopes: owned(vec!["read", "write"]),
            granted_scopes: owned(granted_scopes),
            client_id: client_id.to_owned(),
            targets: owned(targets),
        }
    }
}

fn records() -> impl Strategy<Value = TokenState> {
    prop_oneof![
        Just(TokenState::Missing),
        Just(TokenState::Unreadable("no key \"2\"".to_owned())),
        tokens().prop_map(TokenState::Present),
        tokens().prop_map(TokenState::Present),
    ]
}

prop_compose! {
    fn failures()(
        time in times(),
        retry_at in times(),
        paid_until in prop::option::of(times()),
        permanent in any::<bool>(),
        count in 1_i64..=i64::MAX,
        reason in select(vec!["ClientRejected", "RateLimited", "NotAWordOfThisVersion"]),
    ) -> FailureStatus {
        FailureStatus {
            time: whole_seconds(time),
            inputs: "0".repeat(32),
            class: if permanent { FailureClass::Permanent } else { FailureClass::Transient },
            count,
            retry_at: whole_seconds(retry_at),
            paid_until: paid_until.map(whole_seconds),
            reason: reason.to_owned(),
            message: "no luck".to_owned(),
        }
    }
}

prop_compose! {
    fn verifications()(
        time in times(),
        paid_until in times(),
        result in select(vec![
            VerificationResult::Succeeded,
            VerificationResult::Rejected,
            VerificationResult::Inconclusive,
            VerificationResult::NotDeclared,
        ]),
        credential in select(vec![None, Some("token-1".to_owned()), Some("0".repeat(32))]),
    ) -> VerificationStatus {
        VerificationStatus {
            time: whole_seconds(time),
            result,
            credential,
            paid_until: whole_seconds(paid_until),
            message: None,
        }
    }
}

prop_compose! {
    fn statuses()(
        state in select(vec![State::Inactive, State::Connected, State::Disconnected]),
        account in select(vec![None, Some("System"), Some("ann@example.com")]),
        sequence in prop::option::of(0_i64..4),
        last_failure in prop::option::of(failures()),
        last_verification in prop::option::of(verifications()),
        verified in select(vec![None, Some("a"), Some("b")]),
        reauthenticated in select(vec![None, Some("a"), Some("b")]),
        targets in select(vec![vec![], vec!["api https://jira.example.com:443"]]),
        last_consent_failure in prop::option::of(consent_failures()),
        account_consent in select(vec![None, Some("a"), Some("b")]),
        previous_account in select(vec![None, Some("bob@example.com")]),
    ) -> ConnectionStatus {
        ConnectionStatus {
            state,
            account: account.map(ToOwned::to_owned),
            token: sequence.map(|sequence| TokenStatus { sequence, ..TokenStatus::default() }),
            last_failure,
            last_verification,
            last_consent_failure,
            account_consent: account_consent.map(ToOwned::to_owned),
            previous_account: previous_account.map(ToOwned::to_owned),
            last_handled_verify_at: verified.map(ToOwned::to_owned),
            last_handled_reauthenticate_at: reauthenticated.map(ToOwned::to_owned),
            credential_targets: targets.into_iter().map(ToOwned::to_owned).collect(),
            ..ConnectionStatus::default()
        }
    }
}

prop_compose! {
    fn consents()(
        id in select(vec!["a", "b"]),
        at in times(),
        reason in select(vec![Reason::ClientRejected, Reason::RedirectURIMismatch]),
        message in select(vec!["no luck", ""]),
    ) -> FailedConsent {
        FailedConsent { id: id.to_owned(), at, reason, message: message.to_owned() }
    }
}

prop_compose! {
    fn consent_failures()(
        consent in select(vec!["a", "b", "c"]),
        time in times(),
        reason in select(vec!["ClientRejected", "NotAWordOfThisVersion"]),
    ) -> ConsentFailureStatus {
        ConsentFailureStatus {
            consent: consent.to_owned(),
            time: whole_seconds(time),
            inputs: "0".repeat(32),
            reason: reason.to_owned(),
            message: "no luck".to_owned(),
        }
    }
}

prop_compose! {
    fn neighbourhoods()(
        company in any::<bool>(),
        since in prop::collection::vec(prop::option::of(times()), 0..3),
        name_taken in any::<bool>(),
        used in any::<bool>(),
    ) -> Neighbours {
        let rival = |(index, since): (usize, &Option<Timestamp>)| Candidate {
            name: format!("rival-{index}"),
            flagged: true,
            since: since.map(|since| whole_seconds(since).0),
            created: Some(at(0)),
        };
        Neighbours {
            company,
            rivals: since.iter().enumerate().filter(|_| company).map(rival).collect(),
            name_taken,
            consumers: used.then(|| ConsumersStatus { count: 1, names: Vec::new(), elsewhere: 1 }),
        }
    }
}

prop_compose! {
    pub(super) fn snapshots()(
        connector in connectors(),
        folder in folders(),
        credentials in secrets(&["token"]),
        oauth_app in secrets(&["clientId", "clientSecret"]),
        token in records(),
        status in prop::option::of(statuses()),
        auth_type in select(vec![
            None,
            None,
            None,
            Some(AuthType::PersonalAccessToken),
            Some(AuthType::OAuth2ClientCredentials),
            Some(AuthType::OAuth2BringYourOwnApp),
            Some(AuthType::OAuth2AuthorizationCode),
        ]),
        suspend in prop::bool::weighted(0.1),
        parameter in prop::bool::weighted(0.3),
        held in any::<bool>(),
        deleting in prop::bool::weighted(0.1),
        annotations in (select(vec!["", "a", "b"]), select(vec!["", "a", "b"])),
        display_name in select(vec![None, Some("Sales".to_owned())]),
        consent in prop::option::weighted(0.3, consents()),
        neighbours in neighbourhoods(),
        default in any::<bool>(),
    ) -> Observed {
        let mut observed = on(CLIENT);
        let connection = &mut observed.connection;
        connection.status = status;
        connection.spec.auth_type = auth_type;
        connection.spec.suspend = suspend;
        connection.spec.default = default;
        connection.spec.display_name = display_name;
        if parameter {
            connection.spec.parameters.insert("siteUrl".to_owned(), "acme".to_owned());
        }
        if held {
            connection.metadata.finalizers = Some(vec![REVOKE_FINALIZER.to_owned()]);
        }
        connection.metadata.deletion_timestamp = deleting.then(|| Time(at(0)));
        annotate(&mut observed, VERIFY_AT_ANNOTATION, annotations.0);
        annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, annotations.1);
        Observed { connector, folder, credentials, oauth_app, token, consent, neighbours, ..observed }
    }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(failed(Reason::ClientRejected, FailureClass::Permanent)),
        prop::option::of(0_u64..10_000).prop_map(|wait| Outcome::AttemptFailed(transient(wait))),
        tokens().prop_map(Outcome::TokenStored),
    ]
}

fn probes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(rejected()),
        Just(probed(VerificationOutcome::Succeeded)),
        prop::option::of(0_u64..10_000)
            .prop_map(|wait| probed(VerificationOutcome::Inconclusive(transient(wait)))),
        Just(Outcome::Probed(ProbeOutcome { verification: None, account: Some("ann".to_owned()) })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_second_decision_writes_nothing_and_tells_nobody(observed in snapshots(), now in times()) {
        let first = decide(&observed, now);
        let second = decide(&recorded(&observed, &first.status), now);
        prop_assert_eq!(&second.status, &first.status);
        prop_assert!(second.events.is_empty() || first.status == observed.status());
        prop_assert_eq!(&second.effect, &first.effect);
        prop_assert_eq!(second.next, first.next);
    }

    #[test]
    fn the_next_decision_lies_in_the_future(observed in snapshots(), now in times()) {
        let decision = decide(&observed, now);
        prop_assert!(decision.effect.is_some() || decision.next.is_none_or(|next| now < next));
    }

    #[test]
    fn what_has_to_stop_does_nothing(observed in snapshots(), now in times()) {
        let effect = decide(&observed, now).effect;
        let stopped = observed.connection.spec.suspend || matches!(observed.folder, FolderState::Terminating | FolderState::Settling);
        prop_assert!(!stopped || matches!(effect, None | Some(Effect::Release)));
        prop_assert_eq!(effect == Some(Effect::Release), observed.deleting() && observed.held_for_revocation());
    }

    #[test]
    fn the_conditions_agree_with_each_other(observed in snapshots(), now in times()) {
        prop_assume!(!observed.deleting());
        prop_assume!(!matches!(observed.folder, FolderState::Terminating | FolderState::Settling));
        let status = decide(&observed, now).status;
        let is = |condition_type| condition(&status, condition_type).0 == "True";
        prop_assert!(!is(ConditionType::Ready) || is(ConditionType::Authenticated));
        prop_assert_eq!(status.state == State::Connected, is(ConditionType::Authenticated));
        prop_assert_eq!(status.state == State::Inactive, status.account.as_deref() == Some("System"));
        prop_assert!(!(is(ConditionType::Reconciling) && is(ConditionType::Stalled)));
        prop_assert!(status.display_name.is_some() || status.account.is_none());
    }

    #[test]
    fn what_an_effect_teaches_leads_on(
        observed in snapshots(),
        outcome in outcomes(),
        probe in probes(),
        now in times(),
    ) {
        let first = decide(&observed, now);
        let outcome = match &first.effect {
            None | Some(Effect::Release) => return Ok(()),
            Some(Effect::HoldForRevocation) => Outcome::Held,
            Some(Effect::Probe) => probe,
            Some(Effect::RequestToken(plan)) => match outcome {
                // Who stores a token stores the one that was asked for.
                Outcome::TokenStored(token) => {
                    let sequence = plan.present_sequence + 1;
                    Outcome::TokenStored(TokenFacts {
                        sequence, consent_id: plan.consent_id.clone(), issued_at: now, ..token
                    })
                }
                other => other,
            },
        };
        let learnt = learn(recorded(&observed, &first.status), outcome, now);
        let second = decide(&learnt, now);
        prop_assert_ne!(second.effect, first.effect);
        let third = decide(&recorded(&learnt, &second.status), now);
        prop_assert_eq!(third.status, second.status);
    }
}
