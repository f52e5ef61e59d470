use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::oauth::testing::definition;

const ISSUER: &str = "https://login.example.com";

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn token(claims: &Value) -> SecretString {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string())).into()
}

fn good() -> Value {
    json!({
        "iss": ISSUER, "sub": "7", "aud": "client-1", "exp": 1_800_000_300, "nonce": "n-1", "email": "ann@example.com",
    })
}

fn with(change: &Value) -> Value {
    let mut claims = good();
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn expected() -> Expected<'static> {
    static NONCE: LazyLock<SecretString> = LazyLock::new(|| "n-1".into());
    Expected { client_id: "client-1", nonce: Some(&NONCE), issuer: Some(ISSUER) }
}

#[rstest]
#[case::as_it_should_be(json!({}))]
#[case::audience_in_a_list(json!({"aud": ["client-1"]}))]
#[case::several_audiences_with_authorized_party(json!({"aud": ["other", "client-1"], "azp": "client-1"}))]
#[case::expired_within_the_leeway(json!({"exp": 1_799_999_941}))]
fn an_id_token_for_us_is_taken(#[case] change: Value) {
    let claims = with(&change);
    assert_eq!(check_id_token(&token(&claims), &expected(), now()), Ok(claims));
}

#[rstest]
#[case::other_issuer(json!({"iss": "https://login.example.com/"}), "another issuer")]
#[case::no_issuer(json!({"iss": null}), "another issuer")]
#[case::other_client(json!({"aud": "client-2"}), "another OAuth client")]
#[case::no_audience(json!({"aud": null}), "another OAuth client")]
#[case::not_in_the_list(json!({"aud": ["client-2", 1]}), "another OAuth client")]
#[case::several_without_authorized_party(json!({"aud": ["client-1", "other"]}), "another OAuth client")]
#[case::other_authorized_party(json!({"azp": "other"}), "another OAuth client")]
#[case::expired(json!({"exp": 1_799_999_940}), "has expired")]
#[case::no_end(json!({"exp": null}), "has expired")]
#[case::odd_end(json!({"exp": 1e300}), "has expired")]
#[case::other_nonce(json!({"nonce": "n-2"}), "its nonce")]
#[case::no_nonce(json!({"nonce": null}), "its nonce")]
fn an_id_token_that_is_not_for_us_is_refused(#[case] change: Value, #[case] cause: &str) {
    let failure = check_id_token(&token(&with(&change)), &expected(), now()).unwrap_err();
    assert_eq!((failure.reason, failure.is_transient()), (Reason::AnswerInvalid, false));
    assert!(failure.message.contains(cause), "{}", failure.message);
}

#[test]
fn issuer_and_nonce_count_only_where_they_are_known() {
    let claims = with(&json!({"iss": "https://other.example.com", "nonce": "n-2"}));
    let expected = Expected { nonce: None, issuer: None, ..expected() };
    assert!(check_id_token(&token(&claims), &expected, now()).is_ok());
}

#[test]
fn a_refused_id_token_is_not_repeated() {
    let claims = json!({"iss": "canary", "aud": "canary", "nonce": "canary"});
    for token in [token(&claims), "canary".to_owned().into(), "e30.W10.canary".to_owned().into()] {
        let failure = check_id_token(&token, &expected(), now()).unwrap_err();
        assert!(!failure.message.contains("canary"), "{}", failure.message);
    }
}

#[rstest]
#[case("{idTokenClaim: email}", Some("ann@example.com"))]
#[case("{idTokenClaim: sub}", Some("7"))]
#[case("{idTokenClaim: name}", None)]
#[case("{url: 'https://api.example.com/me', idPath: /email}", None)]
fn n02_the_account_is_the_claim_that_the_connector_names(
    #[case] account: &str,
    #[case] expected: Option<&str>,
) {
    let definition = definition(&format!(
        "{{displayName: X, authMethods: [{{type: OAuth2AuthorizationCode, oauth2: {{authorizeURL: \
         'https://login.example.com/authorize', tokenURL: 'https://login.example.com/token'}}}}], account: {account}}}"
    ));
    assert_eq!(account_from_claims(&definition, &good()).as_deref(), expected);
}

proptest! {
    #[test]
    fn checking_never_panics(text in "[\\PC.]*", exp in any::<f64>()) {
        let _ = check_id_token(&text.into(), &expected(), now());
        let _ = check_id_token(&token(&with(&json!({ "exp": exp }))), &expected(), now());
    }
}
