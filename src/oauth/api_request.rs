//! Requests to an application's API that a connector declares: verification and account look-up.

use std::collections::BTreeMap;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, Method as HttpMethod};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::build::{BuildFault, basic, header};
use super::message::{Purpose, Reach, Request};
use crate::api::connector::RequestMethod;
use crate::catalogue::address::HttpAllowed;
use crate::catalogue::method::{ApiRequest, Placement};
use crate::catalogue::parameters::Values;
use crate::catalogue::template::{Place, RenderFault, Template};
use crate::catalogue::{Definition, Method};

/// What a request proves itself with. It prints without its secrets.
#[derive(Clone, Copy, Debug)]
pub enum Credential<'a> {
    /// A token of ours.
    AccessToken(&'a SecretString),
    /// What the Secret in spec.credentials.secretRef holds, by the names of the method's secret parameters.
    Secrets(&'a BTreeMap<String, SecretString>),
}

/// The request that shows whether the credential works, or nothing where the connector declares none.
pub fn verification_request(
    definition: &Definition,
    method: &Method,
    values: &Values,
    credential: Credential<'_>,
    http_allowed: HttpAllowed<'_>,
) -> Result<Option<Request>, BuildFault> {
    let parts = Parts { method, values, credential, http_allowed };
    definition.verification().map(|declared| parts.request(Purpose::Verify, declared)).transpose()
}

/// The request that finds out whose credential it is, or nothing where the connector declares none.
pub fn account_request(
    definition: &Definition,
    method: &Method,
    values: &Values,
    credential: Credential<'_>,
    http_allowed: HttpAllowed<'_>,
) -> Result<Option<Request>, BuildFault> {
    let parts = Parts { method, values, credential, http_allowed };
    definition.account_request().map(|declared| parts.request(Purpose::Account, declared)).transpose()
}

/// Whether two requests are the same but for their purpose, so that one answer serves both.
pub fn same_request(one: &Request, other: &Request) -> bool {
    let headers = |request: &Request| {
        let mut headers: Vec<(HeaderName, Zeroizing<String>)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), Zeroizing::new(value.expose_secret().to_owned())))
            .collect();
        headers.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
        headers
    };
    let body =
        |request: &Request| request.body.as_ref().map(|body| Zeroizing::new(body.expose_secret().to_owned()));
    one.method == other.method
        && one.url == other.url
        && body(one) == body(other)
        && headers(one) == headers(other)
}

/// What a request is made from.
struct Parts<'a> {
    method: &'a Method,
    values: &'a Values,
    credential: Credential<'a>,
    http_allowed: HttpAllowed<'a>,
}

impl<'a> Parts<'a> {
    fn request(&self, purpose: Purpose, declared: &ApiRequest) -> Result<Request, BuildFault> {
        let url = declared
            .url
            .render(|name| self.values.get(name), self.http_allowed)
            .map_err(|fault| BuildFault::Address { purpose, fault })?;
        let method = match declared.method {
            RequestMethod::GET => HttpMethod::GET,
            RequestMethod::POST => HttpMethod::POST,
        };
        let mut request =
            Request { purpose, method, url, headers: Vec::new(), body: None, reach: Reach::default() };
        let mut body = declared.body.as_ref();
        match self.method.placement() {
            Placement::Basic => request.headers.push((AUTHORIZATION, self.basic()?)),
            Placement::Fields { headers, query, body: placed } => {
                self.add_headers(&mut request, headers)?;
                self.add_query(&mut request, query)?;
                body = body.or(placed.as_ref().filter(|_| declared.method == RequestMethod::POST));
            }
        }
        // The request's own headers win over those that every request has.
        self.add_headers(&mut request, &declared.headers)?;
        if let Some(body) = body {
            let rendered = body.render(|name| self.lookup(name)).map_err(|fault| self.fault(fault))?;
            request.body = Some(SecretString::from(rendered));
            add_default(&mut request, CONTENT_TYPE, body.content_type());
        }
        add_default(&mut request, ACCEPT, "application/json");
        Ok(request)
    }

    fn add_headers(
        &self,
        request: &mut Request,
        headers: &[(HeaderName, Template)],
    ) -> Result<(), BuildFault> {
        for (name, template) in headers {
            if let Some(value) = self.render(template, Place::HeaderValue)? {
                request.headers.retain(|(other, _)| other != name);
                request.headers.push((name.clone(), SecretString::from(value)));
            }
        }
        Ok(())
    }

    fn add_query(&self, request: &mut Request, query: &[(String, Template)]) -> Result<(), BuildFault> {
        for (name, template) in query {
            if let Some(value) = self.render(template, Place::Plain)? {
                let value = Zeroizing::new(value);
                request.url.query_pairs_mut().append_pair(name, &value);
            }
        }
        Ok(())
    }

    /// Fills in a template, or gives nothing where it uses a parameter that may be left out and is.
    fn render(&self, template: &Template, place: Place) -> Result<Option<String>, BuildFault> {
        match template.render(place, |name| self.lookup(name)) {
            Ok(value) => Ok(Some(value)),
            Err(RenderFault::Missing(name)) if self.may_be_left_out(&name) => Ok(None),
            Err(fault) => Err(self.fault(fault)),
        }
    }

    fn lookup(&self, name: &str) -> Option<&'a str> {
        let secret = match self.credential {
            Credential::AccessToken(token) if name == "accessToken" => Some(token.expose_secret()),
            Credential::Secrets(secrets) if self.is_secret(name) => {
                secrets.get(name).map(ExposeSecret::expose_secret)
            }
            _ => None,
        };
        secret.filter(|text| !text.is_empty()).or_else(|| self.values.get(name))
    }

    fn basic(&self) -> Result<SecretString, BuildFault> {
        let part = |name: &str| match self.lookup(name) {
            Some(value) => Ok(value),
            None if self.may_be_left_out(name) => Ok(""),
            None => Err(BuildFault::CredentialMissing(name.to_owned())),
        };
        let (name, password) = (part("username")?, part("password")?);
        if name.contains(':') || name.chars().chain(password.chars()).any(char::is_control) {
            return Err(BuildFault::UserNameUnfit);
        }
        Ok(basic(name, password))
    }

    fn is_secret(&self, name: &str) -> bool {
        self.method.parameters().iter().any(|parameter| parameter.name() == name && parameter.is_secret())
    }

    fn may_be_left_out(&self, name: &str) -> bool {
        self.method.parameters().iter().any(|parameter| parameter.name() == name && !parameter.is_required())
    }

    /// Tells a credential's fault from a parameter's.
    fn fault(&self, fault: RenderFault) -> BuildFault {
        let is_credential = |name: &str| name == "accessToken" || self.is_secret(name);
        match fault {
            RenderFault::Missing(name) if is_credential(&name) => BuildFault::CredentialMissing(name),
            RenderFault::NotPrintable(ref name) if is_credential(name) => BuildFault::CredentialUnfit(fault),
            fault => BuildFault::Value(fault),
        }
    }
}

fn add_default(request: &mut Request, name: HeaderName, value: &str) {
    if request.headers.iter().all(|(other, _)| *other != name) {
        request.headers.push(header(name, value));
    }
}

#[cfg(test)]
#[path = "tests/api_request.rs"]
mod tests;
