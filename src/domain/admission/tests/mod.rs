//! Rulings, and that each refusal says what its condition says.

mod connections;
mod consent_requests;
mod folders;
