//! What a person may do, as the API server's authorizers say.

use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::api::consent_request::Requester;
use crate::api::names::GROUP;

use super::Error;

/// Something that a person may do or not.
pub(super) struct Subject<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

/// Whether a person may do that; everything that the API server knew of them goes into the question.
pub(super) async fn may(client: &Client, person: &UserInfo, subject: &Subject<'_>) -> kube::Result<bool> {
    let owned = |text: &str| Some(text.to_owned());
    let attributes = ResourceAttributes {
        verb: owned(subject.verb),
        group: owned(subject.group),
        resource: owned(subject.resource),
        namespace: owned(subject.namespace),
        name: owned(subject.name),
        ..ResourceAttributes::default()
    };
    let UserInfo { username, uid, groups, extra } = person.clone();
    let spec = SubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        user: username,
        uid,
        groups,
        extra,
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// Whether the person that a ConsentRequest is stamped with may authenticate this Connection.
pub(super) async fn may_authenticate(
    client: &Client,
    requester: &Requester,
    namespace: &str,
    connection: &str,
) -> Result<bool, Error> {
    let Requester { username, uid, groups, extra, seal: _ } = requester.clone();
    let person = UserInfo {
        username: Some(username),
        uid: Some(uid).filter(|uid| !uid.is_empty()),
        groups: Some(groups),
        extra: Some(extra),
    };
    let subject =
        Subject { verb: "authenticate", group: GROUP, resource: "connections", namespace, name: connection };
    may(client, &person, &subject).await.map_err(Error::api("review what a person may do"))
}
