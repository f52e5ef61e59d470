//! Folders: what each situation says, does, and how it heals.

use proptest::prelude::*;
use proptest::sample::select;
use rstest::rstest;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::FolderSpec;
use crate::api::folder::FolderType;
use crate::api::schema::NameReference;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A folder that is held already, made at that second.
pub(super) fn folder(name: &str, parent: Option<&str>, made: i64) -> Folder {
    let mut folder =
        Folder::new(name, FolderSpec { display_name: name.to_uppercase(), ..FolderSpec::default() });
    folder.spec.parent_ref = parent.map(|name| NameReference { name: name.to_owned() });
    folder.metadata.uid = Some(format!("uid-of-{name}"));
    folder.metadata.generation = Some(1);
    folder.metadata.creation_timestamp = Some(Time(at(made)));
    folder.metadata.finalizers = Some(vec![FOLDER_FINALIZER.to_owned()]);
    folder
}

pub(super) fn alone(folder: Folder) -> Observed {
    among(folder, &[])
}

fn among(folder: Folder, others: &[Folder]) -> Observed {
    Observed {
        folders: others.iter().cloned().chain([folder.clone()]).collect(),
        folder,
        namespace: None,
        contents: Contents::default(),
        owner: OwnerFacts { role_exists: true, adoptions_are_reviewed: true, binding: None },
        territory: Territory { operator_namespace: "liaison-system".to_owned(), namespaces: None },
    }
}

pub(super) fn namespace(label: Option<&str>, made_by: Option<&str>) -> NamespaceFacts {
    let pair = |key: &str, value: Option<&str>| value.map(|value| (key.to_owned(), value.to_owned()));
    NamespaceFacts {
        labels: pair(FOLDER_LABEL, label).into_iter().collect(),
        annotations: pair(CREATED_BY_ANNOTATION, made_by).into_iter().collect(),
        terminating: false,
    }
}

pub(super) fn adopting(mut folder: Folder) -> Folder {
    folder.spec.adopt = true;
    folder
}

/// Ada's own.
pub(super) fn of_ada(mut folder: Folder) -> Folder {
    folder.spec.folder_type = FolderType::Personal;
    folder.spec.owner = Some("ada".to_owned());
    folder
}

pub(super) fn deleting(mut folder: Folder) -> Folder {
    folder.metadata.deletion_timestamp = Some(Time(at(100)));
    folder
}

/// Ready as `status/reason: message`, and the effect.
pub(super) fn outcome(observed: &Observed) -> (String, Option<Effect>) {
    let decision = decide(observed, at(200));
    let ready = conditions::find(&decision.status.conditions, ConditionType::Ready).unwrap();
    (format!("{}/{}: {}", ready.status, ready.reason, ready.message), decision.effect)
}

fn expected(text: &str, effect: Option<Effect>) -> (String, Option<Effect>) {
    (text.to_owned(), effect)
}

#[test]
fn s09_a_folder_is_held_then_makes_its_namespace_then_owns_it() {
    let mut unheld = folder("finance", None, 0);
    unheld.metadata.finalizers = None;
    assert_eq!(
        outcome(&alone(unheld)),
        expected("False/Pending: the folder is being set up", Some(Effect::Hold))
    );
    let mut observed = alone(folder("finance", None, 0));
    assert_eq!(
        outcome(&observed),
        expected("False/Pending: the namespace is being made", Some(Effect::CreateNamespace))
    );
    observed.namespace = Some(namespace(Some("finance"), Some("uid-of-finance")));
    assert_eq!(outcome(&observed), expected("True/NamespaceOwned: ", None));
    let status = decide(&observed, at(0)).status;
    assert_eq!((status.namespace.as_deref(), status.path.as_deref()), (Some("finance"), Some("FINANCE")));
}

