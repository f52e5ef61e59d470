//! Checks of parameters and of the ways to authenticate.

use super::oauth2;
use super::templates::Known;
use crate::api::AuthType;
use crate::api::connector::{self, AuthMethod, ConnectorSpec, Parameter};
use crate::catalogue::fault::Faults;
use crate::catalogue::method::{Method, Placement, issues_token};
use crate::catalogue::parameters::Declared;
use crate::catalogue::template::Template;

/// Names that stand for parts of a token exchange and cannot be parameters.
const RESERVED: [&str; 2] = ["accessToken", "refreshToken"];
/// The same where the method has an OAuth client, which comes from spec.oauthApp.secretRef.
const RESERVED_WITH_CLIENT: [&str; 2] = ["clientId", "clientSecret"];

/// Checks a list of parameters.
pub(super) fn parameters(faults: &mut Faults, field: &str, list: &[Parameter]) -> Vec<Declared> {
    let mut checked: Vec<Declared> = Vec::new();
    for parameter in list {
        let field = format!("{field}[{}]", parameter.name);
        let (declared, problems) = Declared::compile(parameter);
        for problem in problems {
            faults.add(&field, problem);
        }
        if RESERVED.contains(&parameter.name.as_str()) {
            faults.add(&field, "the name is reserved");
        }
        if checked.iter().any(|other| other.name() == declared.name()) {
            faults.add(&field, "is declared twice");
        } else {
            checked.push(declared);
        }
    }
    checked
}

/// Checks all methods.
pub(super) fn methods(faults: &mut Faults, spec: &ConnectorSpec, shared: &[Declared]) -> Vec<Method> {
    if spec.auth_methods.is_empty() {
        faults.add("spec.authMethods", "at least one is required");
    }
    let mut checked: Vec<Method> = Vec::new();
    for method in &spec.auth_methods {
        let field = format!("spec.authMethods[{}]", method.auth_type);
        if checked.iter().any(|other| other.auth_type() == method.auth_type) {
            faults.add(&field, "is there twice");
            continue;
        }
        if method.auth_type == AuthType::OAuth2BringYourOwnApp {
            faults.add(&field, "comes with OAuth2AuthorizationCode; list that one");
            continue;
        }
        checked.push(one_method(faults, &field, spec, method, shared));
    }
    checked
}

fn one_method(
    faults: &mut Faults,
    field: &str,
    spec: &ConnectorSpec,
    method: &AuthMethod,
    shared: &[Declared],
) -> Method {
    let own = parameters(faults, &format!("{field}.parameters"), &method.parameters);
    let mut all = shared.to_vec();
    for parameter in own {
        if shared.iter().any(|other| other.name() == parameter.name()) {
            let field = format!("{field}.parameters[{}]", parameter.name());
            faults.add(field, "is declared by the connector already");
        } else {
            all.push(parameter);
        }
    }
    if method.auth_type.has_oauth_client() {
        for name in all.iter().map(Declared::name).filter(|name| RESERVED_WITH_CLIENT.contains(name)) {
            let field = format!("{field}.parameters[{name}]");
            faults.add(field, "the name is reserved: the client comes from spec.oauthApp.secretRef");
        }
    }
    all.extend(implied_secrets(method, &all));
    let wants_oauth2 = method.auth_type.has_oauth_client();
    let endpoints = match &method.oauth2 {
        Some(oauth2) if wants_oauth2 => {
            Some(oauth2::endpoints(faults, &format!("{field}.oauth2"), spec, method.auth_type, oauth2, &all))
        }
        Some(_) => {
            faults.add(format!("{field}.oauth2"), "is only for OAuth2 auth types");
            None
        }
        None if wants_oauth2 => {
            faults.add(format!("{field}.oauth2"), "is required for an OAuth2 auth type");
            None
        }
        None => None,
    };
    let special: &[&'static str] = if issues_token(method.auth_type) { &["accessToken"] } else { &[] };
    let placement = placement(faults, field, method, &Known::of(&all, special, spec.redirect));
    Method {
        auth_type: method.auth_type,
        parameters: all,
        oauth2: method.oauth2.clone(),
        endpoints,
        placement,
    }
}

/// Secrets that a type brings with it where the connector declares nothing of that name: those that the default
/// placement or the declared one uses.
fn implied_secrets(method: &AuthMethod, declared: &[Declared]) -> Vec<Declared> {
    let names: &[&str] = match method.auth_type {
        AuthType::PersonalAccessToken => &["token"],
        AuthType::APIKey => &["apiKey"],
        AuthType::Basic | AuthType::OAuth2Password | AuthType::SessionLogin => &["username", "password"],
        _ => &[],
    };
    let used = |name: &str| match &method.request {
        Some(request) if method.auth_type.is_static() => {
            let variable = format!("{{{name}}}");
            request
                .headers
                .values()
                .chain(request.query.values())
                .chain(&request.body)
                .any(|text| text.contains(&variable))
        }
        _ => true,
    };
    names
        .iter()
        .filter(|name| declared.iter().all(|parameter| parameter.name() != **name) && used(name))
        .map(|name| Declared::implied_secret(name))
        .collect()
}

fn placement(faults: &mut Faults, field: &str, method: &AuthMethod, known: &Known<'_>) -> Placement {
    match (&method.request, method.auth_type) {
        (Some(request), _) => declared_placement(faults, &format!("{field}.request"), request, known),
        (None, AuthType::Basic) => Placement::Basic,
        (None, AuthType::PersonalAccessToken) => bearer("token"),
        (None, AuthType::APIKey) => bearer("apiKey"),
        (None, auth_type) if issues_token(auth_type) => bearer("accessToken"),
        (None, _) => Placement::Fields { headers: Vec::new(), query: Vec::new(), body: None },
    }
}

fn declared_placement(
    faults: &mut Faults,
    field: &str,
    request: &connector::Placement,
    known: &Known<'_>,
) -> Placement {
    let headers = known.headers(faults, &format!("{field}.headers"), &request.headers);
    let query = known.fields(faults, &format!("{field}.query"), &request.query, Ok(()));
    let body = request.body.as_deref().map(|text| known.body(faults, &format!("{field}.body"), text));
    Placement::Fields { headers, query, body }
}

/// `Authorization: Bearer` (RFC 6750, section 2.1) with the value of that name.
fn bearer(name: &str) -> Placement {
    // The text is a template by construction, so the list is never empty.
    let template = Template::parse(&format!("Bearer {{{name}}}")).ok();
    let headers = template.into_iter().map(|template| (http::header::AUTHORIZATION, template)).collect();
    Placement::Fields { headers, query: Vec::new(), body: None }
}
