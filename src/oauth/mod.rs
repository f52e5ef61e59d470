//! The protocol only: builds requests, parses answers, classifies failures. Nothing here sends anything.

pub mod api_answer;
pub mod api_request;
pub mod authorization;
pub mod build;
pub mod client;
pub mod failure;
pub mod hand_out_answer;
pub mod id_token;
mod jwt;
pub mod message;
pub mod metadata;
pub mod service_account;
pub mod token_answer;
pub mod token_request;

pub use api_answer::{VerificationOutcome, account, verification};
pub use api_request::{Credential, account_request, same_request, verification_request};
pub use authorization::{
    Attempt, CallbackAnswer, ProviderError, authorization_url, is_from, is_openid, issuer, loopback_address,
    parse_callback, uses_pkce,
};
pub use build::BuildFault;
pub use client::ClientCredentials;
pub use failure::{Class, Failure};
pub use id_token::{Expected as ExpectedIdToken, account_from_claims, check_id_token};
pub use metadata::{is_absent, metadata_requests, parse_metadata};
pub use token_answer::{TokenGrant, parse as parse_token_answer};
pub use token_request::{
    TokenKind, client_credentials_request, code_request, refresh_request, revocation_request,
};

#[cfg(test)]
mod testing;
