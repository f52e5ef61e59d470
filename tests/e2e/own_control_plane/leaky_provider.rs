//! A provider that puts canaries wherever an answer has room for them.

use serde_json::{Value, json};

use super::canary::Canaries;
use crate::support::strict_provider::{Answer, Received};

/// Ways a provider answers, each with canaries wherever it can put them.
pub(super) const TOKEN_ANSWERS: [&str; 14] = [
    "issued",
    "renewed",
    "grant",
    "client",
    "page",
    "down",
    "truncated",
    "object",
    "redirect",
    "busy",
    "expiry",
    "code",
    "control",
    "forbidden",
];
pub(super) const CREDENTIAL_ANSWERS: [&str; 8] =
    ["accepted", "rejected", "forbidden", "down", "truncated", "redirect", "busy", "page"];

/// Answers to token requests and to requests about a credential; both echo what they were sent.
pub(super) fn answer(canaries: &Canaries, request: &Received) -> Option<Answer> {
    let path: Vec<_> = request.path.split('/').skip(1).collect();
    let fresh = |what: &str| canaries.fresh(&format!("{what} of {}", request.path));
    let sent = format!("{} {} {:?}", request.query, request.body, request.headers);
    let text = |status, body: String| Answer { status, headers: Vec::new(), body };
    let refused = |status, error: &str| {
        Answer::json(
            status,
            &json!({
                "error": error, "error_description": format!("{} {sent}", fresh("error_description")),
                "error_uri": fresh("error_uri"), "message": fresh("message"),
            }),
        )
    };
    let issued = |seconds: Value| {
        Answer::json(
            200,
            &json!({
                "access_token": fresh("access_token"), "refresh_token": fresh("refresh_token"),
                "id_token": format!("{}.{}", fresh("id_token"), fresh("id_token")),
                "token_type": "Bearer", "expires_in": seconds, "note": fresh("note"), "echo": sent,
            }),
        )
    };
    let mut answer = match (path[0], *path.get(1)?) {
        ("token", "renewed") => issued(json!(4)),
        ("token", "expiry") => issued(json!(fresh("expires_in"))),
        ("token", "grant") => refused(400, "invalid_grant"),
        ("token", "client") => refused(401, "invalid_client"),
        ("token", "code") => refused(400, &fresh("error")),
        (_, "down") => refused(503, "temporarily_unavailable"),
        ("token", "object") => {
            Answer::json(200, &json!({ "access_token": { "value": fresh("access_token") } }))
        }
        ("token", "control") => {
            Answer::json(200, &json!({ "access_token": format!("{}\r\nX: 1", fresh("access_token")) }))
        }
        (_, "truncated") => text(200, format!("{{\"access_token\": \"{}", fresh("access_token"))),
        (_, "page") => text(403, format!("<html>{} {sent}</html>", fresh("page"))),
        (_, "redirect") => {
            let location = format!("http://localhost:1/{}?token={}", fresh("location"), fresh("location"));
            Answer { headers: vec![("location".to_owned(), location)], ..text(302, fresh("body")) }
        }
        (_, "busy") => {
            Answer { headers: vec![("retry-after".to_owned(), fresh("retry-after"))], ..refused(429, "slow") }
        }
        (_, "forbidden") => refused(403, "access_denied"),
        (_, "rejected") => refused(401, "invalid_token"),
        ("token", _) => issued(json!(3600)),
        // The last word of a provider: it refuses to revoke.
        ("revoke", _) => refused(400, "unsupported_token_type"),
        ("me", _) => {
            Answer::json(200, &json!({ "id": "7", "name": "acme", "echo": sent, "note": fresh("note") }))
        }
        _ => return None,
    };
    for name in ["set-cookie", "www-authenticate", "x-request-id"] {
        answer.headers.push((name.to_owned(), fresh(name)));
    }
    Some(answer)
}
