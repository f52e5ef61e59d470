use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;

use crate::api::schema::NameReference;
use crate::api::{Folder, FolderSpec};
use crate::domain::admission::*;
use crate::domain::conditions::{self, ConditionType};
use crate::domain::folder::{self as folders, Contents, Held, NamespaceFacts, OwnerFacts, Territory};

fn a_folder(name: &str, parent: Option<&str>, namespace: &str) -> Folder {
    let spec = FolderSpec {
        display_name: name.to_uppercase(),
        parent_ref: parent.map(|parent| NameReference { name: parent.to_owned() }),
        namespace: Some(namespace.to_owned()),
        ..FolderSpec::default()
    };
    let mut folder = Folder::new(name, spec);
    folder.metadata.uid = Some(format!("uid-{name}"));
    folder
}

/// An operator that works in some namespaces only.
fn territory() -> Territory {
    let served = ["a", "b", "c", "deep", "team"].map(ToOwned::to_owned);
    Territory { operator_namespace: "liaison-system".to_owned(), namespaces: Some(served.into()) }
}

/// What the condition of a Folder that slipped past admission says.
fn folder_condition(folder: &Folder, others: &[Folder], held: &Held) -> String {
    let name = folder.metadata.name.clone().unwrap();
    let observed = folders::Observed {
        folder: folder.clone(),
        folders: [others, std::slice::from_ref(folder)].concat(),
        namespace: Some(NamespaceFacts {
            labels: BTreeMap::from([(crate::api::names::FOLDER_LABEL.to_owned(), name)]),
            ..NamespaceFacts::default()
        }),
        contents: Contents { held: held.clone(), workloads: false },
        owner: OwnerFacts::default(),
        territory: territory(),
    };
    let status = folders::decide(&observed, jiff::Timestamp::UNIX_EPOCH).status;
    conditions::find(&status.conditions, ConditionType::Ready).unwrap().message.clone()
}

#[rstest]
#[case(a_folder("a", Some("b"), "a"), "folder \"a\" would be its own ancestor")]
#[case(
    a_folder("c", None, "kube-system"),
    "namespace \"kube-system\" belongs to the cluster or the operator"
)]
#[case(
    a_folder("c", None, "liaison-system"),
    "namespace \"liaison-system\" belongs to the cluster or the operator"
)]
#[case(a_folder("c", None, "elsewhere"), "Liaison does not work in namespace \"elsewhere\"")]
#[case(
    a_folder("deep", Some("l64"), "deep"),
    "folder \"deep\" would be more than 64 levels deep; choose a parent above"
)]
#[case(a_folder("c", None, "b"), "folder \"b\" has namespace \"b\"; delete this Folder, or that one")]
fn a_refused_folder_reads_what_its_condition_would_say(#[case] mut new: Folder, #[case] begins: &str) {
    let mut others = vec![a_folder("b", Some("a"), "b"), a_folder("l1", None, "l1")];
    others
        .extend((2..=64).map(|n| a_folder(&format!("l{n}"), Some(&format!("l{}", n - 1)), &format!("l{n}"))));
    let Ruling::Refuse(message) = folder(&new, &others, &territory()) else { panic!("it passes") };
    assert!(message.starts_with(begins), "{message}");
    new.metadata.creation_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    assert_eq!(message, folder_condition(&new, &others, &Held::default()));
}

#[test]
fn a_folder_whose_parent_or_predecessor_is_on_its_way_passes() {
    let mut going = a_folder("old", None, "team");
    going.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    let new = a_folder("new", Some("not-yet"), "team");
    assert_eq!(folder(&new, &[going], &territory()), Ruling::Pass);
}

#[test]
fn a_folder_goes_after_what_it_holds_and_says_so_in_the_words_of_its_condition() {
    let parent = a_folder("f", None, "f");
    let child = a_folder("child", Some("f"), "child");
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let holding = |connections: &[&str], bindings: &[&str]| Held {
        connections: owned(connections),
        bindings: owned(bindings),
    };
    let leaving = |folders: &[&Folder], held: Held| Leaving {
        folders: folders.iter().map(|folder| (*folder).clone()).collect(),
        held,
        terminating: false,
    };
    assert_eq!(folder_deletion(&parent, &leaving(&[&parent], Held::default())), Ruling::Pass);
    let mut deleted = parent.clone();
    deleted.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    deleted.metadata.finalizers = Some(vec![crate::api::names::FOLDER_FINALIZER.to_owned()]);
    for (folders, held, says) in [
        (
            vec![&parent, &child],
            holding(&["a", "b"], &["sync"]),
            "folder \"f\" still holds folders: child; connections: a, b; process bindings: sync; delete them first",
        ),
        (
            vec![&parent, &child],
            Held::default(),
            "folder \"f\" still holds folders: child; delete them first",
        ),
        (vec![&parent], holding(&["a"], &[]), "folder \"f\" still holds connections: a; delete them first"),
        (
            vec![&parent],
            holding(&[], &["s"]),
            "folder \"f\" still holds process bindings: s; delete them first",
        ),
    ] {
        let ruling = folder_deletion(&parent, &leaving(&folders, held.clone()));
        let Ruling::Refuse(message) = ruling else { panic!("it passes") };
        assert_eq!(message, says);
        let others: Vec<_> =
            folders.into_iter().filter(|it| it.metadata.name != parent.metadata.name).cloned().collect();
        assert_eq!(message, folder_condition(&deleted, &others, &held));
    }
    assert_eq!(
        folder_deletion(&deleted, &leaving(&[&child], holding(&["a"], &[]))),
        Ruling::Pass,
        "it is going already"
    );
    let going = Leaving { terminating: true, ..leaving(&[&child], holding(&["a"], &[])) };
    assert_eq!(folder_deletion(&parent, &going), Ruling::Pass, "all of it is going");
}
