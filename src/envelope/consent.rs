//! What a consent keeps in the browser and in its request, sealed: AES-256-GCM-SIV (RFC 8452) under keys of their
//! own, bound to the one ConsentRequest. Base64url, so that it fits a cookie and a field.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::encoding::Fields;
use super::keyring::{KeyUse, Keyring};
use super::record::{conceal, conceal_optional, expose, expose_optional};
use super::seal::SealFault;
use crate::api::oauth2::IssuerCheck;

/// What a browser carries from the start page to the callback, in a cookie of that request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentSession {
    /// Namespace of the ConsentRequest.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// After this the cookie opens nothing.
    pub expires_at: Timestamp,
    /// What the provider has to repeat (RFC 6749, section 10.12).
    #[serde(serialize_with = "expose", deserialize_with = "conceal")]
    pub state: SecretString,
    /// What an ID token has to repeat (OpenID Connect Core, section 3.1.2.1).
    #[serde(serialize_with = "expose", deserialize_with = "conceal")]
    pub nonce: SecretString,
    /// What the code challenge was made of (RFC 7636); absent where the provider takes no part.
    #[serde(serialize_with = "expose_optional", deserialize_with = "conceal_optional")]
    pub verifier: Option<SecretString>,
    /// The redirect address that was sent, to the letter.
    pub redirect_uri: String,
    /// The issuer whose answer is believed, where the connector names one.
    pub issuer: Option<String>,
    /// How strictly it is asked for.
    pub issuer_check: IssuerCheck,
    /// What the person agreed to, by name.
    pub terms: BTreeMap<String, String>,
}

/// What a browser brought back, in the request's status until it is redeemed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentResult {
    /// The authorization code (RFC 6749, section 4.1.2).
    #[serde(serialize_with = "expose", deserialize_with = "conceal")]
    pub code: SecretString,
    /// As in [`ConsentSession`].
    #[serde(serialize_with = "expose", deserialize_with = "conceal")]
    pub nonce: SecretString,
    /// As in [`ConsentSession`].
    #[serde(serialize_with = "expose_optional", deserialize_with = "conceal_optional")]
    pub verifier: Option<SecretString>,
    /// Digest of the receipt that the browser was given.
    pub receipt_digest: String,
    /// The redirect address that was sent, to the letter.
    pub redirect_uri: String,
    /// What the person agreed to, by name.
    pub terms: BTreeMap<String, String>,
}

impl ConsentSession {
    /// Whether this is the state that was sent. Compares in constant time.
    pub fn has_state(&self, state: &str) -> bool {
        is_same(self.state.expose_secret().as_bytes(), state.as_bytes())
    }
}

impl ConsentResult {
    /// Whether this is the receipt that the browser was given. Compares in constant time.
    pub fn has_receipt(&self, receipt: &str) -> bool {
        is_same(self.receipt_digest.as_bytes(), s256(receipt).as_bytes())
    }
}

