//! Who asks for a credential, as the API server knows them.

use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

/// How the name of a ServiceAccount's user begins.
const PREFIX: &str = "system:serviceaccount:";

/// Where the API server tells the Pod that a token is bound to.
const POD: &str = "authentication.kubernetes.io/pod-name";

/// A ServiceAccount that asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// The Pod that its token is bound to, where it is; the API server has made sure that it is still there.
    pub pod: Option<String>,
    /// All that the API server knows of it, which its authorizers are asked with.
    pub user: UserInfo,
}

/// The ServiceAccount that a token belongs to, if the API server accepts it for our audience.
pub fn caller(review: TokenReviewStatus, audience: &str) -> Option<Caller> {
    let for_us = review.audiences.iter().flatten().any(|named| named == audience);
    if review.authenticated != Some(true) || !for_us {
        return None;
    }
    let user = review.user?;
    let (namespace, name) = user.username.as_deref()?.strip_prefix(PREFIX)?.split_once(':')?;
    if namespace.is_empty() || name.is_empty() || name.contains(':') {
        return None;
    }
    let (namespace, service_account) = (namespace.to_owned(), name.to_owned());
    let pod = user.extra.as_ref().and_then(|extra| extra.get(POD)?.first().cloned());
    Some(Caller { namespace, service_account, pod, user })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn reviewed(username: &str) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec!["liaison.dev".to_owned()]),
            user: Some(UserInfo {
                username: Some(username.to_owned()),
                extra: Some([(POD.to_owned(), vec!["worker-1".to_owned()])].into()),
                ..UserInfo::default()
            }),
            error: None,
        }
    }

    #[test]
    fn a_service_account_is_known_with_its_pod() {
        let found = caller(reviewed("system:serviceaccount:team:worker"), "liaison.dev").unwrap();
        assert_eq!((found.namespace.as_str(), found.service_account.as_str()), ("team", "worker"));
        assert_eq!(found.pod.as_deref(), Some("worker-1"));
    }

    #[rstest]
    #[case("ada@example.com")]
    #[case("system:serviceaccount:team")]
    #[case("system:serviceaccount::worker")]
    #[case("system:serviceaccount:team:")]
    #[case("system:serviceaccount:team:worker:more")]
    #[case("system:node:one")]
    fn nobody_else_is(#[case] username: &str) {
        assert_eq!(caller(reviewed(username), "liaison.dev"), None);
    }

    #[test]
    fn an_answer_that_is_not_for_us_counts_as_none() {
        let good = || reviewed("system:serviceaccount:team:worker");
        assert_eq!(caller(good(), "other"), None);
        assert_eq!(caller(TokenReviewStatus { audiences: None, ..good() }, "liaison.dev"), None);
        assert_eq!(caller(TokenReviewStatus { authenticated: Some(false), ..good() }, "liaison.dev"), None);
        assert_eq!(caller(TokenReviewStatus { authenticated: None, ..good() }, "liaison.dev"), None);
        assert_eq!(caller(TokenReviewStatus { user: None, ..good() }, "liaison.dev"), None);
    }
}
