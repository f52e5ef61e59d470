//! Reading what a JWT says, without trusting it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The claims of a JWT in compact form (RFC 7519, section 3). The signature is not looked at: whoever uses a
/// claim must not take it for proof of anything.
pub(super) fn unverified_claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let json = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn claims_are_the_middle_part() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":1}"#);
        assert_eq!(unverified_claims(&format!("e30.{claims}.c2ln")), Some(serde_json::json!({ "exp": 1 })));
        assert_eq!(unverified_claims(&format!("e30.{claims}==.")), Some(serde_json::json!({ "exp": 1 })));
        assert_eq!(unverified_claims("opaque"), None);
        assert_eq!(unverified_claims("a.b.c.d"), None);
    }

    proptest! {
        #[test]
        fn reading_never_panics(token in "[\\PC.]*") {
            let _ = unverified_claims(&token);
        }
    }
}
