//! What policies do not allow, in the words that admission and conditions share.

use crate::api::{AuthType, ConnectionSpec};
use crate::catalogue::address::Target;
use crate::catalogue::definition::AccountSource;
use crate::catalogue::{Definition, Method, hosts};
use crate::domain::connection::{Blocked, method};
use crate::domain::reason::Reason;

use super::{EffectivePolicy, denies_auth_type, sources};

/// Something about a Connection that policies do not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is said of it.
    pub blocked: Blocked,
    /// Whether it stops also what was authenticated before, whatever the enforcement is: what a policy lends would go
    /// where it must not go.
    pub always: bool,
}

impl Violation {
    fn of(reason: Reason, message: String) -> Self {
        Self { blocked: Blocked { reason, message }, always: false }
    }
}

/// What policies do not allow about a Connection, as far as its Connector is known. What is lent comes first, because
/// it stops everything; of all else the first to mend.
pub fn violation(
    spec: &ConnectionSpec,
    definition: Option<&Definition>,
    policy: &EffectivePolicy,
) -> Option<Violation> {
    let method = definition.and_then(|definition| Some((definition, method(spec, definition).ok()?)));
    let targets = method.and_then(|(definition, method)| targets(spec, definition, method, policy));
    let lent = method.zip(targets.as_deref());
    lent.and_then(|((_, method), targets)| beyond_default(spec, method, targets, policy))
        .or_else(|| connector(spec, policy))
        .or_else(|| auth_type(spec, method?.1.auth_type(), policy))
        .or_else(|| method.and_then(|(definition, method)| nameless(definition, method, policy)))
        .or_else(|| beyond_lists(targets.as_deref()?, policy))
}

/// Every place that credentials would go to. Whether plain HTTP may be spoken there is another question.
fn targets(
    spec: &ConnectionSpec,
    definition: &Definition,
    method: &Method,
    policy: &EffectivePolicy,
) -> Option<Vec<Target>> {
    let given = sources::given_parameters(spec, method, policy);
    let values = definition.resolve(method, &given.values).ok()?;
    definition.targets(method, &values, &|_, _| true).ok()
}

fn connector(spec: &ConnectionSpec, policy: &EffectivePolicy) -> Option<Violation> {
    let by = policy.connector_denied_by.as_ref()?;
    let name = &spec.connector_ref.name;
    Some(Violation::of(
        Reason::ConnectorDisabled,
        format!("connector \"{name}\" is disabled by policy \"{by}\"; ask its administrator"),
    ))
}

fn auth_type(spec: &ConnectionSpec, auth_type: AuthType, policy: &EffectivePolicy) -> Option<Violation> {
    let denied_by = |auth_type| {
        policy.auth_types.iter().find(|said| denies_auth_type(&said.what, auth_type)).map(|said| &said.by)
    };
    if let Some(by) = denied_by(auth_type) {
        let message =
            format!("authType \"{auth_type}\" is disabled by policy \"{by}\"; ask its administrator");
        return Some(Violation::of(Reason::AuthTypeDisabled, message));
    }
    // An app of one's own is one under whichever name it comes.
    let own = AuthType::OAuth2BringYourOwnApp;
    if auth_type.needs_person()
        && sources::brings_own_app(spec)
        && let Some(by) = denied_by(own)
    {
        let message = format!(
            "authType \"{own}\" is disabled by policy \"{by}\", and spec.oauthApp names an app of one's own; ask its \
             administrator"
        );
        return Some(Violation::of(Reason::AuthTypeDisabled, message));
    }
    if auth_type != AuthType::OAuth2Password {
        return None;
    }
    let message = match &policy.password_grant_denied_by {
        Some(by) => format!("policy \"{by}\" denies the password grant, which authType \"{auth_type}\" uses"),
        None if policy.password_grant_allowed => return None,
        None => format!("no policy allows the password grant, which authType \"{auth_type}\" uses"),
    };
    Some(Violation::of(
        Reason::PasswordGrantDenied,
        format!("{message}; use another authType, or ask an administrator of policies"),
    ))
}

