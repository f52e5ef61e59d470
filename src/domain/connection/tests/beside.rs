//! What the connections of a folder mean for each other, over whole folders and any order of passes.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::api::connection::ConsumersStatus;
use crate::domain::decision::EventKind;
use crate::domain::neighbours::{Key, Neighbourhood};

/// A folder whose connections are written by people and looked at by the operator.
#[derive(Default)]
struct Town {
    connections: BTreeMap<String, Connection>,
    neighbourhood: Neighbourhood,
    /// Whose passes are due.
    due: VecDeque<String>,
    /// Seconds since the beginning.
    second: i64,
    /// Writes of statuses.
    writes: usize,
    told: Vec<(String, Reason)>,
}

impl Town {
    fn key(name: &str) -> Key {
        Key { namespace: "finance".to_owned(), name: name.to_owned() }
    }

    fn see(&mut self, name: &str) {
        let concerned = self.neighbourhood.see(&Self::key(name), self.connections.get(name));
        self.due.extend(concerned.into_iter().map(|key| key.name));
    }

    /// A person applies a manifest. Where it is as before, the API server stores nothing and nobody sees anything.
    fn apply(&mut self, name: &str, default: bool, display_name: Option<&str>) {
        let made = self.second;
        let connection = self.connections.entry(name.to_owned()).or_insert_with(|| {
            let mut connection = on(CLIENT).connection;
            connection.metadata.name = Some(name.to_owned());
            connection.metadata.uid = Some(format!("uid-of-{name}"));
            connection.metadata.creation_timestamp = Some(Time(at(made)));
            connection.metadata.generation = Some(0);
            connection
        });
        let display_name = display_name.map(ToOwned::to_owned);
        let spec = ConnectionSpec { display_name, default, ..connection.spec.clone() };
        if connection.spec == spec && connection.metadata.generation != Some(0) {
            return;
        }
        connection.spec = spec;
        connection.metadata.generation = connection.metadata.generation.map(|generation| generation + 1);
        self.due.push_back(name.to_owned());
        self.see(name);
    }

    fn delete(&mut self, name: &str) {
        if self.connections.remove(name).is_some() {
            self.see(name);
        }
    }

    /// One pass: whether anything was written.
    fn look_at(&mut self, name: &str) -> bool {
        let Some(connection) = self.connections.get(name) else { return false };
        let neighbours = self.neighbourhood.of(connection);
        let mut observed = on(CLIENT);
        observed.connection = connection.clone();
        observed.neighbours = neighbours;
        let decision = decide(&observed, at(self.second));
        if Some(&decision.status) == connection.status.as_ref() {
            return false;
        }
        let written = recorded(&observed, &decision.status).connection;
        self.connections.insert(name.to_owned(), written);
        self.told.extend(decision.events.iter().map(|event| (name.to_owned(), event.reason)));
        self.writes += 1;
        self.see(name);
        true
    }

    /// Passes in an order that `picks` decides, until none is due.
    fn settle(&mut self, picks: &[usize]) {
        let mut picks = picks.iter().copied().cycle();
        let mut passes = 0;
        while !self.due.is_empty() {
            let pick = picks.next().unwrap_or(0) % self.due.len();
            let name = self.due.remove(pick).unwrap();
            self.look_at(&name);
            passes += 1;
            assert!(passes < 2000, "it never comes to rest");
        }
    }

    fn status(&self, name: &str) -> ConnectionStatus {
        self.connections[name].status.clone().unwrap_or_default()
    }

    fn default_of(&self, name: &str) -> (Option<bool>, Option<String>) {
        let status = self.status(name);
        let applied = conditions::find(&status.conditions, ConditionType::DefaultApplied);
        (status.effective_default, applied.map(|applied| format!("{}/{}", applied.status, applied.reason)))
    }

