//! What becomes of the Secret where an effect does not come about as decided.

use rstest::rstest;

use super::*;

fn refused() -> Blocked {
    Blocked { reason: Reason::SecretWriteRefused, message: "quota".to_owned() }
}

/// A write that is refused, all else goes well.
fn writes_refused(_: &Observed, effect: &Effect) -> Outcome {
    if matches!(effect, Effect::Write(_)) { Outcome::Hindered(refused()) } else { done(effect) }
}

/// Somebody has marked the Secret immutable.
fn marked_immutable(observed: &Observed, effect: &Effect) -> Outcome {
    let unchangeable = matches!(observed.secret, SecretState::Own(_));
    if unchangeable && matches!(effect, Effect::Write(_)) { Outcome::Immutable } else { done(effect) }
}

/// Reading the credential finds it withdrawn.
fn withdrawn_when_read(_: &Observed, effect: &Effect) -> Outcome {
    match effect {
        Effect::Write(content) if content.credential.is_some() => Outcome::Withdrawn(Blocked {
            reason: Reason::TokenRolledBack,
            message: "the token record of connection \"crm\" is older than the last one known".to_owned(),
        }),
        _ => done(effect),
    }
}

/// What is done, in short.
fn named(effects: &[Effect]) -> Vec<&'static str> {
    let named = |effect: &Effect| match effect {
        Effect::Write(content) if content.credential.is_some() => "fill",
        Effect::Write(_) => "empty",
        Effect::Discard(_) => "discard",
        Effect::Remove(_) => "remove",
    };
    effects.iter().map(named).collect()
}

/// A filled binding whose Connection has a new token.
fn with_new_token() -> Observed {
    let mut observed = bound();
    observed.targets = vec![target("shop", "crm", found(with_token(connection("shop", "crm", &ready()), 2)))];
    observed
}

/// A filled binding whose right was withdrawn.
fn forbidden() -> Observed {
    let mut observed = bound();
    observed.targets = vec![target("shop", "crm", Access::Forbidden)];
    observed
}

/// A binding that was filled and now names another Secret.
fn renamed() -> Observed {
    let mut observed = bound();
    observed.outdated = observed.secret.own().cloned();
    observed.binding.spec.secret_name = Some("new".to_owned());
    observed.secret = SecretState::None;
    observed
}

#[test]
fn a_write_that_is_refused_is_told_and_tried_again() {
    let (observed, decision, effects) = carried_out_with(usable(), at(0), writes_refused);
    assert_eq!((named(&effects), said(&decision).1.as_str()), (vec!["fill"], "SecretWriteRefused"));
    assert_eq!(decision.next, Some(at(5)));
    assert!(decide(&observed, at(5)).effect.is_some());

    // A credential that has to go and cannot is told as well.
    let (_, decision, effects) = carried_out_with(forbidden(), at(0), writes_refused);
    assert_eq!(named(&effects), ["empty"]);
    let (_, reason, message) = said(&decision);
    assert_eq!(reason, "SecretWriteRefused");
    assert!(message.contains("lacks use") && message.contains("quota"), "{message}");
}

#[rstest]
#[case::filled_anew(with_new_token(), &["fill", "discard", "fill"], "Bound")]
#[case::emptied(forbidden(), &["empty", "discard", "empty"], "PermissionDenied")]
fn a_secret_that_cannot_be_changed_is_made_again(
    #[case] observed: Observed,
    #[case] done: &[&str],
    #[case] reason: &str,
) {
    let (_, decision, effects) = carried_out_with(observed, at(1), marked_immutable);
    assert_eq!((named(&effects).as_slice(), said(&decision).1.as_str()), (done, reason));
    assert_eq!(decision.status.binding.unwrap().name, "orders-slack", "what mounts it can start");
}

#[test]
fn what_is_immutable_and_right_is_left_alone() {
    let (_, decision, effects) = carried_out_with(bound(), at(1), marked_immutable);
    assert_eq!((named(&effects), said(&decision).1.as_str()), (Vec::new(), "Bound"));
}

