//! Metadata of an issuer (RFC 8414; OpenID Connect Discovery 1.0, section 4): where it is, and what of it is believed.

use http::Method as HttpMethod;
use http::header::ACCEPT;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

use super::build::{BuildFault, header};
use super::failure::{Failure, may_pass};
use super::message::{Purpose, Reach, Request, Response};
use crate::api::connector::IssuerMetadata;
use crate::catalogue::address::{Address, HttpAllowed};
use crate::domain::reason::Reason;

/// Longest address that a Connector's status can hold.
const ADDRESS_LIMIT: usize = 2048;

/// What is read of the document. A member of another type, or one that is there twice, makes it unreadable.
#[derive(Deserialize)]
struct Document {
    issuer: Option<String>,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
    authorization_response_iss_parameter_supported: Option<bool>,
}

/// The requests for an issuer's metadata, in the order in which they are tried: the later one where the answer to the
/// earlier one [`is_absent`].
pub fn metadata_requests(issuer: &str, http_allowed: HttpAllowed<'_>) -> Result<[Request; 2], BuildFault> {
    // A slash at the end would stand twice (Discovery, section 4.1; RFC 8414, section 3.1).
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let host_end = base.find("://").map_or(0, |at| at + "://".len());
    let (host, path) = base.split_at(base[host_end..].find('/').map_or(base.len(), |at| host_end + at));
    let request = |text: String| {
        let url = Address::parse_fixed(&text)
            .and_then(|address| address.render(|_| None, http_allowed))
            .map_err(|fault| BuildFault::Address { purpose: Purpose::Metadata, fault })?;
        Ok(Request {
            purpose: Purpose::Metadata,
            method: HttpMethod::GET,
            url,
            headers: vec![header(ACCEPT, "application/json")],
            body: None,
            reach: Reach::default(),
        })
    };
    Ok([
        request(format!("{base}/.well-known/openid-configuration"))?,
        request(format!("{host}/.well-known/oauth-authorization-server{path}"))?,
    ])
}

/// Whether the answer says that there is nothing at this address.
pub fn is_absent(response: &Response) -> bool {
    response.status == 404
}

/// Reads the metadata of an issuer. `host` (host and port) is named in messages; no text of the document is.
pub fn parse_metadata(
    issuer: &str,
    host: &str,
    response: &Response,
    http_allowed: HttpAllowed<'_>,
    now: Timestamp,
) -> Result<IssuerMetadata, Failure> {
    if response.status != 200 {
        return Err(refusal(host, response, now));
    }
    let document: Document = serde_json::from_slice(&response.body).map_err(|_| {
        wrong(format!(
            "the answer of {host} is no metadata of an issuer (JSON, RFC 8414). An administrator can check the \
             connector's issuer."
        ))
    })?;
    if document.issuer.as_deref() != Some(issuer) {
        return Err(wrong(format!(
            "the metadata of {host} is not that of the connector's issuer (RFC 8414, section 3.3). An administrator \
             has to write the issuer exactly as its metadata does, a slash at the end included."
        )));
    }
    let endpoint = |name: &str, text: Option<String>| match text {
        Some(text) => checked(host, name, text, http_allowed).map(Some),
        None => Ok(None),
    };
    let required = |name: &str, text: Option<String>| {
        endpoint(name, text)?.ok_or_else(|| {
            wrong(format!("the metadata of {host} names no {name}. An administrator can {WRITTEN_OUT}."))
        })
    };
    let metadata = IssuerMetadata {
        issuer: issuer.to_owned(),
        authorization_endpoint: required("authorization_endpoint", document.authorization_endpoint)?,
        token_endpoint: required("token_endpoint", document.token_endpoint)?,
        revocation_endpoint: endpoint("revocation_endpoint", document.revocation_endpoint)?,
        introspection_endpoint: endpoint("introspection_endpoint", document.introspection_endpoint)?,
        // As the API server stores it, without fractions.
        time: Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
    };
    // Without it nobody could tell whose answer arrives at the address that all connectors share (RFC 9207, section 3).
    if document.authorization_response_iss_parameter_supported != Some(true) {
        return Err(wrong(format!(
            "the metadata of {host} does not say that answers name their issuer \
             (authorization_response_iss_parameter_supported, RFC 9207), without which a shared redirect address is not \
             safe. An administrator can {WRITTEN_OUT}."
        )));
    }
    Ok(metadata)
}

const WRITTEN_OUT: &str = "use redirect: PerConnector, with the endpoints written out";

/// An endpoint as it is named, if requests may go there.
fn checked(host: &str, name: &str, text: String, http_allowed: HttpAllowed<'_>) -> Result<String, Failure> {
    let refused = |why: &str| {
        wrong(format!(
            "{name} in the metadata of {host} {why}. The provider has to mend it, or an administrator can {WRITTEN_OUT}."
        ))
    };
    if text.len() > ADDRESS_LIMIT {
        return Err(refused(&format!("is longer than {ADDRESS_LIMIT} characters")));
    }
    let address = Address::parse_fixed(&text);
    address
        .and_then(|address| address.render(|_| None, http_allowed))
        .map_err(|fault| refused(&fault.to_string()))?;
    Ok(text)
}

fn refusal(host: &str, response: &Response, now: Timestamp) -> Failure {
    let rejected = |message: String| Failure::permanent(Reason::RequestRejected, message);
    match response.status {
        status if may_pass(status) => Failure::from_status(host, status, &response.headers, now),
        404 => rejected(format!(
            "{host} has no metadata for the connector's issuer (status 404). An administrator can check the issuer, or \
             {WRITTEN_OUT}."
        )),
        status @ 300..=399 => rejected(format!(
            "{host} answered the request for its metadata with a redirect, which is never followed (status {status}). An \
             administrator has to write the issuer exactly as its metadata does."
        )),
        status => rejected(format!(
            "{host} refused the request for its metadata (status {status}). An administrator can check the connector's \
             issuer."
        )),
    }
}

fn wrong(message: String) -> Failure {
    Failure::permanent(Reason::AnswerInvalid, message)
}

#[cfg(test)]
#[path = "tests/metadata.rs"]
mod tests;
