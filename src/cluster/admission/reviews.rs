//! What the person whose write is judged may do, as the API server's authorizers say.

use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::core::DynamicObject;
use kube::core::admission::AdmissionRequest;
use kube::{Api, Client};

use crate::ports::ReviewFault;

use super::fault;

/// A write that is judged: whose it is, and where.
pub(super) struct Asked<'a> {
    pub user: &'a UserInfo,
    pub namespace: &'a str,
}

impl<'a> Asked<'a> {
    pub(super) fn of(request: &'a AdmissionRequest<DynamicObject>) -> Self {
        Self { user: &request.user_info, namespace: request.namespace.as_deref().unwrap_or_default() }
    }

    pub(super) fn username(&self) -> &str {
        self.user.username.as_deref().unwrap_or_default()
    }
}

/// Something that a person may do or not.
pub(super) struct Subject<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

/// Whether whoever writes may do that.
pub(super) async fn may(
    client: &Client,
    asked: &Asked<'_>,
    subject: &Subject<'_>,
) -> Result<bool, ReviewFault> {
    let owned = |text: &str| Some(text.to_owned());
    let attributes = ResourceAttributes {
        verb: owned(subject.verb),
        group: owned(subject.group),
        resource: owned(subject.resource),
        namespace: owned(subject.namespace),
        name: owned(subject.name),
        ..ResourceAttributes::default()
    };
    let UserInfo { username, uid, groups, extra } = asked.user.clone();
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
    let answer = reviews.create(&PostParams::default(), &review).await.map_err(fault("review access"))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
