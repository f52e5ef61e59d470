//! Who is bound to what in a folder's namespace.

use k8s_openapi::api::rbac::v1::RoleBinding;
use rstest::rstest;

use super::tests::{adopting, alone, at, deleting, folder, namespace, of_ada, outcome};
use super::*;

/// Ada's own folder with its namespace; what it says of her access, and what is done.
fn owned(folder: Folder, owner: OwnerFacts) -> Observed {
    let maker = folder.metadata.uid.clone().filter(|_| !folder.spec.adopt);
    let namespace = Some(namespace(Some("home"), maker.as_deref()));
    Observed { namespace, owner, ..alone(folder) }
}

fn said(observed: &Observed) -> (String, Option<Effect>) {
    let decision = decide(observed, at(200));
    let condition = conditions::find(&decision.status.conditions, ConditionType::OwnerBound);
    let text = condition.map(|it| format!("{}/{}: {}", it.status, it.reason, it.message)).unwrap_or_default();
    (text, decision.effect)
}

fn facts(binding: Option<RoleBinding>) -> OwnerFacts {
    OwnerFacts { role_exists: true, adoptions_are_reviewed: true, binding }
}

fn home() -> Folder {
    of_ada(folder("home", None, 0))
}

#[test]
fn n01_the_owner_of_a_personal_folder_is_bound_once_and_nobody_in_a_shared_one() {
    let unbound = owned(home(), facts(None));
    assert_eq!(
        outcome(&unbound),
        ("False/Pending: the owner is being given access".to_owned(), Some(Effect::BindOwner))
    );
    let bound = owned(home(), facts(owner_binding(&home())));
    assert_eq!(outcome(&bound), ("True/NamespaceOwned: ".to_owned(), None));
    assert_eq!(said(&bound), ("True/OwnerBound: ".to_owned(), None));
    let binding = owner_binding(&home()).unwrap();
    let subjects: Vec<_> =
        binding.subjects.iter().flatten().map(|it| (it.kind.as_str(), it.name.as_str())).collect();
    assert_eq!(subjects, [("User", "ada")]);
    assert_eq!(binding.role_ref.name, "liaison-folder-owner");

    let shared = owned(folder("home", None, 0), facts(None));
    assert_eq!(outcome(&shared), ("True/NamespaceOwned: ".to_owned(), None));
    assert_eq!(said(&shared), (String::new(), None));
    assert_eq!(owner_binding(&shared.folder), None);
}

#[rstest]
#[case::deleted(|_: &mut _| {}, true, Effect::BindOwner)]
#[case::given_to_another(|it: &mut RoleBinding| it.subjects.as_mut().unwrap()[0].name = "eve".to_owned(), false, Effect::BindOwner)]
#[case::given_to_all(|it: &mut RoleBinding| {
    let mut more = it.subjects.clone().unwrap();
    more[0].kind = "Group".to_owned();
    it.subjects.as_mut().unwrap().append(&mut more);
}, false, Effect::BindOwner)]
#[case::taken_from_all(|it: &mut RoleBinding| it.subjects = None, false, Effect::BindOwner)]
#[case::unlabelled(|it: &mut RoleBinding| it.metadata.labels = None, false, Effect::BindOwner)]
#[case::for_another_role(|it: &mut RoleBinding| it.role_ref.name = "cluster-admin".to_owned(), false, Effect::UnbindOwner)]
fn a_binding_that_somebody_changed_is_mended_and_the_folder_stays_ready(
    #[case] change: impl Fn(&mut RoleBinding),
    #[case] gone: bool,
    #[case] effect: Effect,
) {
    let mut observed = owned(home(), facts(owner_binding(&home())));
    observed.folder.status = Some(decide(&observed, at(200)).status);
    let binding = observed.owner.binding.as_mut().unwrap();
    change(binding);
    if gone {
        observed.owner.binding = None;
    }
    let decision = decide(&observed, at(201));
    assert_eq!(decision.effect, Some(effect));
    assert_eq!(Some(&decision.status), observed.folder.status.as_ref(), "nobody is told");
}

