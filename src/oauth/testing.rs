//! Shows requests as text, for tests that pin every byte.

use secrecy::ExposeSecret;

use super::message::{Purpose, Request, Response};
use crate::catalogue::{Definition, check};

/// A request as it would look on the wire: method and address, headers in order, body.
pub(super) fn wire(request: &Request) -> String {
    let mut text = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {}\n", value.expose_secret()));
    }
    if let Some(body) = &request.body {
        text.push_str(&format!("\n{}", body.expose_secret()));
    }
    text
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
    for purpose in [Purpose::Token, Purpose::Revoke, Purpose::Verify, Purpose::Account] {
        assert_eq!(TargetPurpose::from(purpose).to_string(), purpose.to_string());
    }
}
