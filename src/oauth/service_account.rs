//! The token with which a workload asks: a ServiceAccount's, bound to an audience. The API server judges it; what is
//! read here without its signature only spares the API server what it would refuse.

use aws_lc_rs::digest;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::jwt::unverified_claims;

/// Longest token that is looked at, in bytes. Those of Kubernetes have some 1,000.
const SIZE_LIMIT: usize = 8 * 1024;

/// Longest issuer, in bytes.
const ISSUER_LIMIT: usize = 1024;

/// The issuer of the kind of token that is kept in a Secret and never ends. It has no audience.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// How the name of a ServiceAccount's user begins.
pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// The value of the header `Authorization`, if it is a Bearer token (RFC 6750, section 2.1).
pub fn bearer(header: &str) -> Option<SecretString> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(is_token))
        .then(|| SecretString::from(token))
}

/// Whether it is worth asking the API server about a token.
pub fn may_be_for(token: &SecretString, audience: &str, now: Timestamp) -> bool {
    let token = token.expose_secret();
    if token.len() > SIZE_LIMIT {
        return false;
    }
    let Some(claims) = unverified_claims(token) else { return false };
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(audience)) => vec![audience],
        Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let issuer = text("iss");
    (1..=ISSUER_LIMIT).contains(&issuer.len())
        && issuer != LEGACY_ISSUER
        && text("sub").starts_with(SERVICE_ACCOUNT_PREFIX)
        && audiences.contains(&audience)
        && claims.get("exp").and_then(Value::as_i64).is_some_and(|expiry| now.as_second() < expiry)
}

/// The question to the API server. It holds the token: never logged.
pub fn review(token: &SecretString, audience: &str) -> TokenReview {
    TokenReview {
        spec: TokenReviewSpec {
            token: Some(token.expose_secret().to_owned()),
            audiences: Some(vec![audience.to_owned()]),
        },
        ..TokenReview::default()
    }
}

/// A digest by which a token is remembered.
pub fn token_digest(token: &SecretString) -> [u8; 32] {
    let mut bytes = [0; 32];
    let digest = digest::digest(&digest::SHA256, token.expose_secret().as_bytes());
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_000;

    fn claims() -> Value {
        json!({
            "iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:team:worker",
            "aud": ["liaison.dev"], "exp": NOW + 1,
        })
    }

    fn asked(claims: &Value) -> bool {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
        may_be_for(&SecretString::from(token), "liaison.dev", Timestamp::from_second(NOW).unwrap())
    }

    #[rstest]
    #[case::as_projected("aud", json!(["liaison.dev"]), true)]
    #[case::one_audience("aud", json!("liaison.dev"), true)]
    #[case::among_others("aud", json!(["https://kubernetes.default.svc", "liaison.dev"]), true)]
    #[case::another_audience("aud", json!(["https://kubernetes.default.svc"]), false)]
    #[case::part_of_an_audience("aud", json!("liaison.dev.example.com"), false)]
    #[case::no_audience("aud", json!(null), false)]
    #[case::at_its_end("exp", json!(NOW), false)]
    #[case::without_an_end("exp", json!(null), false)]
    #[case::an_end_that_is_no_number("exp", json!("2000"), false)]
    #[case::a_user("sub", json!("ada@example.com"), false)]
    #[case::nobody("sub", json!(null), false)]
    #[case::no_issuer("iss", json!(""), false)]
    #[case::from_a_secret("iss", json!("kubernetes/serviceaccount"), false)]
    #[case::a_long_issuer("iss", json!("x".repeat(ISSUER_LIMIT + 1)), false)]
    fn only_what_may_be_for_us_reaches_the_api_server(
        #[case] claim: &str,
        #[case] value: Value,
        #[case] expected: bool,
    ) {
        let mut claims = claims();
        claims[claim] = value;
        assert_eq!(asked(&claims), expected);
    }

    #[test]
    fn a_token_that_is_too_long_is_not_read() {
        let mut claims = claims();
        claims["padding"] = "x".repeat(SIZE_LIMIT).into();
        assert!(!asked(&claims));
    }

    #[rstest]
    #[case("Bearer a.b-c_d~e+f/g=", Some("a.b-c_d~e+f/g="))]
    #[case("bearer a", Some("a"))]
    #[case("Bearer  a", Some("a"))]
    #[case("Bearer", None)]
    #[case("Bearer ", None)]
    #[case("Bearer a b", None)]
    #[case("Bearer a\"b", None)]
    #[case("Basic YTpi", None)]
    fn the_header_has_one_form(#[case] header: &str, #[case] token: Option<&str>) {
        let found = bearer(header);
        assert_eq!(found.as_ref().map(ExposeSecret::expose_secret), token);
    }

    #[test]
    fn the_question_names_our_audience_and_the_digest_tells_tokens_apart() {
        let token = SecretString::from("a.b.c");
        let review = review(&token, "liaison.dev");
        assert_eq!(review.spec.audiences, Some(vec!["liaison.dev".to_owned()]));
        assert_eq!(review.spec.token.as_deref(), Some("a.b.c"));
        assert_eq!(token_digest(&token), token_digest(&SecretString::from("a.b.c")));
        assert_ne!(token_digest(&token), token_digest(&SecretString::from("a.b.d")));
    }

    proptest! {
        #[test]
        fn reading_never_panics(token in "[\\PC.]*") {
            let _ = may_be_for(&SecretString::from(token.clone()), "liaison.dev", Timestamp::UNIX_EPOCH);
            let _ = bearer(&token);
        }
    }
}
