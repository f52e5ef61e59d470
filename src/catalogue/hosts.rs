//! Patterns of hosts, as lists of allowed hosts have them: a host name, or `*.` and a domain for every host below it; and
//! one port. A pattern without a port means that of https: who answers at another port of a host may be somebody else.

use url::Host;

/// The port of a pattern that names none.
const STANDARD_PORT: u16 = 443;

/// The pattern of the host alone, and the port. One that cannot be a port covers nothing.
fn parts(pattern: &str) -> Option<(&str, u16)> {
    match pattern.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((pattern, STANDARD_PORT)),
    }
}

/// A host and a port as a pattern has them, and as people read them.
pub fn shown(host: &str, port: u16) -> String {
    if port == STANDARD_PORT { host.to_owned() } else { format!("{host}:{port}") }
}

/// Whether a pattern covers a port of a host.
pub fn covers(pattern: &str, host: &str, port: u16) -> bool {
    parts(pattern).is_some_and(|(pattern, only)| only == port && covers_host(pattern, host))
}

/// Hosts are as addresses write them, in lower case; IP literals are covered by none but themselves.
fn covers_host(pattern: &str, host: &str) -> bool {
    let Some(domain) = pattern.strip_prefix("*.") else { return pattern == host };
    let below = host.strip_suffix(domain).and_then(|below| below.strip_suffix('.'));
    // A host that has only dots before the domain is no name below it, and an address is no name at all.
    below.is_some_and(|below| below.split('.').all(|label| !label.is_empty()))
        && matches!(Host::parse(host), Ok(Host::Domain(_)))
}

/// Whether one of the patterns covers a port of a host.
pub fn any_covers(patterns: &[String], host: &str, port: u16) -> bool {
    patterns.iter().any(|pattern| covers(pattern, host, port))
}

/// What all lists allow, as patterns: of two that overlap one lies within the other.
pub fn common(lists: &[&[String]]) -> Vec<String> {
    let host_lies_within = |inner: &str, outer: &str| match inner.strip_prefix("*.") {
        Some(domain) => inner == outer || (outer.starts_with("*.") && covers_host(outer, domain)),
        None => covers_host(outer, inner),
    };
    let lies_within = |(inner, port): (&str, u16), outer: &str| {
        parts(outer).is_some_and(|(outer, only)| only == port && host_lies_within(inner, outer))
    };
    let mut common: Vec<String> = lists
        .iter()
        .copied()
        .flatten()
        .filter_map(|pattern| parts(pattern))
        .filter(|inner| lists.iter().all(|list| list.iter().any(|outer| lies_within(*inner, outer))))
        .map(|(pattern, port)| shown(pattern, port))
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
    #[case("api.example.com:443", "api.example.com", true)]
    #[case("api.example.com:8443", "api.example.com", false)]
    #[case("api.example.com:0", "api.example.com", false)]
    #[case("api.example.com:65979", "api.example.com", false)]
    #[case("api.example.com:", "api.example.com", false)]
    fn a_pattern_covers_the_host_itself_or_all_below_the_domain(
        #[case] pattern: &str,
        #[case] host: &str,
        #[case] covered: bool,
    ) {
        assert_eq!(covers(pattern, host, 443), covered);
        assert!(!covers(pattern, host, 444), "nor any other port");
    }

    #[rstest]
    #[case("api.example.com", 443, true)]
    #[case("api.example.com", 8443, false)]
    #[case("api.example.com", 80, false)]
    #[case("api.example.com:8443", 8443, true)]
    #[case("api.example.com:8443", 443, false)]
    #[case("*.example.com:8443", 8443, true)]
    #[case("*.example.com:8443", 443, false)]
    #[case("api.example.com:80", 80, true)]
    fn a_pattern_is_for_one_port_that_of_https_where_it_names_none(
        #[case] pattern: &str,
        #[case] port: u16,
        #[case] covered: bool,
    ) {
        assert_eq!(covers(pattern, "api.example.com", port), covered);
    }

    #[test]
    fn the_port_of_https_is_not_shown() {
        let lists = [["a.b:443".to_owned(), "a.b".to_owned(), "a.b:8443".to_owned()]];
        assert_eq!(common(&[&lists[0]]), ["a.b", "a.b:8443"]);
    }

    fn patterns() -> impl Strategy<Value = Vec<String>> {
        let known = [
            "a.b.c",
            "b.c",
            "c",
            "*.c",
            "*.b.c",
            "*.a.b.c",
            "d.c",
            "x.a.b.c",
            "*.c:80",
            "b.c:80",
            "b.c:443",
            "d.c:99999",
        ];
        prop::collection::vec(select(known.map(str::to_owned).to_vec()), 0..5)
    }

    proptest! {
        #[test]
        fn what_is_common_covers_exactly_what_every_list_covers(
            lists in prop::collection::vec(patterns(), 1..4),
            host in select(vec!["a.b.c", "b.c", "c", "d.c", "x.a.b.c", "y.x.a.b.c", "e.b.c", "f"]),
            port in select(vec![443, 80]),
        ) {
            let common = common(&lists.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let everywhere = lists.iter().all(|list| any_covers(list, host, port));
            prop_assert_eq!(any_covers(&common, host, port), everywhere);
        }
    }
}
