//! How it ended, in words for a terminal and as the browser's last page.

use std::time::Duration;

use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};

use crate::api::connection::ConnectionStatus;
use crate::api::consent_request::Phase;
use crate::api::{Connection, ConsentRequest};
use crate::domain::commands;
use crate::domain::conditions::{self, ConditionType};
use crate::domain::reason::{Fixer, Reason};
use crate::pages::{self, ConnectionNames, Failure, Language, Page};

/// How long the operator may take to show a token that is there.
const SHOWN: Duration = Duration::from_secs(10);

/// The Connection once it shows the token of a consent. `before` is the Connection as it was when the consent began.
pub(super) async fn connected(connections: &Api<Connection>, before: &Connection) -> Option<Connection> {
    let known = sequence(before);
    let shown = move |connection: Option<&Connection>| {
        connection.is_none_or(|connection| {
            let status = connection.status.as_ref();
            let all = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
            let authenticated = conditions::find(all, ConditionType::Authenticated);
            sequence(connection) > known && authenticated.is_some_and(|found| found.status == "True")
        })
    };
    let name = before.name_any();
    let looked = await_condition(connections.clone(), &name, shown);
    tokio::time::timeout(SHOWN, looked).await.ok()?.ok()?
}

fn sequence(connection: &Connection) -> i64 {
    let token = connection.status.as_ref().and_then(|status| status.token.as_ref());
    token.map_or(0, |token| token.sequence)
}

/// The account that a consent was given by, where the provider has named it.
fn account<'a>(status: &'a ConnectionStatus, consent: &ConsentRequest) -> Option<&'a str> {
    status.account.as_deref().filter(|_| status.account_consent == consent.uid())
}

/// Whether the consent brought a token.
pub(super) fn is_success(ended: &ConsentRequest) -> bool {
    ended.status.as_ref().and_then(|status| status.phase) == Some(Phase::Succeeded)
}

/// What the terminal says of a success.
pub(super) fn success(connection: &Connection, ended: &ConsentRequest) -> String {
    let (name, status) = (connection.name_any(), connection.status.clone().unwrap_or_default());
    let mut lines = match account(&status, ended) {
        Some(account) => vec![format!("Connected \"{name}\" as {account}.")],
        None => vec![format!("Connected \"{name}\".")],
    };
    if let (Some(_), Some(previous)) = (account(&status, ended), &status.previous_account) {
        lines.push(format!(
            "Before, it was connected as {previous}. If that is not what you wanted, connect again."
        ));
    }
    let ready = conditions::find(&status.conditions, ConditionType::Ready);
    if let Some(ready) = ready.filter(|ready| ready.status != "True") {
        lines.push(format!("It is not ready yet: {}: {}", ready.reason, ready.message));
    }
    lines.join("\n")
}

/// What the terminal says of a failure: what happened, who can mend it, and where to look.
pub(super) fn failure(ended: &ConsentRequest) -> String {
    let status = ended.status.clone().unwrap_or_default();
    let (name, namespace) = (&ended.spec.connection_ref.name, ended.namespace().unwrap_or_default());
    let word = status.reason.unwrap_or_else(|| "Unknown".to_owned());
    let message = status.message.unwrap_or_default();
    let mut lines = vec![format!("Not connected \"{name}\": {word}: {message}")];
    let fixer = word.parse::<Reason>().map_or(Fixer::Nobody, Reason::fixer);
    let has_command = message.contains('`');
    let who = match fixer {
        // The message says what to do.
        Fixer::User if has_command => None,
        Fixer::User => Some("You can mend it, or whoever looks after this namespace."),
        Fixer::Administrator => Some("An administrator of this cluster can mend it."),
        Fixer::Provider => Some("The application's owner can mend it; it may pass by itself."),
        Fixer::Operator => Some("Whoever runs Liaison can mend it."),
        Fixer::Nobody => None,
    };
    lines.extend(who.map(str::to_owned));
    if !has_command {
        lines.push(format!("More: `{}`", commands::show(&namespace, name)));
    }
    lines.join("\n")
}

/// What the person sees last in the browser.
pub(super) fn last_page(language: Language, connection: &Connection, ended: &ConsentRequest) -> Page {
    let status = ended.status.clone().unwrap_or_default();
    match status.phase {
        Some(Phase::Succeeded) => {
            let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.name_any());
            let display_name = connection.spec.display_name.as_deref();
            let names = ConnectionNames { namespace: &namespace, name: &name, display_name };
            let account = connection.status.as_ref().and_then(|status| account(status, ended));
            pages::connected(language, &names, account)
        }
        Some(Phase::Expired) => pages::expired(language),
        _ => {
            let message = status.message.unwrap_or_default();
            pages::failed(language, &Failure::Reported(&message), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn ended(reason: &str, message: &str) -> ConsentRequest {
        let request = json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "ConsentRequest",
            "metadata": { "name": "crm-x", "namespace": "finance", "uid": "consent" },
            "spec": { "connectionRef": { "name": "crm", "uid": "u" }, "challenge": "c" },
            "status": { "phase": "Failed", "reason": reason, "message": message },
        });
        serde_json::from_value(request).unwrap()
    }

    fn connection(status: &serde_json::Value) -> Connection {
        let connection = json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Connection",
            "metadata": { "name": "crm", "namespace": "finance" },
            "spec": { "connectorRef": { "name": "crm" } }, "status": status,
        });
        serde_json::from_value(connection).unwrap()
    }

    #[rstest]
    #[case::told_what_to_do("ConsentDenied", "no; run `kubectl liaison connect crm -n finance` again", &[])]
    #[case::of_the_user("ScopeRejected", "correct spec.scopes", &["You can mend it", "show crm -n finance"])]
    #[case::of_the_administrator("ResponseMismatch", "no; run `x` again", &["An administrator"])]
    #[case::of_the_provider("ProviderUnavailable", "down; run `x` again", &["application's owner"])]
    #[case::of_a_later_version("SomethingNew", "words", &["show crm -n finance"])]
    fn a_failure_says_who_can_mend_it_and_what_comes_next(
        #[case] reason: &str,
        #[case] message: &str,
        #[case] more: &[&str],
    ) {
        let text = failure(&ended(reason, message));
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(format!("Not connected \"crm\": {reason}: {message}").as_str()));
        let rest: Vec<_> = lines.collect();
        assert_eq!(rest.len(), more.len(), "{text}");
        assert!(rest.iter().zip(more).all(|(line, part)| line.contains(part)), "{text}");
    }

    #[test]
    fn a_success_names_the_account_of_this_consent_and_the_one_before() {
        let of_this = json!({ "state": "Connected", "account": "bo", "previousAccount": "ada", "accountConsent": "consent" });
        let text = success(&connection(&of_this), &ended("Authenticated", ""));
        assert!(text.starts_with("Connected \"crm\" as bo.\nBefore, it was connected as ada."), "{text}");
        // An account of an earlier consent says nothing of this one.
        let of_another = json!({ "state": "Connected", "account": "ada", "accountConsent": "earlier" });
        assert_eq!(success(&connection(&of_another), &ended("Authenticated", "")), "Connected \"crm\".");
    }
}