#[test]
fn a_namespace_that_is_there_is_adopted_only_when_the_folder_says_so() {
    let mut observed = alone(folder("finance", None, 0));
    observed.namespace = Some(namespace(None, None));
    assert_eq!(
        outcome(&observed),
        expected(
            "False/NamespaceExists: namespace \"finance\" exists already; set spec.adopt to true to take it over, or \
             choose another spec.namespace",
            None
        )
    );
    observed.folder = adopting(observed.folder);
    assert_eq!(
        outcome(&observed),
        expected("False/Pending: the namespace is being labelled", Some(Effect::LabelNamespace))
    );
    observed.namespace = Some(namespace(Some("finance"), None));
    assert_eq!(outcome(&observed), expected("True/NamespaceOwned: ", None));
}

#[test]
fn a_label_of_the_folders_name_alone_gives_it_nothing() {
    let mut observed = alone(folder("finance", None, 0));
    observed.namespace = Some(namespace(Some("finance"), Some("uid-of-another")));
    assert!(outcome(&observed).0.starts_with("False/NamespaceExists"));
}

#[rstest]
#[case::to_adopt(
    adopting(folder("finance", None, 0)),
    None,
    "False/NamespaceNotFound: namespace \"finance\" does not exist; create it, or set spec.adopt to false"
)]
#[case::in_the_way(folder("finance", None, 0), Some(namespace(None, None)), "False/NamespaceExists")]
#[case::going(
    folder("finance", None, 0),
    Some(namespace(Some("finance"), Some("uid-of-finance"))).map(|facts| NamespaceFacts { terminating: true, ..facts }),
    "False/NamespaceTerminating: namespace \"finance\" is being deleted"
)]
fn a_namespace_that_no_watch_shows_is_looked_at_again_soon(
    #[case] folder: Folder,
    #[case] namespace: Option<NamespaceFacts>,
    #[case] text: &str,
) {
    let observed = Observed { namespace, ..alone(folder) };
    let (said, effect) = outcome(&observed);
    assert!(said.starts_with(text), "{said}");
    assert_eq!((effect, decide(&observed, at(200)).next), (None, Some(at(205))));
}

#[rstest]
#[case("default")]
#[case("kube-system")]
#[case("kube-flannel")]
#[case("liaison-system")]
fn reserved_namespaces_are_no_folders(#[case] name: &str) {
    let mut folder = adopting(folder("finance", None, 0));
    folder.spec.namespace = Some(name.to_owned());
    let (said, effect) = outcome(&Observed { namespace: Some(namespace(None, None)), ..alone(folder) });
    assert!(said.starts_with("False/NamespaceReserved"), "{said}");
    assert_eq!(effect, None);
}

#[test]
fn of_two_folders_for_one_namespace_the_younger_yields() {
    let mut younger = folder("b", None, 10);
    younger.spec.namespace = Some("a".to_owned());
    let elder = folder("a", None, 5);
    assert_eq!(
        outcome(&among(younger.clone(), std::slice::from_ref(&elder))),
        expected(
            "False/NamespaceTaken: folder \"a\" has namespace \"a\"; delete this Folder, or that one",
            None
        )
    );
    assert_eq!(
        outcome(&among(elder.clone(), std::slice::from_ref(&younger))).1,
        Some(Effect::CreateNamespace)
    );

    // The elder may never have been held: then no watch tells when it goes.
    let yielding = among(younger.clone(), std::slice::from_ref(&elder));
    assert_eq!(decide(&yielding, at(200)).next, Some(at(205)));

    // Made in the same second: the uid decides, the same way from both sides.
    younger.metadata.creation_timestamp = elder.metadata.creation_timestamp.clone();
    assert!(
        outcome(&among(younger.clone(), std::slice::from_ref(&elder))).0.starts_with("False/NamespaceTaken")
    );
    assert_eq!(outcome(&among(elder, &[younger])).1, Some(Effect::CreateNamespace));
}

#[test]
fn s13_the_path_is_made_of_display_names_from_the_root_down() {
    let (root, middle) = (folder("finance", None, 0), folder("ap", Some("finance"), 0));
    let observed = among(folder("dach", Some("ap"), 0), &[root, middle]);
    assert_eq!(decide(&observed, at(0)).status.path.as_deref(), Some("FINANCE/AP/DACH"));
}

