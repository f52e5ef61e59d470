//! What a person may do, as the API server's authorizers see it.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::api::consent_request::Requester;
use crate::api::names::GROUP;

use super::Error;

/// Whether a person may authenticate this Connection.
pub(super) async fn may_authenticate(
    client: &Client,
    person: &Requester,
    namespace: &str,
    connection: &str,
) -> Result<bool, Error> {
    let attributes = ResourceAttributes {
        group: Some(GROUP.to_owned()),
        resource: Some("connections".to_owned()),
        verb: Some("authenticate".to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(connection.to_owned()),
        ..ResourceAttributes::default()
    };
    may(client, person, attributes).await
}

/// Whether a person may do this; everything that the API server knew of them goes into the question.
pub(super) async fn may(
    client: &Client,
    person: &Requester,
    attributes: ResourceAttributes,
) -> Result<bool, Error> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(person.username.clone()),
            uid: Some(person.uid.clone()).filter(|uid| !uid.is_empty()),
            groups: Some(person.groups.clone()),
            extra: Some(person.extra.clone()),
            resource_attributes: Some(attributes),
            non_resource_attributes: None,
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = reviews
        .create(&PostParams::default(), &review)
        .await
        .map_err(Error::api("review what a person may do"))?;
    Ok(matches!(answer.status, Some(SubjectAccessReviewStatus { allowed: true, .. })))
}