/// SHA-256 of a text in base64url without padding: what is kept of a secret that has to be recognised later
/// (for a code verifier this is the S256 challenge of RFC 7636, section 4.2).
pub fn s256(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

fn is_same(first: &[u8], second: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(first, second).is_ok()
}

impl Keyring {
    /// Seals a session for the cookie of the ConsentRequest with this uid.
    pub fn seal_consent_session(&self, uid: &str, session: &ConsentSession) -> Result<String, SealFault> {
        self.seal_text(KeyUse::ConsentSessions, uid, session)
    }

    /// Opens the cookie of the ConsentRequest with this uid; `None` where it was changed, belongs to another one,
    /// or was sealed with keys that are gone.
    pub fn open_consent_session(&self, uid: &str, sealed: &str) -> Option<ConsentSession> {
        self.open_text(KeyUse::ConsentSessions, uid, sealed)
    }

    /// Seals what came back for the ConsentRequest with this uid.
    pub fn seal_consent_result(&self, uid: &str, result: &ConsentResult) -> Result<String, SealFault> {
        self.seal_text(KeyUse::ConsentResults, uid, result)
    }

    /// Opens it again.
    pub fn open_consent_result(&self, uid: &str, sealed: &str) -> Option<ConsentResult> {
        self.open_text(KeyUse::ConsentResults, uid, sealed)
    }

    fn seal_text(&self, key_use: KeyUse, uid: &str, content: &impl Serialize) -> Result<String, SealFault> {
        let id = self.current_key_id();
        let key = self.sealing_key(id, key_use).ok_or(SealFault::Encrypt)?;
        // Larger than what a cookie can hold, so that it does not grow and leave copies behind that nobody wipes.
        let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
        serde_json::to_writer(&mut *bytes, content).map_err(|_| SealFault::Encrypt)?;
        let nonce = key
            .seal_in_place_append_tag(Aad::from(associated_data(id, uid)), &mut *bytes)
            .map_err(|_| SealFault::Encrypt)?;
        let sealed = [nonce.as_ref(), bytes.as_slice()].concat();
        Ok(format!("{id}~{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    fn open_text<T: DeserializeOwned>(&self, key_use: KeyUse, uid: &str, sealed: &str) -> Option<T> {
        let (id, encoded) = sealed.split_once('~')?;
        let sealed = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let key = self.sealing_key(id, key_use)?;
        let mut content = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.open_in_place(nonce, Aad::from(associated_data(id, uid)), &mut content).ok()?;
        serde_json::from_slice(plain).ok()
    }

    fn sealing_key(&self, id: &str, key_use: KeyUse) -> Option<RandomizedNonceKey> {
        let key = self.derived(id, key_use)?.ok()?;
        RandomizedNonceKey::new(&AES_256_GCM_SIV, key.as_slice()).ok()
    }
}

fn associated_data(key_id: &str, uid: &str) -> Fields {
    Fields::new("liaison.dev/consent").with(key_id.as_bytes()).with(uid.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(id: &str, byte: u8) -> Keyring {
        Keyring::new(id, [byte; 32]).unwrap()
    }

    fn session() -> ConsentSession {
        ConsentSession {
            namespace: "sales".to_owned(),
            name: "crm-x".to_owned(),
            expires_at: "2026-11-24T12:00:00Z".parse().unwrap(),
            state: "the-state".into(),
            nonce: "the-nonce".into(),
            verifier: Some("the-verifier".into()),
            redirect_uri: "https://liaison.example/callback/crm".to_owned(),
            issuer: None,
            issuer_check: IssuerCheck::Required,
            terms: BTreeMap::from([("client".to_owned(), "web".to_owned())]),
        }
    }

    #[test]
    fn a_session_opens_for_its_own_request_alone_and_only_unchanged() {
        let keyring = keyring("1", 7);
        let sealed = keyring.seal_consent_session("uid-1", &session()).unwrap();
        let opened = keyring.open_consent_session("uid-1", &sealed).unwrap();
        assert!(opened.has_state("the-state") && !opened.has_state("the-stat") && !opened.has_state(""));
        assert_eq!(opened.terms, session().terms);

        assert!(keyring.open_consent_session("uid-2", &sealed).is_none(), "another request");
        assert!(keyring.open_consent_result("uid-1", &sealed).is_none(), "another use");
        assert!(self::keyring("1", 8).open_consent_session("uid-1", &sealed).is_none(), "another key");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last character may hold bits that base64 does not use; a strict decoder refuses those too.
            assert!(keyring.open_consent_session("uid-1", &changed).is_none(), "changed at {at}");
            assert!(keyring.open_consent_session("uid-1", &sealed[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn nothing_of_a_session_is_readable_and_its_secrets_do_not_print() {
        let sealed = keyring("1", 7).seal_consent_session("uid-1", &session()).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(sealed.split_once('~').unwrap().1).unwrap();
        let printed = format!("{:?}", session());
        for secret in ["the-state", "the-nonce", "the-verifier"] {
            assert!(!printed.contains(secret));
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }

    #[test]
    fn a_receipt_is_recognised_by_its_digest() {
        let result = ConsentResult {
            code: "code".into(),
            nonce: "nonce".into(),
            verifier: None,
            receipt_digest: s256("receipt"),
            redirect_uri: String::new(),
            terms: BTreeMap::new(),
        };
        assert!(result.has_receipt("receipt"));
        assert!(!result.has_receipt("receipt2") && !result.has_receipt(""));
        // RFC 7636, appendix B.
        assert_eq!(
            s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
