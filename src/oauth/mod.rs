//! The protocol only: builds requests, parses answers, classifies failures. Nothing here sends anything.

pub mod api_answer;
pub mod api_request;
pub mod build;
pub mod client;
pub mod failure;
mod jwt;
pub mod message;
pub mod token_answer;
pub mod token_request;

#[cfg(test)]
mod testing;
