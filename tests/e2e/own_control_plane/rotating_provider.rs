//! A provider that is strict about what is good once: a code, and a refresh token that is exchanged with every refresh.
//! What is presented a second time ends everything that came of it, as RFC 9700 advises (sections 2.1.1 and 4.14.2).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use url::form_urlencoded;

use super::AUTHORIZE;
use crate::person::s256;
use crate::support::strict_provider::{Answer, Received};

type Fields = BTreeMap<String, String>;

/// An authorization code, and what it was given for.
struct Code {
    challenge: String,
    redirect_uri: String,
    spent: bool,
}

struct RefreshToken {
    family: usize,
    spent: bool,
}

/// What was presented more often than it is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reuse {
    pub(super) codes: usize,
    pub(super) refresh_tokens: usize,
}

#[derive(Default)]
struct State {
    /// Lifetime of the first token of a consent in seconds; a refreshed one lives for an hour.
    lifetime: u32,
    /// Whether a refresh token may be presented again.
    lenient: bool,
    codes: BTreeMap<String, Code>,
    refresh_tokens: BTreeMap<String, RefreshToken>,
    access_tokens: BTreeMap<String, usize>,
    ended: BTreeSet<usize>,
    families: usize,
    reuse: Reuse,
}

/// Answers at `/authorize`, `/token`, `/me` and `/revoke`.
#[derive(Clone, Default)]
pub(super) struct RotatingProvider(Arc<Mutex<State>>);

impl RotatingProvider {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on: how long first tokens live, and whether there is a grace period for used refresh tokens.
    pub(super) fn set(&self, lifetime: u32, lenient: bool) {
        self.with(|state| (state.lifetime, state.lenient) = (lifetime, lenient));
    }

    pub(super) fn reuse(&self) -> Reuse {
        self.with(|state| state.reuse)
    }

    pub(super) fn answer(&self, request: &Received) -> Option<Answer> {
        self.with(|state| match request.path.as_str() {
            AUTHORIZE => Some(state.authorize(&fields(&request.query))),
            "/token" => Some(state.token(&fields(&request.body))),
            "/me" => Some(state.account(request)),
            "/revoke" => Some(Answer::json(200, &json!({}))),
            _ => None,
        })
    }
}

fn fields(form: &str) -> Fields {
    form_urlencoded::parse(form.as_bytes()).into_owned().collect()
}

fn refused(error: &str) -> Answer {
    Answer::json(400, &json!({ "error": error }))
}

impl State {
    /// A person who consents at once.
    fn authorize(&mut self, asked: &Fields) -> Answer {
        let field = |name: &str| asked.get(name).cloned().unwrap_or_default();
        if field("response_type") != "code" || field("code_challenge_method") != "S256" {
            return refused("invalid_request");
        }
        let code = format!("code-{}", self.codes.len());
        let (challenge, redirect_uri) = (field("code_challenge"), field("redirect_uri"));
        let answer = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("code", code.as_str()), ("state", &field("state"))])
            .finish();
        let location = ("location".to_owned(), format!("{redirect_uri}?{answer}"));
        self.codes.insert(code, Code { challenge, redirect_uri, spent: false });
        Answer { status: 302, headers: vec![location], body: String::new() }
    }

    fn token(&mut self, asked: &Fields) -> Answer {
        let field = |name: &str| asked.get(name).cloned().unwrap_or_default();
        match field("grant_type").as_str() {
            "authorization_code" => {
                self.redeem(&field("code"), &field("redirect_uri"), &field("code_verifier"))
            }
            "refresh_token" => self.refresh(&field("refresh_token")),
            _ => refused("unsupported_grant_type"),
        }
    }

    fn redeem(&mut self, code: &str, redirect_uri: &str, verifier: &str) -> Answer {
        let Some(code) = self.codes.get_mut(code) else { return refused("invalid_grant") };
        if std::mem::replace(&mut code.spent, true) {
            self.reuse.codes += 1;
            return refused("invalid_grant");
        }
        if code.redirect_uri != redirect_uri || code.challenge != s256(verifier) {
            return refused("invalid_grant");
        }
        self.families += 1;
        self.issue(self.families, self.lifetime)
    }

    fn refresh(&mut self, refresh_token: &str) -> Answer {
        let lenient = self.lenient;
        let Some(known) = self.refresh_tokens.get_mut(refresh_token) else { return refused("invalid_grant") };
        let family = known.family;
        if std::mem::replace(&mut known.spent, true) {
            self.reuse.refresh_tokens += 1;
            if !lenient {
                self.ended.insert(family);
            }
        }
        if self.ended.contains(&family) { refused("invalid_grant") } else { self.issue(family, 3600) }
    }

    fn issue(&mut self, family: usize, lifetime: u32) -> Answer {
        let number = self.refresh_tokens.len();
        let (access, refresh) = (format!("access-{number}"), format!("refresh-{number}"));
        self.access_tokens.insert(access.clone(), family);
        self.refresh_tokens.insert(refresh.clone(), RefreshToken { family, spent: false });
        Answer::json(
            200,
            &json!({
                "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": lifetime,
            }),
        )
    }

    fn account(&self, request: &Received) -> Answer {
        let token = request.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let family = token.and_then(|token| self.access_tokens.get(token));
        match family.filter(|family| !self.ended.contains(family)) {
            Some(_) => Answer::json(200, &json!({ "id": "7", "name": "ada" })),
            None => Answer::json(401, &json!({ "error": "invalid_token" })),
        }
    }
}
