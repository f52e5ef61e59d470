//! Whom a change of one connection concerns.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::ConnectionSpec;

fn key(name: &str) -> Key {
    Key { namespace: "team".to_owned(), name: name.to_owned() }
}

fn connection(name: &str) -> Connection {
    let mut connection = Connection::new(name, ConnectionSpec::default());
    connection.spec.connector_ref.name = "slack".to_owned();
    connection.metadata.namespace = Some("team".to_owned());
    connection.metadata.uid = Some(format!("uid-of-{name}"));
    connection.metadata.creation_timestamp = Some(Time(Timestamp::from_second(100).unwrap()));
    connection
}

fn flagged(name: &str) -> Connection {
    let mut connection = connection(name);
    connection.spec.default = true;
    connection
}

fn named(name: &str, display_name: &str) -> Connection {
    let mut connection = connection(name);
    connection.spec.display_name = Some(display_name.to_owned());
    connection
}

fn see(neighbourhood: &mut Neighbourhood, connection: &Connection) -> Vec<String> {
    let name = connection.metadata.name.clone().unwrap();
    names(neighbourhood.see(&key(&name), Some(connection)))
}

fn names(keys: Vec<Key>) -> Vec<String> {
    keys.into_iter().map(|key| key.name).collect()
}

#[test]
fn what_changes_no_choice_concerns_nobody() {
    let mut all = Neighbourhood::default();
    assert_eq!(see(&mut all, &connection("a")), [""; 0]);
    assert_eq!(see(&mut all, &connection("b")), ["a"], "it is no longer the only one");
    assert_eq!(see(&mut all, &connection("c")), [""; 0]);
    assert_eq!(see(&mut all, &connection("c")), [""; 0]);
    let mut elsewhere = flagged("d");
    elsewhere.spec.connector_ref.name = "jira".to_owned();
    assert_eq!(see(&mut all, &elsewhere), [""; 0]);
    let mut with_status = connection("c");
    with_status.status.get_or_insert_default().account = Some("ann".to_owned());
    assert_eq!(see(&mut all, &with_status), [""; 0], "what others do not depend on");
}

#[test]
fn a_first_default_concerns_all_and_a_second_one_those_who_wish_to_be_it() {
    let mut all = Neighbourhood::default();
    for name in ["a", "b", "c"] {
        see(&mut all, &connection(name));
    }
    assert_eq!(see(&mut all, &flagged("a")), ["b", "c"]);
    assert_eq!(see(&mut all, &flagged("b")), ["a"]);
    let neighbours = all.of(&flagged("b"));
    assert!(neighbours.company);
    assert_eq!(neighbours.rivals.iter().map(|rival| rival.name.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(see(&mut all, &connection("d")), [""; 0]);

    assert_eq!(names(all.see(&key("b"), None)), ["a"]);
    assert_eq!(names(all.see(&key("a"), None)), ["c", "d"], "there is no default any more");
    assert_eq!(names(all.see(&key("c"), None)), ["d"], "which is the only one now");
    assert!(!all.of(&connection("d")).company);
}

#[test]
fn one_that_is_being_deleted_makes_room_at_once_and_its_end_concerns_nobody() {
    let mut all = Neighbourhood::default();
    see(&mut all, &flagged("a"));
    see(&mut all, &named("b", "Sales"));
    let mut going = flagged("a");
    going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
    assert_eq!(see(&mut all, &going), ["b"]);
    assert!(!all.of(&connection("b")).company);
    assert_eq!(names(all.see(&key("a"), None)), [""; 0]);
}

#[test]
fn n08_the_younger_of_two_namesakes_yields_until_the_name_is_free() {
    let mut all = Neighbourhood::default();
    let elder = named("a", "Sales");
    let mut younger = named("b", "Sales");
    younger.spec.connector_ref.name = "jira".to_owned();
    younger.metadata.creation_timestamp = Some(Time(Timestamp::from_second(200).unwrap()));
    see(&mut all, &younger);
    assert_eq!(see(&mut all, &elder), ["b"]);
    assert!(all.of(&younger).name_taken && !all.of(&elder).name_taken);
    assert!(all.is_named("team", "Sales", "c") && all.is_named("team", "Sales", "a"));
    assert!(!all.is_named("other", "Sales", "c") && !all.is_named("team", "sales", "c"));

    assert_eq!(see(&mut all, &named("a", "Marketing")), ["b"]);
    assert!(!all.of(&younger).name_taken);
    assert!(!all.is_named("team", "Sales", "b") && all.is_named("team", "Marketing", "b"));
}

#[test]
fn what_a_list_no_longer_shows_is_gone() {
    let mut all = Neighbourhood::default();
    for name in ["a", "b"] {
        see(&mut all, &named(name, "Sales"));
    }
    assert_eq!(names(all.keep(&HashSet::from([key("a"), key("b")]))), [""; 0]);
    assert_eq!(names(all.keep(&HashSet::from([key("a")]))), ["a"]);
    all.keep(&HashSet::new());
    assert!(all.known.is_empty() && all.companies.is_empty() && all.namesakes.is_empty());
}
