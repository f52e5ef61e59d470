//! Which Connection a process uses, and whether it may.

use rstest::rstest;

use super::*;
use crate::domain::lookup;

#[test]
fn an_answer_about_a_right_is_believed_for_an_hour_whenever_it_is_looked_at() {
    let mut observed = bound();
    observed.targets[0].reviewed_at = at(0);
    let mut newer = target("ada-own", "crm", Access::Forbidden);
    newer.reviewed_at = at(3000);
    observed.targets.push(newer);
    for now in [0, 1800, 3000] {
        let next = decide(&observed, at(now)).next.unwrap();
        assert!(
            at(3240) <= next && next <= at(3600),
            "{next}: the oldest answer counts, not the pass at {now}"
        );
    }
}

fn elsewhere(access: Access) -> Observed {
    let mut observed = usable();
    observed.binding.spec.connection_ref =
        Some(ConnectionReference { namespace: Some("finance".to_owned()), name: "crm".to_owned() });
    observed.targets = vec![target("finance", "crm", access)];
    observed
}

#[test]
fn s10_a_process_that_may_use_the_connection_is_bound_to_it() {
    let (observed, decision, effects) = carried_out(usable(), at(0));
    assert_eq!(said(&decision), ("True".to_owned(), "Bound".to_owned(), String::new()));
    assert_eq!(decision.status.requirement, Some(Requirement::Available));
    assert_eq!(decision.status.connection.unwrap().uid, "uid-of-shop-crm");
    assert_eq!(decision.status.binding.unwrap().name, "orders-slack");
    assert_eq!(effects.len(), 1);
    assert_eq!(decision.events, [Event::normal(Reason::Bound)]);
    assert_eq!(decide(&observed, at(1)).events, [], "said once");
}

#[test]
fn n12_the_missing_right_is_named_with_its_folder_and_the_command_that_gives_it() {
    let decision = decide(&observed(Access::Forbidden), at(0));
    let (status, reason, message) = said(&decision);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "PermissionDenied"));
    assert!(
        message.starts_with("service account \"orders\" lacks use on connections in folder \"sales\"; "),
        "{message}"
    );
    let command = "kubectl create rolebinding orders-uses-connections -n shop --clusterrole=liaison-connection-use \
                   --serviceaccount=shop:orders";
    assert!(message.contains(command), "{message}");
    assert_eq!((decision.status.connection, decision.effect), (None, None));
    assert_eq!(decision.status.requirement, Some(Requirement::Missing));
}

#[test]
fn across_folders_nobody_learns_from_the_answer_whether_a_connection_exists() {
    let statuses =
        [Access::Forbidden, Access::NotFound].map(|access| decide(&elsewhere(access), at(0)).status);
    assert_eq!(statuses[0], statuses[1]);
    let message = &statuses[0].conditions[0].message;
    assert!(message.starts_with("connection \"finance/crm\" not found or not accessible; "), "{message}");
    assert_eq!(statuses[0].conditions[0].reason, "ConnectionNotAccessible");
}

#[test]
fn of_a_namespace_that_is_not_served_it_is_said_instead_of_seeming_to_be_empty() {
    let decision = decide(&elsewhere(Access::NotServed), at(0));
    let (status, reason, message) = said(&decision);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NamespaceNotServed"));
    assert_eq!(
        message,
        "connection \"finance/crm\" is out of reach: Liaison does not work in namespace \"finance\"; choose one that it \
         works in, or have an administrator add this one (--namespaces)"
    );
    assert_eq!((decision.status.connection, decision.effect), (None, None));
}

#[test]
fn of_another_folders_connection_no_detail_is_told() {
    let connection = connection("finance", "crm", &not_ready(Reason::CredentialsMissing));
    let decision = decide(&elsewhere(found(connection)), at(0));
    assert_eq!(said(&decision).2, "connection \"finance/crm\" is not ready: CredentialsMissing");
}

#[test]
fn a_connection_for_another_connector_is_not_used() {
    let mut other = connection("shop", "crm", &ready());
    "gmail".clone_into(&mut other.spec.connector_ref.name);
    let decision = decide(&observed(found(other)), at(0));
    let (_, reason, message) = said(&decision);
    assert_eq!(reason, "ConnectorMismatch");
    assert_eq!(message, "connection \"shop/crm\" is for connector \"gmail\", this needs \"slack\"");
    assert_eq!(decision.effect, None);
}

#[test]
fn a_connection_that_waits_for_a_person_says_where_to_go() {
    let awaiting = with_url(
        connection("shop", "crm", &not_ready(Reason::AwaitingAuthentication)),
        "https://liaison.example.com/connections/shop/crm",
    );
    let decision = decide(&observed(found(awaiting)), at(0));
    assert_eq!(
        said(&decision).2,
        "connection \"crm\" awaits authentication: https://liaison.example.com/connections/shop/crm"
    );
}

#[test]
fn without_a_default_in_the_folder_it_says_so() {
    let mut observed = usable();
    observed.binding.spec.connection_ref = None;
    observed.binding.spec.default = true;
    observed.targets = Vec::new();
    observed.no_default = lookup::the_default("shop", "slack", &[]).err();
    assert_eq!(said(&decide(&observed, at(0))).1, "NoConnectionForConnector");
    let several = ["a", "b"].map(|name| connection("shop", name, &ready()));
    observed.no_default = lookup::the_default("shop", "slack", &several).err();
    let decision = decide(&observed, at(0));
    let (_, reason, message) = said(&decision);
    assert_eq!(reason, "NoDefaultConnection");
    assert!(message.contains("and none of them is the default: \"a\", \"b\""), "{message}");
}

