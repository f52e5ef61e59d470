//! One way to authenticate, checked.

use std::collections::BTreeMap;

use http::HeaderName;

use super::address::Address;
use super::parameters::{Declared, ParameterFault, Values, resolve};
use super::template::{Place, RenderFault, Template};
use crate::api::AuthType;
use crate::api::connector::RequestMethod;
use crate::api::oauth2::{ClientAuthentication, OAuth2};

/// One way to authenticate: its parameters, its OAuth server, and where its credential goes on API requests.
#[derive(Clone, Debug)]
pub struct Method {
    pub(super) auth_type: AuthType,
    pub(super) parameters: Vec<Declared>,
    pub(super) oauth2: Option<OAuth2>,
    pub(super) endpoints: Option<Endpoints>,
    pub(super) placement: Placement,
}

/// Addresses and additional parameters of an OAuth 2.0 server, parsed.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// Authorization endpoint.
    pub authorize: Option<Address>,
    /// Token endpoint; absent only where it comes from the issuer's metadata.
    pub token: Option<Address>,
    /// Where tokens are refreshed, if not at the token endpoint.
    pub refresh: Option<Address>,
    /// Revocation endpoint.
    pub revoke: Option<Address>,
    /// Introspection endpoint.
    pub introspect: Option<Address>,
    /// Additional parameters of the authorization request.
    pub authorize_parameters: Vec<(String, Template)>,
    /// Additional parameters of the token request.
    pub token_parameters: Vec<(String, Template)>,
    /// Additional parameters of the refresh request.
    pub refresh_parameters: Vec<(String, Template)>,
}

/// Where a credential goes on API requests.
#[derive(Clone, Debug)]
pub enum Placement {
    /// `Authorization: Basic`, of the values `username` and `password` (RFC 7617).
    Basic,
    /// Headers, query parameters and body, all templates.
    Fields {
        /// Header names and values.
        headers: Vec<(HeaderName, Template)>,
        /// Query parameters.
        query: Vec<(String, Template)>,
        /// Body, for requests that declare none of their own.
        body: Option<Body>,
    },
}

/// The template of a request's body.
#[derive(Clone, Debug)]
pub struct Body {
    template: Template,
    place: Place,
}

impl Body {
    /// Reads a body's template. One that starts with a brace or bracket is JSON, every other one a form.
    pub fn parse(text: &str) -> Self {
        let place =
            if text.trim_start().starts_with(['{', '[']) { Place::JsonString } else { Place::QueryValue };
        Self { template: Template::parse_body(text), place }
    }

    /// How its values are encoded.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The names of its variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.template.variables()
    }

    /// Its content type.
    pub fn content_type(&self) -> &'static str {
        if self.place == Place::JsonString { "application/json" } else { "application/x-www-form-urlencoded" }
    }

    /// Fills in the values, encoded for JSON or a form.
    pub fn render<'v>(&self, lookup: impl Fn(&str) -> Option<&'v str>) -> Result<String, RenderFault> {
        self.template.render(self.place, lookup)
    }
}

/// A request that a connector declares: the verification or the account look-up.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// HTTP method.
    pub method: RequestMethod,
    /// Address.
    pub url: Address,
    /// Headers besides those that carry the credential.
    pub headers: Vec<(HeaderName, Template)>,
    /// Body.
    pub body: Option<Body>,
}

/// The names of a method's secret parameters, which are the keys of the Secret in spec.credentials.secretRef.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretNames {
    /// Keys that the Secret must have.
    pub required: Vec<String>,
    /// Keys that it may have.
    pub optional: Vec<String>,
}

impl SecretNames {
    /// Whether the method takes nothing from a Secret of credentials.
    pub fn is_empty(&self) -> bool {
        self.required.is_empty() && self.optional.is_empty()
    }
}

impl Method {
    /// The kind of credential.
    pub fn auth_type(&self) -> AuthType {
        self.auth_type
    }

    /// Habits of the OAuth 2.0 server, as the connector declares them.
    pub fn oauth2(&self) -> Option<&OAuth2> {
        self.oauth2.as_ref()
    }

    /// Parsed addresses and parameters of the OAuth 2.0 server.
    pub fn endpoints(&self) -> Option<&Endpoints> {
        self.endpoints.as_ref()
    }

    /// Every parameter that applies: the connector's, the method's own, and secrets that its type implies.
    pub fn parameters(&self) -> &[Declared] {
        &self.parameters
    }

    /// Where the credential goes on API requests.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The keys that the Secret with the credentials must and may have.
    pub fn secret_names(&self) -> SecretNames {
        let (required, optional): (Vec<&Declared>, Vec<&Declared>) = self
            .parameters
            .iter()
            .filter(|parameter| parameter.is_secret())
            .partition(|parameter| parameter.is_required());
        let names = |list: Vec<&Declared>| list.into_iter().map(|one| one.name().to_owned()).collect();
        SecretNames { required: names(required), optional: names(optional) }
    }

    /// Fits a Connection's parameters to the declared ones; all faults at once if they do not fit.
    pub fn resolve(&self, given: &BTreeMap<String, String>) -> Result<Values, Vec<ParameterFault>> {
        resolve(&self.parameters, given)
    }

    /// Whether its OAuth client proves nothing, so that it has no secret.
    pub fn is_public_client(&self) -> bool {
        self.oauth2.as_ref().is_some_and(|oauth2| oauth2.client_authentication == ClientAuthentication::None)
    }

    /// Whether the method ends in an access token of our own.
    pub fn issues_token(&self) -> bool {
        issues_token(self.auth_type)
    }

    /// The method, followed by its variant with the folder's own OAuth app where there is one.
    pub(super) fn with_own_app(self) -> Vec<Self> {
        if self.auth_type == AuthType::OAuth2AuthorizationCode {
            let variant = Self { auth_type: AuthType::OAuth2BringYourOwnApp, ..self.clone() };
            vec![self, variant]
        } else {
            vec![self]
        }
    }
}

/// Types that end in an access token.
pub(super) fn issues_token(auth_type: AuthType) -> bool {
    auth_type.has_oauth_client() || matches!(auth_type, AuthType::JWTBearer | AuthType::SessionLogin)
}
