//! What the token endpoint answers: like a token response where there is a token (RFC 6749, section 5.1), and like its
//! errors where there is none (section 5.2).

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// What every answer with a credential says besides.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Described {
    /// `namespace/name` of the Connection.
    pub connection: String,
    /// How it authenticates.
    pub auth_type: String,
    /// Where API requests start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The account at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

#[derive(Serialize)]
struct TokenAnswer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<i64>,
    scope: String,
    #[serde(flatten)]
    described: &'a Described,
}

#[derive(Serialize)]
struct StaticAnswer<'a> {
    credentials: Exposed<'a>,
    #[serde(flatten)]
    described: &'a Described,
}

struct Exposed<'a>(&'a BTreeMap<String, SecretString>);

impl Serialize for Exposed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value.expose_secret())?;
        }
        map.end()
    }
}

/// An access token, with what is left of its lifetime in whole seconds.
pub fn token_answer(
    access_token: &SecretString,
    expires_at: Option<Timestamp>,
    granted_scopes: &[String],
    described: &Described,
    now: Timestamp,
) -> Option<Zeroizing<Vec<u8>>> {
    let left = |expires_at: Timestamp| expires_at.duration_since(now).as_secs().max(0);
    let answer = TokenAnswer {
        access_token: access_token.expose_secret(),
        token_type: "Bearer",
        expires_in: expires_at.map(left),
        scope: granted_scopes.join(" "),
        described,
    };
    written(&answer, access_token.expose_secret().len() + answer.scope.len(), described)
}

/// The values of a Secret, by the names of the Connector's parameters.
pub fn static_answer(
    values: &BTreeMap<String, SecretString>,
    described: &Described,
) -> Option<Zeroizing<Vec<u8>>> {
    let length = values.iter().map(|(name, value)| name.len() + value.expose_secret().len()).sum();
    written(&StaticAnswer { credentials: Exposed(values), described }, length, described)
}

/// Where the application needs no credential.
pub fn plain_answer(described: &Described) -> Option<Zeroizing<Vec<u8>>> {
    written(described, 0, described)
}

/// Has room for the worst case of escaping from the start, because a growing buffer leaves copies behind that nobody
/// wipes. `None` only if JSON cannot be written, which nothing here causes.
fn written(
    answer: &impl Serialize,
    secret_length: usize,
    described: &Described,
) -> Option<Zeroizing<Vec<u8>>> {
    let Described { connection, auth_type, base_url, account } = described;
    let optional = [base_url, account].into_iter().flatten().map(String::len).sum::<usize>();
    let length = secret_length + connection.len() + auth_type.len() + optional;
    let mut bytes = Zeroizing::new(Vec::with_capacity(6 * length + 512));
    serde_json::to_writer(&mut *bytes, answer).ok()?;
    Some(bytes)
}

/// An error, as OAuth clients understand it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorAnswer {
    error: &'static str,
    error_description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    message: String,
}

impl ErrorAnswer {
    /// `error` is a code of RFC 6749 or of an extension; `reason` is the word that conditions use.
    pub fn new(error: &'static str, reason: Option<&'static str>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { error, error_description: described(&message), reason, message }
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Texts alone can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A text with the characters that RFC 6749 allows in `error_description`.
fn described(message: &str) -> String {
    message
        .chars()
        .map(|character| match character {
            '"' | '\\' => '\'',
            ' '..='~' => character,
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn described() -> Described {
        Described {
            connection: "team/crm".to_owned(),
            auth_type: "OAuth2ClientCredentials".to_owned(),
            base_url: Some("https://api.example.com".to_owned()),
            account: None,
        }
    }

    fn read(bytes: Option<Zeroizing<Vec<u8>>>) -> Value {
        serde_json::from_slice(&bytes.unwrap()).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_is_answered_like_a_token_response_with_what_is_left_of_its_lifetime() {
        let token = SecretString::from("a\"b");
        let scopes = ["read".to_owned(), "write".to_owned()];
        let answer = read(token_answer(&token, Some(at(160)), &scopes, &described(), at(100)));
        assert_eq!(
            answer,
            json!({
                "access_token": "a\"b", "token_type": "Bearer", "expires_in": 60, "scope": "read write",
                "connection": "team/crm", "auth_type": "OAuth2ClientCredentials",
                "base_url": "https://api.example.com",
            })
        );
        let endless = read(token_answer(&token, None, &[], &described(), at(100)));
        assert_eq!((endless.get("expires_in"), &endless["scope"]), (None, &json!("")));
        let over = read(token_answer(&token, Some(at(99)), &[], &described(), at(100)));
        assert_eq!(over["expires_in"], 0);
    }

    #[test]
    fn static_credentials_have_their_own_names() {
        let values = BTreeMap::from([("apiKey".to_owned(), SecretString::from("k"))]);
        let answer = read(static_answer(&values, &described()));
        assert_eq!(answer["credentials"], json!({ "apiKey": "k" }));
        assert_eq!(answer.get("access_token"), None);
        assert_eq!(read(plain_answer(&described()))["base_url"], "https://api.example.com");
    }

    #[test]
    fn a_buffer_does_not_grow_while_a_secret_is_written() {
        let token = SecretString::from("\u{1}".repeat(5000));
        let bytes = token_answer(&token, None, &[], &described(), at(0)).unwrap();
        assert!(bytes.len() > 6 * 5000 && bytes.capacity() >= 6 * 5000 + 512);
        let length =
            5000 + "team/crm".len() + "OAuth2ClientCredentials".len() + "https://api.example.com".len();
        assert_eq!(bytes.capacity(), 6 * length + 512);
    }

    #[test]
    fn an_error_has_the_exact_words_and_a_description_that_oauth_allows() {
        let message = "connection \"crm\" awaits authentication: https://x/é";
        let answer = ErrorAnswer::new("invalid_grant", Some("AwaitingAuthentication"), message);
        let answer: Value = serde_json::from_slice(&answer.to_json()).unwrap();
        assert_eq!(
            answer,
            json!({
                "error": "invalid_grant", "reason": "AwaitingAuthentication", "message": message,
                "error_description": "connection 'crm' awaits authentication: https://x/?",
            })
        );
    }
}
