//! Who asks for a credential, as the API server knows them.

use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

/// How the name of a ServiceAccount's user begins.
const PREFIX: &str = "system:serviceaccount:";

/// Where the API server tells the Pod that a token is bound to.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// A Pod that asks, as its ServiceAccount.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Its namespace.
    pub namespace: String,
    /// The name of its ServiceAccount.
    pub service_account: String,
    /// The Pod that its token is bound to; the API server has made sure that it is still there.
    pub pod: PodIdentity,
    /// All that the API server knows of it, which its authorizers are asked with.
    pub user: UserInfo,
}

/// Which Pod it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodIdentity {
    /// Its name, which others have after it.
    pub name: String,
    /// Its uid, which no other one has.
    pub uid: String,
}

/// Why a token is nobody's who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unacceptable {
    /// The API server does not accept it for our audience, or not as a ServiceAccount's.
    Rejected,
    /// It is a ServiceAccount's, and bound to no Pod: wherever it was copied to, it would be good until it ends.
    BoundToNoPod,
}

/// Who brings a token, as the API server knows them.
pub fn caller(review: TokenReviewStatus, audience: &str) -> Result<Caller, Unacceptable> {
    let for_us = review.audiences.iter().flatten().any(|named| named == audience);
    if review.authenticated != Some(true) || !for_us {
        return Err(Unacceptable::Rejected);
    }
    let user = review.user.ok_or(Unacceptable::Rejected)?;
    let (namespace, service_account) = service_account(&user).ok_or(Unacceptable::Rejected)?;
    let pod = pod(&user).ok_or(Unacceptable::BoundToNoPod)?;
    Ok(Caller { namespace, service_account, pod, user })
}

fn service_account(user: &UserInfo) -> Option<(String, String)> {
    let (namespace, name) = user.username.as_deref()?.strip_prefix(PREFIX)?.split_once(':')?;
    let is_one = !namespace.is_empty() && !name.is_empty() && !name.contains(':');
    is_one.then(|| (namespace.to_owned(), name.to_owned()))
}

fn pod(user: &UserInfo) -> Option<PodIdentity> {
    let text = |key: &str| {
        let value = user.extra.as_ref()?.get(key)?.first()?;
        (!value.is_empty()).then(|| value.clone())
    };
    Some(PodIdentity { name: text(POD_NAME)?, uid: text(POD_UID)? })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn extra(key: &str, value: &str) -> (String, Vec<String>) {
        (key.to_owned(), vec![value.to_owned()])
    }

    fn reviewed(username: &str) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec!["liaison.dev".to_owned()]),
            user: Some(UserInfo {
                username: Some(username.to_owned()),
                extra: Some([extra(POD_NAME, "worker-1"), extra(POD_UID, "f6b2")].into()),
                ..UserInfo::default()
            }),
            error: None,
        }
    }

    #[test]
    fn a_service_account_is_known_with_its_pod() {
        let found = caller(reviewed("system:serviceaccount:team:worker"), "liaison.dev").unwrap();
        assert_eq!((found.namespace.as_str(), found.service_account.as_str()), ("team", "worker"));
        assert_eq!((found.pod.name.as_str(), found.pod.uid.as_str()), ("worker-1", "f6b2"));
    }

    #[rstest]
    #[case::to_nothing(&[])]
    #[case::to_a_node(&[("authentication.kubernetes.io/node-name", "one")])]
    #[case::to_a_pod_without_a_uid(&[(POD_NAME, "worker-1")])]
    #[case::to_a_pod_without_a_name(&[(POD_UID, "f6b2"), (POD_NAME, "")])]
    fn a_token_that_is_bound_to_no_pod_is_told_apart(#[case] bound: &[(&str, &str)]) {
        let mut review = reviewed("system:serviceaccount:team:worker");
        let user = review.user.as_mut().unwrap();
        user.extra = Some(bound.iter().map(|(key, value)| extra(key, value)).collect());
        assert_eq!(caller(review.clone(), "liaison.dev"), Err(Unacceptable::BoundToNoPod));
        // Whose it is not is said before that.
        assert_eq!(caller(review.clone(), "other"), Err(Unacceptable::Rejected));
        review.user.as_mut().unwrap().username = Some("ada@example.com".to_owned());
        assert_eq!(caller(review, "liaison.dev"), Err(Unacceptable::Rejected));
    }

    #[rstest]
    #[case("ada@example.com")]
    #[case("system:serviceaccount:team")]
    #[case("system:serviceaccount::worker")]
    #[case("system:serviceaccount:team:")]
    #[case("system:serviceaccount:team:worker:more")]
    #[case("system:node:one")]
    fn nobody_else_is(#[case] username: &str) {
        assert_eq!(caller(reviewed(username), "liaison.dev"), Err(Unacceptable::Rejected));
    }

    #[test]
    fn an_answer_that_is_not_for_us_counts_as_none() {
        let good = || reviewed("system:serviceaccount:team:worker");
        assert_eq!(caller(good(), "other"), Err(Unacceptable::Rejected));
        assert_eq!(
            caller(TokenReviewStatus { audiences: None, ..good() }, "liaison.dev"),
            Err(Unacceptable::Rejected)
        );
        assert_eq!(
            caller(TokenReviewStatus { authenticated: Some(false), ..good() }, "liaison.dev"),
            Err(Unacceptable::Rejected)
        );
        assert_eq!(
            caller(TokenReviewStatus { authenticated: None, ..good() }, "liaison.dev"),
            Err(Unacceptable::Rejected)
        );
        assert_eq!(
            caller(TokenReviewStatus { user: None, ..good() }, "liaison.dev"),
            Err(Unacceptable::Rejected)
        );
    }
}
