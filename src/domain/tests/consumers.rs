//! Who uses a connection.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;

use super::*;
use crate::api::ProcessBindingSpec;
use crate::api::process_binding::{BoundConnection, ProcessBindingStatus};
use crate::domain::conditions::{Verdict, merge};

fn key(namespace: &str, name: &str) -> Key {
    Key { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn binding(to: &Key, uid: &str) -> ProcessBinding {
    let mut binding = ProcessBinding::new("b", ProcessBindingSpec::default());
    binding.status = Some(ProcessBindingStatus {
        connection: Some(BoundConnection {
            namespace: to.namespace.clone(),
            name: to.name.clone(),
            uid: uid.to_owned(),
        }),
        ..ProcessBindingStatus::default()
    });
    binding
}

fn because(mut binding: ProcessBinding, reason: Reason) -> ProcessBinding {
    let verdict = [(ConditionType::Ready, Verdict::no(reason, ""))];
    let status = binding.status.get_or_insert_default();
    status.conditions = merge(&[], verdict, None, jiff::Timestamp::UNIX_EPOCH);
    binding
}

#[test]
fn n24_those_of_the_folder_are_named_and_others_are_counted() {
    let crm = key("team", "crm");
    let mut consumers = Consumers::default();
    assert_eq!(consumers.of(&crm, "1"), None);
    for name in ["sync", "report"] {
        assert_eq!(consumers.see(&key("team", name), Some(&binding(&crm, "1"))), std::slice::from_ref(&crm));
    }
    consumers.see(&key("other", "secret-project"), Some(&binding(&crm, "1")));
    consumers.see(&key("team", "of-an-earlier-one"), Some(&binding(&crm, "0")));
    let told = consumers.of(&crm, "1").unwrap();
    assert_eq!((told.count, told.elsewhere), (3, 1));
    assert_eq!(told.names, ["report", "sync"]);
    assert!(!deletion_refused("team", "crm", Some(&told)).unwrap().contains("secret-project"));

    for number in 0..20 {
        consumers.see(&key("team", &format!("z{number:02}")), Some(&binding(&crm, "1")));
    }
    let many = consumers.of(&crm, "1").unwrap();
    assert_eq!((many.count, many.names.len(), many.elsewhere), (23, LISTED, 1));
    assert!(
        super::told(Some(&many)).unwrap().ends_with("\"z13\", 6 more of this folder, 1 of other folders")
    );
}

#[rstest]
#[case::denied(because(binding(&key("team", "crm"), "1"), Reason::PermissionDenied))]
#[case::nothing_bound(ProcessBinding::new("b", ProcessBindingSpec::default()))]
#[case::going({
    let mut going = binding(&key("team", "crm"), "1");
    going.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    going
})]
fn n24_what_may_not_use_a_connection_does_not_hold_it_up(#[case] binding: ProcessBinding) {
    let mut consumers = Consumers::default();
    assert_eq!(consumers.see(&key("other", "b"), Some(&binding)), []);
    assert_eq!(consumers.of(&key("team", "crm"), "1"), None);
}

#[test]
fn a_connection_that_is_not_ready_for_now_is_in_use_all_the_same() {
    let mut consumers = Consumers::default();
    let waiting = because(binding(&key("team", "crm"), "1"), Reason::ConnectionNotReady);
    consumers.see(&key("team", "b"), Some(&waiting));
    assert_eq!(consumers.of(&key("team", "crm"), "1").unwrap().count, 1);
}

#[test]
fn a_process_that_turns_to_another_connection_concerns_both_and_one_that_stays_none() {
    let (crm, mail) = (key("team", "crm"), key("team", "mail"));
    let mut consumers = Consumers::default();
    let own = key("team", "b");
    consumers.see(&own, Some(&binding(&crm, "1")));
    assert_eq!(consumers.see(&own, Some(&binding(&crm, "1"))), []);
    assert_eq!(consumers.see(&own, Some(&binding(&mail, "2"))), [crm.clone(), mail.clone()]);
    assert_eq!((consumers.of(&crm, "1"), consumers.of(&mail, "2").unwrap().count), (None, 1));
    assert_eq!(consumers.keep(&HashSet::from([own.clone()])), []);
    assert_eq!(consumers.keep(&HashSet::new()), std::slice::from_ref(&mail));
    assert_eq!(consumers.of(&mail, "2"), None);
    assert!(consumers.users.is_empty() && consumers.uses.is_empty());
}

#[test]
fn n24_a_refusal_says_who_would_break_and_how_to_go_on() {
    let consumers =
        ConsumersStatus { count: 3, names: vec!["report".to_owned(), "sync".to_owned()], elsewhere: 1 };
    assert_eq!(
        deletion_refused("team", "crm", Some(&consumers)).unwrap(),
        "connection \"crm\" is used by processes that would stop working: \"report\", \"sync\", 1 of other folders; to \
         delete it all the same: kubectl annotate connection crm -n team liaison.dev/confirm-delete=crm, and delete it \
         again"
    );
    assert_eq!(deletion_refused("team", "crm", None), None);
}