#[test]
fn a_default_that_changes_takes_the_secret_with_it() {
    let mut observed = bound();
    observed.binding.spec.connection_ref = None;
    observed.binding.spec.default = true;
    observed.targets = vec![target("shop", "new", found(connection("shop", "new", &ready())))];
    let (_, decision, effects) = carried_out(observed.clone(), at(1));
    assert_eq!(decision.status.connection.unwrap().name, "new");
    assert!(
        matches!(&effects[..], [Effect::Write(content)] if content.credential.as_ref().unwrap().name == "new")
    );

    // The old one's credential does not stay while the new one is not ready.
    let waiting = connection("shop", "new", &not_ready(Reason::FolderNotReady));
    observed.targets = vec![target("shop", "new", found(waiting))];
    let (_, _, effects) = carried_out(observed, at(1));
    assert!(matches!(&effects[..], [Effect::Write(content)] if content.credential.is_none()));
}

fn by_users(choices: Vec<Choice>, targets: Vec<Target>) -> Observed {
    let mut observed = usable();
    let spec = &mut observed.binding.spec;
    (spec.connection_ref, spec.secret_name) = (None, None);
    spec.configurable_by_users = true;
    spec.choices = choices;
    observed.secret = SecretState::NotWanted;
    observed.targets = targets;
    observed
}

#[test]
fn s67_what_users_choose_at_run_time_is_nothing_until_one_has_chosen() {
    let decision = decide(&by_users(Vec::new(), Vec::new()), at(0));
    let (status, reason, _) = said(&decision);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "AwaitingUserConfiguration"));
    assert_eq!(decision.status.requirement, Some(Requirement::Unknown));
    assert_eq!((decision.status.connection, decision.status.binding), (None, None));
    assert_eq!(decision.events, [Event::normal(Reason::AwaitingUserConfiguration)]);
}

#[test]
fn s68_each_choice_stands_for_itself() {
    let ada = choice("ada", "ada-own", "crm");
    let bob = choice("bob", "bob-own", "crm");
    let usable = || found(connection("ada-own", "crm", &ready()));
    let observed = by_users(
        vec![ada.clone(), bob.clone()],
        vec![target("ada-own", "crm", usable()), target("bob-own", "crm", Access::Forbidden)],
    );
    let decision = decide(&observed, at(0));
    let (status, reason, message) = said(&decision);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Bound"));
    assert!(
        message.starts_with("1 of 2 users' choices can be used, each for that user's own runs; "),
        "{message}"
    );
    assert!(message.contains("user \"bob\": ConnectionNotAccessible: "), "{message}");
    assert_eq!(decision.status.requirement, Some(Requirement::Unknown));
    assert_eq!(decision.effect, None, "no credential of one user lies about for all");

    assert_eq!(choice_of(&observed.binding, "ada"), Some(("ada-own", "crm")));
    assert_eq!(choice_of(&observed.binding, "eve"), None, "nobody else's takes its place");

    let none = by_users(vec![bob], vec![target("bob-own", "crm", Access::Forbidden)]);
    assert_eq!(said(&decide(&none, at(0))).1, "AwaitingUserConfiguration");
}

#[rstest]
#[case::bound(usable(), Requirement::Available)]
#[case::forbidden(observed(Access::Forbidden), Requirement::Missing)]
#[case::not_found(observed(Access::NotFound), Requirement::Missing)]
#[case::not_ready(
    observed(found(connection("shop", "crm", &not_ready(Reason::ConnectorNotFound)))),
    Requirement::Missing
)]
#[case::not_looked_at(
    observed(found(
        connection("shop", "crm", &Verdict::unknown(Reason::Pending, "")))),
    Requirement::Unknown
)]
fn n18_each_need_of_a_process_has_a_status(#[case] observed: Observed, #[case] requirement: Requirement) {
    let (_, decision, _) = carried_out(observed, at(0));
    assert_eq!(decision.status.requirement, Some(requirement));
}

#[test]
fn who_is_concerned_by_a_change() {
    let by_name = binding();
    let changed = |namespace: &str, name: &str| connection(namespace, name, &ready());
    assert!(concerns(&by_name, &changed("shop", "crm")) && !concerns(&by_name, &changed("shop", "other")));
    assert!(!concerns(&by_name, &changed("finance", "crm")));
    let mut by_default = binding();
    (by_default.spec.connection_ref, by_default.spec.default) = (None, true);
    assert!(
        concerns(&by_default, &changed("shop", "any")) && !concerns(&by_default, &changed("finance", "any"))
    );
    let users = by_users(vec![choice("ada", "ada-own", "crm")], Vec::new()).binding;
    assert!(concerns(&users, &changed("ada-own", "crm")) && reaches_into(&users, "ada-own"));
    assert!(
        reaches_into(&by_name, "shop") && reaches_into(&by_default, "shop") && !reaches_into(&users, "shop")
    );
}