#[test]
fn s13_a_folder_that_would_be_its_own_ancestor_is_reported() {
    let observed = among(folder("a", Some("b"), 0), &[folder("b", Some("a"), 0)]);
    let (said, effect) = outcome(&observed);
    assert_eq!(said, "False/FolderCycle: folder \"a\" would be its own ancestor");
    assert_eq!(effect, None);
    // Below a circle that it is no part of.
    let others = [folder("a", Some("b"), 0), folder("b", Some("a"), 0)];
    let (said, _) = outcome(&among(folder("c", Some("a"), 0), &others));
    assert_eq!(said, "False/FolderCycle: folder \"a\" would be its own ancestor");
    let (said, _) = outcome(&alone(folder("a", Some("a"), 0)));
    assert_eq!(said, "False/FolderCycle: folder \"a\" would be its own ancestor");
}

#[test]
fn s13_a_tree_is_deeper_than_anybody_needs_and_too_deep_is_no_cycle() {
    let chain: Vec<_> = (1..=DEEPEST)
        .map(|level| {
            let parent = (level > 1).then(|| format!("l{}", level - 1));
            folder(&format!("l{level}"), parent.as_deref(), 0)
        })
        .collect();
    let (deepest, above) = chain.split_last().unwrap();
    assert_eq!(outcome(&among(deepest.clone(), above)).1, Some(Effect::CreateNamespace));
    let below = among(folder("below", Some("l64"), 0), &chain);
    let said =
        "False/FolderTooDeep: folder \"below\" would be more than 64 levels deep; choose a parent above";
    assert_eq!(outcome(&below), expected(said, None));
}

#[test]
fn the_deepest_path_of_the_longest_names_fits_its_field() {
    let mut folders: Vec<_> = (0..100)
        .map(|depth| {
            let parent = (depth > 0).then(|| format!("f{}", depth - 1));
            let mut folder = folder(&format!("f{depth}"), parent.as_deref(), 0);
            folder.spec.display_name = "é".repeat(128);
            folder
        })
        .collect();
    let mut longest = 0;
    for _ in 0..folders.len() {
        let this = folders.remove(0);
        let path = decide(&among(this.clone(), &folders), at(0)).status.path.unwrap_or_default();
        longest = longest.max(path.chars().count());
        folders.push(this);
    }
    assert!((8000..=8320).contains(&longest), "{longest}");
}

#[test]
fn a_missing_parent_is_reported_and_heals() {
    let mut observed = alone(folder("ap", Some("finance"), 0));
    assert_eq!(
        outcome(&observed),
        expected(
            "False/ParentNotFound: spec.parentRef: folder \"finance\" does not exist; create it first",
            None
        )
    );
    observed.folders.push(folder("finance", None, 0));
    assert_eq!(outcome(&observed).1, Some(Effect::CreateNamespace));
}

#[test]
fn a_folder_goes_only_when_it_is_empty() {
    let child = folder("ap", Some("finance"), 0);
    let mut observed = among(deleting(folder("finance", None, 0)), &[child]);
    observed.namespace = Some(namespace(Some("finance"), Some("uid-of-finance")));
    observed.contents.held.connections = vec!["crm".to_owned(), "jira".to_owned()];
    observed.contents.held.bindings = vec!["sync".to_owned()];
    let looked_at_again = |observed: &Observed| decide(observed, at(200)).next == Some(at(205));
    assert_eq!(
        outcome(&observed),
        expected(
            "False/FolderNotEmpty: folder \"finance\" still holds folders: ap; connections: crm, jira; process \
             bindings: sync; delete them first",
            None
        )
    );
    assert!(looked_at_again(&observed));
    observed.folders.remove(0);
    observed.contents.held.connections.clear();
    assert_eq!(
        outcome(&observed),
        expected(
            "False/FolderNotEmpty: folder \"finance\" still holds process bindings: sync; delete them first",
            None
        )
    );
    assert!(looked_at_again(&observed));
    observed.contents.held.bindings.clear();
    assert_eq!(outcome(&observed).1, Some(Effect::DeleteNamespace));
    observed.namespace.as_mut().unwrap().terminating = true;
    assert_eq!(outcome(&observed).1, Some(Effect::Release));
}