#[test]
fn where_the_role_is_missing_the_folder_says_so_and_serves_all_the_same() {
    let mut observed = owned(home(), OwnerFacts { role_exists: false, ..facts(None) });
    assert_eq!(outcome(&observed), ("True/NamespaceOwned: ".to_owned(), None));
    assert_eq!(
        said(&observed),
        (
            "False/OwnerRoleNotFound: ClusterRole \"liaison-folder-owner\" does not exist, so \"ada\" has no access to \
             namespace \"home\" by Liaison; install the chart's roles (rbac.userRoles), or bind a role of your own"
                .to_owned(),
            None
        )
    );
    let decision = decide(&observed, at(200));
    assert_eq!(decision.events, [Event::warning(Reason::OwnerRoleNotFound)]);
    observed.folder.status = Some(decision.status);
    assert_eq!(decide(&observed, at(201)).events, []);
    observed.owner.role_exists = true;
    assert_eq!(decide(&observed, at(202)).effect, Some(Effect::BindOwner));
}

#[test]
fn an_adopted_namespace_is_given_to_nobody_where_nobody_reviews_adoptions() {
    let unreviewed = OwnerFacts { adoptions_are_reviewed: false, ..facts(None) };
    let (text, effect) = said(&owned(adopting(home()), unreviewed.clone()));
    assert!(text.starts_with("False/AdoptionNotReviewed: namespace \"home\" was there before"), "{text}");
    assert_eq!(effect, None);
    assert_eq!(said(&owned(adopting(home()), facts(None))).1, Some(Effect::BindOwner));
    assert_eq!(said(&owned(home(), unreviewed)).1, Some(Effect::BindOwner), "nothing was in it before");
}

#[rstest]
#[case::adopted(adopting(home()), false, [Effect::UnbindOwner, Effect::Release])]
#[case::in_use(home(), true, [Effect::UnbindOwner, Effect::Release])]
#[case::with_its_namespace(home(), false, [Effect::DeleteNamespace, Effect::DeleteNamespace])]
fn what_outlives_a_folder_is_its_owners_no_more(
    #[case] folder: Folder,
    #[case] workloads: bool,
    #[case] effects: [Effect; 2],
) {
    let mut observed = owned(deleting(folder), facts(owner_binding(&home())));
    observed.contents.workloads = workloads;
    let [first, second] = effects;
    assert_eq!(decide(&observed, at(200)).effect, Some(first));
    observed.owner.binding = None;
    assert_eq!(decide(&observed, at(200)).effect, Some(second));
}

#[test]
fn a_binding_that_was_not_made_for_the_folder_is_left_when_it_goes() {
    let mut binding = owner_binding(&home()).unwrap();
    binding.metadata.labels = None;
    let observed = owned(deleting(adopting(home())), facts(Some(binding)));
    assert_eq!(decide(&observed, at(200)).effect, Some(Effect::Release));
}

#[test]
fn an_operator_of_some_namespaces_makes_and_deletes_none() {
    let served = Territory {
        operator_namespace: "liaison-system".to_owned(),
        namespaces: Some(["home".to_owned()].into()),
    };
    let mut observed = Observed { territory: served, ..alone(home()) };
    assert_eq!(
        outcome(&observed),
        ("False/NamespaceNotFound: namespace \"home\" does not exist; create it".to_owned(), None)
    );
    let mut made = owned(deleting(home()), facts(None));
    made.territory = observed.territory.clone();
    assert_eq!(decide(&made, at(200)).effect, Some(Effect::Release));
    observed.folder.spec.namespace = Some("elsewhere".to_owned());
    let (text, effect) = outcome(&observed);
    assert_eq!(
        text,
        "False/NamespaceNotServed: Liaison does not work in namespace \"elsewhere\"; choose one that it works in, or have \
         an administrator add this one (--namespaces)"
    );
    assert_eq!(effect, None);
}