    /// What people were told of defaults since the last time.
    fn told(&mut self) -> Vec<(String, Reason)> {
        let of_defaults = [
            Reason::DefaultApplied,
            Reason::Superseded,
            Reason::OnlyConnection,
            Reason::DefaultRemoved,
            Reason::NoDefaultConnection,
        ];
        let mut told: Vec<_> =
            self.told.drain(..).filter(|(_, reason)| of_defaults.contains(reason)).collect();
        told.sort();
        told
    }

    fn view(&self) -> BTreeMap<String, (Option<bool>, Option<String>)> {
        self.connections.keys().map(|name| (name.clone(), self.default_of(name))).collect()
    }
}

fn stands(effective: Option<bool>, applied: &str) -> (Option<bool>, Option<String>) {
    (effective, (!applied.is_empty()).then(|| applied.to_owned()))
}

fn events(told: &[(&str, Reason)]) -> Vec<(String, Reason)> {
    told.iter().map(|(name, reason)| ((*name).to_owned(), *reason)).collect()
}

#[test]
fn s25_of_two_flags_the_later_wins_both_are_told_and_repeated_applies_stay_quiet() {
    let mut town = Town::default();
    town.apply("a", true, None);
    town.apply("b", false, None);
    town.settle(&[0]);
    assert_eq!(town.default_of("a"), stands(Some(true), "True/DefaultApplied"));
    assert_eq!(town.default_of("b"), stands(Some(false), ""));
    assert_eq!(town.told(), events(&[("a", Reason::DefaultApplied)]));

    town.second = 60;
    town.apply("b", true, None);
    town.settle(&[0]);
    assert_eq!(town.default_of("a"), stands(Some(false), "False/Superseded"));
    assert_eq!(town.default_of("b"), stands(Some(true), "True/DefaultApplied"));
    assert_eq!(town.told(), events(&[("a", Reason::Superseded), ("b", Reason::DefaultApplied)]));
    assert!(message(&town.status("a"), ConditionType::DefaultApplied).contains("connection \"b\""));

    let writes = town.writes;
    for second in 100..110 {
        town.second = second;
        for name in ["b", "a"] {
            town.apply(name, true, None);
            town.look_at(name);
        }
        town.settle(&[0]);
    }
    assert_eq!((town.writes, town.told()), (writes, Vec::new()));
    assert!(town.connections.values().all(|connection| connection.spec.default), "the spec is left alone");
    assert_eq!(town.status("a").default_since.unwrap().0, at(0));

    town.apply("b", false, None);
    town.settle(&[0]);
    assert_eq!(town.default_of("a"), stands(Some(true), "True/DefaultApplied"));
    assert_eq!(town.default_of("b"), stands(Some(false), ""));
    assert_eq!(town.status("b").default_since, None, "the wish is given up, and its time with it");
}

#[test]
fn s26_alone_a_connection_is_the_choice_with_and_without_the_flag() {
    let mut town = Town::default();
    town.apply("a", false, None);
    town.settle(&[0]);
    assert_eq!(town.default_of("a"), stands(Some(true), ""));
    town.apply("a", true, None);
    town.settle(&[0]);
    assert_eq!(town.default_of("a"), stands(Some(true), "False/OnlyConnection"));
    assert_eq!(
        short(&town.status("a"), ConditionType::Ready),
        "False/ClientCredentialsMissing",
        "as it was, and not for the default's sake"
    );
    town.apply("b", false, None);
    town.settle(&[0]);
    assert_eq!(town.default_of("a"), stands(Some(true), "True/DefaultApplied"));
}

#[test]
fn s27_when_the_default_of_three_goes_the_others_are_told_once_and_the_last_one_is_the_choice() {
    let mut town = Town::default();
    town.apply("a", true, None);
    town.apply("b", false, None);
    town.apply("c", false, None);
    town.settle(&[0]);
    town.told();

    town.delete("a");
    town.settle(&[0]);
    assert_eq!(town.told(), events(&[("b", Reason::DefaultRemoved), ("c", Reason::DefaultRemoved)]));
    assert_eq!(town.view().into_values().collect::<Vec<_>>(), [stands(None, ""), stands(None, "")]);
    for name in ["b", "c"] {
        town.apply(name, false, Some("renamed"));
    }
    town.settle(&[0]);
    assert_eq!(town.told(), [], "it is told once");

    town.delete("b");
    town.settle(&[0]);
    assert_eq!((town.default_of("c"), town.told()), (stands(Some(true), ""), Vec::new()));
}

