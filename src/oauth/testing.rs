//! Shows requests as text, for tests that pin every byte.

use secrecy::ExposeSecret;

use super::message::{Purpose, Request, Response};
use crate::catalogue::{Definition, check};

/// A request as it would look on the wire: method and address, headers in order, body.
pub(super) fn wire(request: &Request) -> String {
    let headers = request.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.expose_secret()));
    let body = request.body.iter().map(|body| format!("\n{}", body.expose_secret()));
    std::iter::once(format!("{} {}\n", request.method, request.url)).chain(headers).chain(body).collect()
}

/// An answer.
pub(super) fn response(status: u16, body: &str) -> Response {
    Response {
        status,
        headers: std::collections::BTreeMap::new(),
        body: zeroize::Zeroizing::new(body.as_bytes().to_vec()),
    }
}

/// A definition from YAML.
pub(super) fn definition(yaml: &str) -> Definition {
    check(&serde_yaml::from_str(yaml).unwrap()).unwrap()
}

#[test]
fn every_purpose_of_a_request_is_a_purpose_of_a_target() {
    use crate::catalogue::address::TargetPurpose;
    use Purpose::{Account, Authorize, Metadata, Revoke, Token, Verify};
    for purpose in [Authorize, Token, Revoke, Verify, Account, Metadata] {
        assert_eq!(TargetPurpose::from(purpose).to_string(), purpose.to_string());
    }
}
