//! Which policies govern a folder, and whose word counts.

use rstest::rstest;

use super::*;
use crate::api::schema::NameReference;

#[test]
fn the_way_from_the_root_is_followed_and_a_gap_or_a_circle_in_it_is_told() {
    let names: Vec<_> = tree().folders.into_iter().map(|folder| folder.name).collect();
    assert_eq!(names, ["root", "middle", "leaf"]);
    let below = |name: &str, parent: &str| {
        let parent_ref = Some(NameReference { name: parent.to_owned() });
        Folder::new(name, FolderSpec { parent_ref, ..FolderSpec::default() })
    };
    let alone = below("a", "b");
    let torn = ancestry("a", &[&alone]);
    assert_eq!((torn.folders.len(), torn.missing.as_deref()), (1, Some("b")));
    let (one, other) = (below("a", "b"), below("b", "a"));
    let circle = ancestry("a", &[&one, &other]);
    assert!(circle.missing.is_some() && circle.folders.len() == FARTHEST);
    assert_eq!(ancestry("x", &[&alone]), Ancestry::default());
}

#[rstest]
#[case::all_folders("{}", true)]
#[case::itself("{folders: {names: [leaf]}}", true)]
#[case::another("{folders: {names: [sibling, root]}}", false)]
#[case::above_without_subtree("{folders: {names: [middle]}}", false)]
#[case::above("{folders: {names: [middle], subtree: true}}", true)]
#[case::labelled("{folders: {selector: {matchLabels: {at: leaf}}}}", true)]
#[case::labelled_otherwise("{folders: {selector: {matchLabels: {at: leaf, more: x}}}}", false)]
#[case::labelled_above("{folders: {subtree: true, selector: {matchLabels: {at: root}}}}", true)]
#[case::named_and_labelled("{folders: {names: [leaf], selector: {matchLabels: {at: leaf}}}}", true)]
#[case::named_or_labelled("{folders: {names: [leaf], selector: {matchLabels: {at: root}}}}", false)]
#[case::nothing_said("{folders: {subtree: true}}", false)]
fn a_policy_governs_the_folders_that_it_selects(#[case] spec: &str, #[case] governs: bool) {
    assert_eq!(effective(&[policy("p", spec)]).sources.len(), usize::from(governs));
}

#[test]
fn n45_policies_are_listed_from_the_cluster_over_subtrees_to_the_folder() {
    let policies = [
        policy("a-leaf", "{folders: {names: [leaf]}}"),
        policy("b-root", "{folders: {names: [root], subtree: true}}"),
        policy("c-all", "{}"),
        policy("d-middle", "{folders: {names: [middle], subtree: true}}"),
    ];
    assert_eq!(effective(&policies).sources, ["c-all", "b-root", "d-middle", "a-leaf"]);
}

#[test]
fn n45_of_defaults_the_nearest_folders_entry_counts_as_a_whole_and_the_first_by_name_of_equal_ones() {
    let entry = |client: &str| {
        format!(
            "defaults: [{{connector: crm, allowedHosts: [x.example], oauthApp: {{secretRef: {{name: {client}}}}}}}]"
        )
    };
    let all = policy("z-all", &format!("{{{}}}", entry("all")));
    let near = |name: &str| {
        policy(name, &format!("{{folders: {{names: [leaf]}}, overridable: false, {}}}", entry(name)))
    };
    let other = policy("near", "{folders: {names: [leaf]}, defaults: [{connector: other}]}");
    let by = |policies: &[ConnectionPolicy]| effective(policies).default.map(|said| said.by);
    assert_eq!(by(&[all.clone(), other]).as_deref(), Some("z-all"), "an entry for another connector");
    assert_eq!(by(&[all.clone(), near("y"), near("x")]).as_deref(), Some("x"));
    let bare = policy("bare", "{folders: {names: [leaf]}, defaults: [{connector: crm, scopes: [read]}]}");
    let default = effective(&[all, bare]).default.unwrap();
    assert_eq!((default.by.as_str(), default.what.oauth_app), ("bare", None), "nothing is mixed");
}

/// Policies at the root and at the folder itself, which say this of enforcement.
fn enforcement(root: &str, leaf: &str) -> Option<String> {
    let root = policy("root", &format!("{{folders: {{names: [root], subtree: true}}, {root}}}"));
    let leaf = policy("leaf", &format!("{{folders: {{names: [leaf]}}, {leaf}}}"));
    effective(&[root, leaf]).to_status().unwrap().enforcement
}

