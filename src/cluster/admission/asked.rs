//! The write that is judged.

use k8s_openapi::api::authentication::v1::UserInfo;
use kube::core::DynamicObject;
use kube::core::admission::AdmissionRequest;

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
