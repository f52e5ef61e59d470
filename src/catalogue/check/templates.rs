//! Checks of single templates: which variables they may use, and where.

use std::collections::BTreeMap;

use http::HeaderName;

use crate::api::connector::RedirectMode;
use crate::catalogue::address::Address;
use crate::catalogue::fault::Faults;
use crate::catalogue::method::{Body, Method};
use crate::catalogue::parameters::Declared;
use crate::catalogue::template::{Place, Template};

/// Headers that the HTTP client writes itself, or that change how a message is read (RFC 9110, RFC 9112).
const FORBIDDEN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "cookie",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How strictly the host of an address is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HostRule {
    /// Authorize and token endpoints: who chooses them sees codes and client secrets.
    Endpoint,
    /// Every other request.
    Request,
}

/// The variables that templates of one part of the description may use.
#[derive(Clone)]
pub(super) struct Known<'a> {
    parameters: Vec<&'a Declared>,
    special: Vec<&'static str>,
    redirect: RedirectMode,
}

impl<'a> Known<'a> {
    /// What a single method knows.
    pub(super) fn of(parameters: &'a [Declared], special: &[&'static str], redirect: RedirectMode) -> Self {
        Self { parameters: parameters.iter().collect(), special: special.to_vec(), redirect }
    }

    /// What all methods know, for requests that are the same for each.
    pub(super) fn to_all(methods: &'a [Method], redirect: RedirectMode) -> Self {
        let mut parameters: Vec<&Declared> = Vec::new();
        for method in methods {
            for parameter in method.parameters() {
                let everywhere = methods
                    .iter()
                    .all(|other| other.parameters().iter().any(|one| one.name() == parameter.name()));
                let place = parameters.iter().position(|one| one.name() == parameter.name());
                match place {
                    // Secret or optional in one method counts for all of them.
                    Some(at) if parameter.is_secret() || !parameter.is_always_there() => {
                        parameters[at] = parameter;
                    }
                    None if everywhere => parameters.push(parameter),
                    _ => {}
                }
            }
        }
        let tokens = !methods.is_empty() && methods.iter().all(Method::issues_token);
        Self { parameters, special: if tokens { vec!["accessToken"] } else { Vec::new() }, redirect }
    }

    fn find(&self, name: &str) -> Option<&'a Declared> {
        self.parameters.iter().copied().find(|parameter| parameter.name() == name)
    }

    /// Reports variables that nothing declares, and secrets where `secrets` says that they have no place.
    fn variables<'t>(
        &self,
        faults: &mut Faults,
        field: &str,
        variables: impl Iterator<Item = &'t str>,
        secrets: Result<(), &str>,
    ) {
        for name in variables {
            let special = self.special.contains(&name);
            match (self.find(name), secrets) {
                (None, _) if !special => faults.add(field, self.undeclared(name, secrets.is_ok())),
                (Some(parameter), Err(why)) if parameter.is_secret() => {
                    faults.add(field, format!("the secret parameter \"{name}\" {why}"));
                }
                _ => {}
            }
        }
    }

    fn undeclared(&self, name: &str, with_secrets: bool) -> String {
        let mut names: Vec<&str> = self
            .parameters
            .iter()
            .filter(|parameter| with_secrets || !parameter.is_secret())
            .map(|parameter| parameter.name())
            .chain(self.special.iter().copied())
            .collect();
        names.sort_unstable();
        if names.is_empty() {
            format!("undeclared variable \"{name}\"; none is declared")
        } else {
            format!("undeclared variable \"{name}\"; declared: {}", names.join(", "))
        }
    }

    /// Checks an address.
    pub(super) fn address(
        &self,
        faults: &mut Faults,
        field: &str,
        text: &str,
        rule: HostRule,
    ) -> Option<Address> {
        let address = faults.take(field, Address::parse(text))?;
        // No special variable has a place in an address: all of them are credentials.
        let parameters_only = Self { special: Vec::new(), ..self.clone() };
        parameters_only.variables(faults, field, address.variables(), Err("must not be part of an address"));
        for parameter in address.variables().filter_map(|name| self.find(name)) {
            if !parameter.is_secret() && !parameter.is_always_there() {
                let name = parameter.name();
                faults.add(
                    field,
                    format!("parameter \"{name}\" is in an address: it must be required or have a default"),
                );
            }
        }
        self.host(faults, field, &address, rule);
        Some(address)
    }

    fn host(&self, faults: &mut Faults, field: &str, address: &Address, rule: HostRule) {
        let per_connection = self.redirect == RedirectMode::PerConnection;
        for name in address.host_variables() {
            let constrained = self.find(name).is_none_or(Declared::is_constrained);
            if rule == HostRule::Endpoint && !per_connection {
                faults.add(
                    field,
                    format!("parameter \"{name}\" reaches the host: that needs redirect: PerConnection"),
                );
            }
            if rule == HostRule::Endpoint && !constrained {
                faults.add(
                    field,
                    format!("parameter \"{name}\" reaches the host: it needs an enum or a pattern"),
                );
            }
        }
        if rule == HostRule::Request && !per_connection && !address.has_literal_domain() {
            faults.add(field, "the host must end in a literal domain such as .example.com, or redirect must be PerConnection");
        }
    }

    /// Checks the headers of a request, whose templates may use secrets.
    pub(super) fn headers(
        &self,
        faults: &mut Faults,
        field: &str,
        headers: &BTreeMap<String, String>,
    ) -> Vec<(HeaderName, Template)> {
        let mut checked: Vec<(HeaderName, Template)> = Vec::new();
        for (name, text) in headers {
            let field = format!("{field}[{name}]");
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                faults.add(field, "is not a header's name");
                continue;
            };
            if FORBIDDEN_HEADERS.contains(&header.as_str()) {
                faults.add(field, "this header cannot be set");
                continue;
            }
            if checked.iter().any(|(other, _)| *other == header) {
                faults.add(field, "is there twice: case makes no difference");
                continue;
            }
            let Some(template) = faults.take(&field, Template::parse(text)) else { continue };
            self.variables(faults, &field, template.variables(), Ok(()));
            if text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
                checked.push((header, template));
            } else {
                faults.add(field, "must be printable ASCII");
            }
        }
        checked
    }

    /// Checks named fields, such as query parameters, whose templates may use secrets only where `secrets` is Ok.
    pub(super) fn fields(
        &self,
        faults: &mut Faults,
        field: &str,
        fields: &BTreeMap<String, String>,
        secrets: Result<(), &str>,
    ) -> Vec<(String, Template)> {
        let mut checked = Vec::new();
        for (name, text) in fields {
            let field = format!("{field}[{name}]");
            if let Some(template) = faults.take(&field, Template::parse(text)) {
                self.variables(faults, &field, template.variables(), secrets);
                checked.push((name.clone(), template));
            }
        }
        checked
    }

    /// Checks a body. One that looks like JSON has to be JSON once the values are in.
    pub(super) fn body(&self, faults: &mut Faults, field: &str, text: &str) -> Body {
        let body = Body::parse(text);
        self.variables(faults, field, body.variables(), Ok(()));
        let sample = body.render(|_| Some("1"));
        if body.place() == Place::JsonString
            && !sample.is_ok_and(|json| serde_json::from_str::<serde_json::Value>(&json).is_ok())
        {
            faults.add(field, "is not JSON; variables belong inside strings, as in \"{name}\"");
        }
        body
    }
}