#[rstest]
#[case::to_be_filled(with_new_token(), &["fill", "discard"])]
#[case::to_be_emptied(forbidden(), &["empty", "discard"])]
fn one_that_cannot_be_deleted_either_is_told_and_tried_again(
    #[case] observed: Observed,
    #[case] tried: &[&str],
) {
    let held = |observed: &Observed, effect: &Effect| match effect {
        Effect::Discard(_) => Outcome::Hindered(refused()),
        _ => marked_immutable(observed, effect),
    };
    let (_, decision, effects) = carried_out_with(observed, at(1), held);
    assert_eq!((named(&effects).as_slice(), said(&decision).1.as_str()), (tried, "SecretWriteRefused"));
    assert_eq!(decision.next, Some(at(6)));
}

#[test]
fn a_credential_that_is_withdrawn_when_it_is_read_leaves_the_secret() {
    let (observed, decision, effects) = carried_out_with(with_new_token(), at(1), withdrawn_when_read);
    assert_eq!(named(&effects), ["fill", "empty"]);
    assert!(!content::holds_credential(&observed.secret.own().unwrap().filled_from));
    let (status, reason, message) = said(&decision);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ConnectionNotReady"));
    assert_eq!(message, "the token record of connection \"crm\" is older than the last one known");
    assert_eq!(decision.status.requirement, Some(Requirement::Missing));
    assert_eq!(decision.next, Some(at(6)), "the Connection need not change before it can be read again");

    // The next pass reads it again, and writes nothing.
    let before = decision.status;
    let (observed, decision, effects) = carried_out_with(observed, at(6), withdrawn_when_read);
    assert_eq!((named(&effects), decision.status), (vec!["fill"], before));
    let (_, decision, effects) = carried_out(observed, at(11));
    assert_eq!((named(&effects), said(&decision).1.as_str()), (vec!["fill"], "Bound"));
}

#[test]
fn of_another_folders_connection_that_is_withdrawn_when_read_no_detail_is_told() {
    let mut observed = usable();
    observed.targets = vec![target("finance", "crm", found(connection("finance", "crm", &ready())))];
    let (_, decision, effects) = carried_out_with(observed, at(0), withdrawn_when_read);
    assert_eq!(named(&effects), ["fill"], "there was no Secret, and none is made");
    assert_eq!(said(&decision).2, "connection \"finance/crm\" is not ready: TokenRolledBack");
}

#[test]
fn the_former_secret_goes_also_where_the_new_one_cannot_be_written() {
    let (observed, decision, effects) = carried_out_with(renamed(), at(1), writes_refused);
    assert_eq!((named(&effects), observed.outdated), (vec!["fill", "remove"], None));
    assert_eq!((said(&decision).1.as_str(), decision.next), ("SecretWriteRefused", Some(at(6))));

    let (observed, _, effects) = carried_out_with(renamed(), at(1), withdrawn_when_read);
    assert_eq!((named(&effects), observed.outdated), (vec!["fill", "remove"], None));
}

#[test]
fn a_former_secret_that_cannot_be_deleted_is_told_and_tried_again() {
    let kept = |_: &Observed, effect: &Effect| match effect {
        Effect::Remove(_) => Outcome::Kept(refused()),
        _ => done(effect),
    };
    let (observed, decision, effects) = carried_out_with(renamed(), at(1), kept);
    assert_eq!((named(&effects), decision.next), (vec!["fill", "remove"], Some(at(6))));
    let leftover = "secret \"orders-slack\", which this binding made before, is still there: quota";
    assert_eq!(said(&decision), ("True".to_owned(), "Bound".to_owned(), leftover.to_owned()));
    assert_eq!(named(&carried_out(observed, at(6)).2), ["remove"]);

    let nothing_goes = |observed: &Observed, effect: &Effect| match effect {
        Effect::Remove(_) => Outcome::Kept(refused()),
        _ => writes_refused(observed, effect),
    };
    let (_, decision, effects) = carried_out_with(renamed(), at(1), nothing_goes);
    let (_, reason, message) = said(&decision);
    assert_eq!((named(&effects), reason.as_str()), (vec!["fill", "remove"], "SecretWriteRefused"));
    assert!(message.ends_with(leftover), "{message}");
}