#[test]
fn s27_another_flag_takes_the_place_of_the_default_that_goes() {
    let mut town = Town::default();
    for (second, name) in [(0, "a"), (10, "b")] {
        town.second = second;
        town.apply(name, true, None);
        town.apply("c", false, None);
        town.settle(&[0]);
    }
    assert_eq!(town.default_of("b").0, Some(true));
    town.told();
    town.delete("b");
    town.settle(&[0]);
    assert_eq!(town.default_of("a"), stands(Some(true), "True/DefaultApplied"));
    assert_eq!(town.default_of("c"), stands(Some(false), ""));
    assert_eq!(town.told(), events(&[("a", Reason::DefaultApplied)]));
}

/// Until the second flag is recorded it seems to be of the same second, and the one made last seems to win.
#[test]
fn s25_a_flag_that_is_recorded_a_second_later_wins_after_all() {
    let mut town = Town::default();
    town.apply("b", false, None);
    town.settle(&[0]);
    town.second = 10;
    town.apply("a", true, None);
    town.apply("b", true, None);
    town.look_at("a");
    assert_eq!(town.default_of("a"), stands(Some(true), "True/DefaultApplied"));
    town.due.retain(|name| name != "a");
    town.second = 11;
    town.settle(&[0]);
    assert_eq!(town.default_of("a"), stands(Some(false), "False/Superseded"));
    assert_eq!(town.default_of("b"), stands(Some(true), "True/DefaultApplied"));
}

#[test]
fn a_second_connection_ends_the_choice_that_nobody_made_and_that_is_told() {
    let mut town = Town::default();
    town.apply("a", false, None);
    town.settle(&[0]);
    town.apply("b", false, None);
    town.settle(&[0]);
    assert_eq!(town.view().into_values().collect::<Vec<_>>(), [stands(None, ""), stands(None, "")]);
    assert_eq!(town.told(), events(&[("a", Reason::NoDefaultConnection)]));
}

#[test]
fn n08_the_younger_namesake_is_told_stays_usable_and_is_well_once_the_name_is_free() {
    let mut town = Town::default();
    town.apply("b", false, Some("Sales"));
    town.settle(&[0]);
    town.second = 10;
    town.apply("a", false, Some("Sales"));
    town.settle(&[0]);
    let (elder, younger) = (town.status("b"), town.status("a"));
    assert_eq!(conditions::find(&elder.conditions, ConditionType::DisplayNameUnique), None);
    assert_eq!(short(&younger, ConditionType::DisplayNameUnique), "False/DisplayNameTaken");
    assert_eq!(
        message(&younger, ConditionType::DisplayNameUnique),
        "display name \"Sales\" is already used in folder \"finance\""
    );
    assert_eq!(
        short(&younger, ConditionType::Ready),
        short(&elder, ConditionType::Ready),
        "a name takes nothing away"
    );
    assert_eq!(town.told.iter().filter(|(_, reason)| *reason == Reason::DisplayNameTaken).count(), 1);

    town.apply("b", false, Some("Marketing"));
    town.settle(&[0]);
    assert_eq!(conditions::find(&town.status("a").conditions, ConditionType::DisplayNameUnique), None);
}

#[test]
fn s30_the_consumers_stand_in_the_status_as_long_as_there_are_any() {
    let mut observed = with_token(CLIENT);
    let before = decide(&observed, at(1)).status;
    assert_eq!(before.consumers, None);
    let consumers = ConsumersStatus { count: 2, names: vec!["report".to_owned()], elsewhere: 1 };
    observed.neighbours.consumers = Some(consumers.clone());
    let used = decide(&recorded(&observed, &before), at(2));
    assert_eq!((used.status.consumers.as_ref(), used.events), (Some(&consumers), Vec::new()));
    observed.neighbours.consumers = None;
    assert_eq!(decide(&recorded(&observed, &used.status), at(3)).status, before);
}