#[rstest]
#[case::nobody("overridable: true", "overridable: true", "Report")]
#[case::only_below("overridable: false", "enforcement: Suspend", "Suspend/leaf")]
#[case::stays("enforcement: Suspend", "enforcement: Report", "Suspend/root")]
#[case::stays_also_the_milder_one("enforcement: Report", "enforcement: Suspend", "Report/root")]
#[case::overridden("enforcement: Suspend, overridable: true", "enforcement: Report", "Report/leaf")]
#[case::not_spoken_below("enforcement: Suspend, overridable: true", "overridable: true", "Suspend/root")]
fn n45_elsewhere_the_nearest_wins_only_where_the_ancestor_lets_it(
    #[case] root: &str,
    #[case] leaf: &str,
    #[case] expected: &str,
) {
    assert_eq!(enforcement(root, leaf).as_deref(), Some(expected));
}

#[test]
fn n45_at_one_depth_a_denial_wins_and_one_that_is_final_ends_it() {
    let at_leaf = |name: &str, spec: &str| policy(name, &format!("{{folders: {{names: [leaf]}}, {spec}}}"));
    let both = [
        policy(
            "all-a",
            "{handOutStatic: true, consent: {allowCodeEntry: true}, accounts: ['*'], overridable: true}",
        ),
        policy("all-b", "{handOutStatic: false, consent: {allowCodeEntry: false}, accounts: ['a*']}"),
        at_leaf("leaf", "handOutStatic: true, consent: {allowCodeEntry: true}, accounts: ['b*']"),
    ];
    let policy = effective(&both);
    assert_eq!(policy.hands_out_static(), Err("all-b"));
    assert!(!policy.allows_code_entry());
    assert_eq!(account_violation("ann", &policy), None, "on both lists of the highest depth");
    assert!(account_violation("bob", &policy).unwrap().message.contains("policy \"all-b\""));

    let open = [
        self::policy("all", "{handOutStatic: false, accounts: ['a*'], overridable: true}"),
        at_leaf("leaf", "handOutStatic: true, consent: {allowCodeEntry: true}, accounts: ['b*']"),
    ];
    let policy = effective(&open);
    assert_eq!(policy.hands_out_static(), Ok(()));
    assert!(policy.allows_code_entry());
    assert_eq!(account_violation("bob", &policy), None);
    assert!(account_violation("ann", &policy).is_some());
}

#[test]
fn without_a_word_static_credentials_are_handed_out_and_codes_are_not_entered() {
    let policy = effective(&[policy("p", "{}")]);
    assert_eq!((policy.hands_out_static(), policy.allows_code_entry()), (Ok(()), false));
    assert_eq!(policy.restricts_accounts(), None);
    assert_eq!(EffectivePolicy::default().to_status(), None);
}

#[test]
fn the_status_shows_what_all_lists_of_hosts_have_in_common() {
    let hosts = |policies: &[ConnectionPolicy]| effective(policies).to_status().unwrap().allowed_hosts;
    assert_eq!(hosts(&[policy("p", "{}")]), None);
    let wide = policy("wide", "{allowedHosts: ['*.example.com', other.example]}");
    let narrow =
        policy("narrow", "{folders: {names: [leaf]}, allowedHosts: ['*.eu.example.com', x.example]}");
    assert_eq!(hosts(&[wide.clone(), narrow]), Some(vec!["*.eu.example.com".to_owned()]));
    let nothing = policy("nothing", "{allowedHosts: []}");
    assert_eq!(hosts(&[wide, nothing]), Some(Vec::new()));
}

#[test]
fn egress_exceptions_add_up_and_what_is_none_is_left_out() {
    let policies = [
        policy("a", "{egressExceptions: ['crm.internal:8443', 'CRM.internal:80']}"),
        policy("b", "{folders: {names: [leaf]}, egressExceptions: ['[::1]:8080', 'x:0', 'x:99999', ':80']}"),
        policy("c", "{folders: {names: [sibling]}, egressExceptions: ['elsewhere:1']}"),
    ];
    let found: Vec<_> = effective(&policies).egress_exceptions.into_iter().collect();
    let expected = [("[::1]", 8080), ("crm.internal", 80), ("crm.internal", 8443)];
    assert_eq!(found, expected.map(|(host, port)| (host.to_owned(), port)));
}
