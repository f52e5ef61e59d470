//! Checks of an OAuth 2.0 server's description.

use std::collections::BTreeSet;

use super::templates::{HostRule, Known};
use crate::api::AuthType;
use crate::api::connector::{ConnectorSpec, RedirectMode, RequestMethod};
use crate::api::oauth2::{IssuerCheck, Lifetime, OAuth2, RequestFormat, Scopes, TokenResponseMapping};
use crate::catalogue::address::Address;
use crate::catalogue::fault::Faults;
use crate::catalogue::method::Endpoints;
use crate::catalogue::parameters::Declared;
use crate::catalogue::pointer::Pointer;

/// Parameters of the authorization request that protect it; a connector cannot set them.
const OWN_AUTHORIZE_PARAMETERS: [&str; 7] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "response_type",
    "state",
];

const NOT_IN_OAUTH: &str = "is not available in OAuth requests";

/// Checks everything below `oauth2`, and parses its addresses and parameters.
pub(super) fn endpoints(
    faults: &mut Faults,
    field: &str,
    spec: &ConnectorSpec,
    auth_type: AuthType,
    oauth2: &OAuth2,
    parameters: &[Declared],
) -> Endpoints {
    let shared = spec.redirect == RedirectMode::Shared && auth_type.needs_person();
    let known = |special: &[&'static str]| Known::of(parameters, special, spec.redirect);
    let plain = known(&[]);
    let address = |faults: &mut Faults, name: &str, text: Option<&str>, rule| {
        text.and_then(|text| plain.address(faults, &format!("{field}.{name}"), text, rule))
    };
    if shared {
        shared_redirect(faults, field, oauth2);
    } else {
        issuer(faults, field, oauth2, &plain, parameters);
        required_addresses(faults, field, auth_type, oauth2);
    }
    let authorize = address(faults, "authorizeURL", oauth2.authorize_url.as_deref(), HostRule::Endpoint);
    let token = address(faults, "tokenURL", oauth2.token_url.as_deref(), HostRule::Endpoint);
    let refresh = address(faults, "refreshURL", oauth2.refresh_url.as_deref(), HostRule::Endpoint);
    let revoke = address(faults, "revokeURL", oauth2.revoke_url.as_deref(), HostRule::Endpoint);
    let introspect = address(faults, "introspectURL", oauth2.introspect_url.as_deref(), HostRule::Endpoint);
    for name in
        oauth2.authorize_parameters.keys().filter(|name| OWN_AUTHORIZE_PARAMETERS.contains(&name.as_str()))
    {
        faults.add(format!("{field}.authorizeParameters[{name}]"), "cannot be set: Liaison sets it");
    }
    let fields = |faults: &mut Faults, name: &str, special: &[&'static str], map| {
        known(special).fields(faults, &format!("{field}.{name}"), map, Err(NOT_IN_OAUTH))
    };
    let client = ["clientId", "clientSecret"];
    let refreshing = ["clientId", "clientSecret", "refreshToken"];
    let checked = Endpoints {
        authorize,
        token,
        refresh,
        revoke,
        introspect,
        authorize_parameters: fields(faults, "authorizeParameters", &[], &oauth2.authorize_parameters),
        token_parameters: fields(faults, "tokenParameters", &client, &oauth2.token_parameters),
        refresh_parameters: fields(faults, "refreshParameters", &refreshing, &oauth2.refresh_parameters),
    };
    scopes(faults, field, &oauth2.scopes);
    if oauth2.lifetime == Lifetime::Fixed && oauth2.lifetime_seconds.is_none() {
        faults.add(format!("{field}.lifetimeSeconds"), "is required with lifetime: Fixed");
    }
    if oauth2.lifetime_seconds.is_some_and(|seconds| seconds < 1) {
        faults.add(format!("{field}.lifetimeSeconds"), "must be at least 1");
    }
    if oauth2.request_method == RequestMethod::GET && oauth2.request_format != RequestFormat::Query {
        faults.add(format!("{field}.requestMethod"), "GET needs requestFormat: Query");
    }
    pointers(faults, &format!("{field}.response"), &oauth2.response);
    checked
}

fn required_addresses(faults: &mut Faults, field: &str, auth_type: AuthType, oauth2: &OAuth2) {
    if oauth2.token_url.is_none() {
        faults.add(format!("{field}.tokenURL"), "is required");
    }
    if auth_type.needs_person() && oauth2.authorize_url.is_none() {
        faults.add(format!("{field}.authorizeURL"), "is required for OAuth2AuthorizationCode");
    }
}

/// An issuer's values choose whose metadata is believed, so they are chosen ones.
fn issuer(faults: &mut Faults, field: &str, oauth2: &OAuth2, known: &Known<'_>, parameters: &[Declared]) {
    let field = format!("{field}.issuer");
    let Some(address) =
        oauth2.issuer.as_deref().and_then(|text| known.address(faults, &field, text, HostRule::Endpoint))
    else {
        return;
    };
    let host: BTreeSet<&str> = address.host_variables().collect();
    for parameter in address
        .variables()
        .filter(|name| !host.contains(name))
        .filter_map(|name| parameters.iter().find(|parameter| parameter.name() == name))
    {
        if !parameter.is_constrained() {
            let name = parameter.name();
            faults.add(
                &field,
                format!("parameter \"{name}\" is part of the issuer: it needs an enum or a pattern"),
            );
        }
    }
}

/// With one redirect address for all, only a checked issuer tells whose answer arrived (RFC 9207).
fn shared_redirect(faults: &mut Faults, field: &str, oauth2: &OAuth2) {
    match &oauth2.issuer {
        None => faults.add(format!("{field}.issuer"), "is required with redirect: Shared"),
        Some(text) => shared_issuer(faults, &format!("{field}.issuer"), text),
    }
    if oauth2.iss != IssuerCheck::Required {
        faults.add(format!("{field}.iss"), "must be Required with redirect: Shared");
    }
    let static_ones = [
        ("authorizeURL", oauth2.authorize_url.is_some()),
        ("tokenURL", oauth2.token_url.is_some()),
        ("refreshURL", oauth2.refresh_url.is_some()),
        ("revokeURL", oauth2.revoke_url.is_some()),
        ("introspectURL", oauth2.introspect_url.is_some()),
    ];
    for (name, _) in static_ones.into_iter().filter(|(_, is_set)| *is_set) {
        faults.add(
            format!("{field}.{name}"),
            "must not be set with redirect: Shared: endpoints come from the issuer's metadata",
        );
    }
}

/// The issuer of all connections of the connector, whose metadata is asked for once for all of them.
fn shared_issuer(faults: &mut Faults, field: &str, text: &str) {
    let Some(address) = faults.take(field, Address::parse(text)) else { return };
    if address.variables().next().is_some() {
        faults.add(
            field,
            "must have no parameters with redirect: Shared: one metadata document serves all connections",
        );
    }
    if text.contains('?') {
        faults.add(field, "must not have a query (RFC 8414, section 2)");
    }
}

/// Scopes are printable ASCII without space, quote and backslash (RFC 6749, section 3.3).
fn scopes(faults: &mut Faults, field: &str, scopes: &Scopes) {
    let separator = scopes.separator.as_deref().unwrap_or(" ");
    if separator.is_empty() {
        faults.add(format!("{field}.scopes.separator"), "must not be empty");
    }
    let mut seen = BTreeSet::new();
    let lists = [("default", &scopes.default), ("optional", &scopes.optional)];
    for (list, scope) in lists.iter().flat_map(|(list, scopes)| scopes.iter().map(move |scope| (list, scope)))
    {
        let field = format!("{field}.scopes.{list}");
        let characters_are_right =
            scope.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\');
        if scope.is_empty() || !characters_are_right {
            faults.add(&field, format!("\"{}\" is not a scope", scope.escape_default()));
        } else if !separator.is_empty() && scope.contains(separator) {
            faults.add(&field, format!("the scope \"{scope}\" contains the separator \"{separator}\""));
        }
        if !seen.insert(scope) {
            faults.add(&field, format!("the scope \"{}\" is there twice", scope.escape_default()));
        }
    }
}

fn pointers(faults: &mut Faults, field: &str, mapping: &TokenResponseMapping) {
    let named = [
        ("accessToken", &mapping.access_token),
        ("refreshToken", &mapping.refresh_token),
        ("expiresIn", &mapping.expires_in),
        ("scope", &mapping.scope),
        ("error", &mapping.error),
    ];
    for (name, text) in named {
        if let Some(text) = text {
            faults.take(&format!("{field}.{name}"), Pointer::parse(text));
        }
    }
}