#[rstest]
#[case::adopted(Some(namespace(Some("finance"), None)), false)]
#[case::in_use(Some(namespace(Some("finance"), Some("uid-of-finance"))), true)]
#[case::of_another_folder(Some(namespace(Some("other"), Some("uid-of-finance"))), false)]
#[case::gone(None, false)]
fn a_namespace_that_is_not_the_folders_alone_outlives_it(
    #[case] namespace: Option<NamespaceFacts>,
    #[case] workloads: bool,
) {
    let mut observed = Observed { namespace, ..alone(deleting(folder("finance", None, 0))) };
    observed.contents.workloads = workloads;
    assert_eq!(outcome(&observed).1, Some(Effect::Release));
}

#[test]
fn a_folder_that_is_not_held_any_more_is_left_alone() {
    let mut going = deleting(folder("finance", None, 0));
    going.metadata.finalizers = None;
    assert_eq!(outcome(&alone(going)).1, None);
}

#[test]
fn a_cause_that_a_person_has_to_mend_is_told_once() {
    let mut observed = alone(adopting(folder("finance", None, 0)));
    let decision = decide(&observed, at(0));
    assert_eq!(decision.events, [Event::warning(Reason::NamespaceNotFound)]);
    observed.folder.status = Some(decision.status);
    assert_eq!(decide(&observed, at(1)).events, []);
}

prop_compose! {
    fn snapshots()(
        names in prop::collection::vec((select(vec!["a", "b", "c"]), select(vec![None, Some("a"), Some("b"), Some("x")]), 0_i64..2), 0..3),
        namespace in select(vec![None, Some(namespace(None, None)), Some(namespace(Some("me"), None)), Some(namespace(Some("me"), Some("uid-of-me"))), Some(namespace(Some("a"), Some("uid-of-me")))]),
        terminating in any::<bool>(),
        (adopt, held, going, workloads) in any::<(bool, bool, bool, bool)>(),
        (personal, bound, role_exists, reviewed) in any::<(bool, bool, bool, bool)>(),
        parent in select(vec![None, Some("a"), Some("me")]),
        connections in select(vec![vec![], vec!["crm".to_owned()]]),
    ) -> Observed {
        let mut this = folder("me", parent, 1);
        this.spec.adopt = adopt;
        if !held {
            this.metadata.finalizers = None;
        }
        if personal {
            this = of_ada(this);
        }
        let this = if going { deleting(this) } else { this };
        let binding = owner_binding(&this).filter(|_| bound);
        let others: Vec<_> = names.iter().map(|(name, parent, made)| {
            let mut other = folder(name, *parent, *made);
            other.spec.namespace = (*made == 0).then(|| "me".to_owned());
            other
        }).collect();
        Observed {
            namespace: namespace.map(|facts| NamespaceFacts { terminating, ..facts }),
            contents: Contents { held: Held { connections, bindings: Vec::new() }, workloads },
            owner: OwnerFacts { role_exists, adoptions_are_reviewed: reviewed, binding },
            ..among(this, &others)
        }
    }
}

proptest! {
    #[test]
    fn a_second_decision_writes_nothing_and_tells_nobody(mut observed in snapshots()) {
        let first = decide(&observed, at(0));
        observed.folder.status = Some(first.status.clone());
        let second = decide(&observed, at(100));
        prop_assert_eq!(second.status, first.status);
        prop_assert_eq!(second.events, []);
        prop_assert_eq!(second.effect, first.effect);
    }

    #[test]
    fn a_namespace_is_deleted_only_where_it_was_made_by_the_folder_and_is_empty(observed in snapshots()) {
        if decide(&observed, at(0)).effect == Some(Effect::DeleteNamespace) {
            let facts = observed.namespace.unwrap();
            prop_assert_eq!(facts.annotations.get(CREATED_BY_ANNOTATION), observed.folder.metadata.uid.as_ref());
            prop_assert_eq!(observed.contents, Contents::default());
            prop_assert!(observed.folder.metadata.deletion_timestamp.is_some());
        }
    }
}
