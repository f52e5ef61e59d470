//! What the Secret holds, and when.

use rstest::rstest;

use super::*;
use crate::domain::connection::FolderState;

fn written(observed: &Observed) -> Content {
    match decide(observed, at(0)).effect {
        Some(Effect::Write(content)) => content,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_made_as_the_specification_asks() {
    let content = written(&usable());
    assert_eq!(content.secret_type, "servicebinding.io/slack");
    let plain: Vec<_> = content.plain.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        plain,
        [
            ("account", "acme"),
            ("base-url", "https://slack.example.com/api"),
            ("provider", "liaison"),
            ("scopes", "read"),
            ("type", "slack"),
        ]
    );
    assert_eq!(content.expires_at, Some(at(3600)));
}

#[test]
fn a_new_token_is_written_and_leaves_the_hash_alone() {
    let mut observed = bound();
    let before = written(&usable());
    observed.targets = vec![target("shop", "crm", found(with_token(connection("shop", "crm", &ready()), 2)))];
    let after = written(&observed);
    assert_eq!(after.hash, before.hash);
    assert_ne!(after.filled_from, before.filled_from);
    let (_, decision, effects) = carried_out(observed, at(1));
    assert_eq!((effects.len(), decision.status.expires_at), (1, Some(whole_seconds(at(7200)))));

    for change in [
        |status: &mut ConnectionStatus| status.account = Some("other".to_owned()),
        |status: &mut ConnectionStatus| status.base_url = Some("https://other.example.com".to_owned()),
        |status: &mut ConnectionStatus| {
            status.token.as_mut().unwrap().granted_scopes.push("write".to_owned());
        },
    ] {
        let mut changed = connection("shop", "crm", &ready());
        change(changed.status.as_mut().unwrap());
        let mut observed = bound();
        observed.targets = vec![target("shop", "crm", found(changed))];
        assert_ne!(written(&observed).hash, before.hash);
    }
}

/// What becomes of a Secret that is filled when its Connection becomes so.
fn after(access: Access, now: Timestamp) -> (Option<Effect>, String) {
    let mut observed = bound();
    observed.targets = vec![target("shop", "crm", access)];
    let (_, decision, mut effects) = carried_out(observed, now);
    assert!(effects.len() <= 1);
    assert_eq!(decision.status.binding.as_ref().unwrap().name, "orders-slack", "what mounts it keeps it");
    (effects.pop(), said(&decision).1)
}

#[rstest]
#[case::lost(found(connection("shop", "crm", &not_ready(Reason::ReconsentRequired))))]
#[case::rejected(found(connection("shop", "crm", &not_ready(Reason::CredentialsRejected))))]
#[case::suspended(found(connection("shop", "crm", &not_ready(Reason::Suspended))))]
#[case::policy(found(connection("shop", "crm", &not_ready(Reason::ConnectorDisabled))))]
#[case::moved(found(connection("shop", "crm", &not_ready(Reason::ReauthenticationRequired))))]
#[case::going(found(deleted(connection("shop", "crm", &ready()))))]
#[case::gone(Access::NotFound)]
#[case::not_served_any_more(Access::NotServed)]
#[case::withdrawn(Access::Forbidden)]
fn what_only_a_person_mends_takes_the_credential_out(#[case] access: Access) {
    let (effect, reason) = after(access, at(1));
    let Some(Effect::Write(content)) = effect else { panic!("{reason}: nothing is written") };
    assert_eq!(content.credential, None);
    assert_eq!(content.plain.keys().collect::<Vec<_>>(), ["provider", "type"]);
}

#[test]
fn a_suspension_is_honoured_before_the_status_says_so() {
    let mut suspended = connection("shop", "crm", &ready());
    suspended.spec.suspend = true;
    let (effect, _) = after(found(suspended), at(1));
    assert!(matches!(effect, Some(Effect::Write(content)) if content.credential.is_none()));
}

#[rstest]
#[case(Reason::TokenExpired)]
#[case(Reason::FolderNotReady)]
#[case(Reason::ConnectorInvalid)]
#[case(Reason::ProviderUnavailable)]
#[case(Reason::Pending)]
#[case(Reason::AwaitingAuthentication)]
fn what_passes_leaves_the_credential_until_it_ends(#[case] reason: Reason) {
    let access = || found(with_token(connection("shop", "crm", &not_ready(reason)), 2));
    assert_eq!(after(access(), at(3599)), (None, "ConnectionNotReady".to_owned()));
    let (effect, _) = after(access(), at(3600));
    assert!(matches!(effect, Some(Effect::Write(content)) if content.credential.is_none()));
}

#[test]
fn nothing_new_is_written_while_the_connection_is_not_ready() {
    let waiting = connection("shop", "crm", &not_ready(Reason::ProviderUnavailable));
    assert_eq!(decide(&observed(found(waiting)), at(0)).effect, None);
    let ended = connection("shop", "crm", &ready());
    assert_eq!(decide(&observed(found(ended)), at(3600)).effect, None);
}

#[test]
fn somebody_elses_secret_is_left_alone() {
    let mut observed = usable();
    observed.secret = SecretState::Foreign;
    let decision = decide(&observed, at(0));
    let (_, reason, message) = said(&decision);
    assert_eq!((reason.as_str(), &decision.effect), ("SecretNameTaken", &None));
    assert!(
        message.starts_with("secret \"orders-slack\" exists in namespace \"shop\" and was not made by"),
        "{message}"
    );
    assert_eq!(decision.status.binding, None);
    assert!(decision.next.unwrap() <= at(60), "no watch tells when it is gone");
}

#[test]
fn another_name_takes_the_old_secret_away() {
    let mut observed = bound();
    let SecretState::Own(old) = observed.secret.clone() else { panic!() };
    observed.binding.spec.secret_name = Some("new".to_owned());
    (observed.secret, observed.outdated) = (SecretState::None, Some(old));
    let (_, decision, effects) = carried_out(observed.clone(), at(1));
    assert!(matches!(&effects[0], Effect::Write(content) if content.name == "new"));
    assert_eq!(effects[1], Effect::Remove("orders-slack".to_owned()));
    assert_eq!(decision.status.binding.unwrap().name, "new");

    (observed.binding.spec.secret_name, observed.secret) = (None, SecretState::NotWanted);
    let (_, decision, effects) = carried_out(observed, at(1));
    assert_eq!(effects, [Effect::Remove("orders-slack".to_owned())]);
    assert_eq!((decision.status.binding.clone(), said(&decision).1.as_str()), (None, "Bound"));
}

#[test]
fn a_policy_may_keep_static_credentials_in() {
    let access = |static_hand_out| {
        let mut made_by_hand = connection("shop", "crm", &ready());
        made_by_hand.status.as_mut().unwrap().auth_type = Some(AuthType::APIKey);
        Access::Found(Found { connection: made_by_hand, fingerprint: "digest".to_owned(), static_hand_out })
    };
    let allowed = decide(&observed(access(StaticHandOut::Allowed)), at(0));
    assert!(matches!(allowed.effect, Some(Effect::Write(content)) if content.expires_at.is_none()));
    let denied = decide(&observed(access(StaticHandOut::DeniedBy("strict".to_owned()))), at(0));
    let (_, reason, message) = said(&denied);
    assert_eq!((reason.as_str(), denied.effect), ("StaticHandOutDenied", None));
    assert!(message.starts_with("policy \"strict\" does not allow"), "{message}");
}

#[test]
fn a_binding_that_goes_is_left_alone() {
    let mut going = usable();
    going.binding.metadata.deletion_timestamp = Some(Time(at(0)));
    let mut leaving = usable();
    leaving.folder = FolderState::Terminating;
    for observed in [going, leaving] {
        let decision = decide(&observed, at(0));
        assert_eq!((decision.effect, decision.status), (None, ProcessBindingStatus::default()));
    }
}

#[test]
fn of_two_bindings_that_ask_for_one_secret_the_younger_yields() {
    let of = |uid: &str, made: i64, secret: &str| {
        let mut binding = usable().binding;
        binding.metadata.name = Some(format!("of-{uid}"));
        binding.metadata.uid = Some(uid.to_owned());
        binding.metadata.creation_timestamp = Some(Time(at(made)));
        binding.spec.secret_name = Some(secret.to_owned());
        binding
    };
    let (elder, younger, other) = (of("a", 1, "s"), of("b", 2, "s"), of("c", 0, "t"));
    let all = [other, younger.clone(), elder.clone()];
    assert_eq!(elder_with_same_secret(&younger, &all), Some("of-a".to_owned()));
    assert_eq!(elder_with_same_secret(&elder, &all), None);
    let mut elsewhere = elder.clone();
    elsewhere.metadata.namespace = Some("elsewhere".to_owned());
    let mut going = elder;
    going.metadata.deletion_timestamp = Some(Time(at(3)));
    assert_eq!(elder_with_same_secret(&younger, &[elsewhere, going]), None);

    let mut observed = usable();
    observed.secret = SecretState::AskedForBy("of-a".to_owned());
    let decision = decide(&observed, at(0));
    assert_eq!((decision.effect.clone(), said(&decision).1), (None, "SecretNameTaken".to_owned()));
    assert!(decision.next.is_some(), "the elder may go");
}
