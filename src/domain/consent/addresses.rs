//! Where browsers reach us: pages, and the addresses that providers send people back to.

use crate::api::connector::RedirectMode;

/// The address to which a provider sends a person back, exactly as it is registered there. The three kinds cannot be
/// taken for each other: they differ in how many segments follow `/callback`.
pub fn redirect_uri(
    public_url: &str,
    mode: RedirectMode,
    connector: &str,
    namespace: &str,
    name: &str,
) -> String {
    match mode {
        RedirectMode::PerConnector => below(public_url, &["callback", connector]),
        RedirectMode::PerConnection => below(public_url, &["callback", namespace, name]),
        RedirectMode::Shared => below(public_url, &["callback"]),
    }
}

/// The page of a Connection.
pub fn connection_page(public_url: &str, namespace: &str, name: &str) -> String {
    below(public_url, &["connections", namespace, name])
}

/// The page on which a person begins the consent that a ConsentRequest asks for.
pub fn consent_page(public_url: &str, namespace: &str, request_name: &str) -> String {
    below(public_url, &["consent", namespace, request_name])
}

/// Segments are names of Kubernetes objects, which need no encoding.
fn below(public_url: &str, segments: &[&str]) -> String {
    let base = public_url.trim_end_matches('/');
    segments.iter().fold(base.to_owned(), |address, segment| address + "/" + segment)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(RedirectMode::PerConnector, "https://liaison.example.com/callback/jira")]
    #[case(RedirectMode::PerConnection, "https://liaison.example.com/callback/finance/crm")]
    #[case(RedirectMode::Shared, "https://liaison.example.com/callback")]
    fn s46_the_redirect_address_is_one_fixed_address_of_each_mode(
        #[case] mode: RedirectMode,
        #[case] expected: &str,
    ) {
        let address = |public_url| redirect_uri(public_url, mode, "jira", "finance", "crm");
        assert_eq!(address("https://liaison.example.com"), expected);
        assert_eq!(address("https://liaison.example.com/"), expected);
    }

    #[rstest]
    #[case("https://example.com/liaison")]
    #[case("https://example.com/liaison/")]
    fn a_path_before_our_own_is_kept(#[case] public_url: &str) {
        assert_eq!(
            [
                redirect_uri(public_url, RedirectMode::PerConnector, "jira", "finance", "crm"),
                connection_page(public_url, "finance", "crm"),
                consent_page(public_url, "finance", "crm-x7k2p"),
            ],
            [
                "https://example.com/liaison/callback/jira",
                "https://example.com/liaison/connections/finance/crm",
                "https://example.com/liaison/consent/finance/crm-x7k2p",
            ]
        );
    }
}