/// What a policy lends goes to the hosts that its entry names, and nowhere else.
fn beyond_default(
    spec: &ConnectionSpec,
    method: &Method,
    targets: &[Target],
    policy: &EffectivePolicy,
) -> Option<Violation> {
    let default = policy.default.as_ref().filter(|_| sources::lends(spec, method, policy))?;
    let beyond = beyond(targets, &default.what.allowed_hosts)?;
    let by = &default.by;
    Some(Violation {
        always: true,
        ..Violation::of(
            Reason::HostNotAllowed,
            format!(
                "what policy \"{by}\" lends to connections on connector \"{}\" may not go to {beyond}; nothing was sent. \
                 Use credentials of your own, or ask its administrator",
                spec.connector_ref.name
            ),
        )
    })
}

fn beyond_lists(targets: &[Target], policy: &EffectivePolicy) -> Option<Violation> {
    policy.host_lists.iter().find_map(|said| {
        let (beyond, by) = (beyond(targets, &said.what)?, &said.by);
        Some(Violation::of(
            Reason::HostNotAllowed,
            format!("policy \"{by}\" does not allow to send credentials to {beyond}; ask its administrator"),
        ))
    })
}

/// The hosts that no pattern covers, each with what would go there.
pub(super) fn beyond(targets: &[Target], allowed: &[String]) -> Option<String> {
    let mut named = Vec::new();
    for target in targets.iter().filter(|target| !hosts::any_covers(allowed, &target.host, target.port)) {
        let place = hosts::shown(&target.host, target.port);
        named.push(format!("\"{place}\" ({} requests)", target.purpose));
    }
    (!named.is_empty()).then(|| named.join(", "))
}

/// Where only some accounts are allowed, one that nobody can learn is none of them.
fn nameless(definition: &Definition, method: &Method, policy: &EffectivePolicy) -> Option<Violation> {
    let by = policy.restricts_accounts()?;
    let auth_type = method.auth_type();
    let has_account = auth_type.needs_person() || auth_type.is_static();
    let is_learnt = match definition.account() {
        // Only a consent brings an ID token.
        Some(AccountSource::IdTokenClaim(_)) => auth_type.needs_person(),
        Some(AccountSource::Request { .. }) => true,
        None => false,
    };
    (has_account && !is_learnt).then(|| {
        Violation::of(
            Reason::AccountNotAllowed,
            format!(
                "policy \"{by}\" allows only some accounts, and nothing tells the account of authType \"{auth_type}\" on \
                 this connector; ask its administrator"
            ),
        )
    })
}

/// What policies do not allow about the account that has authenticated.
pub fn account_violation(account: &str, policy: &EffectivePolicy) -> Option<Blocked> {
    let refusing =
        policy.accounts.iter().find(|said| !said.what.iter().any(|pattern| fits(pattern, account)))?;
    let by = &refusing.by;
    Some(Blocked {
        reason: Reason::AccountNotAllowed,
        message: format!(
            "account \"{account}\" is not among those that policy \"{by}\" allows; authenticate with another one, or ask its \
             administrator"
        ),
    })
}

/// What policies do not allow about the account of a consent whose token has just been issued, as far as it can be known
/// yet: from the ID token, or later from a request.
pub fn consent_violation(
    account: Option<&str>,
    definition: &Definition,
    policy: &EffectivePolicy,
) -> Option<Blocked> {
    if let Some(account) = account {
        return account_violation(account, policy);
    }
    let by = policy.restricts_accounts()?;
    let is_asked_for = definition.account_request().is_some();
    (!is_asked_for).then(|| Blocked {
        reason: Reason::AccountNotAllowed,
        message: format!(
            "policy \"{by}\" allows only some accounts, and the provider did not say which one this is"
        ),
    })
}

/// Whether a text fits a pattern in which `*` stands for any characters. Case makes no difference, as in most names of
/// accounts.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::fits;

    #[rstest]
    #[case("ann@example.com", "ann@example.com", true)]
    #[case("ann@example.com", "Ann@Example.com", true)]
    #[case("ann@example.com", "joann@example.com", false)]
    #[case("*@example.com", "ann@example.com", true)]
    #[case("*@example.com", "ann@example.com.evil.example", false)]
    #[case("*@example.com", "@example.com", true)]
    #[case("svc-*@*.example.com", "svc-1@eu.example.com", true)]
    #[case("svc-*@*.example.com", "svc-1@example.com", false)]
    #[case("a*a", "a", false)]
    #[case("a*b*c", "a-b-b-c", true)]
    #[case("*", "", true)]
    #[case("**é*", "xéy", true)]
    fn an_account_fits_a_pattern_as_a_whole(
        #[case] pattern: &str,
        #[case] text: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(fits(pattern, text), expected);
    }
}
