//! The leaky provider, as people and their browsers meet it: what it puts into its addresses and ID tokens are canaries,
//! and it makes a note of what it was sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::canary::Canaries;
use super::leaky_provider;
use crate::support::strict_provider::{Answer, Received};

/// The client of every case.
pub(super) const CLIENT_ID: &str = "client";

/// When ID tokens expire, in seconds since 1970: in the year 2100.
const FAR_OFF: u64 = 4_102_444_800;

/// Larger than any answer of a token endpoint.
const HUGE: usize = 3 << 20;

/// Answers at `/authorize/<case>`, `/token/<case>` and the others.
#[derive(Clone)]
pub(super) struct LeakyPeople {
    canaries: Canaries,
    /// The nonce of the latest request of each case.
    nonces: Arc<Mutex<BTreeMap<String, String>>>,
}

impl LeakyPeople {
    pub(super) fn new(canaries: Canaries) -> Self {
        Self { canaries, nonces: Arc::default() }
    }

    pub(super) fn answer(&self, request: &Received) -> Option<Answer> {
        let (kind, case) = request.path.trim_start_matches('/').split_once('/')?;
        match (kind, case) {
            ("authorize", _) => Some(self.authorize(case, &request.query)),
            ("token", "connected" | "nonce" | "huge") => Some(self.issue(case, &request.body)),
            ("token", _) => {
                self.learn_verifier(case, &request.body);
                leaky_provider::answer(&self.canaries, request)
            }
            ("me", _) => Some(Answer::json(200, &json!({ "id": "7", "note": self.fresh("note", case) }))),
            _ => leaky_provider::answer(&self.canaries, request),
        }
    }

    fn fresh(&self, what: &str, case: &str) -> String {
        self.canaries.fresh(&format!("{what} of {case}"))
    }

    /// Sends the browser back, with more than it was asked for.
    fn authorize(&self, case: &str, query: &str) -> Answer {
        let asked: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let field = |name: &str| asked.get(name).cloned().unwrap_or_default();
        // A nonce belongs to an ID token.
        for name in ["state", "nonce"].into_iter().filter(|name| asked.contains_key(*name)) {
            self.canaries.learn(&format!("{name} of {case}"), &field(name));
        }
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner).insert(case.to_owned(), field("nonce"));
        let mut answer = form_urlencoded::Serializer::new(String::new());
        answer.append_pair("state", &field("state"));
        for name in ["session_state", "hd"] {
            answer.append_pair(name, &self.fresh(name, case));
        }
        match case {
            "denied" => {
                answer.append_pair("error", &self.fresh("error", case));
                answer.append_pair("error_description", &self.fresh("error_description", case));
                answer.append_pair("error_uri", &self.fresh("error_uri", case));
            }
            "issuer" => {
                answer.append_pair("code", &self.fresh("code", case));
                answer.append_pair("iss", &self.fresh("iss", case));
            }
            _ => {
                answer.append_pair("code", &self.fresh("code", case));
            }
        }
        let location = format!("{}?{}", field("redirect_uri"), answer.finish());
        Answer { status: 302, headers: vec![("location".to_owned(), location)], body: String::new() }
    }

    fn learn_verifier(&self, case: &str, body: &str) {
        let verifier = form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "code_verifier");
        if let Some((_, verifier)) = verifier {
            self.canaries.learn(&format!("verifier of {case}"), &verifier);
        }
    }

    fn issue(&self, case: &str, body: &str) -> Answer {
        self.learn_verifier(case, body);
        let nonce = self.nonces.lock().unwrap_or_else(PoisonError::into_inner).get(case).cloned();
        let nonce =
            if case == "nonce" { self.fresh("another nonce", case) } else { nonce.unwrap_or_default() };
        let claims = json!({
            "iss": "https://issuer.example", "sub": "ada", "aud": CLIENT_ID, "exp": FAR_OFF,
            "nonce": nonce, "note": self.fresh("claim", case),
        });
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let parts = [encoded(&json!({ "alg": "RS256", "kid": self.fresh("kid", case) })), encoded(&claims)];
        let signature = URL_SAFE_NO_PAD.encode(self.fresh("signature", case));
        let id_token = format!("{}.{}.{signature}", parts[0], parts[1]);
        self.canaries.learn(&format!("id_token of {case}"), &id_token);
        let filling = if case == "huge" { "x".repeat(HUGE) } else { String::new() };
        Answer::json(
            200,
            &json!({
                "access_token": self.fresh("access_token", case), "refresh_token": self.fresh("refresh_token", case),
                "id_token": id_token, "token_type": "Bearer", "expires_in": 3600,
                "note": self.fresh("note", case), "filling": filling,
            }),
        )
    }
}
