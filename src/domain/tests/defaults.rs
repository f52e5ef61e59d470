//! Which connection is the default, and what becomes of the wish to be it.

use rstest::rstest;

use super::*;
use crate::domain::conditions::Status;

const PLACE: Place<'_> = Place { namespace: "team", folder: "f", connector: "slack" };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn candidate(name: &str, flagged: bool, since: Option<i64>, created: i64) -> Candidate {
    Candidate { name: name.to_owned(), flagged, since: since.map(at), created: Some(at(created)) }
}

fn applied(standing: &Standing) -> Option<(Status, Reason)> {
    standing.applied.as_ref().map(|verdict| (verdict.status, verdict.reason))
}

#[test]
fn s26_the_only_connection_is_the_choice_and_a_wish_of_it_is_told_that_it_needs_two() {
    let unmarked = stand(&candidate("a", false, None, 0), true, &[], PLACE, at(9));
    assert_eq!((unmarked.effective, unmarked.since, unmarked.applied), (Some(true), None, None));

    let marked = stand(&candidate("a", true, None, 0), true, &[], PLACE, at(9));
    assert_eq!((marked.effective, marked.since), (Some(true), Some(at(9))));
    assert_eq!(applied(&marked), Some((Status::False, Reason::OnlyConnection)));
    assert_eq!(
        marked.applied.unwrap().message,
        "connection \"a\" is the only one for connector \"slack\" in folder \"f\"; a default needs at least two"
    );
}

#[test]
fn s25_the_flag_set_last_wins_and_the_earlier_one_names_the_winner() {
    let (old, new) = (candidate("a", true, Some(1), 0), candidate("b", true, None, 0));
    let winner = stand(&new, false, std::slice::from_ref(&old), PLACE, at(5));
    assert_eq!((winner.effective, winner.since), (Some(true), Some(at(5))));
    assert_eq!(applied(&winner), Some((Status::True, Reason::DefaultApplied)));

    let loser = stand(&old, false, &[Candidate { since: winner.since, ..new }], PLACE, at(6));
    assert_eq!((loser.effective, loser.since), (Some(false), Some(at(1))));
    assert_eq!(applied(&loser), Some((Status::False, Reason::Superseded)));
    let message = loser.applied.unwrap().message;
    assert!(message.starts_with("connection \"b\" was made the default later"), "{message}");
    assert!(message.contains("`kubectl liaison set-default a -n team`"), "{message}");
}

#[test]
fn s27_without_a_flag_none_of_several_is_the_default_and_with_one_the_others_are_not() {
    let own = candidate("a", false, None, 0);
    assert_eq!(stand(&own, false, &[], PLACE, at(9)).effective, None);
    let other = stand(&own, false, &[candidate("b", true, Some(1), 0)], PLACE, at(9));
    assert_eq!((other.effective, other.applied), (Some(false), None));
}

#[rstest]
#[case::latest_flag(candidate("a", true, Some(2), 0), candidate("b", true, Some(1), 9))]
#[case::made_last(candidate("a", true, Some(1), 2), candidate("b", true, Some(1), 1))]
#[case::last_by_name(candidate("b", true, Some(1), 1), candidate("a", true, Some(1), 1))]
#[case::not_recorded_yet(candidate("a", true, None, 0), candidate("b", true, Some(8), 9))]
fn s27_the_order_is_since_then_creation_then_name(#[case] winner: Candidate, #[case] loser: Candidate) {
    let effective = |own: &Candidate, other: &Candidate| {
        stand(own, false, std::slice::from_ref(other), PLACE, at(9)).effective
    };
    assert_eq!((effective(&winner, &loser), effective(&loser, &winner)), (Some(true), Some(false)));
}

#[test]
fn what_is_set_within_one_second_ties_whatever_the_fraction() {
    let now = Timestamp::from_millisecond(at(5).as_millisecond() + 700).unwrap();
    let own = candidate("a", true, None, 2);
    let standing = stand(&own, false, &[candidate("b", true, Some(5), 1)], PLACE, now);
    assert_eq!((standing.since, standing.effective), (Some(at(5)), Some(true)));
    let yields = stand(&own, false, &[candidate("b", true, Some(5), 3)], PLACE, now);
    assert_eq!(yields.effective, Some(false));
}
