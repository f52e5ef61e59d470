//! Patterns of hosts, as lists of allowed hosts have them: a host name, or `*.` and a domain for every host below it.

use url::Host;

/// Whether a pattern covers a host. Hosts are as addresses write them, in lower case; IP literals are covered by none
/// but themselves.
pub fn covers(pattern: &str, host: &str) -> bool {
    let Some(domain) = pattern.strip_prefix("*.") else { return pattern == host };
    let below = host.strip_suffix(domain).and_then(|below| below.strip_suffix('.'));
    // A host that has only dots before the domain is no name below it, and an address is no name at all.
    below.is_some_and(|below| below.split('.').all(|label| !label.is_empty()))
        && matches!(Host::parse(host), Ok(Host::Domain(_)))
}

/// Whether one of the patterns covers a host.
pub fn any_covers(patterns: &[String], host: &str) -> bool {
    patterns.iter().any(|pattern| covers(pattern, host))
}

/// What all lists allow, as patterns: of two that overlap one lies within the other.
pub fn common(lists: &[&[String]]) -> Vec<String> {
    let lies_within = |inner: &str, outer: &str| match inner.strip_prefix("*.") {
        Some(domain) => inner == outer || (outer.starts_with("*.") && covers(outer, domain)),
        None => covers(outer, inner),
    };
    let mut common: Vec<String> = lists
        .iter()
        .copied()
        .flatten()
        .filter(|pattern| lists.iter().all(|list| list.iter().any(|outer| lies_within(pattern, outer))))
        .cloned()
        .collect();
    common.sort();
    common.dedup();
    common
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("api.example.com", "api.example.com", true)]
    #[case("api.example.com", "xapi.example.com", false)]
    #[case("*.example.com", "api.example.com", true)]
    #[case("*.example.com", "eu.api.example.com", true)]
    #[case("*.example.com", "example.com", false)]
    #[case("*.example.com", ".example.com", false)]
    #[case("*.example.com", "badexample.com", false)]
    #[case("*.example.com", "api.example.com.evil.example", false)]
    #[case("api.example.com", "api.example.com.", false)]
    #[case("*.0.0.1", "127.0.0.1", false)]
    fn a_pattern_covers_the_host_itself_or_all_below_the_domain(
        #[case] pattern: &str,
        #[case] host: &str,
        #[case] covered: bool,
    ) {
        assert_eq!(covers(pattern, host), covered);
    }

    fn patterns() -> impl Strategy<Value = Vec<String>> {
        let known = ["a.b.c", "b.c", "c", "*.c", "*.b.c", "*.a.b.c", "d.c", "x.a.b.c"];
        prop::collection::vec(select(known.map(str::to_owned).to_vec()), 0..5)
    }

    proptest! {
        #[test]
        fn what_is_common_covers_exactly_what_every_list_covers(
            lists in prop::collection::vec(patterns(), 1..4),
            host in select(vec!["a.b.c", "b.c", "c", "d.c", "x.a.b.c", "y.x.a.b.c", "e.b.c", "f"]),
        ) {
            let common = common(&lists.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(any_covers(&common, host), lists.iter().all(|list| any_covers(list, host)));
        }
    }
}