#[test]
fn what_is_told_of_defaults_is_a_warning_where_a_look_up_fails_from_now_on() {
    let standing = |effective: Option<bool>, since: Option<i64>| ConnectionStatus {
        effective_default: effective,
        default_since: since.map(|second| Time(at(second))),
        ..ConnectionStatus::default()
    };
    let told = |old: &ConnectionStatus, new: &ConnectionStatus| {
        super::super::beside::events(old, new)
            .iter()
            .map(|event| (event.kind, event.reason))
            .collect::<Vec<_>>()
    };
    let none = standing(None, None);
    assert_eq!(told(&standing(Some(true), None), &none), [(EventKind::Warning, Reason::NoDefaultConnection)]);
    assert_eq!(told(&standing(Some(false), None), &none), [(EventKind::Warning, Reason::DefaultRemoved)]);
    assert_eq!(
        told(&standing(Some(true), Some(1)), &none),
        [(EventKind::Warning, Reason::DefaultRemoved)],
        "its own flag was taken back"
    );
    assert_eq!(told(&none, &standing(Some(true), None)), []);
}

/// What people do to a folder, and how the passes come between.
#[derive(Clone, Debug)]
enum Step {
    Apply(&'static str, bool, Option<&'static str>),
    Delete(&'static str),
    Passes(Vec<usize>),
    Time(i64),
}

fn steps() -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d"]);
    let display_name = prop::sample::select(vec![None, None, Some("x"), Some("y")]);
    prop_oneof![
        4 => (name(), any::<bool>(), display_name).prop_map(|(name, default, called)| Step::Apply(name, default, called)),
        1 => name().prop_map(Step::Delete),
        1 => prop::collection::vec(0_usize..8, 1..4).prop_map(Step::Passes),
        1 => (0_i64..3).prop_map(Step::Time),
    ]
}

fn lived(steps: &[Step]) -> Town {
    let mut town = Town::default();
    for step in steps {
        match step {
            Step::Apply(name, default, called) => town.apply(name, *default, *called),
            Step::Delete(name) => town.delete(name),
            Step::Time(seconds) => town.second += seconds,
            Step::Passes(picks) => {
                for pick in picks {
                    if let Some(name) = town.due.remove(*pick) {
                        town.look_at(&name);
                    }
                }
            }
        }
    }
    town
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn s27_any_order_of_passes_comes_to_the_same_rest(
        steps in prop::collection::vec(steps(), 1..24),
        one in prop::collection::vec(0_usize..16, 1..8),
        other in prop::collection::vec(0_usize..16, 1..8),
    ) {
        let (mut first, mut second) = (lived(&steps), lived(&steps));
        first.settle(&one);
        second.settle(&other);
        prop_assert_eq!(first.view(), second.view());

        let all: Vec<_> = first.connections.values().cloned().collect();
        let effective: Vec<_> =
            first.view().into_iter().filter(|(_, (effective, _))| *effective == Some(true)).collect();
        let found = crate::domain::lookup::the_default("finance", "jira", &all).ok();
        let found = found.and_then(|connection| connection.metadata.name.clone());
        prop_assert!(effective.len() <= 1);
        prop_assert_eq!(effective.first().map(|(name, _)| name), found.as_ref());
        for connection in &all {
            let status = connection.status.clone().unwrap();
            prop_assert_eq!(status.default_since.is_some(), connection.spec.default);
            let applied = conditions::find(&status.conditions, ConditionType::DefaultApplied);
            prop_assert_eq!(applied.is_some(), connection.spec.default);
        }

        first.second += 1000;
        for name in first.connections.keys().cloned().collect::<Vec<_>>() {
            prop_assert!(!first.look_at(&name), "a further pass over {} writes", name);
        }
        prop_assert!(first.due.is_empty());
    }
}
