//! What holds for every snapshot, however odd.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn connections() -> impl Strategy<Value = Connection> {
    let verdicts = vec![
        ready(),
        ready(),
        Verdict::unknown(Reason::Pending, ""),
        not_ready(Reason::AwaitingAuthentication),
        not_ready(Reason::ReconsentRequired),
        not_ready(Reason::ProviderUnavailable),
        not_ready(Reason::Suspended),
        not_ready(Reason::ConnectorDisabled),
    ];
    let types = vec![AuthType::OAuth2ClientCredentials, AuthType::OAuth2AuthorizationCode, AuthType::APIKey];
    (select(verdicts), select(types), any::<bool>(), select(vec!["slack", "slack", "gmail"]), any::<bool>())
        .prop_map(|(verdict, auth_type, suspend, connector, made_anew)| {
            let mut connection = connection("shop", "crm", &verdict);
            connection.spec.suspend = suspend && made_anew;
            connector.clone_into(&mut connection.spec.connector_ref.name);
            connection.status.as_mut().unwrap().auth_type = Some(auth_type);
            let sequence = if made_anew { 2 } else { 1 };
            let mut connection = with_token(connection, sequence);
            if made_anew {
                connection.metadata.uid = Some("another".to_owned());
            }
            connection
        })
}

fn accesses() -> impl Strategy<Value = Access> {
    prop_oneof![
        Just(Access::Forbidden),
        Just(Access::NotFound),
        Just(Access::NotServed),
        (connections(), any::<bool>()).prop_map(|(connection, denied)| {
            let static_hand_out =
                if denied { StaticHandOut::DeniedBy("strict".to_owned()) } else { StaticHandOut::Allowed };
            Access::Found(Found { connection, fingerprint: "digest".to_owned(), static_hand_out })
        }),
        connections().prop_map(found),
    ]
}

fn secrets() -> impl Strategy<Value = SecretState> {
    let own = |filled_from: &str, expires_at| {
        SecretState::Own(OwnSecret {
            name: "orders-slack".to_owned(),
            filled_from: filled_from.to_owned(),
            expires_at,
        })
    };
    let SecretState::Own(current) = bound().secret else { unreachable!() };
    select(vec![
        SecretState::None,
        SecretState::Foreign,
        SecretState::Own(current),
        own("nothing", None),
        own("uid-of-shop-crm/older", Some(at(100))),
        own("other/digest", None),
        own("", None),
    ])
}

prop_compose! {
    fn snapshots()(
        accesses in prop::collection::vec(accesses(), 0..3),
        secret in secrets(),
        outdated in prop::option::of(Just(OwnSecret { name: "old".to_owned(), ..OwnSecret::default() })),
        mode in 0..3,
        namespace in select(vec!["shop", "finance"]),
    ) -> Observed {
        let mut observed = usable();
        let spec = &mut observed.binding.spec;
        observed.targets = accesses.into_iter().map(|access| target(namespace, "crm", access)).collect();
        match mode {
            0 => {}
            1 => (spec.connection_ref, spec.default) = (None, true),
            _ => {
                (spec.connection_ref, spec.secret_name, spec.configurable_by_users) = (None, None, true);
                let users = 0..observed.targets.len();
                spec.choices = users.map(|user| choice(&format!("user-{user}"), namespace, "crm")).collect();
            }
        }
        observed.secret = if observed.binding.spec.secret_name.is_none() { SecretState::NotWanted } else { secret };
        observed.outdated = outdated;
        observed
    }
}

proptest! {
    #[test]
    fn a_pass_comes_to_rest_whatever_its_effects_come_to(
        observed in snapshots(),
        now in 0_i64..10_000,
        bad in any::<[bool; 4]>(),
    ) {
        let [withdrawn, immutable, unwritable, undeletable] = bad;
        let why = || Blocked { reason: Reason::SecretWriteRefused, message: String::new() };
        let (after, _, _) = carried_out_with(observed, at(now), |observed, effect| match effect {
            Effect::Write(content) if content.credential.is_some() && withdrawn => Outcome::Withdrawn(why()),
            Effect::Write(_) if immutable && matches!(observed.secret, SecretState::Own(_)) => Outcome::Immutable,
            Effect::Write(_) if unwritable => Outcome::Hindered(why()),
            Effect::Discard(_) if undeletable => Outcome::Hindered(why()),
            Effect::Remove(_) if undeletable => Outcome::Kept(why()),
            _ => done(effect),
        });
        prop_assert!(undeletable || after.outdated.is_none(), "nobody would take its credential out");
    }

    #[test]
    fn a_decision_that_was_carried_out_is_not_made_again(observed in snapshots(), now in 0_i64..10_000) {
        let (observed, first, _) = carried_out(observed, at(now));
        let second = decide(&observed, at(now));
        prop_assert_eq!(second.effect, None);
        prop_assert_eq!(second.events, Vec::new());
        prop_assert_eq!(second.status, first.status);
    }

    #[test]
    fn a_credential_is_written_only_for_who_may_use_a_connection_that_is_ready(
        observed in snapshots(),
        now in 0_i64..10_000,
    ) {
        let (_, _, effects) = carried_out(observed.clone(), at(now));
        let filled = effects.iter().any(|effect| matches!(effect, Effect::Write(content) if content.credential.is_some()));
        let usable = observed.targets.first().is_some_and(|target| match &target.access {
            Access::Found(found) => {
                let conditions = &found.connection.status.as_ref().unwrap().conditions;
                conditions::find(conditions, ConditionType::Ready).is_some_and(|ready| ready.status == "True")
                    && !found.connection.spec.suspend
                    && found.connection.spec.connector_ref.name == "slack"
            }
            Access::Forbidden | Access::NotFound | Access::NotServed => false,
        });
        prop_assert!(!filled || (usable && !observed.binding.spec.configurable_by_users));
        prop_assert!(observed.secret != SecretState::Foreign || effects.iter().all(|effect| matches!(effect, Effect::Remove(_))));
    }

    #[test]
    fn of_what_a_process_may_not_use_nothing_is_told(observed in snapshots(), now in 0_i64..10_000) {
        let (_, decision, _) = carried_out(observed.clone(), at(now));
        let known = observed.targets.iter().any(|target| matches!(target.access, Access::Found(_)));
        prop_assert!(known || decision.status.connection.is_none());
    }
}
