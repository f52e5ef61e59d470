//! Requests to token and revocation endpoints (RFC 6749, sections 4.1.3, 4.4 and 6; RFC 7009).
//!
//! Written with `form_urlencoded` rather than with the oauth2 crate's request types: these know only POST and
//! forms, and keep secrets in plain vectors.

use http::Method as HttpMethod;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::build::{BuildFault, Pairs, basic, header, is_client_text};
use super::client::ClientCredentials;
use super::message::{Purpose, Reach, Request};
use crate::api::connector::RequestMethod;
use crate::api::oauth2::{ClientAuthentication, OAuth2, RequestFormat};
use crate::catalogue::Method;
use crate::catalogue::address::{Address, HttpAllowed};
use crate::catalogue::method::Endpoints;
use crate::catalogue::parameters::Values;
use crate::catalogue::template::{Place, Template};

/// Which of the two tokens of a grant is meant (RFC 7009, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// The one that goes on API requests.
    Access,
    /// The one that new access tokens are had for.
    Refresh,
}

/// Asks for a token for the client itself (RFC 6749, section 4.4). Without scopes the provider chooses.
pub fn client_credentials_request(
    method: &Method,
    values: &Values,
    client: &ClientCredentials,
    scopes: &[String],
    http_allowed: HttpAllowed<'_>,
) -> Result<Request, BuildFault> {
    let (oauth2, endpoints) = oauth2_of(method)?;
    if client.secret.is_none() && oauth2.client_authentication != ClientAuthentication::None {
        return Err(BuildFault::ClientSecretMissing);
    }
    let mut pairs = Pairs::default();
    pairs.set("grant_type", "client_credentials");
    if !scopes.is_empty() {
        pairs.set("scope", scopes.join(oauth2.scopes.separator.as_deref().unwrap_or(" ")));
    }
    let lookup = |name: &str| client_value(client, name).or_else(|| values.get(name));
    let draft = Draft { oauth2, client, values, http_allowed };
    draft.token_request(endpoints.token.as_ref(), pairs, &endpoints.token_parameters, &lookup)
}

/// Redeems an authorization code (RFC 6749, section 4.1.3; RFC 7636, section 4.5). `redirect_uri` is the very text
/// of the authorization request.
pub fn code_request(
    method: &Method,
    values: &Values,
    client: &ClientCredentials,
    code: &SecretString,
    redirect_uri: &str,
    verifier: Option<&SecretString>,
    http_allowed: HttpAllowed<'_>,
) -> Result<Request, BuildFault> {
    let (oauth2, endpoints) = oauth2_of(method)?;
    let mut pairs = Pairs::default();
    pairs.set("grant_type", "authorization_code");
    pairs.set("code", code.expose_secret());
    pairs.set("redirect_uri", redirect_uri);
    if let Some(verifier) = verifier {
        pairs.set("code_verifier", verifier.expose_secret());
    }
    let lookup = |name: &str| client_value(client, name).or_else(|| values.get(name));
    let draft = Draft { oauth2, client, values, http_allowed };
    draft.token_request(endpoints.token.as_ref(), pairs, &endpoints.token_parameters, &lookup)
}

/// Asks for a new access token (RFC 6749, section 6). Scopes are not repeated: the granted ones stay.
pub fn refresh_request(
    method: &Method,
    values: &Values,
    client: &ClientCredentials,
    refresh_token: &SecretString,
    http_allowed: HttpAllowed<'_>,
) -> Result<Request, BuildFault> {
    let (oauth2, endpoints) = oauth2_of(method)?;
    let mut pairs = Pairs::default();
    pairs.set("grant_type", "refresh_token");
    pairs.set("refresh_token", refresh_token.expose_secret());
    let lookup = |name: &str| match name {
        "refreshToken" => Some(refresh_token.expose_secret()),
        _ => client_value(client, name).or_else(|| values.get(name)),
    };
    let address = endpoints.refresh.as_ref().or(endpoints.token.as_ref());
    let draft = Draft { oauth2, client, values, http_allowed };
    draft.token_request(address, pairs, &endpoints.refresh_parameters, &lookup)
}

/// Asks the provider to forget a token (RFC 7009, section 2.1), or nothing where the connector declares no
/// revocation endpoint.
pub fn revocation_request(
    method: &Method,
    values: &Values,
    client: &ClientCredentials,
    token: &SecretString,
    kind: TokenKind,
    http_allowed: HttpAllowed<'_>,
) -> Result<Option<Request>, BuildFault> {
    let Ok((oauth2, Endpoints { revoke: Some(address), .. })) = oauth2_of(method) else {
        return Ok(None);
    };
    let mut pairs = Pairs::default();
    pairs.set("token", token.expose_secret());
    pairs.set(
        "token_type_hint",
        match kind {
            TokenKind::Access => "access_token",
            TokenKind::Refresh => "refresh_token",
        },
    );
    let draft = Draft { oauth2, client, values, http_allowed };
    let mut request = draft.empty(Purpose::Revoke, address)?;
    draft.authenticate(&mut request, &mut pairs)?;
    request.headers.push(header(CONTENT_TYPE, "application/x-www-form-urlencoded"));
    request.body = Some(pairs.to_form());
    Ok(Some(request))
}

fn oauth2_of(method: &Method) -> Result<(&OAuth2, &Endpoints), BuildFault> {
    method.oauth2().zip(method.endpoints()).ok_or(BuildFault::NoEndpoint(Purpose::Token))
}

fn client_value<'a>(client: &'a ClientCredentials, name: &str) -> Option<&'a str> {
    match name {
        "clientId" => Some(client.id.as_str()),
        "clientSecret" => client.secret.as_ref().map(ExposeSecret::expose_secret),
        _ => None,
    }
}

/// What every request to an OAuth server is made from.
struct Draft<'a> {
    oauth2: &'a OAuth2,
    client: &'a ClientCredentials,
    values: &'a Values,
    http_allowed: HttpAllowed<'a>,
}

impl Draft<'_> {
    /// A request without parameters.
    fn empty(&self, purpose: Purpose, address: &Address) -> Result<Request, BuildFault> {
        let url = address
            .render(|name| self.values.get(name), self.http_allowed)
            .map_err(|fault| BuildFault::Address { purpose, fault })?;
        let headers = vec![header(ACCEPT, "application/json")];
        Ok(Request { purpose, method: HttpMethod::POST, url, headers, body: None, reach: Reach::default() })
    }

    /// A token request. The connector's own parameters come last and win over those of the protocol.
    fn token_request<'v>(
        &self,
        address: Option<&Address>,
        mut pairs: Pairs,
        additional: &[(String, Template)],
        lookup: &dyn Fn(&str) -> Option<&'v str>,
    ) -> Result<Request, BuildFault> {
        let address = address.ok_or(BuildFault::NoEndpoint(Purpose::Token))?;
        let mut request = self.empty(Purpose::Token, address)?;
        self.authenticate(&mut request, &mut pairs)?;
        for (name, template) in additional {
            match template.render(Place::Plain, lookup) {
                Ok(value) => pairs.set(name, value),
                // A parameter that the connection may leave out leaves its field out.
                Err(fault) if fault.is_missing() => {}
                Err(fault) => return Err(BuildFault::Value(fault)),
            }
        }
        if self.oauth2.request_method == RequestMethod::GET {
            request.method = HttpMethod::GET;
        }
        match self.oauth2.request_format {
            RequestFormat::Form => {
                request.headers.push(header(CONTENT_TYPE, "application/x-www-form-urlencoded"));
                request.body = Some(pairs.to_form());
            }
            RequestFormat::JSON => {
                request.headers.push(header(CONTENT_TYPE, "application/json"));
                request.body = Some(pairs.to_json());
            }
            RequestFormat::Query => {
                request.url.query_pairs_mut().extend_pairs(pairs.iter());
            }
        }
        Ok(request)
    }

    /// Adds what proves the client (RFC 6749, section 2.3).
    fn authenticate(&self, request: &mut Request, pairs: &mut Pairs) -> Result<(), BuildFault> {
        let secret = self.client.secret.as_ref().map(ExposeSecret::expose_secret);
        if !is_client_text(&self.client.id) || secret.is_some_and(|secret| !is_client_text(secret)) {
            return Err(BuildFault::ClientUnfit);
        }
        match self.oauth2.client_authentication {
            ClientAuthentication::Basic => {
                let secret = secret.ok_or(BuildFault::ClientSecretMissing)?;
                let encode = |text: &str| -> Zeroizing<String> {
                    Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect())
                };
                // Id and secret are form-encoded first (RFC 6749, section 2.3.1), unlike in ordinary Basic.
                request.headers.push((AUTHORIZATION, basic(&encode(&self.client.id), &encode(secret))));
            }
            ClientAuthentication::Body => {
                pairs.set("client_id", self.client.id.as_str());
                pairs.set("client_secret", secret.ok_or(BuildFault::ClientSecretMissing)?);
            }
            ClientAuthentication::None => pairs.set("client_id", self.client.id.as_str()),
            other @ (ClientAuthentication::PrivateKeyJWT | ClientAuthentication::ClientCertificate) => {
                return Err(BuildFault::ClientAuthenticationNotAvailable(other));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests/token_request.rs"]
mod tests;
